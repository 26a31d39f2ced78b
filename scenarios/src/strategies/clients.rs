//! Producers and consumers: drawn free of each other and of the cluster, then made to fit.

use super::Bounds;
use crate::format::{
    Arrivals, CommitPolicy, Consumers, GroupProtocol, Handler, Jitter, KeyChoice, Names, PayloadKind,
    Producers, Profile, Reset, Retry, RetryBy, Topology,
    scalar::{AcksChoice, Count, Period, PeriodRange, Ratio},
};
use proptest::{
    option,
    prelude::*,
    sample::{Index, select},
};
use squall_bus::Acks;

/// An idempotent producer has no more requests in flight.
const IN_FLIGHT: u32 = 5;

/// A group of producers before it is made to fit.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    producers: Producers,
    topic: Index,
}

/// A group of consumers before it is made to fit.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    consumers: Consumers,
    topic: Index,
    /// It reads all topics.
    all: bool,
    dead_letters: bool,
}

fn name(topology: &Topology, topic: &Index) -> String {
    topic.get(&topology.topics.keys().collect::<Vec<_>>()).to_string()
}

impl Writer {
    pub(super) fn fitted(&self, topology: &Topology) -> Producers {
        let mut producers = Producers { topic: name(topology, &self.topic), ..self.producers.clone() };
        if producers.idempotent {
            producers.acks = AcksChoice(Acks::All);
            producers.max_in_flight = producers.max_in_flight.map(|most| most.min(Count::new(IN_FLIGHT)));
            producers.retries = producers.retries.map(|retries| retries.max(1));
        }
        if producers.payload == PayloadKind::Customers && producers.key == KeyChoice::OrderId {
            producers.key = KeyChoice::CustomerId;
        }
        let request = producers.request_timeout.unwrap_or_default().get();
        let least = request + producers.linger.unwrap_or_default().get();
        producers.delivery_timeout = producers.delivery_timeout.map(|time| Period::of(time.get() + least));
        producers
    }
}

impl Reader {
    pub(super) fn fitted(&self, number: u32, topology: &Topology) -> Consumers {
        let topics = if self.all {
            topology.topics.keys().cloned().collect()
        } else {
            vec![name(topology, &self.topic)]
        };
        let mut consumers = Consumers {
            group: format!("group-{number}"),
            dlq: self.dead_letters.then(|| format!("{}.dlq", topics[0])),
            topic: Names::of(topics),
            ..self.consumers.clone()
        };
        if consumers.commit == CommitPolicy::BeforeProcessing {
            consumers.retry.by = RetryBy::Consumer;
        }
        // Drawn as what there is beyond the shortest that makes sense.
        let session = consumers.session_timeout.unwrap_or_default().get();
        consumers.max_poll_interval =
            consumers.max_poll_interval.map(|time| Period::of(time.get() + session));
        let try_takes = consumers.handler.takes.high().get();
        consumers.ack_wait = consumers.ack_wait.map(|time| Period::of(time.get() + try_takes));
        consumers
    }
}

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Period> {
    range.prop_map(Period::millis)
}

/// A range that begins and ends within this one.
pub(super) fn spans(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = PeriodRange> {
    (range.clone(), range).prop_map(|(one, other)| {
        PeriodRange::new(Period::millis(one.min(other)), Period::millis(one.max(other)))
    })
}

fn percents(most: u32) -> impl Strategy<Value = Ratio> {
    (0..=most).prop_map(|percent| format!("{percent}%").parse().unwrap_or_default())
}

pub(super) fn writers(bounds: &Bounds) -> impl Strategy<Value = Writer> + use<> {
    let records = (
        1..=bounds.rate.max(1),
        select(vec![Arrivals::Constant, Arrivals::Poisson]),
        select(vec![KeyChoice::CustomerId, KeyChoice::OrderId, KeyChoice::None]),
        1..=100_u32,
        select(vec![
            PayloadKind::Orders,
            PayloadKind::Inventory,
            PayloadKind::Payments,
            PayloadKind::Customers,
        ]),
    );
    let client = (
        prop_oneof![4 => Just(Acks::All), 1 => Just(Acks::One), 1 => Just(Acks::None)],
        any::<bool>(),
        select(vec![Profile::Native, Profile::Java]),
        option::of(1..=8_u32),
        option::of(millis(0..=50)),
        option::of(millis(1_000..=30_000)),
        option::of(millis(1_000..=60_000)),
        option::of(0..=10_u32),
    );
    (1..=bounds.members.max(1), any::<Index>(), records, client).prop_map(
        |(count, topic, records, client)| {
            let (rate, arrivals, key, customers, payload) = records;
            let (acks, idempotent, profile, in_flight, linger, request, delivery, retries) = client;
            let producers = Producers {
                count: Count::new(count),
                topic: String::new(),
                rate: format!("{rate}/s").parse().expect("a rate"),
                arrivals,
                key,
                customers: Count::new(customers),
                payload,
                acks: AcksChoice(acks),
                idempotent,
                profile,
                max_in_flight: in_flight.map(Count::new),
                linger,
                request_timeout: request,
                delivery_timeout: delivery,
                retries,
                transactions: None,
                starts: None,
            };
            Writer { producers, topic }
        },
    )
}

fn retries() -> impl Strategy<Value = Retry> {
    let by = prop_oneof![5 => Just(RetryBy::Consumer), 1 => Just(RetryBy::Bus)];
    (1..=4_u32, by, spans(1..=2_000), select(vec![Jitter::None, Jitter::Full])).prop_map(
        |(attempts, by, backoff, jitter)| Retry { attempts: Count::new(attempts), by, backoff, jitter },
    )
}

pub(super) fn readers(bounds: &Bounds) -> impl Strategy<Value = Reader> + use<> {
    let work = (spans(0..=20), percents(10), percents(20), retries());
    let whom = (1..=bounds.members.max(1), any::<Index>(), any::<bool>(), any::<bool>());
    let client = (
        select(vec![CommitPolicy::AfterProcessing, CommitPolicy::BeforeProcessing]),
        option::of(millis(6_000..=10_000)),
        option::of(millis(500..=2_000)),
        option::of(millis(0..=300_000)),
        option::of(1..=500_u32),
        option::weighted(0.2, millis(1..=30_000)),
        option::weighted(0.2, 1..=1_000_u32),
    );
    (work, whom, client).prop_map(|(work, (count, topic, all, dead_letters), client)| {
        let (takes, poison, fails, retry) = work;
        let (commit, session, heartbeat, poll, prefetch, ack_wait, buffer) = client;
        let consumers = Consumers {
            count: Count::new(count),
            group: String::new(),
            topic: Names::of(Vec::new()),
            handler: Handler { takes, poison, fails },
            retry,
            dlq: None,
            commit,
            auto_commit: None,
            profile: Profile::default(),
            assignor: None,
            protocol: GroupProtocol::default(),
            is_static: false,
            reset: Reset::default(),
            session_timeout: session,
            heartbeat,
            max_poll_interval: poll,
            prefetch: prefetch.map(Count::new),
            ack_wait,
            buffer: buffer.map(Count::new),
            isolation: None,
            forward: None,
        };
        Reader { consumers, topic, all, dead_letters }
    })
}
