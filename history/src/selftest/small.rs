//! Small random histories, of all kinds of events: up to 3 processes, 2 units and 12 operations. Most places and
//! values agree, some do not, and nothing is sensible for long: the checks must agree with their definitions on
//! whatever can be written down.

mod episodes;

use crate::{
    History, Meta,
    events::Hit,
    guarantees::{Cleanup, CommitPolicy, Delivery, Isolation, Reading, TopicFacts},
    history::{
        Advice, Completion, Deliver, DeliverExtra, Drain, Ends, GroupId, Handling, Invoke, Observation, OpId,
        Phase, ProcessId, Send, SendExtra, Settlement, Struck, UnitId,
    },
};
use proptest::prelude::*;
use squall_bus::{Time, Topic, Unit};
use std::time::Duration;

/// One operation: what, and numbers that it picks its parts by.
type Step = (u8, u8, u8, u8);

/// A small history that shows itself as its file.
pub(super) struct Shown(pub(super) History);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::text(&self.0))
    }
}

/// Small random histories.
pub(super) fn histories() -> impl Strategy<Value = Shown> {
    let steps = prop::collection::vec((0u8..57, 0u8..6, 0u8..6, 0u8..24), 0..=12);
    (steps, 0u16..1024, prop::option::of(any::<u8>()))
        .prop_map(|(steps, setup, drain)| Shown(Small::new(setup).tell(&steps, drain)))
}

struct Small {
    history: History,
    time: u64,
    units: [UnitId; 2],
    dead: UnitId,
    groups: [GroupId; 2],
    value: u64,
    sends: Vec<(OpId, u64)>,
    others: Vec<OpId>,
    txn: [Option<OpId>; 3],
    poll: [Option<OpId>; 3],
    /// Most of what happens happens to one process and one unit.
    focus: bool,
    /// What stands, or should stand, in the logs: (unit, position, value).
    placed: Vec<(UnitId, u64, u64)>,
    delivery: Option<u32>,
}

impl Small {
    fn new(setup: u16) -> Self {
        let mut meta = Meta::default();
        let configuration = &mut meta.configuration;
        configuration.dlq = Some("dead".into());
        configuration.isolation =
            if setup & 1 == 0 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        configuration.reading = match setup & 6 {
            6 => Reading::Share,
            2 => Reading::Assign,
            _ => Reading::Subscribe,
        };
        configuration.commit =
            if setup & 4 == 0 { CommitPolicy::AfterProcessing } else { CommitPolicy::BeforeProcessing };
        configuration.groups = if setup & 8 == 0 { vec!["g0".into()] } else { Vec::new() };
        configuration.clock_bound = (setup & 3 == 0).then_some(Duration::ZERO);
        if setup & 16 != 0 {
            configuration.ack_wait = (setup & 32 == 0).then_some(Duration::from_nanos(4000));
            configuration.max_deliver = Some(1);
            configuration.max_ack_pending = Some(1);
            configuration.dedup_window = Some(Duration::from_nanos(12_000));
        }
        configuration.exclusive = setup & 32 != 0;
        configuration.dead_lettering = (setup & 32 != 0).then_some(Delivery::AtLeastOnce);
        if setup & 64 != 0 {
            meta.expect.progress = Some(Duration::from_nanos(4000));
            meta.expect.unavailable = Some(Duration::from_nanos(4000));
            meta.expect.spurious_rebalances = Some(1);
        }
        // Every fourth history compacts, every fourth deletes by age.
        if let cleanup @ 2.. = setup >> 7 & 3 {
            let cleanup = if cleanup == 2 { Cleanup::Compact } else { Cleanup::Delete };
            let (retention, retention_slack) =
                (Some(Duration::from_nanos(6000)), Some(Duration::from_nanos(2000)));
            let facts = TopicFacts { cleanup, retention, retention_slack, ttl: None };
            configuration.topics.insert("t".into(), facts);
        }
        meta.expect.lag = Some(Duration::from_nanos(2000));
        let mut history = History::new(meta);
        let unit = |history: &mut History, topic: &str, n| history.unit(&Unit::new(&Topic::new(topic), n));
        let units = [unit(&mut history, "t", 0), unit(&mut history, "t", 1)];
        let dead = unit(&mut history, "dead", 0);
        let groups = [history.group("g0"), history.group("g1")];
        Self {
            history,
            time: 0,
            units,
            dead,
            groups,
            value: 0,
            sends: Vec::new(),
            others: Vec::new(),
            txn: [None; 3],
            poll: [None; 3],
            focus: setup >> 9 == 1,
            placed: Vec::new(),
            delivery: None,
        }
    }

    fn tell(mut self, steps: &[Step], drain: Option<u8>) -> History {
        for step in steps {
            self.step(*step);
        }
        if let Some(missing) = drain {
            self.drain(missing);
        }
        self.history
    }

    fn now(&mut self) -> Time {
        self.time += 1000;
        Time(self.time)
    }

    fn process(&mut self, number: usize) -> ProcessId {
        self.history.process(["p0", "p1", "p2"][number])
    }

    fn step(&mut self, (what, a, b, c): Step) {
        let (process, b) = if self.focus { (usize::from(a == 5), b & !1) } else { (usize::from(a) % 3, b) };
        let unit = self.units[usize::from(b) % 2];
        match what {
            44..=48 => self.polls(process, unit, a, c),
            49 | 50 => self.transaction(process, unit, a, c),
            51 => self.drain_through(unit, a, c),
            54..=56 => self.handles(process, a, c),
            52 | 53 => {
                for n in 0..4 {
                    self.send(process, a, b, 1 + n % 2);
                }
            }
            0..=9 => self.send(process, a, b, c),
            10..=12 => self.complete_send(a, unit, c),
            13..=19 => self.deliver(process, a, b, c),
            20 | 21 => self.begin(process, what == 20, c),
            22 | 23 => self.complete_other(a, c),
            24 => self.commit(process, unit, b, c),
            25 => self.settle(process, c),
            26 => {
                let node = (c.is_multiple_of(4)).then_some(u32::from(a % 2));
                let (now, process) = (self.now(), self.process(process));
                let op = self.history.invoke(now, process, Invoke::End { unit, node });
                self.others.push(op);
            }
            27..=35 => self.note(what, process, unit, (a, b, c)),
            _ => self.episode((what, a, b, c)),
        }
    }

    fn next_position(&self, unit: UnitId) -> u64 {
        let places = self.placed.iter().filter(|(other, ..)| *other == unit);
        places.map(|(_, position, _)| position + 1).max().unwrap_or(0)
    }

    fn send(&mut self, process: usize, a: u8, b: u8, c: u8) {
        let value = self.value;
        self.value += 1;
        let dead = c == 23;
        let topic = self.history.topic(if dead { "dead" } else { "t" });
        let key = (b < 5).then(|| self.history.key(format!("k{}", b / 2)));
        let extra = SendExtra {
            message_id: (c % 5 == 1).then(|| self.history.message_id(&format!("m{}", a % 2))),
            expected_position: (c % 7 == 3).then_some(u64::from(a)),
            expected_value: (c % 7 == 4).then_some(u64::from(a)),
            ttl: (c % 6 == 2).then_some(Duration::from_nanos(4000)),
            timestamp: (c % 13 == 6).then_some(Time(self.time / 2)),
            tombstone: c % 8 == 5,
            amount: (c.is_multiple_of(3)).then_some(i64::from(a) - 3),
        };
        let send = Send {
            session: u32::from(c % 9 == 8),
            intended: (a < 3).then_some(Time(self.time)),
            cause: (dead || c == 22).then_some(u64::from(a)),
            poison: c == 21,
            txn: self.txn[process],
            extra,
            ..Send::new(topic, key, value)
        };
        let (now, process) = (self.now(), self.process(process));
        let op = self.history.invoke(now, process, Invoke::Send(send));
        self.sends.push((op, value));
        let unit = if dead { self.dead } else { self.units[usize::from(b) % 2] };
        if !c.is_multiple_of(4) {
            self.end_send(self.sends.len() - 1, unit, c);
        }
    }

    fn complete_send(&mut self, a: u8, unit: UnitId, c: u8) {
        if !self.sends.is_empty() {
            self.end_send(usize::from(a) % self.sends.len(), unit, c);
        }
    }

    fn end_send(&mut self, index: usize, unit: UnitId, c: u8) {
        let (op, value) = self.sends.swap_remove(index);
        // Mostly the next place; else one that may be taken.
        let position = if c % 3 < 2 { self.next_position(unit) } else { u64::from(c % 4) };
        let now = self.now();
        let completion = match c {
            0..=15 => {
                Completion::Sent { unit, position: (c != 7).then_some(position), duplicate: c % 5 == 1 }
            }
            16..=17 => Completion::Ok,
            18..=20 => {
                Completion::Unknown { error: "E".into(), place: (c == 18).then_some((unit, position)) }
            }
            _ => Completion::Fail { error: "E".into() },
        };
        if c < 21 {
            self.placed.push((unit, position, value));
        }
        self.history.complete(now, op, completion);
    }

    fn deliver(&mut self, process: usize, a: u8, b: u8, c: u8) {
        let placed = &self.placed;
        let known = (!placed.is_empty() && c % 6 != 5).then(|| placed[usize::from(a + b) % placed.len()]);
        let (unit, position, value) =
            known.unwrap_or((self.units[usize::from(b) % 2], u64::from(a), u64::from(c % 8)));
        let drain = c % 8 == 7;
        let group = (c % 3 != 2 && !drain).then(|| self.groups[usize::from(c.is_multiple_of(12))]);
        let extra = DeliverExtra {
            deadline: (c % 9 == 4).then_some(Time(self.time + 3000)),
            node: (drain && c >= 15).then_some(u32::from(b % 2)),
            epoch: (c % 5 == 3).then_some(u32::from(a)),
            timestamp: None,
        };
        let poll = self.poll[process].filter(|_| !drain);
        let value = (c % 11 != 10).then_some(value);
        let attempt = (c % 4 == 1).then_some(u32::from(a) + 1);
        let corrupt = value.is_none() || c % 12 == 3;
        let deliver = Deliver { group, unit, position, value, corrupt, attempt, poll, extra };
        let (now, process) = (self.now(), if drain { ProcessId::DRAIN } else { self.process(process) });
        let event = self.history.observe(now, process, Observation::Deliver(deliver));
        self.delivery = Some(event);
    }

    fn begin(&mut self, process: usize, txn: bool, c: u8) {
        let (now, id) = (self.now(), self.history.transactional_id(["x", "y"][usize::from(c % 2)]));
        let name = self.process(process);
        if txn {
            let epoch = (c.is_multiple_of(3)).then_some(u32::from(c / 8));
            let op = self.history.invoke(
                now,
                name,
                Invoke::Txn { id: (!c.is_multiple_of(5)).then_some(id), epoch },
            );
            self.others.push(op);
            self.txn[process] = Some(op);
        } else if c < 20 {
            let group = (!c.is_multiple_of(4)).then_some(self.groups[0]);
            let op = self.history.invoke(now, name, Invoke::Poll { group, txn: self.txn[process] });
            self.others.push(op);
            self.poll[process] = Some(op);
        } else {
            let op = self.history.invoke(now, name, Invoke::Init { id });
            self.others.push(op);
        }
    }

    fn complete_other(&mut self, a: u8, c: u8) {
        if self.others.is_empty() {
            return;
        }
        let op = self.others.swap_remove(usize::from(a) % self.others.len());
        for open in self.txn.iter_mut().chain(&mut self.poll) {
            *open = open.filter(|open| *open != op);
        }
        let now = self.now();
        let ends = Ends { high: u64::from(c % 5), stable: Some(u64::from(c % 3)), start: Some(0) };
        let is_end = self.history.ends().iter().any(|end| end.invoke == op);
        let is_init = self.history.inits().iter().any(|init| init.invoke == op);
        let completion = match c {
            0..=13 if is_end => Completion::Ends(ends),
            0..=13 if is_init => Completion::Epoch(u32::from(c % 4)),
            0..=13 => Completion::Ok,
            14..=18 => Completion::Fail { error: "E".into() },
            _ => Completion::Unknown { error: "E".into(), place: None },
        };
        self.history.complete(now, op, completion);
    }

    fn invoke(&mut self, process: usize, invoke: Invoke) -> OpId {
        let (now, process) = (self.now(), self.process(process));
        self.history.invoke(now, process, invoke)
    }

    /// A poll that is handed some records of a unit, mostly in their order and without gaps, and how it ends.
    fn polls(&mut self, process: usize, unit: UnitId, a: u8, c: u8) {
        let txn = self.txn[process].filter(|_| c.is_multiple_of(2));
        let poll = self
            .invoke(process, Invoke::Poll { group: (!c.is_multiple_of(3)).then_some(self.groups[0]), txn });
        let mut here: Vec<(UnitId, u64, u64)> =
            self.placed.iter().copied().filter(|(other, ..)| *other == unit).collect();
        here.sort_unstable();
        let from = usize::from(a) % (here.len() + 1);
        let mut records: Vec<(UnitId, u64, u64)> = here[from..].iter().copied().take(3).collect();
        match c % 8 {
            3 if records.len() > 2 => drop(records.remove(1)),
            4 => records.reverse(),
            5 => records.extend(here.first()),
            _ => {}
        }
        for (index, (unit, position, value)) in records.into_iter().enumerate() {
            let group = (!c.is_multiple_of(3)).then_some(self.groups[0]);
            let deliver = Deliver { group, poll: Some(poll), ..Deliver::new(unit, position, value) };
            let (now, name) = (self.now(), self.process(process));
            self.history.observe(now, name, Observation::Deliver(deliver));
            if c == 23 && index == 0 {
                let now = self.now();
                self.history.observe(now, name, Observation::Revoked(vec![unit]));
            }
        }
        let completion = match c {
            0..=17 => Completion::Ok,
            18 | 19 => Completion::Fail { error: "E".into() },
            20 => Completion::Unknown { error: "E".into(), place: None },
            _ => return self.others.push(poll),
        };
        let now = self.now();
        self.history.complete(now, poll, completion);
    }

    /// A transaction of a few sends to a unit, perhaps upside down or with another record in between.
    fn transaction(&mut self, process: usize, unit: UnitId, a: u8, c: u8) {
        let txn = self.invoke(process, Invoke::Txn { id: None, epoch: None });
        let topic = self.history.unit_topic(unit);
        let first = self.next_position(unit);
        if a > 2 {
            // It reads from the first record on, and begins with that.
            self.txn[process] = Some(txn);
            self.polls(process, unit, 0, 10);
            self.txn[process] = None;
        }
        for n in 0..2 + u64::from(a % 2) {
            let value = self.value;
            self.value += 1;
            let send = Send { txn: Some(txn), ..Send::new(topic, None, value) };
            let op = self.invoke(process, Invoke::Send(send));
            let position =
                if c % 4 == 1 { (first + 3).saturating_sub(n) } else { first + n * u64::from(1 + c % 2) };
            let now = self.now();
            let done = Completion::Sent { unit, position: Some(position), duplicate: false };
            self.history.complete(now, op, done);
            self.placed.push((unit, position, value));
        }
        if c % 6 == 3 {
            // Into a gap, if there is one.
            self.placed.push((unit, first + 1, self.value));
            let plain = self.invoke(2, Invoke::Send(Send::new(topic, None, self.value)));
            self.value += 1;
            let now = self.now();
            let done = Completion::Sent { unit, position: Some(first + 1), duplicate: false };
            self.history.complete(now, plain, done);
        }
        let completion = match c {
            0..=15 => Completion::Ok,
            16..=19 => Completion::Fail { error: "E".into() },
            20 | 21 => Completion::Unknown { error: "E".into(), place: None },
            _ => {
                self.txn[process] = Some(txn);
                return self.others.push(txn);
            }
        };
        let now = self.now();
        self.history.complete(now, txn, completion);
    }

    /// A record is delivered and handled, perhaps more than once, and perhaps dead-lettered, perhaps more than once.
    fn handles(&mut self, process: usize, a: u8, c: u8) {
        let Some((unit, position, value)) = self.placed.get(usize::from(a)).copied() else { return };
        let (group, name) = (Some(self.groups[0]), self.process(process));
        let deliver = Observation::Deliver(Deliver { group, ..Deliver::new(unit, position, value) });
        let how = if c % 4 == 3 { Handling::Poison } else { Handling::Ok };
        let handled = || Observation::Handled { group, value, how };
        for note in [deliver].into_iter().chain((0..c % 3).map(|_| handled())) {
            let now = self.now();
            self.history.observe(now, name, note);
        }
        let dead = self.history.unit_topic(self.dead);
        for _ in 0..(c / 3) % 4 {
            let (letter, position) = (self.value, self.next_position(self.dead));
            self.value += 1;
            let op = self
                .invoke(process, Invoke::Send(Send { cause: Some(value), ..Send::new(dead, None, letter) }));
            self.placed.push((self.dead, position, letter));
            let now = self.now();
            let done = Completion::Sent { unit: self.dead, position: Some(position), duplicate: false };
            self.history.complete(now, op, done);
        }
    }

    /// A drain of a unit through two nodes, one of which may lack something.
    fn drain_through(&mut self, unit: UnitId, a: u8, c: u8) {
        for node in 0..2 {
            let here: Vec<(UnitId, u64, u64)> =
                self.placed.iter().copied().filter(|(other, ..)| *other == unit).collect();
            for (index, (unit, position, value)) in here.into_iter().enumerate() {
                if node == 1 && index == usize::from(a) {
                    continue;
                }
                let extra = DeliverExtra { node: Some(node), ..DeliverExtra::NONE };
                let deliver = Deliver { extra, ..Deliver::new(unit, position, value) };
                let now = self.now();
                self.history.observe(now, ProcessId::DRAIN, Observation::Deliver(deliver));
            }
            let (now, to) = (self.now(), self.next_position(unit));
            let drain = Drain { unit, from: 0, to, complete: !c.is_multiple_of(6), node: Some(node) };
            self.history.observe(now, ProcessId::DRAIN, Observation::Drain(drain));
        }
    }

    fn commit(&mut self, process: usize, unit: UnitId, b: u8, c: u8) {
        let positions = vec![(unit, u64::from(b))];
        let commit = Invoke::Commit { group: self.groups[0], positions, txn: self.txn[process] };
        let (now, name) = (self.now(), self.process(process));
        let op = self.history.invoke(now, name, commit);
        if c < 16 {
            let now = self.now();
            self.history.complete(now, op, Completion::Ok);
        } else {
            self.others.push(op);
        }
    }

    fn settle(&mut self, process: usize, c: u8) {
        let Some(delivery) = self.delivery else { return };
        let how = match c % 6 {
            0..=2 => Settlement::Ack,
            3 => Settlement::Nak { delay: (c > 12).then_some(Duration::from_nanos(2000)) },
            4 => Settlement::Term,
            _ => Settlement::Extend,
        };
        let (now, name) = (self.now(), self.process(process));
        let op = self.history.invoke(now, name, Invoke::Settle { delivery, how });
        self.others.push(op);
    }

    fn note(&mut self, what: u8, process: usize, unit: UnitId, (a, b, c): (u8, u8, u8)) {
        let (group, value) = (Some(self.groups[0]), u64::from(a + b));
        let client = self.process(process);
        let (process, note) = match (what, c % 4) {
            (27, _) => {
                let how =
                    [Handling::Ok, Handling::Ok, Handling::Poison, Handling::Retry(1)][usize::from(c % 4)];
                (client, Observation::Handled { group, value, how })
            }
            (28, _) => {
                let group = group.filter(|_| !c.is_multiple_of(5));
                let at = (c.is_multiple_of(3)).then_some(u64::from(b));
                let generation = (!c.is_multiple_of(7)).then_some(u32::from(c / 8));
                (client, Observation::Assigned { group, units: vec![(unit, at)], generation })
            }
            (29, 0) => (client, Observation::Revoked(vec![unit])),
            (29, 1) => (client, Observation::Lost(vec![unit])),
            (29, 2) => (client, Observation::Crashed),
            (29, _) => (client, Observation::Sought { unit, to: u64::from(a) }),
            (30, 0) => {
                (client, Observation::Reset { unit, from: Some(u64::from(a)), to: u64::from(b), error: None })
            }
            (30, 1) => (client, Observation::Acked { group, value }),
            (30, 2) => {
                let what = [Advice::MaxDeliveries, Advice::Terminated, Advice::Expired][usize::from(a % 3)];
                (client, Observation::Advisory { group, unit, position: u64::from(b), what })
            }
            (30, _) => {
                (client, Observation::Subscribed { group, topics: vec![self.history.unit_topic(unit)] })
            }
            (31, 0 | 1) => {
                let (verb, hit) = ("kill".to_owned(), Hit::Nodes(vec![u32::from(a % 3)]));
                let struck = Struck { id: u32::from(b), verb, role: "leader(t/0)".into(), hit };
                (ProcessId::HARNESS, Observation::Fault(struck))
            }
            (31, _) => (ProcessId::HARNESS, Observation::Heal { id: u32::from(b) }),
            (32, 3) => {
                let deleted = vec![(unit, (!a.is_multiple_of(3)).then_some(u64::from(b)))];
                (ProcessId::HARNESS, Observation::Changed { what: "t loses records".into(), deleted })
            }
            (32, _) => {
                let (leader, epoch) = (Some(u32::from(a % 3)), Some(u32::from(b)));
                (ProcessId::HARNESS, Observation::Elected { unit, leader, unclean: c == 0, epoch })
            }
            (33, _) => {
                let members = vec![client];
                let group = self.groups[0];
                (ProcessId::HARNESS, Observation::Rebalanced { group, generation: u32::from(b), members })
            }
            (34, _) => {
                let phases = [Phase::WorkloadBegan, Phase::WorkloadOver, Phase::Healed, Phase::CaughtUp];
                (ProcessId::HARNESS, Observation::Phase(phases[usize::from(c % 4)]))
            }
            _ => {
                let node = (c.is_multiple_of(2)).then_some(u32::from(a % 2));
                let (from, to) = (u64::from(a % 2), u64::from(b));
                (
                    ProcessId::DRAIN,
                    Observation::Drain(Drain { unit, from, to, complete: !c.is_multiple_of(3), node }),
                )
            }
        };
        let now = self.now();
        self.history.observe(now, process, note);
    }

    /// A drain of all units that leaves some records out.
    fn drain(&mut self, missing: u8) {
        let mut placed = self.placed.clone();
        placed.sort_unstable();
        for (index, (unit, position, value)) in placed.iter().enumerate() {
            if missing >> (index % 8) & 1 == 0 || index > 4 {
                let now = self.now();
                let deliver = Observation::Deliver(Deliver::new(*unit, *position, *value));
                self.history.observe(now, ProcessId::DRAIN, deliver);
            }
        }
        for unit in self.units {
            let (now, to) = (self.now(), self.next_position(unit));
            let drain = Drain { unit, from: 0, to, complete: missing != 255, node: None };
            self.history.observe(now, ProcessId::DRAIN, Observation::Drain(drain));
        }
    }
}
