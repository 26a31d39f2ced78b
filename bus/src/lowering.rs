//! Lowering: how topics, partitions, keys and groups become streams, subjects and durable consumers on a bus
//! that has only those (NATS JetStream). Pure functions, shared by the simulated client and the adapter of the
//! real one, so that both put every record into the same place.
//!
//! | of the workload | becomes |
//! |---|---|
//! | topic `orders` | stream `orders` with subjects `orders.>`, file storage, as many replicas, a dedup window of two minutes; the number of partitions stands in its metadata |
//! | partition `p`, key `k` | subject `orders.p.k` |
//! | a record without a key | subject `orders.p.=`; an empty key is `orders.p.==` |
//! | unit `orders/p` | what `orders.p.>` matches; its positions are the stream's sequence numbers, which have gaps |
//! | group `g`, order expected | one durable pull consumer a unit, `g+p`, filter `orders.p.>`, one record pending ack |
//! | group `g`, no order expected | one durable pull consumer a topic, `g`, filter `orders.>` |
//! | acks `all` | the stream's ack, which a quorum of its replicas stands behind |
//! | acks `0` | a publish without a reply |
//! | acks `1` | nothing: lacking |
//! | idempotent | a message id for each record, the record's own ([`Record::id`](crate::Record::id)) where it has one; one record of a unit under way at a time |
//! | retry by the bus | a NAK with a delay for each failed try; `max_deliver` tries; what is given up then is told by the advisory `MAX_DELIVERIES`, which one member of the group hears (a queue subscription of the group), who fetches the record by its sequence number |
//! | `ack_wait` | the consumers' ack wait |
//! | `buffer` | the capacity of the client library's subscriptions, one for each consumer that is pulled from |
//!
//! The client library sends nothing again by itself, so the policy for that is ours: an idempotent producer sends a
//! record again under its id until [`DELIVERY_TIMEOUT`] or its own is over, or its `retries` are; another one
//! only as often as its `retries` say, and without an id, which may put the record into the log twice.
//!
//! Every member of a group pulls from all its consumers. A token (of a subject, or a name) is the text with
//! every byte other than `A-Z a-z 0-9 _ -` written as `=` and two upper-case hexadecimal digits, so that it has
//! no dot, wildcard, space or slash, and different texts have different tokens. `+` and a lone `=` occur in no
//! such token, which keeps the names made with them apart from all others.
//!
//! Of the roles, `leader(T/p)` is the node that leads the stream, `coordinator(g)` the one that leads the group's
//! first consumer, and `controller` the one that leads the meta group.

use crate::{Acks, Error, ErrorClass, Position, Topic, TopicSpec, Unit};
use bytes::Bytes;
use std::{fmt::Write as _, time::Duration};

/// How long a stream remembers the ids of messages: JetStream's own default.
pub const DEDUP_WINDOW: Duration = Duration::from_secs(120);
/// The entry of a stream's metadata that says how many partitions its topic has.
pub const PARTITIONS: &str = "squall.partitions";
/// How long a record may take in all, retries included, where it is sent again and nothing else is said. Well
/// below the [`DEDUP_WINDOW`]: a repeat that lands behind it is a duplicate.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a producer waits before it sends again what was refused for now (`503`: nobody listens). What got no
/// answer is sent again at once.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(250);
/// How many records a group's consumer of one unit in order may have unacknowledged.
pub const ORDERED_ACK_PENDING: u32 = 1;
/// The longest subject that a record may get, in bytes. A server takes control lines of 4096 bytes, and a
/// publish has a reply subject and lengths besides.
pub const LONGEST_SUBJECT: usize = 3072;

const NO_KEY: &str = "=";
const EMPTY_KEY: &str = "==";

/// A text as a token of a subject or as a name.
#[must_use]
pub fn token(bytes: &[u8]) -> String {
    let mut token = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_plain(*byte) {
            token.push(char::from(*byte));
        } else {
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The bytes that a token was made of; `None` if it was made of none.
#[must_use]
pub fn untoken(token: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'=', high, low, rest @ ..] => {
                let byte = digit(*high)? << 4 | digit(*low)?;
                // A byte that stands for itself has no other spelling.
                if is_plain(byte) {
                    return None;
                }
                bytes.push(byte);
                rest
            }
            [byte, rest @ ..] if is_plain(*byte) => {
                bytes.push(*byte);
                rest
            }
            _ => return None,
        };
    }
}

/// Whether a byte stands for itself in a token.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'A'..=b'F' => Some(hex - b'A' + 10),
        _ => None,
    }
}

/// The name of a topic's stream; also the first token of its subjects.
#[must_use]
pub fn stream(topic: &Topic) -> String {
    token(topic.as_str().as_bytes())
}

/// The topic of a stream of this name; `None` if it is none of ours.
#[must_use]
pub fn topic(stream: &str) -> Option<Topic> {
    let name = String::from_utf8(untoken(stream)?).ok()?;
    (!name.is_empty()).then(|| Topic::new(&name))
}

/// What every subject of a topic matches.
#[must_use]
pub fn subjects(topic: &Topic) -> String {
    format!("{}.>", stream(topic))
}

/// What every subject of a unit matches.
#[must_use]
pub fn filter(unit: &Unit) -> String {
    format!("{}.{}.>", stream(&unit.topic), unit.partition)
}

/// The subject of a record with this key in this unit.
///
/// # Errors
/// Of class `Refused` when it is longer than [`LONGEST_SUBJECT`].
pub fn subject(unit: &Unit, key: Option<&[u8]>) -> Result<String, Error> {
    let key = match key {
        None => NO_KEY.to_owned(),
        Some([]) => EMPTY_KEY.to_owned(),
        Some(key) => token(key),
    };
    let subject = format!("{}.{}.{key}", stream(&unit.topic), unit.partition);
    if subject.len() > LONGEST_SUBJECT {
        let message = format!(
            "the key of a record for {unit} makes a subject of {} bytes, and {LONGEST_SUBJECT} are possible: use a \
             shorter key",
            subject.len()
        );
        return Err(Error::new(ErrorClass::Refused, "SUBJECT_TOO_LONG", message));
    }
    Ok(subject)
}

/// The unit and the key that a subject was made of; `None` if it is none of ours.
#[must_use]
pub fn place(subject: &str) -> Option<(Unit, Option<Bytes>)> {
    let mut tokens = subject.split('.');
    let (stream, partition, key) = (tokens.next()?, tokens.next()?, tokens.next()?);
    if tokens.next().is_some() {
        return None;
    }
    let number: u32 = partition.parse().ok()?;
    if number.to_string() != partition {
        return None;
    }
    let key = match key {
        NO_KEY => None,
        EMPTY_KEY => Some(Bytes::new()),
        "" => return None,
        key => Some(Bytes::from(untoken(key)?)),
    };
    Some((Unit { topic: topic(stream)?, partition: number }, key))
}

/// The partition of a record with this key among so many, at least one: CRC-32 of the key, as Kafka's native
/// client has it; what was `drawn` for a record without one.
#[must_use]
pub fn partition(key: Option<&[u8]>, partitions: u32, drawn: u32) -> u32 {
    match key {
        Some(key) if !key.is_empty() => crc32fast::hash(key) % partitions.max(1),
        _ => drawn % partitions.max(1),
    }
}

/// The message id of a record: its producer session's name, which no other session has, and its number in it.
#[must_use]
pub fn message_id(session: &str, number: u64) -> String {
    format!("{session}.{number}")
}

/// A durable pull consumer of a group, with explicit acks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Durable {
    /// Its name, unique in its stream.
    pub name: String,
    /// The stream it reads.
    pub stream: String,
    /// What it reads of the stream.
    pub filter: String,
    /// The unit that it reads, where it reads one alone.
    pub unit: Option<Unit>,
    /// How many records may wait for their acks; `None` for the server's default.
    pub max_ack_pending: Option<u32>,
}

/// The consumers of a group in a topic of so many partitions: one a unit when order is expected, else one.
#[must_use]
pub fn durables(group: &str, topic: &Topic, partitions: u32, ordered: bool) -> Vec<Durable> {
    if ordered {
        return (0..partitions).map(|partition| durable(group, &Unit::new(topic, partition))).collect();
    }
    let (name, stream, filter) = (token(group.as_bytes()), stream(topic), subjects(topic));
    vec![Durable { name, stream, filter, unit: None, max_ack_pending: None }]
}

/// The consumer of a group for one unit in order.
#[must_use]
pub fn durable(group: &str, unit: &Unit) -> Durable {
    Durable {
        name: format!("{}+{}", token(group.as_bytes()), unit.partition),
        stream: stream(&unit.topic),
        filter: filter(unit),
        unit: Some(unit.clone()),
        max_ack_pending: Some(ORDERED_ACK_PENDING),
    }
}

/// The subject on which the server tells that a record was delivered as often as its consumer allows.
#[must_use]
pub fn max_deliveries(durable: &Durable) -> String {
    format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{}.{}", durable.stream, durable.name)
}

/// The name of the dead letter for a record that the bus gave up: `<stream>.<consumer>.<sequence>`. Whoever of the
/// group hears of it, and however often, it is one letter.
#[must_use]
pub fn dead_letter_id(group: &str, unit: &Unit, position: Position, ordered: bool) -> String {
    let durable =
        if ordered { durable(group, unit) } else { durables(group, &unit.topic, 1, false).remove(0) };
    format!("{}.{}.{position}", durable.stream, durable.name)
}

/// What a group leaves to the bus; see the fields of [`ConsumerConfig`](crate::ConsumerConfig).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redelivery {
    /// How often a record is delivered at most.
    pub max_deliver: Option<u32>,
    /// How long a delivery waits for its ack.
    pub ack_wait: Option<Duration>,
    /// How many messages the client keeps.
    pub buffer: Option<u32>,
}

/// How a bus comes to have topics, partitions and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lowering {
    /// It has them.
    #[default]
    None,
    /// They become streams, subjects and durable consumers, as this module says.
    Streams,
}

impl Lowering {
    /// What becomes of a topic, one line; `None` where the bus has topics.
    #[must_use]
    pub fn topic(self, spec: &TopicSpec) -> Option<String> {
        if self == Self::None {
            return None;
        }
        let (replicas, quorum) = (spec.replicas, spec.replicas / 2 + 1);
        let mut line = format!(
            "topic {} is stream {}: subjects {}, in files, replicas {replicas}, message ids remembered for {} s",
            spec.topic,
            stream(&spec.topic),
            subjects(&spec.topic),
            DEDUP_WINDOW.as_secs()
        );
        if spec.min_insync != quorum {
            let _ = write!(
                line,
                "; its acks need a quorum of {quorum}, min_insync {} says nothing here",
                spec.min_insync
            );
        }
        Some(line)
    }

    /// What becomes of a group in a topic, one line; `None` where the bus has groups.
    #[must_use]
    pub fn group(self, group: &str, spec: &TopicSpec, ordered: bool) -> Option<String> {
        if self == Self::None {
            return None;
        }
        let durables = durables(group, &spec.topic, spec.partitions, ordered);
        let (first, last) = (durables.first()?, durables.last()?);
        let which = if first == last {
            format!("consumer {} of stream {}, filter {}", first.name, first.stream, first.filter)
        } else {
            format!(
                "consumers {} to {} of stream {}, filters {} to {}",
                first.name, last.name, first.stream, first.filter, last.filter
            )
        };
        let pending = first
            .max_ack_pending
            .map_or(String::new(), |most| format!(", {most} record unacknowledged at most"));
        Some(format!("group {group} is {which}{pending}; every member pulls from all"))
    }

    /// What becomes of what a group leaves to the bus, in lines; none where the bus has it, or nothing is left to it.
    #[must_use]
    pub fn redelivery(self, group: &str, left: &Redelivery) -> Vec<String> {
        let mut lines = Vec::new();
        if self == Self::None {
            return lines;
        }
        if let Some(most) = left.max_deliver {
            lines.push(format!(
                "retry of {group} is a NAK with a delay and max_deliver {most}; one member hears the advisory \
                 MAX_DELIVERIES (queue {}), fetches the record by its sequence number, and its dead letter has the id \
                 <stream>.<consumer>.<sequence>",
                token(group.as_bytes())
            ));
        }
        if let Some(wait) = left.ack_wait {
            lines.push(format!(
                "ack_wait of {group} is {wait:?}: without an ack by then a record comes again"
            ));
        }
        if let Some(most) = left.buffer {
            lines.push(format!(
                "buffer of {group} is the client's: {most} messages of a consumer wait; what comes beyond is dropped, and \
                 comes again after ack_wait"
            ));
        }
        lines
    }

    /// What becomes of the way a producer sends, one line; `None` where the bus has it.
    #[must_use]
    pub fn sending(self, acks: Acks, idempotent: bool) -> Option<String> {
        if self == Self::None {
            return None;
        }
        let how = match acks {
            Acks::All => "acks all is the stream's ack",
            Acks::One => "acks 1 is nothing: a stream's ack has a quorum behind it",
            Acks::None => "acks 0 is a publish without a reply",
        };
        let id = if idempotent {
            "; idempotent is a message id a record, and one record of a unit under way"
        } else {
            "; a retry has no message id"
        };
        Some(format!("{how}{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn orders() -> Topic {
        Topic::new("order-events.dlq")
    }

    fn spec(partitions: u32, min_insync: u32) -> TopicSpec {
        TopicSpec { topic: orders(), partitions, replicas: 3, min_insync, config: Default::default() }
    }

    #[test]
    fn a_record_has_its_subject() {
        let unit = Unit::new(&orders(), 7);
        for (key, subject_of_it) in [
            (None, "order-events=2Edlq.7.="),
            (Some(&b""[..]), "order-events=2Edlq.7.=="),
            (Some(b"customer_7"), "order-events=2Edlq.7.customer_7"),
            (Some(b"a.b*> =\n\xff"), "order-events=2Edlq.7.a=2Eb=2A=3E=20=3D=0A=FF"),
        ] {
            assert_eq!(subject(&unit, key).as_deref(), Ok(subject_of_it));
            let key = key.map(Bytes::copy_from_slice);
            assert_eq!(place(subject_of_it), Some((unit.clone(), key)));
        }
        assert_eq!(filter(&unit), "order-events=2Edlq.7.>");
        assert_eq!(subjects(&unit.topic), "order-events=2Edlq.>");
    }

    #[test]
    fn what_is_no_subject_of_ours_is_no_place() {
        for strange in [
            "", "a", "a.1", "a.1.", "a.x.k", "a.01.k", "a.+1.k", ".1.k", "a.1.k.l", "a.1.=2e", "a.1.=2",
            "=FF.1.k", "a.1.k k", "a.1.=30",
        ] {
            assert_eq!(place(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_key_can_be_too_long() {
        let unit = Unit::new(&Topic::new("t"), 0);
        assert!(subject(&unit, Some(&[b'k'; LONGEST_SUBJECT - 4])).is_ok());
        let error = subject(&unit, Some(&[b'.'; 1024])).expect_err("3076 bytes");
        assert_eq!((error.class, &*error.code), (ErrorClass::Refused, "SUBJECT_TOO_LONG"));
    }

    #[test]
    fn keys_go_where_kafkas_native_client_sends_them() {
        assert_eq!(partition(Some(b"hejsan"), 1 << 31, 0), 0xd077_037e % (1 << 31));
        assert_eq!((partition(None, 12, 31), partition(Some(b""), 12, 31)), (7, 7));
        assert_eq!(partition(Some(b"k"), 0, 5), 0);
    }

    #[test]
    fn groups_have_their_consumers() {
        let names = |ordered| {
            durables("a.b", &orders(), 3, ordered).into_iter().map(|durable| durable.name).collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["a=2Eb+0", "a=2Eb+1", "a=2Eb+2"]);
        assert_eq!(names(false), ["a=2Eb"]);
        let one = durable("billing", &Unit::new(&orders(), 2));
        assert_eq!((&*one.filter, one.max_ack_pending), ("order-events=2Edlq.2.>", Some(1)));
    }

    #[test]
    fn the_lowering_is_said_in_words() {
        let lowering = Lowering::Streams;
        assert_eq!(
            lowering.topic(&spec(12, 1)).expect("streams"),
            "topic order-events.dlq is stream order-events=2Edlq: subjects order-events=2Edlq.>, in files, replicas 3, \
             message ids remembered for 120 s; its acks need a quorum of 2, min_insync 1 says nothing here"
        );
        assert!(!lowering.topic(&spec(12, 2)).expect("streams").contains("min_insync"));
        assert_eq!(
            lowering.group("billing", &spec(12, 2), true).expect("streams"),
            "group billing is consumers billing+0 to billing+11 of stream order-events=2Edlq, filters \
             order-events=2Edlq.0.> to order-events=2Edlq.11.>, 1 record unacknowledged at most; every member pulls from all"
        );
        assert_eq!(
            lowering.group("billing", &spec(12, 2), false).expect("streams"),
            "group billing is consumer billing of stream order-events=2Edlq, filter order-events=2Edlq.>; every member \
             pulls from all"
        );
        assert_eq!(Lowering::None.topic(&spec(12, 1)), None);
    }

    #[test]
    fn what_is_left_to_the_bus_is_said_in_words() {
        let left =
            Redelivery { max_deliver: Some(4), ack_wait: Some(Duration::from_secs(2)), buffer: Some(64) };
        assert_eq!(
            Lowering::Streams.redelivery("a.b", &left),
            [
                "retry of a.b is a NAK with a delay and max_deliver 4; one member hears the advisory MAX_DELIVERIES (queue \
                 a=2Eb), fetches the record by its sequence number, and its dead letter has the id \
                 <stream>.<consumer>.<sequence>",
                "ack_wait of a.b is 2s: without an ack by then a record comes again",
                "buffer of a.b is the client's: 64 messages of a consumer wait; what comes beyond is dropped, and comes \
                 again after ack_wait",
            ]
        );
        assert!(Lowering::Streams.redelivery("a.b", &Redelivery::default()).is_empty());
        assert!(Lowering::None.redelivery("a.b", &left).is_empty());
    }

    #[test]
    fn a_dead_letter_has_the_name_of_what_it_is_for() {
        let unit = Unit::new(&orders(), 7);
        assert_eq!(dead_letter_id("a.b", &unit, Position(12), true), "order-events=2Edlq.a=2Eb+7.12");
        assert_eq!(dead_letter_id("a.b", &unit, Position(12), false), "order-events=2Edlq.a=2Eb.12");
        assert_eq!(
            max_deliveries(&durable("a.b", &unit)),
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.order-events=2Edlq.a=2Eb+7"
        );
    }

    proptest! {
        #[test]
        fn tokens_are_safe_and_come_back(bytes: Vec<u8>) {
            let token = token(&bytes);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=".contains(&b)), "{token}");
            prop_assert!(token != NO_KEY && token != EMPTY_KEY);
            prop_assert_eq!(untoken(&token), Some(bytes));
        }

        #[test]
        fn a_token_has_one_spelling(text in "[a-f0-9A-F=_.+-]{0,12}") {
            if let Some(bytes) = untoken(&text) {
                prop_assert_eq!(token(&bytes), text);
            }
        }

        #[test]
        fn subjects_come_back(topic in "[ -~é]{1,20}", number: u32, key: Option<Vec<u8>>) {
            let unit = Unit::new(&Topic::new(&topic), number);
            let subject = subject(&unit, key.as_deref()).expect("short");
            prop_assert!(subject.starts_with(filter(&unit).trim_end_matches('>')));
            prop_assert_eq!(place(&subject), Some((unit, key.map(Bytes::from))));
        }

        #[test]
        fn names_of_a_stream_are_apart(groups in proptest::collection::btree_set("[a-c0-1+=-]{1,4}", 1..5)) {
            let topic = orders();
            let all: Vec<String> = groups
                .iter()
                .flat_map(|group| [durables(group, &topic, 12, true), durables(group, &topic, 12, false)].concat())
                .map(|durable| durable.name)
                .collect();
            prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        }

        #[test]
        fn a_key_has_one_partition(key: Vec<u8>, partitions in 1_u32..200, drawn: u32, other: u32) {
            let chosen = partition(Some(&key), partitions, drawn);
            prop_assert!(chosen < partitions);
            prop_assert!(key.is_empty() || chosen == partition(Some(&key), partitions, other));
        }
    }
}
