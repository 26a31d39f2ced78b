//! Small random histories of transactions: up to 3 processes, 2 units and an output, 12 operations. Transactions overlap,
//! records stand mostly where they should, readers see this and that; whatever comes of it, the checks must agree with
//! their definitions.

use super::small::Shown;
use crate::{
    History, Meta,
    events::Hit,
    guarantees::{Isolation, Pipeline, TxnOrder},
    history::{
        Completion, Deliver, Drain, Ends, Invoke, Observation, OpId, ProcessId, Send, SendExtra, Struck,
        UnitId,
    },
};
use proptest::prelude::*;
use squall_bus::{Time, Topic, Unit};
use std::time::Duration;

/// Small random histories of transactions.
pub(super) fn histories() -> impl Strategy<Value = Shown> {
    let steps = prop::collection::vec((0u8..17, 0u8..6, 0u8..6, 0u8..24), 0..=12);
    (steps, 0u8..16, prop::option::of(any::<u8>()))
        .prop_map(|(steps, setup, drain)| Shown(Small::new(setup).tell(&steps, drain)))
}

struct Small {
    history: History,
    time: u64,
    units: [UnitId; 3],
    value: u64,
    txns: [Option<OpId>; 3],
    /// What stands, or should stand, in the logs: (unit, position, value).
    placed: Vec<(usize, u64, u64)>,
}

fn failed(error: &str) -> Completion {
    Completion::Fail { error: error.into() }
}

fn unknown() -> Completion {
    Completion::Unknown { error: "E".into(), place: None }
}

impl Small {
    fn new(setup: u8) -> Self {
        let mut meta = Meta::default();
        let configuration = &mut meta.configuration;
        configuration.isolation =
            if setup & 1 == 0 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        configuration.txn_order = if setup & 2 == 0 { TxnOrder::Any } else { TxnOrder::Realtime };
        configuration.whole_reads = setup & 12 == 12;
        configuration.conserved = vec!["t".into()];
        configuration.txn_timeout = Some(Duration::from_nanos(6000));
        let (group, from, to) = ("g0".into(), "t".into(), "out".into());
        configuration.pipelines = vec![Pipeline { group, from, to }];
        let mut history = History::new(meta);
        let mut unit = |topic: &str, n| history.unit(&Unit::new(&Topic::new(topic), n));
        let units = [unit("t", 0), unit("t", 1), unit("out", 0)];
        Self { history, time: 0, units, value: 0, txns: [None; 3], placed: Vec::new() }
    }

    fn tell(mut self, steps: &[(u8, u8, u8, u8)], drain: Option<u8>) -> History {
        for (what, a, b, c) in steps {
            self.step(*what, usize::from(*a) % 3, usize::from(*b), *c);
        }
        for process in 0..3 {
            if let Some(txn) = self.txns[process].take() {
                self.complete(txn, Completion::Ok);
            }
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

    fn invoke(&mut self, process: usize, invoke: Invoke) -> OpId {
        let (now, process) = (self.now(), self.history.process(["p0", "p1", "p2"][process]));
        self.history.invoke(now, process, invoke)
    }

    fn complete(&mut self, op: OpId, completion: Completion) {
        let now = self.now();
        self.history.complete(now, op, completion);
    }

    fn observe(&mut self, process: ProcessId, note: Observation) {
        let now = self.now();
        self.history.observe(now, process, note);
    }

    fn step(&mut self, what: u8, process: usize, b: usize, c: u8) {
        match what {
            0..=2 => self.begin_or_end(process, b, c),
            3..=7 => self.send(process, b, c),
            8..=11 => self.poll(process, b, c),
            12 => {
                let id = self.history.transactional_id(["x", "y"][b % 2]);
                let op = self.invoke(process, Invoke::Init { id });
                let epoch = Completion::Epoch(u32::from(c % 4));
                self.complete(op, if c < 20 { epoch } else { unknown() });
            }
            13 => {
                let op = self.invoke(process, Invoke::End { unit: self.units[b % 2], node: None });
                let (high, stable) = (u64::from(c % 4), Some(u64::from(c % 2)));
                self.complete(op, Completion::Ends(Ends { high, stable, start: None }));
            }
            14 => {
                let (group, positions) =
                    (self.history.group("g0"), vec![(self.units[b % 2], u64::from(c % 4))]);
                let op = self.invoke(process, Invoke::Commit { group, positions, txn: self.txns[process] });
                self.complete(op, if c < 20 { Completion::Ok } else { failed("E") });
            }
            15 => self.skew(b, c),
            _ => self.note(process, b, c),
        }
    }

    /// Two transactions that overlap: each reads a unit, and then the other one writes to it, or elsewhere.
    fn skew(&mut self, b: usize, c: u8) {
        for process in 0..2 {
            if self.txns[process].is_none() {
                self.begin_or_end(process, b, c);
            }
        }
        for process in 0..2 {
            self.poll(process, process, 2);
        }
        for process in 0..2 {
            let other = if c < 18 { 1 - process } else { process };
            self.send(process, other, 2);
        }
    }

    fn begin_or_end(&mut self, process: usize, b: usize, c: u8) {
        if let Some(txn) = self.txns[process].take() {
            let ending = match c {
                0..=15 => Completion::Ok,
                16..=19 => failed("aborted"),
                _ => unknown(),
            };
            return self.complete(txn, ending);
        }
        let id = (c < 12).then(|| self.history.transactional_id(["x", "y"][b % 2]));
        let epoch = (!c.is_multiple_of(3)).then_some(u32::from(c % 4));
        self.txns[process] = Some(self.invoke(process, Invoke::Txn { id, epoch }));
    }

    fn send(&mut self, process: usize, b: usize, c: u8) {
        let unit = if b == 5 { 2 } else { b % 2 };
        let value = self.value;
        self.value += 1;
        let next = self.placed.iter().filter(|(other, ..)| *other == unit).map(|(_, at, _)| at + 1).max();
        let position = if c % 7 == 6 { u64::from(c % 4) } else { next.unwrap_or(0) };
        let extra = SendExtra {
            amount: (unit < 2).then_some(if c.is_multiple_of(2) { 1 } else { -1 }),
            expected_position: (c % 6 == 1)
                .then_some(position.saturating_sub(u64::from(!c.is_multiple_of(4)))),
            expected_value: (c % 6 == 3).then_some(value.saturating_sub(1 + u64::from(c % 3))),
            ..SendExtra::NONE
        };
        let (topic, cause) =
            (self.history.unit_topic(self.units[unit]), (unit == 2).then_some(u64::from(c % 3)));
        let send = Send { cause, txn: self.txns[process], extra, ..Send::new(topic, None, value) };
        let op = self.invoke(process, Invoke::Send(send));
        let place = self.units[unit];
        if c < 21 {
            self.placed.push((unit, position, value));
        }
        self.complete(
            op,
            match c {
                0..=17 => Completion::Sent { unit: place, position: Some(position), duplicate: false },
                18..=20 => Completion::Unknown { error: "E".into(), place: None },
                21 => failed("FENCED"),
                22 => failed("WRONG_LAST_SEQUENCE"),
                _ => failed("E"),
            },
        );
    }

    fn poll(&mut self, process: usize, b: usize, c: u8) {
        let whole = self.history.meta.configuration.whole_reads;
        let op = self.invoke(process, Invoke::Poll { group: None, txn: self.txns[process] });
        let mut records: Vec<(usize, u64, u64)> = Vec::new();
        if whole {
            let to = Observation::Sought { unit: self.units[b % 2], to: 0 };
            let client = self.history.process_of(op.0);
            self.observe(client, to);
            records.extend(self.placed.iter().filter(|(unit, ..)| *unit == b % 2));
            records.sort_unstable();
            records.truncate(usize::from(c % 3));
        } else if !self.placed.is_empty() {
            let first = usize::from(c) % self.placed.len();
            records.extend(self.placed[first..].iter().step_by(1 + b % 3).take(1 + usize::from(c % 2)));
        }
        for (unit, position, value) in records {
            let deliver = Deliver { poll: Some(op), ..Deliver::new(self.units[unit], position, value) };
            let client = self.history.process_of(op.0);
            self.observe(client, Observation::Deliver(deliver));
        }
        self.complete(op, if c < 21 { Completion::Ok } else { failed("E") });
    }

    fn note(&mut self, process: usize, b: usize, c: u8) {
        let client = self.history.process(["p0", "p1", "p2"][process]);
        let id = u32::from(c % 2);
        let (process, note) = match b {
            0 => (client, Observation::Crashed),
            1 => (client, Observation::Sought { unit: self.units[0], to: 0 }),
            2 => {
                let (verb, hit) = ("kill".to_owned(), Hit::Nodes(vec![1]));
                (ProcessId::HARNESS, Observation::Fault(Struck { id, verb, role: "leader(t/0)".into(), hit }))
            }
            3 => (ProcessId::HARNESS, Observation::Heal { id }),
            _ => {
                self.time += 4000;
                (client, Observation::Revoked(vec![self.units[1]]))
            }
        };
        self.observe(process, note);
    }

    /// A drain of all units that leaves some records out.
    fn drain(&mut self, missing: u8) {
        let mut placed = self.placed.clone();
        placed.sort_unstable();
        for (index, (unit, position, value)) in placed.into_iter().enumerate() {
            if missing >> (index % 8) & 1 == 0 {
                let deliver = Deliver::new(self.units[unit], position, value);
                self.observe(ProcessId::DRAIN, Observation::Deliver(deliver));
            }
        }
        for unit in self.units {
            let (to, complete) = (4 + u64::from(missing % 3), missing % 5 != 4);
            let drain = Drain { unit, from: 0, to, complete, node: None };
            self.observe(ProcessId::DRAIN, Observation::Drain(drain));
        }
    }
}
