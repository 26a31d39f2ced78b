//! The plan: what a seed makes of a scenario, with every operation and fault at its time.
//!
//! Every choice in it is a pure function of (seed, site, entity, ordinal): a record's of its own id, a fault's
//! of its place in the file and the number of the strike. So taking one record or fault out of a plan
//! changes no other, which is what makes failures shrink; and a plan of ten million records need not be held
//! in memory: each producer's records are an iterator.
//!
//! | module | what it does |
//! |---|---|
//! | `producers` | the records of each producer: when, which key, which payload, poison or not |
//! | `consumers` | how long a try takes, whether it fails, how long the pause before the next is |
//! | `faults` | every strike with its time and duration |
//! | `changes` | every change of an administrator with its time |
//! | `shop` | the domain: orders, stock, payments, customers |
//! | [`payload`] | a record's bytes: value id and checksum inside |
//! | `explain` | the plan printed, for `squall explain` |
//! | `warnings` | what a reader of the plan should know |

mod changes;
mod consumers;
mod explain;
mod faults;
pub mod payload;
mod producers;
mod shop;
mod warnings;

pub use changes::{Change, TopicChange};
pub use consumers::{ConsumerPlan, Try};
pub use explain::Explained;
pub use producers::{PlannedRecord, ProducerPlan, Records};
pub use warnings::Warning;

use crate::format::{
    CommitPolicy, Consumers, Fsync, OneOrMany, Producers, Profile, Scenario, scalar::Period,
};
use squall_bus::{Acks, Capability, ClusterSpec, Fault, Time, Topic, TopicSpec};
use squall_history::guarantees::{self, Cleanup, Configuration, TopicFacts};
use squall_sim::kernel::Choices;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// How long a bus may take to notice that a transaction is open for too long, and to abort it.
const NOTICED: Duration = Duration::from_secs(15);

/// What a seed makes of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    scenario: Arc<Scenario>,
    choices: Choices,
    producers: Vec<ProducerPlan>,
    consumers: Vec<ConsumerPlan>,
    faults: Vec<Fault>,
    changes: Vec<Change>,
}

impl Plan {
    /// The plan of this seed.
    #[must_use]
    pub fn new(scenario: impl Into<Arc<Scenario>>, seed: u64) -> Self {
        Self::with_choices(scenario, Choices::new(seed))
    }

    /// The plan of these choices, which may override some of the seed's.
    #[must_use]
    pub fn with_choices(scenario: impl Into<Arc<Scenario>>, choices: Choices) -> Self {
        let scenario = scenario.into();
        let producers = producers::plan(&scenario, &choices);
        let consumers = consumers::plan(&scenario, &choices);
        let faults = faults::plan(&scenario, &choices);
        let changes = changes::plan(&scenario, &choices);
        Self { scenario, choices, producers, consumers, faults, changes }
    }

    /// The same plan without these records, by value id.
    #[must_use]
    pub fn without_records(mut self, values: impl IntoIterator<Item = u64>) -> Self {
        let values: Arc<BTreeSet<u64>> = Arc::new(values.into_iter().collect());
        for producer in &mut self.producers {
            producer.leave_out(&values);
        }
        self
    }

    /// The same plan without these faults, by their numbers. The others keep theirs.
    #[must_use]
    pub fn without_faults(mut self, ids: &BTreeSet<u32>) -> Self {
        self.faults.retain(|fault| !ids.contains(&fault.id));
        self
    }

    /// The same plan with these numbers for its faults, in the order of time: what is drawn for a fault when it strikes is
    /// drawn for its number.
    #[must_use]
    pub(crate) fn with_fault_numbers(mut self, numbers: &[u32]) -> Self {
        for (fault, number) in self.faults.iter_mut().zip(numbers) {
            fault.id = *number;
        }
        self
    }

    /// What it is a plan of.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.choices.seed()
    }

    /// The seed's choices, for the run itself to draw from.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// The producers, in the order of their names.
    #[must_use]
    pub fn producers(&self) -> &[ProducerPlan] {
        &self.producers
    }

    /// The value ids of all records, ascending.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.producers.iter().flat_map(|producer| producer.records().map(|record| record.value))
    }

    /// The consumers, in the order of their names.
    #[must_use]
    pub fn consumers(&self) -> &[ConsumerPlan] {
        &self.consumers
    }

    /// Every strike, in the order of time. Times count from the beginning of the workload.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Every change of an administrator, in the order of time. Times count from the beginning of the workload.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// How many partitions each topic has in the end, in the order of their names.
    #[must_use]
    pub fn partitions_at_end(&self) -> BTreeMap<Topic, u32> {
        self.partitions_at(Time(u64::MAX))
    }

    /// How many partitions each topic has once every change that is due until then is made, in the order of their
    /// names.
    #[must_use]
    pub fn partitions_at(&self, time: Time) -> BTreeMap<Topic, u32> {
        let mut counts: BTreeMap<Topic, u32> =
            self.topics().into_iter().map(|spec| (spec.topic, spec.partitions)).collect();
        let created = counts.clone();
        for change in self.changes.iter().take_while(|change| change.at <= time) {
            match change.what {
                TopicChange::Grow(count) => drop(counts.insert(change.topic.clone(), count)),
                TopicChange::Recreate => {
                    let count = created.get(&change.topic).copied().unwrap_or(0);
                    counts.insert(change.topic.clone(), count);
                }
                TopicChange::DeleteRecords | TopicChange::Set(_) => {}
            }
        }
        counts
    }

    /// The topics to create, dead-letter topics included, in the order of their names.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicSpec> {
        let nodes = self.scenario.topology.nodes;
        let spec = |(name, shape): (&str, &crate::format::TopicShape)| TopicSpec {
            topic: Topic::new(name),
            partitions: shape.partitions.get(),
            replicas: shape.replicas_on(nodes),
            min_insync: shape.min_insync_on(nodes),
            config: shape.config.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
        };
        self.scenario.topics().into_iter().map(spec).collect()
    }

    /// The cluster of this bus to start.
    #[must_use]
    pub fn cluster(&self, bus: &str) -> ClusterSpec {
        let topology = &self.scenario.topology;
        let fsync = match topology.fsync {
            Fsync::Lazy => squall_bus::Fsync::Lazy,
            Fsync::Always => squall_bus::Fsync::Always,
        };
        let loses_power = self.needs().contains(&Capability::PowerFail);
        let brokers = topology.brokers.get(bus);
        let config = brokers.iter().flat_map(|brokers| &brokers.config);
        ClusterSpec {
            nodes: topology.nodes.get(),
            fsync,
            loses_power,
            java_clients: self.scenario.has_java_clients(),
            profile: brokers.and_then(|brokers| brokers.profile.clone()).map(|profile| profile.0),
            config: config.map(|(name, value)| (name.clone(), value.0.clone())).collect(),
            bug: topology.bug.clone(),
        }
    }

    /// What a target must be able to do to run this.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Capability> {
        let mut needs: BTreeSet<_> = self.faults.iter().map(|fault| fault.kind.needs(&fault.role)).collect();
        needs.extend(self.changes.iter().map(Change::needs));
        needs.extend(self.topics().iter().flat_map(|topic| topic.keeps().needs()));
        for group in self.scenario.producer_groups() {
            match group.acks.0 {
                Acks::None => needs.insert(Capability::AckNone),
                Acks::One => needs.insert(Capability::AckOne),
                Acks::All => false,
            };
            if group.idempotent {
                needs.insert(Capability::Idempotence);
            }
        }
        if self.is_transactional() {
            needs.insert(Capability::Transactions);
        }
        if self.consumers.iter().any(|consumer| consumer.config.without_redelivery().is_err()) {
            needs.insert(Capability::Redelivery);
        }
        let left_to_the_client = |consumer: &ConsumerPlan| {
            consumer.config.auto_commit.is_some() || consumer.config.without_group_settings().is_err()
        };
        if self.consumers.iter().any(left_to_the_client) {
            needs.insert(Capability::GroupSettings);
        }
        needs
    }

    /// The set-up as the guarantees take it. Where groups of clients or topics differ, the weakest counts.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        let (producers, consumers) = (self.scenario.producer_groups(), self.scenario.consumer_groups());
        let topics = self.topics();
        let weakest = |acks: Acks| match acks {
            Acks::None => 0,
            Acks::One => 1,
            Acks::All => 2,
        };
        let all = |get: fn(&Producers) -> Option<u32>| {
            producers.iter().map(get).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
        };
        let before = consumers.iter().any(|group| group.commit == CommitPolicy::BeforeProcessing);
        Configuration {
            acks: producers
                .iter()
                .map(|group| group.acks.0)
                .min_by_key(|acks| weakest(*acks))
                .unwrap_or_default(),
            idempotent: producers.iter().all(|group| group.idempotent || group.transactions.is_some()),
            max_in_flight: all(|group| group.max_in_flight.map(crate::format::scalar::Count::get)),
            retries: all(|group| group.retries),
            replicas: topics.iter().map(|topic| topic.replicas).min().unwrap_or(1),
            min_insync: topics.iter().map(|topic| topic.min_insync).min().unwrap_or(1),
            fsync: match self.scenario.topology.fsync {
                Fsync::Lazy => guarantees::Fsync::Lazy,
                Fsync::Always => guarantees::Fsync::Always,
            },
            commit: if consumers.iter().any(|group| group.auto_commit.is_some()) {
                guarantees::CommitPolicy::Auto
            } else if before {
                guarantees::CommitPolicy::BeforeProcessing
            } else {
                guarantees::CommitPolicy::AfterProcessing
            },
            dlq: consumers.iter().find_map(|group| group.dlq.clone()),
            groups: consumers.iter().map(|consumers| consumers.group.clone()).collect(),
            skipping: consumers
                .iter()
                .filter(|group| group.dlq.is_none())
                .map(|group| group.group.clone())
                .collect(),
            isolation: match self.isolation() {
                Some(squall_bus::Isolation::ReadCommitted) => guarantees::Isolation::ReadCommitted,
                _ => guarantees::Isolation::ReadUncommitted,
            },
            txn_timeout: self.transaction_timeout(),
            pipelines: self.pipelines(),
            unclean_election: topics.iter().any(|topic| topic.keeps().unclean_election),
            topics: topics.iter().filter_map(kept).collect(),
            ..Configuration::default()
        }
    }

    /// Whether anybody writes in transactions.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        let writes = self.producers.iter().any(|producer| producer.transactions.is_some());
        writes || self.consumers.iter().any(|consumer| consumer.forward.is_some())
    }

    /// After how long the bus has aborted any transaction that does not end; `None` where a client is left to its own
    /// default.
    fn transaction_timeout(&self) -> Option<Duration> {
        let producers = self.scenario.producer_groups().iter();
        let consumers = self.scenario.consumer_groups().iter();
        let producers = producers.filter_map(|group| group.transactions.as_ref().map(|said| said.timeout));
        let forwards = consumers.filter_map(|group| group.forward.as_ref().map(|said| said.timeout));
        let all: Option<Vec<Period>> = producers.chain(forwards).collect();
        all?.into_iter().max().map(|longest| longest.get() + NOTICED)
    }

    /// What all readers of the run see of transactions: where groups differ, the weakest. `None` where there are no
    /// transactions.
    #[must_use]
    pub fn isolation(&self) -> Option<squall_bus::Isolation> {
        use squall_bus::Isolation::{ReadCommitted, ReadUncommitted};
        let weak = |group: &Consumers| group.isolation == Some(crate::format::Isolation::ReadUncommitted);
        let weakest =
            if self.scenario.consumer_groups().iter().any(weak) { ReadUncommitted } else { ReadCommitted };
        self.is_transactional().then_some(weakest)
    }

    /// Groups that read, compute and write exactly once.
    fn pipelines(&self) -> Vec<guarantees::Pipeline> {
        let groups = self.scenario.consumer_groups().iter();
        let pipelines = groups.filter_map(|group| {
            let to = &group.forward.as_ref()?.topic;
            Some((group, to))
        });
        let each = pipelines.flat_map(|(group, to)| {
            group.topic.as_slice().iter().map(move |from| guarantees::Pipeline {
                group: group.group.clone(),
                from: from.clone(),
                to: to.clone(),
            })
        });
        each.collect()
    }

    /// What the scenario demands, as the guarantees take it.
    #[must_use]
    pub fn expect(&self) -> guarantees::Expect {
        self.scenario.expect.demands()
    }

    /// What a reader of the plan should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warnings::warnings(self)
    }

    /// Every option after defaults and overrides, by its path: `workload.producers.acks` is `all`.
    #[must_use]
    pub fn options(&self) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        if let Ok(value) = serde_json::to_value(&*self.scenario) {
            flatten(&value, String::new(), &mut options);
        }
        options
    }
}

/// How long a topic keeps its records, if it does not keep them for ever.
fn kept(topic: &TopicSpec) -> Option<(String, TopicFacts)> {
    let keeps = topic.keeps();
    let cleanup = match (keeps.compacts, keeps.retention.is_some()) {
        (false, false) => return None,
        (true, false) => Cleanup::Compact,
        (false, true) => Cleanup::Delete,
        (true, true) => Cleanup::CompactAndDelete,
    };
    Some((
        topic.topic.to_string(),
        TopicFacts { cleanup, retention: keeps.retention, ..TopicFacts::default() },
    ))
}

/// The leaves of a JSON value by their paths; what is null is left out.
fn flatten(value: &serde_json::Value, path: String, into: &mut BTreeMap<String, String>) {
    use serde_json::Value;
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(entries) => entries.iter().for_each(|(key, child)| flatten(child, join(key), into)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, child)| flatten(child, join(&index.to_string()), into));
        }
        Value::String(text) => {
            into.insert(path, text.clone());
        }
        other => {
            into.insert(path, other.to_string());
        }
    }
}

impl Scenario {
    /// The groups of producers.
    #[must_use]
    pub fn producer_groups(&self) -> &[Producers] {
        self.workload.producers.as_slice()
    }

    /// The groups of consumers.
    #[must_use]
    pub fn consumer_groups(&self) -> &[Consumers] {
        self.workload.consumers.as_ref().map_or(&[], OneOrMany::as_slice)
    }

    /// Whether some of its clients are to be of Kafka's own Java library.
    #[must_use]
    pub fn has_java_clients(&self) -> bool {
        let producers = self.producer_groups().iter().map(|group| group.profile);
        let mut profiles = producers.chain(self.consumer_groups().iter().map(|group| group.profile));
        profiles.any(|profile| profile == Profile::Java)
    }
}
