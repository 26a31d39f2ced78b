//! The notebook: where every client of a run writes down what it saw.
//!
//! One history for the checks and one recorder for the measurements, behind one lock, so that events stand in the
//! order in which they happened. Times are the cluster's.

use crate::plan::{Plan, PlannedRecord, ProducerPlan, payload};
use squall_bus::{Ack, Capabilities, Clock, ConsumerEvent, Delivery, Error, Outcome, Position, Time, Unit};
use squall_history::{
    events::{Progress, Stage},
    guarantees::{Configuration, Reading},
    history::{
        Advice, Completion, Deliver, DeliverExtra, Ends, History, Invoke, Meta, Observation, OpId, ProcessId,
        Send, Settlement,
    },
};
use squall_loadgen::{Distribution, Due, Recorder};
use squall_sim::kernel::{Mark, Marks};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The header that names a record which is no record of the plan: a dead letter.
pub(super) const VALUE_HEADER: &str = "squall-value";
/// Value ids of dead letters begin here; those of the plan are far below.
const DEAD_LETTERS: u64 = 1 << 62;
/// Value ids of results that a group computes begin here.
const RESULTS: u64 = 1 << 61;
/// Value ids of the records that close the units begin here.
const CLOSING: u64 = 1 << 60;
/// The width of a slice of the series.
const SLICE: Duration = Duration::from_millis(250);

/// What is known of a record that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    intended: Time,
    poison: bool,
    received: bool,
}

/// A send under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendOp {
    op: OpId,
    /// When it was intended and when it began; only for records of the schedule.
    measured: Option<(Time, Time)>,
}

/// A dead letter under way.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// A send of its own.
    Nameless(OpId),
    /// The one send of all letters of this name.
    Named(String),
}

/// What a record that was delivered turned out to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// The delivery, by the index of its event.
    pub(super) event: u32,
    pub(super) value: Option<u64>,
    pub(super) poison: bool,
    pub(super) at: Time,
}

/// What was seen so far.
pub(super) struct Pages {
    pub(super) history: History,
    pub(super) recorder: Recorder,
    sent: BTreeMap<u64, Sent>,
    next_record: BTreeMap<String, u64>,
    dead_letters: u64,
    results: u64,
    closings: u64,
    /// Members that have been assigned units, and have not lost them since.
    pub(super) assigned: BTreeSet<String>,
    /// Members that are handling a record.
    pub(super) handling: BTreeSet<String>,
    /// Records whose last try failed, of which the bus has to say that it gave them up: groups and values.
    pub(super) owed: BTreeSet<(String, u64)>,
    /// Dead letters that have a name: their values, and their sends as long as these are under way.
    letters: BTreeMap<String, (u64, Option<OpId>)>,
    since_progress: Distribution<u32>,
    /// Members that wait between two tries of a record.
    pub(super) between_tries: BTreeSet<String>,
    /// Faults in force, by their numbers.
    pub(super) in_force: BTreeSet<u32>,
    /// The workload has begun.
    pub(super) working: bool,
    pub(super) marks: Marks,
}

/// The notebook of one run. Cheap to clone.
#[derive(Clone)]
pub(super) struct Notebook {
    pages: Arc<Mutex<Pages>>,
    clock: Arc<dyn Clock>,
}

impl Notebook {
    /// An empty notebook of a run on a bus of these capabilities.
    pub(super) fn new(plan: &Plan, target: &str, capabilities: &Capabilities, clock: Arc<dyn Clock>) -> Self {
        let reading = if capabilities.assignment { Reading::Subscribe } else { Reading::Share };
        let meta = Meta {
            scenario: plan.scenario().name.clone(),
            target: target.to_owned(),
            seed: plan.seed(),
            configuration: Configuration { reading, ..plan.configuration() },
            expect: plan.expect(),
        };
        let pages = Pages {
            history: History::new(meta),
            recorder: Recorder::new(Time::ZERO, SLICE),
            sent: BTreeMap::new(),
            next_record: BTreeMap::new(),
            dead_letters: 0,
            results: 0,
            closings: 0,
            assigned: BTreeSet::new(),
            handling: BTreeSet::new(),
            owed: BTreeSet::new(),
            letters: BTreeMap::new(),
            since_progress: Distribution::new(2),
            between_tries: BTreeSet::new(),
            in_force: BTreeSet::new(),
            working: false,
            marks: Marks::default(),
        };
        Self { pages: Arc::new(Mutex::new(pages)), clock }
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Takes history and measurements out; what is written later is lost.
    pub(super) fn close(&self) -> (History, Recorder, Marks) {
        let mut pages = self.pages();
        let meta = pages.history.meta.clone();
        let history = std::mem::replace(&mut pages.history, History::new(meta));
        let recorder = std::mem::replace(&mut pages.recorder, Recorder::new(Time::ZERO, SLICE));
        (history, recorder, pages.marks)
    }

    /// The workload begins: what is measured counts from here.
    pub(super) fn begin(&self, began: Time) {
        let mut pages = self.pages();
        pages.recorder = Recorder::new(began, SLICE);
        pages.working = true;
    }

    /// The harness saw something.
    pub(super) fn observe(&self, observation: Observation) -> Time {
        let now = self.now();
        self.pages().history.observe(now, ProcessId::HARNESS, observation);
        now
    }

    /// An administrator changed something; `deleted` is what it took away, as the history has it.
    pub(super) fn changed(&self, what: String, deleted: &[(Unit, Option<Position>)]) {
        let mut pages = self.pages();
        let deleted =
            deleted.iter().map(|(unit, at)| (pages.history.unit(unit), at.map(|at| at.0))).collect();
        let now = self.now();
        pages.history.observe(now, ProcessId::HARNESS, Observation::Changed { what, deleted });
    }

    /// How many of a producer's planned records have been handed over, over all its incarnations.
    pub(super) fn next_record(&self, producer: &str) -> u64 {
        self.pages().next_record.get(producer).copied().unwrap_or(0)
    }

    /// A planned record is handed to its producer now.
    pub(super) fn send(
        &self,
        producer: &ProducerPlan,
        session: u32,
        due: &Due,
        record: &PlannedRecord,
        txn: Option<OpId>,
    ) -> SendOp {
        let now = self.now();
        let (name, intended, poison) = (producer.name(), due.intended, record.poison);
        let mut pages = self.pages();
        *pages.next_record.entry(name.to_owned()).or_default() += 1;
        pages.sent.insert(record.value, Sent { intended, poison, received: false });
        pages.recorder.sent(intended, now);
        let plain = pages.send_to(producer.topic.as_str(), record.key.as_deref(), record.value);
        let send = Send { session, intended: Some(intended), poison, txn, ..plain };
        let process = pages.history.process(name);
        let op = pages.history.invoke(now, process, Invoke::Send(send));
        SendOp { op, measured: Some((intended, now)) }
    }

    /// A dead letter for the record `cause` is handed to a consumer's producer now: its value id. A letter with a name
    /// (`id`) is one send, whoever sends it and however often.
    pub(super) fn dead_letter(
        &self,
        id: Option<&str>,
        consumer: &str,
        session: u32,
        topic: &str,
        key: Option<&[u8]>,
        cause: u64,
    ) -> (u64, Letter) {
        let now = self.now();
        let mut pages = self.pages();
        pages.marks.add(Mark::DeadLettered);
        if let Some((id, (value, _))) = id.and_then(|id| pages.letters.get_key_value(id)) {
            return (*value, Letter::Named(id.clone()));
        }
        let value = DEAD_LETTERS + pages.dead_letters;
        pages.dead_letters += 1;
        let send = Send { session, cause: Some(cause), ..pages.send_to(topic, key, value) };
        let process = pages.history.process(consumer);
        let op = pages.history.invoke(now, process, Invoke::Send(send));
        let Some(id) = id else { return (value, Letter::Nameless(op)) };
        pages.letters.insert(id.to_owned(), (value, Some(op)));
        (value, Letter::Named(id.to_owned()))
    }

    /// An attempt at a dead letter ended. Of one with a name any other outcome than ok says nothing: it is sent again,
    /// perhaps by somebody else.
    pub(super) fn letter_sent(&self, letter: Letter, outcome: &Outcome<Ack>) {
        let now = self.now();
        let mut pages = self.pages();
        let op = match letter {
            Letter::Nameless(op) => Some(op),
            Letter::Named(_) if !outcome.is_ok() => None,
            Letter::Named(id) => pages.letters.get_mut(&id).and_then(|(_, op)| op.take()),
        };
        if let Some(op) = op {
            pages.history.complete_send(now, op, outcome);
        }
    }

    /// A client's process ends by a fault.
    pub(super) fn crashed(&self, client: &str) {
        let mut pages = self.pages();
        if pages.handling.contains(client) {
            pages.marks.add(Mark::CrashedInHand);
        }
        if pages.between_tries.remove(client) {
            pages.marks.add(Mark::CrashedInRetry);
        }
    }

    /// A fault came into force.
    pub(super) fn struck(&self, id: u32) {
        let mut pages = self.pages();
        if !pages.in_force.is_empty() {
            pages.marks.add(Mark::FaultsOverlapped);
        }
        pages.in_force.insert(id);
    }

    /// A group's result for the record `cause` is handed to its producer now: its value id.
    pub(super) fn result(
        &self,
        consumer: &str,
        session: u32,
        topic: &str,
        cause: u64,
        txn: OpId,
    ) -> (u64, SendOp) {
        let now = self.now();
        let mut pages = self.pages();
        let value = RESULTS + pages.results;
        pages.results += 1;
        let plain = pages.send_to(topic, None, value);
        let send = Send { session, cause: Some(cause), txn: Some(txn), ..plain };
        let process = pages.history.process(consumer);
        let op = pages.history.invoke(now, process, Invoke::Send(send));
        (value, SendOp { op, measured: None })
    }

    /// A record that closes a unit is handed to the harness' producer now: its value id.
    pub(super) fn closing(&self, unit: &Unit) -> (u64, SendOp) {
        let now = self.now();
        let mut pages = self.pages();
        let value = CLOSING + pages.closings;
        pages.closings += 1;
        let plain = pages.send_to(unit.topic.as_str(), None, value);
        let send = Send { partition: Some(unit.partition), ..plain };
        let op = pages.history.invoke(now, ProcessId::HARNESS, Invoke::Send(send));
        (value, SendOp { op, measured: None })
    }

    /// A producer makes a transactional id its own.
    pub(super) fn init(&self, producer: &str, id: &str) -> OpId {
        let now = self.now();
        let mut pages = self.pages();
        let (process, id) = (pages.history.process(producer), pages.history.transactional_id(id));
        pages.history.invoke(now, process, Invoke::Init { id })
    }

    /// A producer begins a transaction.
    pub(super) fn transaction(&self, producer: &str, id: &str) -> OpId {
        let now = self.now();
        let mut pages = self.pages();
        let (process, id) = (pages.history.process(producer), pages.history.transactional_id(id));
        pages.history.invoke(now, process, Invoke::Txn { id: Some(id), epoch: None })
    }

    /// A group's positions are handed to a transaction.
    pub(super) fn positions(&self, consumer: &str, group: &str, at: &[(Unit, Position)], txn: OpId) -> OpId {
        let now = self.now();
        let mut pages = self.pages();
        let (process, group) = (pages.history.process(consumer), pages.history.group(group));
        let positions = at.iter().map(|(unit, at)| (pages.history.unit(unit), at.0)).collect();
        pages.history.invoke(now, process, Invoke::Commit { group, positions, txn: Some(txn) })
    }

    /// A consumer asks for a record within a transaction, and gets it.
    pub(super) fn polled(&self, consumer: &str, group: &str, txn: OpId, delivery: &Delivery) -> Read {
        let poll = {
            let now = self.now();
            let mut pages = self.pages();
            let (process, group) = (pages.history.process(consumer), Some(pages.history.group(group)));
            pages.history.invoke(now, process, Invoke::Poll { group, txn: Some(txn) })
        };
        let read = self.delivered_to(consumer, Some(group), Some(poll), delivery);
        self.settled(poll, &Outcome::Ok(()));
        read
    }

    /// A send ended.
    pub(super) fn sent(&self, send: SendOp, outcome: &Outcome<Ack>) {
        let now = self.now();
        let mut pages = self.pages();
        pages.history.complete_send(now, send.op, outcome);
        let Some((intended, began)) = send.measured else { return };
        pages.recorder.ended(intended, began, now, outcome);
        if matches!(outcome, Outcome::Unknown(..)) {
            pages.marks.add(Mark::OutcomeUnknown);
        }
        if let Outcome::Ok(ack) = outcome {
            pages.since_progress.record(intended, now);
            if ack.duplicate {
                pages.recorder.acked_again();
            }
        }
    }

    /// A record reached a consumer of a group, or the final drain (without a group).
    pub(super) fn delivered(&self, reader: &str, group: Option<&str>, delivery: &Delivery) -> Read {
        self.delivered_to(reader, group, None, delivery)
    }

    fn delivered_to(
        &self,
        reader: &str,
        group: Option<&str>,
        poll: Option<OpId>,
        delivery: &Delivery,
    ) -> Read {
        let now = self.now();
        let (value, corrupt) = read_value(delivery);
        let mut pages = self.pages();
        let process = pages.history.process(reader);
        let group_id = group.map(|group| pages.history.group(group));
        let unit = pages.history.unit(&delivery.unit);
        let deliver = Deliver {
            group: group_id,
            unit,
            position: delivery.position.0,
            value,
            corrupt,
            attempt: delivery.attempt,
            poll,
            extra: DeliverExtra::NONE,
        };
        let event = pages.history.observe(now, process, Observation::Deliver(deliver));
        let sent = value.and_then(|value| pages.sent.get_mut(&value)).map(|sent| {
            let first = !sent.received;
            sent.received |= group.is_some();
            (sent.intended, sent.poison, first)
        });
        if let (Some((intended, _, first)), true) = (sent, group.is_some()) {
            pages.recorder.received(intended, now, first);
        }
        Read { event, value, poison: sent.is_some_and(|(_, poison, _)| poison), at: now }
    }

    /// A consumer tells the bus what became of a delivery.
    pub(super) fn settle(&self, consumer: &str, delivery: u32, how: Settlement) -> OpId {
        let now = self.now();
        let mut pages = self.pages();
        let process = pages.history.process(consumer);
        pages.history.invoke(now, process, Invoke::Settle { delivery, how })
    }

    /// A call other than a send ended; the bus may or may not know of it.
    pub(super) fn settled(&self, op: OpId, outcome: &Outcome<()>) {
        let now = self.now();
        self.pages().history.complete_call(now, op, outcome);
    }

    /// The harness asks for the ends of a unit.
    pub(super) fn asked_for_ends(&self, unit: &Unit) -> OpId {
        let now = self.now();
        let mut pages = self.pages();
        let unit = pages.history.unit(unit);
        pages.history.invoke(now, ProcessId::HARNESS, Invoke::End { unit, node: None })
    }

    /// And is told, or not.
    pub(super) fn told_ends(
        &self,
        op: OpId,
        bounds: Result<(Position, Position), Error>,
        stable: Option<Position>,
    ) {
        let now = self.now();
        let completion = match bounds {
            Ok((start, end)) => {
                let stable = stable.map(|stable| stable.0);
                Completion::Ends(Ends { high: end.0, stable, start: Some(start.0) })
            }
            Err(error) => Completion::Fail { error: error.code.into_owned() },
        };
        self.pages().history.complete(now, op, completion);
    }

    /// A record that the bus gave up reached a consumer: its value, if it can be read.
    pub(super) fn given_up(&self, group: &str, delivery: &Delivery) -> Option<u64> {
        let value = read_value(delivery).0?;
        self.pages().owed.remove(&(group.to_owned(), value));
        Some(value)
    }

    /// A consumer learned something about its units.
    pub(super) fn event(&self, consumer: &str, group: &str, event: &ConsumerEvent) {
        let now = self.now();
        let mut pages = self.pages();
        let process = pages.history.process(consumer);
        let observation = match event {
            ConsumerEvent::Assigned(units) => {
                pages.assigned.insert(consumer.to_owned());
                let group = Some(pages.history.group(group));
                let units =
                    units.iter().map(|(unit, at)| (pages.history.unit(unit), at.map(|at| at.0))).collect();
                Observation::Assigned { group, units, generation: None }
            }
            ConsumerEvent::Revoked(units) => Observation::Revoked(pages.units(units)),
            ConsumerEvent::Lost(units) => {
                pages.assigned.remove(consumer);
                Observation::Lost(pages.units(units))
            }
            ConsumerEvent::Reset { unit, from, to } => {
                let (unit, from) = (pages.history.unit(unit), from.map(|from| from.0));
                Observation::Reset { unit, from, to: to.0, error: None }
            }
            ConsumerEvent::Exhausted(delivery) => Observation::Advisory {
                group: Some(pages.history.group(group)),
                unit: pages.history.unit(&delivery.unit),
                position: delivery.position.0,
                what: Advice::MaxDeliveries,
            },
            ConsumerEvent::Error(error) => {
                Observation::ClientError { error: error.code.to_string(), message: error.message.clone() }
            }
        };
        pages.history.observe(now, process, observation);
    }

    /// How far the run is.
    pub(super) fn progress(&self, stage: Stage, real: Duration) -> Progress {
        let time = self.now();
        let mut pages = self.pages();
        let latencies = std::mem::replace(&mut pages.since_progress, Distribution::new(2));
        let ledger = pages.recorder.ledger;
        Progress {
            time,
            real_ms: u64::try_from(real.as_millis()).unwrap_or(u64::MAX),
            stage,
            sent: ledger.sent,
            acked: ledger.acked,
            failed: ledger.failed,
            unknown: ledger.unknown,
            delivered: ledger.received + ledger.duplicates,
            latency: super::latency(&latencies.summary()),
        }
    }
}

impl Pages {
    fn send_to(&mut self, topic: &str, key: Option<&[u8]>, value: u64) -> Send {
        let topic = self.history.topic(topic);
        let key = key.map(|key| self.history.key(key));
        Send::new(topic, key, value)
    }

    fn units(&mut self, units: &[Unit]) -> Vec<squall_history::history::UnitId> {
        units.iter().map(|unit| self.history.unit(unit)).collect()
    }
}

/// The value id of a record and whether its payload is damaged.
fn read_value(delivery: &Delivery) -> (Option<u64>, bool) {
    let inside = payload::decode(&delivery.record.value);
    let corrupt = inside.is_err();
    let named = delivery
        .record
        .header_value(VALUE_HEADER)
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    (named.or_else(|| inside.ok()), corrupt)
}
