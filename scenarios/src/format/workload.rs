//! What the clients do: producers, consumers, and for how long.

use super::{
    membership::{Assignor, GroupProtocol},
    scalar::{AcksChoice, Count, Period, PeriodRange, Rate, Ratio},
    transactions::{Forward, Isolation, Transactions},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The producers: one group of equals, or a list of groups.
    pub producers: OneOrMany<Producers>,
    /// The consumers: one group of equals, or a list of groups. Without them records are only written, and
    /// read once at the end by the harness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<OneOrMany<Consumers>>,
    /// How long records are sent. Consumers go on until everything is drained.
    #[serde(rename = "for")]
    pub lasts: Period,
}

/// Producers that are alike. They are called `producer-1`, `producer-2` and so on, counted over all groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Producers {
    /// How many. 1 unless said.
    #[serde(default = "one")]
    pub count: Count,
    /// The topic they send to.
    pub topic: String,
    /// How many records they send in all: the rate is shared among them.
    pub rate: Rate,
    /// How the intended send times are spaced.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// What the record key is. The customer unless said.
    #[serde(default)]
    pub key: KeyChoice,
    /// How many customers the shop has. 100 unless said.
    #[serde(default = "hundred")]
    pub customers: Count,
    /// What the records say.
    #[serde(default)]
    pub payload: PayloadKind,
    /// What counts as acknowledged. `all` unless said.
    #[serde(default)]
    pub acks: AcksChoice,
    /// Whether retries are kept from duplicating. `false` unless said.
    #[serde(default)]
    pub idempotent: bool,
    /// Whose habits the clients have.
    #[serde(default)]
    pub profile: Profile,
    /// Requests in flight at most. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<Count>,
    /// How long to wait for more records before a batch is sent. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linger: Option<Period>,
    /// How long a request waits for its response. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<Period>,
    /// How long a record may take in all, retries included. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_timeout: Option<Period>,
    /// How often one request is retried. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Group the records into transactions. Without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Transactions>,
    /// When these producers start, and send what is due from then on. At once unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Period>,
}

/// How intended send times are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Constant,
    /// Independently of each other, so that some come in bunches.
    Poisson,
}

/// What the record key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyChoice {
    /// The customer: `customer-17`; so at most as many keys as customers.
    #[default]
    CustomerId,
    /// The order: `order-1-17`, with four records each.
    OrderId,
    /// No key: the client chooses the partition.
    None,
}

/// What the records say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PayloadKind {
    /// Orders that are placed, updated, completed.
    #[default]
    #[serde(rename = "shop/orders")]
    Orders,
    /// Stock that is reserved and released.
    #[serde(rename = "shop/inventory")]
    Inventory,
    /// Payments that are processed or fail.
    #[serde(rename = "shop/payments")]
    Payments,
    /// Customers that register and change their profile.
    #[serde(rename = "shop/customers")]
    Customers,
}

/// Whose habits a client has. On a real Kafka that Squall starts `java` is the Java client itself; every other real client
/// is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The client that the adapter of the real bus uses.
    #[default]
    Native,
    /// Kafka's Java client, 4.x.
    Java,
    /// Kafka's Java client, 3.x.
    #[serde(rename = "java-3")]
    Java3,
}

/// Consumers that are alike and share a group. They are called `consumer-1`, `consumer-2` and so on, counted
/// over all groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Consumers {
    /// How many. 1 unless said.
    #[serde(default = "one")]
    pub count: Count,
    /// The group that they share.
    pub group: String,
    /// The topic they read, or a list of topics.
    pub topic: Names,
    /// What they do with a record.
    #[serde(default)]
    pub handler: Handler,
    /// What they do when the handler fails. A single try unless said.
    #[serde(default)]
    pub retry: Retry,
    /// Where records go whose tries are used up. Without it they are given up and skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlq: Option<String>,
    /// When they commit.
    #[serde(default)]
    pub commit: CommitPolicy,
    /// The client commits on its own, so often, what it has handed out; nothing is committed by the service then, and
    /// `commit` has no meaning. What each client covers differs: see `profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_commit: Option<Period>,
    /// Whose habits the clients have.
    #[serde(default, skip_serializing_if = "is_native")]
    pub profile: Profile,
    /// How units are dealt to the members. The client's own choice unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignor: Option<Assignor>,
    /// How the group and its coordinator agree.
    #[serde(default, skip_serializing_if = "is_classic")]
    pub protocol: GroupProtocol,
    /// Whether a member has a name that outlives it (`group.instance.id`, here the name of the consumer): back
    /// within its session it goes on with the units it had.
    #[serde(default, rename = "static", skip_serializing_if = "is_false")]
    pub is_static: bool,
    /// Where a member goes on in a unit where its group has no position, or an impossible one: behind what retention,
    /// deletion or a truncated log took away. At the earliest record unless said.
    #[serde(default, skip_serializing_if = "Reset::is_default")]
    pub reset: Reset,
    /// How long the group waits for a sign of life. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout: Option<Period>,
    /// How often a member gives one. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Period>,
    /// How long a member may take between two records. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_poll_interval: Option<Period>,
    /// How many records a member fetches ahead. 500 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<Count>,
    /// How long the bus waits for the ack of a delivery before it delivers the record again. The bus' own default
    /// unless said. For buses that deliver each record again on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_wait: Option<Period>,
    /// How many messages a member's client library keeps that nobody took yet; what comes beyond that it drops, and
    /// the bus delivers it again. The client's own default unless said. For buses that deliver each record again on
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Count>,
    /// Which records of transactions they see. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Write a record for each that is read, in transactions with the group's positions: exactly once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
}

/// Where a consumer goes on that has no position, or an impossible one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// At the oldest record that is there.
    #[default]
    Earliest,
    /// Behind the newest: what is there is skipped.
    Latest,
}

impl Reset {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a consumer does with a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// How long one try takes; of a range the seed draws for each record and try. No time unless said.
    #[serde(default)]
    pub takes: PeriodRange,
    /// How many records can never be processed: every try fails.
    #[serde(default)]
    pub poison: Ratio,
    /// How many tries fail although the record is good.
    #[serde(default)]
    pub fails: Ratio,
}

/// What a consumer does when its handler fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often a record is tried in all, the first try included. 1 unless said.
    #[serde(default = "one")]
    pub attempts: Count,
    /// Who delivers a record again and counts its tries.
    #[serde(default)]
    pub by: RetryBy,
    /// The pause before the second try, and the longest pause: each is twice the one before.
    #[serde(default = "tenth_to_second")]
    pub backoff: PeriodRange,
    /// How much of a pause is left to chance.
    #[serde(default)]
    pub jitter: Jitter,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Count::ONE,
            by: RetryBy::default(),
            backoff: tenth_to_second(),
            jitter: Jitter::None,
        }
    }
}

/// Who delivers a record again and counts its tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RetryBy {
    /// The consumer: it keeps the record until its tries are used up.
    #[default]
    Consumer,
    /// The bus: a failed try hands the record back, to be delivered again after the pause, to anybody of the group.
    /// The bus counts, and says when it gives a record up; whoever hears that dead-letters it. For buses that deliver
    /// each record again on its own.
    Bus,
}

/// How much of a pause is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Nothing.
    #[default]
    None,
    /// All of it: the pause is drawn between zero and its full length.
    Full,
}

/// When a consumer commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CommitPolicy {
    /// Once the handler is done: a crash in between repeats records.
    #[default]
    AfterProcessing,
    /// Before the handler begins: a crash in between skips records.
    BeforeProcessing,
}

// Serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(told: &bool) -> bool {
    !told
}

fn is_native(profile: &Profile) -> bool {
    *profile == Profile::default()
}

fn is_classic(protocol: &GroupProtocol) -> bool {
    *protocol == GroupProtocol::default()
}

fn one() -> Count {
    Count::ONE
}

fn hundred() -> Count {
    Count::new(100)
}

fn tenth_to_second() -> PeriodRange {
    PeriodRange::new(Period::millis(100), Period::seconds(1))
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// These values.
    pub(crate) const fn of(values: Vec<T>) -> Self {
        Self(values)
    }

    /// The values, to change them.
    pub(crate) fn as_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

/// One value stands for itself.
impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map or a list of maps")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(item) = items.next_element()? {
                    many.push(item);
                }
                if many.is_empty() {
                    return Err(A::Error::custom(
                        "the list is empty\nwrite at least one entry, or remove the key",
                    ));
                }
                Ok(OneOrMany(many))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OneOrMany<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// One name, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The names.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// These names.
    #[cfg(feature = "proptest")]
    pub(crate) const fn of(names: Vec<String>) -> Self {
        Self(names)
    }
}

/// One name stands for itself.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element::<String>()? {
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(A::Error::custom("the list is empty\nwrite at least one name"));
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }],
        })
    }
}
