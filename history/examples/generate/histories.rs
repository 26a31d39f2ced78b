//! Histories of any length as runs leave them, for measurements: the same calls give the same history.
//!
//! A record is sent and acknowledged, delivered to a consumer of a group, processed, and read by the final drain;
//! every tenth is committed. Twelve units, four producers, three consumers.

use squall_bus::{Time, Topic, Unit};
use squall_history::{
    Configuration, History, Meta,
    events::Hit,
    history::{
        Completion, Deliver, Drain, GroupId, Handling, Invoke, KeyId, Observation, OpId, Phase, ProcessId,
        Send, Struck, TopicId, UnitId,
    },
};

/// What a history shall tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// Nothing went wrong.
    Clean,
    /// A leader was killed now and then: of a thousand records one is lost, one stands twice in the log, one is
    /// processed twice, and one has an unknown outcome.
    Faulty,
    /// Producers read two records in one transaction and write two others in it; all are committed.
    Transactions,
}

const UNITS: u64 = 12;
const PRODUCERS: u64 = 4;
const CONSUMERS: u64 = 3;
const KEYS: u64 = UNITS * 8;
/// Of so many records one is lost, and so on.
const RARE: u64 = 1000;
/// A fault strikes every so many records.
const FAULTS: u64 = 10_000;

/// The history of so many records.
pub(crate) fn history(story: Story, records: u64) -> History {
    let mut tape = Tape::new(story);
    match story {
        Story::Clean | Story::Faulty => (0..records).for_each(|value| tape.record(value, story)),
        Story::Transactions => (0..records / 2).for_each(|txn| tape.transaction(txn)),
    }
    tape.end();
    tape.history
}

struct Tape {
    history: History,
    now: Time,
    topic: TopicId,
    group: GroupId,
    producers: Vec<ProcessId>,
    consumers: Vec<ProcessId>,
    keys: Vec<KeyId>,
    units: Vec<UnitId>,
    /// What the log of each unit holds.
    logs: Vec<Vec<u64>>,
    /// Where transactions go on to read in each unit.
    next: Vec<u64>,
}

impl Tape {
    fn new(story: Story) -> Self {
        let transactional = story == Story::Transactions;
        let configuration = Configuration { idempotent: story != Story::Faulty, ..Configuration::default() };
        let scenario = if transactional { "transactions" } else { "orders" }.to_owned();
        let mut history =
            History::new(Meta { scenario, target: "generated".to_owned(), configuration, ..Meta::default() });
        let topic = Topic::new("orders");
        Self {
            now: Time(0),
            topic: history.topic("orders"),
            group: history.group("billing"),
            producers: (0..PRODUCERS).map(|n| history.process(&format!("producer-{n}"))).collect(),
            consumers: (0..CONSUMERS).map(|n| history.process(&format!("consumer-{n}"))).collect(),
            keys: (0..KEYS).map(|n| history.key(format!("customer-{n}"))).collect(),
            units: (0..UNITS as u32).map(|p| history.unit(&Unit::new(&topic, p))).collect(),
            logs: vec![Vec::new(); UNITS as usize],
            next: vec![0; UNITS as usize],
            history,
        }
    }

    fn tick(&mut self) -> Time {
        self.now = Time(self.now.0 + 1000);
        self.now
    }

    fn begin(&mut self, process: ProcessId, invoke: Invoke) -> OpId {
        let at = self.tick();
        self.history.invoke(at, process, invoke)
    }

    fn done(&mut self, op: OpId, completion: Completion) {
        let at = self.tick();
        self.history.complete(at, op, completion);
    }

    fn see(&mut self, process: ProcessId, what: Observation) {
        let at = self.tick();
        self.history.observe(at, process, what);
    }

    /// Puts a record at the end of a unit's log.
    fn append(&mut self, unit: usize, value: u64) -> u64 {
        self.logs[unit].push(value);
        self.logs[unit].len() as u64 - 1
    }

    fn record(&mut self, value: u64, story: Story) {
        let rare = |n: u64| story == Story::Faulty && value % RARE == n;
        if value.is_multiple_of(FAULTS) && story == Story::Faulty {
            self.fault((value / FAULTS) as u32);
        }
        let unit = (value % UNITS) as usize;
        let send = Send {
            intended: Some(Time(self.now.0 + 1000)),
            ..Send::new(self.topic, Some(self.keys[(value % KEYS) as usize]), value)
        };
        let op = self.begin(self.producers[(value % PRODUCERS) as usize], Invoke::Send(send));
        // A lost record leaves its place empty.
        let position = self.append(unit, if rare(100) { u64::MAX } else { value });
        let name = self.units[unit];
        if rare(200) {
            self.done(op, Completion::Unknown { error: "TIMED_OUT".to_owned(), place: None });
        } else {
            self.done(op, Completion::Sent { unit: name, position: Some(position), duplicate: false });
        }
        if rare(100) {
            return;
        }
        self.consume(value, unit, position);
        if rare(300) {
            let position = self.append(unit, value);
            self.consume(value, unit, position);
        } else if rare(400) {
            self.consume(value, unit, position);
        }
    }

    fn consume(&mut self, value: u64, unit: usize, position: u64) {
        let (consumer, group) = (self.consumers[unit % CONSUMERS as usize], self.group);
        let deliver = Deliver { group: Some(group), ..Deliver::new(self.units[unit], position, value) };
        self.see(consumer, Observation::Deliver(deliver));
        self.see(consumer, Observation::Handled { group: Some(group), value, how: Handling::Ok });
        if position % 10 == 9 {
            let positions = vec![(self.units[unit], position + 1)];
            let op = self.begin(consumer, Invoke::Commit { group, positions, txn: None });
            self.done(op, Completion::Ok);
        }
    }

    fn fault(&mut self, id: u32) {
        let (verb, role, hit) = ("kill".to_owned(), "leader(orders/0)".to_owned(), Hit::Nodes(vec![1]));
        self.see(ProcessId::HARNESS, Observation::Fault(Struck { id, verb, role, hit }));
        self.see(ProcessId::HARNESS, Observation::Heal { id });
    }

    /// Reads the next record of two of the producer's own three units, and appends to two others.
    fn transaction(&mut self, number: u64) {
        let (own, turn) = (number % PRODUCERS, number / PRODUCERS);
        let process = self.producers[own as usize];
        let txn = self.begin(process, Invoke::Txn { id: None, epoch: None });
        let poll = self.begin(process, Invoke::Poll { group: None, txn: Some(txn) });
        for unit in [turn % 3, (turn + 1) % 3].map(|n| (own + PRODUCERS * n) as usize) {
            let position = self.next[unit];
            if let Some(value) = self.logs[unit].get(position as usize).copied() {
                let deliver = Deliver { poll: Some(poll), ..Deliver::new(self.units[unit], position, value) };
                self.see(process, Observation::Deliver(deliver));
                self.next[unit] += 1;
            }
        }
        self.done(poll, Completion::Ok);
        for (n, unit) in [(number + 1) % UNITS, (number + 7) % UNITS].into_iter().zip(0..) {
            let (value, unit) = (2 * number + unit, n as usize);
            let op = self
                .begin(process, Invoke::Send(Send { txn: Some(txn), ..Send::new(self.topic, None, value) }));
            let (position, unit) = (Some(self.append(unit, value)), self.units[unit]);
            self.done(op, Completion::Sent { unit, position, duplicate: false });
        }
        self.done(txn, Completion::Ok);
    }

    fn end(&mut self) {
        self.see(ProcessId::HARNESS, Observation::Phase(Phase::WorkloadOver));
        self.see(ProcessId::HARNESS, Observation::Phase(Phase::CaughtUp));
        for (unit, log) in std::mem::take(&mut self.logs).into_iter().enumerate() {
            let (unit, to) = (self.units[unit], log.len() as u64);
            for (value, position) in log.into_iter().zip(0..).filter(|(value, _)| *value != u64::MAX) {
                self.see(ProcessId::DRAIN, Observation::Deliver(Deliver::new(unit, position, value)));
            }
            let drain = Drain { unit, from: 0, to, complete: true, node: None };
            self.see(ProcessId::DRAIN, Observation::Drain(drain));
        }
    }
}
