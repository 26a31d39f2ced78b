//! The recorder: where the buses and sinks of a trial write down what they saw, for the checks.
//!
//! Every record that is sent gets a value of its own, which travels in a header; the recording bus takes the
//! header off again before the service sees the record. A delivery is `corrupt` when its key and payload are not
//! what was sent under that value. A record that goes to the dead-letter topic is linked to the one that it stands for.

use squall_bus::{
    Clock, ConsumerConfig, ConsumerEvent, Delivery, Election, Header, Outcome, Position, ProducerConfig,
    Record, Subscription, Time, Topic, Unit,
};
use squall_history::{
    guarantees::{CommitPolicy, Reading},
    history::{
        Acknowledged, Advice, Deliver, DeliverExtra, Drain, Handling, History, Invoke, Meta, Observation,
        OpId, Phase, ProcessId, Send, Settlement, UnitId,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The header that carries a record's value.
const VALUE_HEADER: &str = "squall-value";

/// What is known so far.
struct Pages {
    /// `None` once the run is over: what comes later concerns nobody.
    history: Option<History>,
    /// Checksums of what was sent, by value: the value is the index.
    sent: Vec<u32>,
    /// How many producers each process has opened.
    sessions: BTreeMap<String, u32>,
    /// The value of what was delivered at each place.
    values: BTreeMap<(Unit, Position), u64>,
    /// The last delivery of what stands at each place to each group, by its event; kept where records are settled.
    delivered: BTreeMap<(String, Unit, Position), u32>,
    /// What each process was handed last with this checksum; kept where there is a dead-letter topic.
    handed: BTreeMap<(String, u32), u64>,
    /// Per group the topics that its members read.
    groups: BTreeMap<String, BTreeSet<Topic>>,
    /// Sends without an outcome, with the process that waits for it.
    open: BTreeMap<OpId, String>,
    /// Delivered to a member of a group with a sink, and not handled by any.
    unhandled: BTreeSet<(String, u64)>,
    handled: BTreeSet<(String, u64)>,
    producers: u32,
    subscribers: u32,
    /// A group's members all read from every unit, and acknowledge each record.
    shares: bool,
    /// When something last happened to a record.
    last: Time,
}

/// The recorder of one trial.
pub(super) struct Recorder {
    pages: Mutex<Pages>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    pub(super) fn new(meta: Meta, shares: bool, clock: Arc<dyn Clock>) -> Arc<Self> {
        let pages = Pages {
            history: Some(History::new(meta)),
            sent: Vec::new(),
            sessions: BTreeMap::new(),
            values: BTreeMap::new(),
            delivered: BTreeMap::new(),
            handed: BTreeMap::new(),
            groups: BTreeMap::new(),
            open: BTreeMap::new(),
            unhandled: BTreeSet::new(),
            handled: BTreeSet::new(),
            producers: 0,
            subscribers: 0,
            shares,
            last: Time::ZERO,
        };
        Arc::new(Self { pages: Mutex::new(pages), clock })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down, with the time, while the run lasts.
    fn write<T>(&self, write: impl FnOnce(&mut Pages, &mut History, Time) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut pages = self.pages();
        let mut history = pages.history.take()?;
        let written = write(&mut pages, &mut history, now);
        pages.history = Some(history);
        Some(written)
    }

    fn observe(&self, process: ProcessId, observation: Observation) {
        self.write(|_, history, now| history.observe(now, process, observation));
    }

    /// Takes the history out; what is written later is dropped.
    pub(super) fn close(&self) -> History {
        self.pages().history.take().unwrap_or_default()
    }

    /// A process opens a producer: the number of its session. The weakest producer decides what is promised.
    pub(super) fn producer(&self, process: &str, config: &ProducerConfig) -> u32 {
        self.write(|pages, history, _| {
            let promised = &mut history.meta.configuration;
            let first = pages.producers == 0;
            pages.producers += 1;
            let most = |one: Option<u32>, other: Option<u32>| Some(one?.max(other?));
            *promised = squall_history::Configuration {
                acks: if first { config.acks } else { promised.acks.min(config.acks) },
                idempotent: config.idempotent && (first || promised.idempotent),
                max_in_flight: if first {
                    config.max_in_flight
                } else {
                    most(promised.max_in_flight, config.max_in_flight)
                },
                retries: if first { config.retries } else { most(promised.retries, config.retries) },
                ..promised.clone()
            };
            let sessions = pages.sessions.entry(process.to_owned()).or_default();
            *sessions += 1;
            *sessions - 1
        })
        .unwrap_or_default()
    }

    /// A process opens a consumer.
    pub(super) fn consumer(&self, config: &ConsumerConfig) {
        self.write(|pages, history, _| {
            let promised = &mut history.meta.configuration;
            if config.auto_commit.is_some() {
                promised.commit = CommitPolicy::Auto;
            }
            match &config.subscription {
                Subscription::Group { group, topics } => {
                    pages.subscribers += 1;
                    pages.groups.entry(group.clone()).or_default().extend(topics.iter().cloned());
                }
                Subscription::Assign(_) => {}
            }
            promised.reading = match pages.subscribers {
                0 => Reading::Assign,
                _ if pages.shares => Reading::Share,
                _ => Reading::Subscribe,
            };
        });
    }

    /// A service of this group tells what it handles.
    pub(super) fn sink(&self, group: &str) {
        self.write(|_, history, _| {
            let groups = &mut history.meta.configuration.groups;
            if !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        });
    }

    /// A record is handed to a producer: the operation, and the record with its value in it.
    pub(super) fn send(&self, process: &str, session: u32, record: Record) -> (Option<OpId>, Record) {
        let checksum = checksum(&record);
        let sent = self.write(|pages, history, now| {
            let value = pages.sent.len() as u64;
            pages.sent.push(checksum);
            let topic = history.topic(record.topic.as_str());
            let key = record.key.as_ref().map(|key| history.key(key));
            let dead = history.meta.configuration.dlq.as_deref() == Some(record.topic.as_str());
            // A dead letter is what it stands for: the same key and payload.
            let cause = dead.then(|| pages.handed.get(&(process.to_owned(), checksum)).copied()).flatten();
            let send = Send { session, partition: record.partition, cause, ..Send::new(topic, key, value) };
            let id = history.process(process);
            let op = history.invoke(now, id, Invoke::Send(send));
            pages.open.insert(op, process.to_owned());
            pages.last = now;
            (op, value)
        });
        match sent {
            Some((op, value)) => (Some(op), record.header(VALUE_HEADER, value.to_string())),
            None => (None, record),
        }
    }

    /// A send ended.
    pub(super) fn sent(&self, op: OpId, outcome: &Outcome<squall_bus::Ack>) {
        self.write(|pages, history, now| {
            pages.open.remove(&op);
            pages.last = now;
            history.complete_send(now, op, outcome);
        });
    }

    /// A record reached a reader: the delivery without its value. Without a group for readers without one.
    pub(super) fn delivered(&self, process: &str, group: Option<&str>, mut delivery: Delivery) -> Delivery {
        let value = take_value(&mut delivery.record);
        self.write(|pages, history, now| {
            pages.last = now;
            let sent = value.and_then(|value| pages.sent.get(usize::try_from(value).ok()?));
            let corrupt = sent.is_none_or(|sent| *sent != checksum(&delivery.record));
            if let (Some(value), Some(group)) = (value, group) {
                pages.values.insert((delivery.unit.clone(), delivery.position), value);
                let pair = (group.to_owned(), value);
                if !pages.handled.contains(&pair) {
                    pages.unhandled.insert(pair);
                }
                if history.meta.configuration.dlq.is_some() {
                    pages.handed.insert((process.to_owned(), checksum(&delivery.record)), value);
                }
            }
            let deliver = Deliver {
                group: group.map(|group| history.group(group)),
                unit: history.unit(&delivery.unit),
                position: delivery.position.0,
                value,
                corrupt,
                attempt: delivery.attempt,
                poll: None,
                extra: DeliverExtra::NONE,
            };
            let process = history.process(process);
            let event = history.observe(now, process, Observation::Deliver(deliver));
            if let (true, Some(group)) = (pages.shares, group) {
                let place = (group.to_owned(), delivery.unit.clone(), delivery.position);
                pages.delivered.insert(place, event);
            }
        });
        delivery
    }

    /// A service is done with a delivery.
    pub(super) fn handled(&self, process: &str, group: &str, delivery: &Delivery, how: Handling) {
        self.write(|pages, history, now| {
            pages.last = now;
            let place = (delivery.unit.clone(), delivery.position);
            // Without a value it was none of ours, which the delivery has told already.
            let Some(value) = pages.values.get(&place).copied() else { return };
            if !matches!(how, Handling::Retry(_)) {
                let pair = (group.to_owned(), value);
                pages.unhandled.remove(&pair);
                pages.handled.insert(pair);
            }
            let process = history.process(process);
            let group = Some(history.group(group));
            history.observe(now, process, Observation::Handled { group, value, how });
        });
    }

    /// A group wants to go on at these places.
    pub(super) fn commit(&self, process: &str, group: &str, positions: &[(Unit, Position)]) -> Option<OpId> {
        self.write(|_, history, now| {
            let process = history.process(process);
            let group = history.group(group);
            let positions = positions.iter().map(|(unit, at)| (history.unit(unit), at.0)).collect();
            history.invoke(now, process, Invoke::Commit { group, positions, txn: None })
        })
    }

    /// A commit or a settlement ended.
    pub(super) fn ended(&self, op: OpId, outcome: &Outcome<()>) {
        self.write(|_, history, now| history.complete_call(now, op, outcome));
    }

    /// A consumer tells the bus what became of a delivery, on a bus that settles each.
    pub(super) fn settle(
        &self,
        process: &str,
        group: &str,
        delivery: &Delivery,
        how: Settlement,
    ) -> Option<OpId> {
        let place = (group.to_owned(), delivery.unit.clone(), delivery.position);
        self.write(|pages, history, now| {
            let delivery = pages.delivered.get(&place).copied()?;
            let process = history.process(process);
            Some(history.invoke(now, process, Invoke::Settle { delivery, how }))
        })?
    }

    /// A consumer learned something.
    pub(super) fn event(&self, process: &str, group: Option<&str>, event: &ConsumerEvent) {
        self.write(|_, history, now| {
            let group = group.map(|group| history.group(group));
            let units = |history: &mut History, units: &[Unit]| -> Vec<UnitId> {
                units.iter().map(|unit| history.unit(unit)).collect()
            };
            let observation = match event {
                ConsumerEvent::Assigned(units) => {
                    let units =
                        units.iter().map(|(unit, at)| (history.unit(unit), at.map(|at| at.0))).collect();
                    Observation::Assigned { group, units, generation: None }
                }
                ConsumerEvent::Revoked(gone) => Observation::Revoked(units(history, gone)),
                ConsumerEvent::Lost(gone) => Observation::Lost(units(history, gone)),
                ConsumerEvent::Reset { unit, from, to } => {
                    let (from, to) = (from.map(|from| from.0), to.0);
                    Observation::Reset { unit: history.unit(unit), from, to, error: None }
                }
                ConsumerEvent::Exhausted(delivery) => Observation::Advisory {
                    group,
                    unit: history.unit(&delivery.unit),
                    position: delivery.position.0,
                    what: Advice::MaxDeliveries,
                },
                ConsumerEvent::Error(error) => {
                    Observation::ClientError { error: error.code.to_string(), message: error.message.clone() }
                }
            };
            let process = history.process(process);
            history.observe(now, process, observation);
        });
    }

    /// Units got other leaders.
    pub(super) fn elected(&self, elections: Vec<Election>) {
        self.write(|_, history, _| {
            for election in elections {
                let unit = history.unit(&election.unit);
                let (leader, unclean) = (election.leader, election.unclean);
                let elected = Observation::Elected { unit, leader, unclean, epoch: None };
                history.observe(election.time, ProcessId::HARNESS, elected);
            }
        });
    }

    /// The run enters a phase.
    pub(super) fn phase(&self, phase: Phase) {
        self.observe(ProcessId::HARNESS, Observation::Phase(phase));
    }

    /// The harness did something.
    pub(super) fn harness(&self, observation: Observation) {
        self.observe(ProcessId::HARNESS, observation);
    }

    /// A process has ended, by a fault: it waits for nothing any more.
    pub(super) fn ended_process(&self, process: &str) {
        self.pages().open.retain(|_, waits| waits != process);
    }

    /// How far the drain came in a unit.
    pub(super) fn drained(&self, unit: &Unit, from: Position, to: Position, complete: bool) {
        self.write(|_, history, now| {
            let unit = history.unit(unit);
            let drain = Drain { unit, from: from.0, to: to.0, complete, node: None };
            history.observe(now, ProcessId::DRAIN, Observation::Drain(drain));
        });
    }

    /// How far each unit is acknowledged.
    pub(super) fn acknowledged(&self) -> BTreeMap<Unit, Acknowledged> {
        self.pages().history.as_ref().map(History::acknowledged).unwrap_or_default()
    }

    /// The groups with the topics that they read.
    pub(super) fn groups(&self) -> BTreeMap<String, BTreeSet<Topic>> {
        self.pages().groups.clone()
    }

    /// Whether a send waits for its outcome, or a delivered record for a handler of a group that tells what it
    /// handles.
    pub(super) fn is_waiting(&self) -> bool {
        let pages = self.pages();
        let Some(history) = &pages.history else { return false };
        let tells = |group: &String| history.meta.configuration.groups.contains(group);
        !pages.open.is_empty() || pages.unhandled.iter().any(|(group, _)| tells(group))
    }

    /// When a record was last sent, delivered or handled.
    pub(super) fn last(&self) -> Time {
        self.pages().last
    }
}

fn checksum(record: &Record) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let key = record.key.as_deref().unwrap_or_default();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(&record.value);
    hasher.finalize()
}

/// Takes the value's header off a record.
fn take_value(record: &mut Record) -> Option<u64> {
    let is_value = |header: &Header| &*header.name == VALUE_HEADER;
    let place = record.headers.iter().rposition(is_value)?;
    let header = record.headers.remove(place);
    std::str::from_utf8(&header.value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
