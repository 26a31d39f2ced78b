//! The recorder: where the buses and sinks of a trial write down what they saw, for the checks.
//!
//! Every record that is sent gets a value of its own, which travels in a header; the recording bus takes the
//! header off again before the service sees the record. A delivery is `corrupt` when its key and payload are not
//! what was sent under that value. A record that goes to the dead-letter topic is linked to the one that it stands for.

mod units;
mod values;

use super::named::Name;
use bytes::Bytes;
use squall_bus::{
    Clock, ConsumerConfig, ConsumerEvent, Delivery, Election, Header, Outcome, Position, ProducerConfig,
    Record, Subscription, Time, Topic, Unit,
};
use squall_history::{
    guarantees::{CommitPolicy, Reading},
    history::{
        Acknowledged, Advice, Deliver, DeliverExtra, Drain, GroupId, Handling, History, Invoke, Meta,
        Observation, OpId, Phase, ProcessId, Send, Settlement, UnitId,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use units::Units;

/// The header that carries a record's value.
const VALUE_HEADER: &str = "squall-value";

/// What was sent under a value.
struct Sent {
    key: Option<Bytes>,
    payload: Bytes,
}

impl Sent {
    fn of(record: &Record) -> Self {
        Self { key: record.key.clone(), payload: record.value.clone() }
    }

    fn is(&self, record: &Record) -> bool {
        (&self.key, &self.payload) == (&record.key, &record.value)
    }
}

/// What one group did with a record, as far as its handlers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Handed {
    /// No member was handed it.
    #[default]
    Never,
    /// A member was handed it and no handler is done with it.
    Waits,
    /// A handler is done with it.
    Done,
}

/// The records of one group, by value.
#[derive(Default)]
struct GroupRecords {
    handed: Vec<Handed>,
    /// How many of them wait.
    waiting: u32,
}

impl GroupRecords {
    fn at(&mut self, value: u64) -> &mut Handed {
        // Values are indexes of what was sent in this run.
        let index = value as usize;
        if index >= self.handed.len() {
            self.handed.resize(index + 1, Handed::Never);
        }
        &mut self.handed[index]
    }

    fn delivered(&mut self, value: u64) {
        let handed = self.at(value);
        if *handed == Handed::Never {
            *handed = Handed::Waits;
            self.waiting += 1;
        }
    }

    fn done(&mut self, value: u64) {
        if std::mem::replace(self.at(value), Handed::Done) == Handed::Waits {
            self.waiting -= 1;
        }
    }
}

/// What is known so far beyond the history. Names are the history's numbers: every record passes here several times.
#[derive(Default)]
struct Known {
    /// What was sent, by value: the value is the index.
    sent: Vec<Sent>,
    units: Units,
    /// How many producers each process has opened.
    sessions: BTreeMap<String, u32>,
    /// The value of what was delivered at each place.
    values: BTreeMap<(UnitId, Position), u64>,
    /// The last delivery of what stands at each place to each group, by its event; kept where records are settled.
    delivered: BTreeMap<(GroupId, UnitId, Position), u32>,
    /// What each process was handed last with this checksum; kept where there is a dead-letter topic.
    handed: BTreeMap<(ProcessId, u32), u64>,
    /// Per group the topics that its members read.
    groups: BTreeMap<String, BTreeSet<Topic>>,
    /// Sends without an outcome, with the process that waits for it.
    open: BTreeMap<OpId, ProcessId>,
    /// What each group did with the records, by the group's number.
    records: Vec<GroupRecords>,
    producers: u32,
    subscribers: u32,
    /// A group's members all read from every unit, and acknowledge each record.
    shares: bool,
    /// When something last happened to a record.
    last: Time,
}

impl Known {
    fn records_of(&mut self, group: GroupId) -> &mut GroupRecords {
        if group.index() >= self.records.len() {
            self.records.resize_with(group.index() + 1, GroupRecords::default);
        }
        &mut self.records[group.index()]
    }
}

/// What is written down.
struct Pages {
    /// `None` once the run is over: what comes later concerns nobody.
    history: Option<History>,
    known: Known,
}

/// The recorder of one trial.
pub(super) struct Recorder {
    pages: Mutex<Pages>,
    clock: Arc<dyn Clock>,
    /// The name of the header that carries a record's value.
    header: Arc<str>,
}

impl Recorder {
    pub(super) fn new(meta: Meta, shares: bool, clock: Arc<dyn Clock>) -> Arc<Self> {
        let pages = Pages { history: Some(History::new(meta)), known: Known { shares, ..Known::default() } };
        Arc::new(Self { pages: Mutex::new(pages), clock, header: Arc::from(VALUE_HEADER) })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down, with the time, while the run lasts.
    fn write<T>(&self, write: impl FnOnce(&mut Known, &mut History, Time) -> T) -> Option<T> {
        let now = self.clock.now();
        let Pages { history, known } = &mut *self.pages();
        Some(write(known, history.as_mut()?, now))
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
        self.write(|known, history, _| {
            let promised = &mut history.meta.configuration;
            let first = known.producers == 0;
            known.producers += 1;
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
            let sessions = known.sessions.entry(process.to_owned()).or_default();
            *sessions += 1;
            *sessions - 1
        })
        .unwrap_or_default()
    }

    /// A process opens a consumer.
    pub(super) fn consumer(&self, config: &ConsumerConfig) {
        self.write(|known, history, _| {
            let promised = &mut history.meta.configuration;
            if config.auto_commit.is_some() {
                promised.commit = CommitPolicy::Auto;
            }
            match &config.subscription {
                Subscription::Group { group, topics } => {
                    known.subscribers += 1;
                    known.groups.entry(group.clone()).or_default().extend(topics.iter().cloned());
                }
                Subscription::Assign(_) => {}
            }
            promised.reading = match known.subscribers {
                0 => Reading::Assign,
                _ if known.shares => Reading::Share,
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
    pub(super) fn send(
        &self,
        process: &(impl Name<ProcessId> + ?Sized),
        session: u32,
        record: Record,
    ) -> (Option<OpId>, Record) {
        let sent = self.write(|known, history, now| {
            let value = known.sent.len() as u64;
            known.sent.push(Sent::of(&record));
            let topic = history.topic(record.topic.as_str());
            let key = record.key.as_ref().map(|key| history.key(key));
            let dead = history.meta.configuration.dlq.as_deref() == Some(record.topic.as_str());
            // A dead letter is what it stands for: the same key and payload.
            let process = process.id(|name| history.process(name));
            let cause = dead.then(|| known.handed.get(&(process, checksum(&record))).copied()).flatten();
            let send = Send { session, partition: record.partition, cause, ..Send::new(topic, key, value) };
            let op = history.invoke(now, process, Invoke::Send(send));
            known.open.insert(op, process);
            known.last = now;
            (op, value)
        });
        match sent {
            Some((op, value)) => (Some(op), self.with_value(record, value)),
            None => (None, record),
        }
    }

    fn with_value(&self, mut record: Record, value: u64) -> Record {
        let value = values::text(value);
        record.headers.reserve_exact(1);
        record.headers.push(Header { name: Arc::clone(&self.header), value });
        record
    }

    /// A send ended.
    pub(super) fn sent(&self, op: OpId, outcome: &Outcome<squall_bus::Ack>) {
        self.write(|known, history, now| {
            known.open.remove(&op);
            known.last = now;
            history.complete_send(now, op, outcome);
        });
    }

    /// A record reached a reader: the delivery without its value. Without a group for readers without one.
    pub(super) fn delivered(
        &self,
        process: &(impl Name<ProcessId> + ?Sized),
        group: Option<&(impl Name<GroupId> + ?Sized)>,
        mut delivery: Delivery,
    ) -> Delivery {
        let value = take_value(&mut delivery.record);
        self.write(|known, history, now| {
            known.last = now;
            let sent = value.and_then(|value| known.sent.get(usize::try_from(value).ok()?));
            let (is_sent, corrupt) = (sent.is_some(), sent.is_none_or(|sent| !sent.is(&delivery.record)));
            let process = process.id(|name| history.process(name));
            let group = group.map(|group| group.id(|name| history.group(name)));
            let unit = known.units.id(history, &delivery.unit);
            if let (Some(value), Some(group), true) = (value, group, is_sent) {
                known.values.insert((unit, delivery.position), value);
                known.records_of(group).delivered(value);
                if history.meta.configuration.dlq.is_some() {
                    known.handed.insert((process, checksum(&delivery.record)), value);
                }
            }
            let position = delivery.position.0;
            let (attempt, poll, extra) = (delivery.attempt, None, DeliverExtra::NONE);
            let deliver = Deliver { group, unit, position, value, corrupt, attempt, poll, extra };
            let event = history.observe(now, process, Observation::Deliver(deliver));
            if let (true, Some(group)) = (known.shares, group) {
                known.delivered.insert((group, unit, delivery.position), event);
            }
        });
        delivery
    }

    /// A service is done with a delivery.
    pub(super) fn handled(
        &self,
        process: &str,
        group: &(impl Name<GroupId> + ?Sized),
        delivery: &Delivery,
        how: Handling,
    ) {
        self.write(|known, history, now| {
            known.last = now;
            let place = (known.units.id(history, &delivery.unit), delivery.position);
            // Without a value it was none of ours, which the delivery has told already.
            let Some(value) = known.values.get(&place).copied() else { return };
            let process = history.process(process);
            let group = group.id(|name| history.group(name));
            if !matches!(how, Handling::Retry(_)) {
                known.records_of(group).done(value);
            }
            history.observe(now, process, Observation::Handled { group: Some(group), value, how });
        });
    }

    /// A group wants to go on at these places.
    pub(super) fn commit(
        &self,
        process: &(impl Name<ProcessId> + ?Sized),
        group: &(impl Name<GroupId> + ?Sized),
        positions: &[(Unit, Position)],
    ) -> Option<OpId> {
        self.write(|known, history, now| {
            let process = process.id(|name| history.process(name));
            let group = group.id(|name| history.group(name));
            let positions =
                positions.iter().map(|(unit, at)| (known.units.id(history, unit), at.0)).collect();
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
        process: &(impl Name<ProcessId> + ?Sized),
        group: &(impl Name<GroupId> + ?Sized),
        delivery: &Delivery,
        how: Settlement,
    ) -> Option<OpId> {
        self.write(|known, history, now| {
            let group = group.id(|name| history.group(name));
            let place = (group, known.units.id(history, &delivery.unit), delivery.position);
            let delivery = known.delivered.get(&place).copied()?;
            let process = process.id(|name| history.process(name));
            Some(history.invoke(now, process, Invoke::Settle { delivery, how }))
        })?
    }

    /// A consumer learned something.
    pub(super) fn event(
        &self,
        process: &(impl Name<ProcessId> + ?Sized),
        group: Option<&(impl Name<GroupId> + ?Sized)>,
        event: &ConsumerEvent,
    ) {
        self.write(|_, history, now| {
            let group = group.map(|group| group.id(|name| history.group(name)));
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
            let process = process.id(|name| history.process(name));
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
        self.write(|known, history, _| {
            known.open.retain(|_, waits| history.process_name(*waits) != process);
        });
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
        self.pages().known.groups.clone()
    }

    /// Whether a send waits for its outcome, or a delivered record for a handler of a group that tells what it
    /// handles.
    pub(super) fn is_waiting(&self) -> bool {
        let pages = self.pages();
        let Some(history) = &pages.history else { return false };
        let waits = |group: &String| {
            let group = history.find_group(group).map(GroupId::index);
            group.and_then(|group| pages.known.records.get(group)).is_some_and(|records| records.waiting > 0)
        };
        !pages.known.open.is_empty() || history.meta.configuration.groups.iter().any(waits)
    }

    /// When a record was last sent, delivered or handled.
    pub(super) fn last(&self) -> Time {
        self.pages().known.last
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
