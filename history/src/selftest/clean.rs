//! Clean histories under legal chaos: a small bus that keeps every promise while clients time out, transactions
//! abort, polls fail, members crash, groups rebalance, nodes die and leaders change.
//!
//! Records are appended when they are sent and acknowledged later, perhaps never; a marker takes a place at the end
//! of a transaction; readers see what is committed and stable; a failed poll does not move its reader; who takes over
//! a unit goes on where the group committed.

use super::dice::Dice;
use crate::{
    History, Meta,
    events::Hit,
    guarantees::{Delivery, Dlq, Isolation, Log, Order},
    history::{
        Completion, Deliver, DeliverExtra, Drain, Ends, GroupId, Handling, Invoke, Observation, OpId, Phase,
        ProcessId, Send, Struck, UnitId,
    },
    scribe::Scribe,
};
use squall_bus::{Time, Topic, Unit};
use std::{collections::BTreeMap, time::Duration};

/// How many records are sent at least.
const RECORDS: u64 = 40;
/// The units of `orders`.
const UNITS: usize = 2;

/// A record in a log, or a hole.
#[derive(Clone, Copy)]
struct Stored {
    value: u64,
    /// It can be read; a record of an open or aborted transaction cannot, nor can a marker.
    readable: bool,
    /// Its transaction is open.
    open: bool,
    epoch: u32,
}

/// A transaction under way: its operation and the places of its records.
struct OpenTxn {
    op: OpId,
    places: Vec<(usize, usize)>,
}

struct Bus {
    scribe: Scribe,
    dice: Dice,
    units: [UnitId; UNITS],
    dead: UnitId,
    group: GroupId,
    logs: [Vec<Stored>; UNITS],
    dead_letters: Vec<u64>,
    value: u64,
    /// Sends that are in the log and not yet answered.
    pending: Vec<(OpId, UnitId, u64)>,
    txn: Option<OpenTxn>,
    epoch: u32,
    /// Which member owns each unit, where it reads next, and where the group committed.
    owner: [u64; UNITS],
    position: [usize; UNITS],
    committed: [usize; UNITS],
    generation: u32,
    poison: Vec<u64>,
    handled: BTreeMap<u64, u32>,
}

/// A clean run of producers, a transactional producer and a group with a dead-letter topic.
pub(super) fn groups(seed: u64) -> History {
    let mut bus = Bus::new(seed);
    bus.scribe.phase(Phase::WorkloadBegan);
    bus.rebalance(&[0, 1]);
    while bus.value < RECORDS {
        bus.step();
    }
    bus.finish();
    bus.scribe.history
}

fn meta(seed: u64) -> Meta {
    let mut meta = Meta { scenario: "clean".into(), target: "sim:kafka".into(), seed, ..Meta::default() };
    let configuration = &mut meta.configuration;
    configuration.idempotent = true;
    configuration.isolation = Isolation::ReadCommitted;
    configuration.dlq = Some("orders.dlq".into());
    configuration.groups = vec!["billing".into()];
    configuration.clock_bound = Some(Duration::ZERO);
    meta.expect.delivery = Some(Delivery::AtLeastOnce);
    meta.expect.log = Some(Log::ExactlyOnce);
    meta.expect.order = Some(Order::PerKey);
    meta.expect.dlq = Some(Dlq::ExactlyThePoison);
    meta.expect.unavailable = Some(Duration::from_secs(60));
    meta
}

impl Bus {
    fn new(seed: u64) -> Self {
        let mut history = History::new(meta(seed));
        let unit = |history: &mut History, topic: &str, n| history.unit(&Unit::new(&Topic::new(topic), n));
        let units = [unit(&mut history, "orders", 0), unit(&mut history, "orders", 1)];
        let dead = unit(&mut history, "orders.dlq", 0);
        let group = history.group("billing");
        Self {
            scribe: Scribe::new(history),
            dice: Dice::new(seed),
            units,
            dead,
            group,
            logs: Default::default(),
            dead_letters: Vec::new(),
            value: 0,
            pending: Vec::new(),
            txn: None,
            epoch: 1,
            owner: [0; UNITS],
            position: [0; UNITS],
            committed: [0; UNITS],
            generation: 0,
            poison: Vec::new(),
            handled: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=6 => self.send(),
            7..=9 => self.answer(),
            10..=11 => self.transact(),
            12..=15 => {
                let unit = self.dice.below(UNITS as u64) as usize;
                self.consume(unit, true);
            }
            16 => self.ask_for_the_end(),
            17 => self.fault(),
            _ if self.dice.percent(30) => {
                let members = [&[0][..], &[1], &[0, 1]];
                let members = members[self.dice.below(3) as usize];
                self.rebalance(members);
            }
            _ => {}
        }
    }

    /// A plain producer sends; the record is stored at once, and answered later, if at all.
    fn send(&mut self) {
        let value = self.next_value();
        let unit = (value % UNITS as u64) as usize;
        let poison = self.dice.percent(8);
        let (topic, key) =
            (self.scribe.history.topic("orders"), self.scribe.history.key(format!("key-{}", value % 6)));
        let intended = Some(Time(self.scribe.now));
        // Keys have a producer each, so that there is an order to keep.
        let producer = format!("producer-{unit}");
        let send = Send { poison, intended, ..Send::new(topic, Some(key), value) };
        let op = self.scribe.invoke(&producer, Invoke::Send(send));
        if self.dice.percent(8) {
            return self.scribe.complete(op, Completion::Fail { error: "NOT_ENOUGH_REPLICAS".into() });
        }
        if self.dice.percent(5) {
            return self
                .scribe
                .complete(op, Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place: None });
        }
        if poison {
            self.poison.push(value);
        }
        let position = self.append(unit, value, false) as u64;
        self.pending.push((op, self.units[unit], position));
    }

    fn next_value(&mut self) -> u64 {
        self.value += 1;
        self.value
    }

    fn append(&mut self, unit: usize, value: u64, open: bool) -> usize {
        self.logs[unit].push(Stored { value, readable: !open, open, epoch: self.epoch });
        self.logs[unit].len() - 1
    }

    /// One of the stored records is acknowledged, in any order, or its answer is lost.
    fn answer(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.dice.below(self.pending.len() as u64) as usize;
        let (op, unit, position) = self.pending.swap_remove(index);
        let lost = self.dice.percent(10);
        let place = self.dice.percent(50).then_some((unit, position));
        self.scribe.complete(
            op,
            if lost {
                Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place }
            } else {
                Completion::Sent { unit, position: Some(position), duplicate: false }
            },
        );
    }

    /// The transactional producer goes one step on: it begins, sends, or ends.
    fn transact(&mut self) {
        let Some(txn) = &self.txn else {
            let id = Some(self.scribe.history.transactional_id("shop"));
            let op = self.scribe.invoke("shop", Invoke::Txn { id, epoch: Some(1) });
            self.txn = Some(OpenTxn { op, places: Vec::new() });
            return;
        };
        if txn.places.len() > 3 || (!txn.places.is_empty() && self.dice.percent(40)) {
            return self.end_txn();
        }
        let (op, value) = (txn.op, self.next_value());
        let unit = self.dice.below(UNITS as u64) as usize;
        let (topic, key) =
            (self.scribe.history.topic("orders"), self.scribe.history.key(format!("txn-{unit}")));
        let send = Send { txn: Some(op), ..Send::new(topic, Some(key), value) };
        let send = self.scribe.invoke("shop", Invoke::Send(send));
        let position = self.append(unit, value, true);
        let completion =
            Completion::Sent { unit: self.units[unit], position: Some(position as u64), duplicate: false };
        self.scribe.complete(send, completion);
        if let Some(txn) = &mut self.txn {
            txn.places.push((unit, position));
        }
    }

    fn end_txn(&mut self) {
        let Some(txn) = self.txn.take() else { return };
        let (committed, told) = (self.dice.percent(70), self.dice.percent(80));
        for (unit, position) in &txn.places {
            let stored = &mut self.logs[*unit][*position];
            (stored.open, stored.readable) = (false, committed);
        }
        for unit in 0..UNITS {
            if txn.places.iter().any(|(other, _)| *other == unit) {
                self.logs[unit].push(Stored { value: 0, readable: false, open: false, epoch: self.epoch });
            }
        }
        let completion = match (told, committed) {
            (true, true) => Completion::Ok,
            (true, false) => Completion::Fail { error: "aborted".into() },
            (false, _) => Completion::Unknown { error: "_TIMED_OUT".into(), place: None },
        };
        self.scribe.complete(txn.op, completion);
    }

    /// The first place that an open transaction holds back.
    fn stable(&self, unit: usize) -> usize {
        self.logs[unit].iter().position(|stored| stored.open).unwrap_or(self.logs[unit].len())
    }

    /// The owner of a unit polls it, handles what it is given, and commits. A poll may fail.
    fn consume(&mut self, unit: usize, chaos: bool) {
        let member = format!("consumer-{}", self.owner[unit]);
        let (from, stable) = (self.position[unit], self.stable(unit));
        let poll = self.scribe.invoke(&member, Invoke::Poll { group: Some(self.group), txn: None });
        let (mut batch, mut next) = (Vec::new(), from);
        while next < stable && batch.len() < 3 {
            let stored = self.logs[unit][next];
            if stored.readable {
                self.deliver(&member, Some(poll), unit, next, stored);
                batch.push(stored.value);
            }
            next += 1;
        }
        if chaos && self.dice.percent(10) {
            return self.scribe.complete(poll, Completion::Fail { error: "_TIMED_OUT".into() });
        }
        self.scribe.complete(poll, Completion::Ok);
        self.position[unit] = next;
        for value in batch {
            self.handle(&member, value);
        }
        if !chaos || self.dice.percent(70) {
            let positions = vec![(self.units[unit], next as u64)];
            let commit = Invoke::Commit { group: self.group, positions, txn: None };
            let op = self.scribe.invoke(&member, commit);
            self.scribe.complete(op, Completion::Ok);
            self.committed[unit] = next;
        }
    }

    fn deliver(&mut self, member: &str, poll: Option<OpId>, unit: usize, position: usize, stored: Stored) {
        let group = Some(self.group).filter(|_| poll.is_some());
        let extra = DeliverExtra { epoch: Some(stored.epoch), ..DeliverExtra::NONE };
        let plain = Deliver::new(self.units[unit], position as u64, stored.value);
        self.scribe.observe(member, Observation::Deliver(Deliver { group, poll, extra, ..plain }));
    }

    fn handle(&mut self, member: &str, value: u64) {
        let group = Some(self.group);
        let handled = |how| Observation::Handled { group, value, how };
        if self.dice.percent(10) {
            self.scribe.observe(member, handled(Handling::Retry(1)));
        }
        if !self.poison.contains(&value) {
            self.scribe.observe(member, handled(Handling::Ok));
            *self.handled.entry(value).or_default() += 1;
            return;
        }
        self.scribe.observe(member, handled(Handling::Poison));
        let dead = (1 << 62) + self.dead_letters.len() as u64;
        let topic = self.scribe.history.topic("orders.dlq");
        let op = self
            .scribe
            .invoke(member, Invoke::Send(Send { cause: Some(value), ..Send::new(topic, None, dead) }));
        let position = Some(self.dead_letters.len() as u64);
        self.dead_letters.push(dead);
        self.scribe.complete(op, Completion::Sent { unit: self.dead, position, duplicate: false });
    }

    /// The group has these members now; units that change hands go on where the group committed.
    fn rebalance(&mut self, members: &[u64]) {
        let first = self.generation == 0;
        self.generation += 1;
        for member in if first { 0..0 } else { 0..2u64 } {
            let name = format!("consumer-{member}");
            let owned: Vec<UnitId> =
                (0..UNITS).filter(|unit| self.owner[*unit] == member).map(|unit| self.units[unit]).collect();
            if !members.contains(&member) && self.dice.percent(50) {
                self.scribe.observe(&name, Observation::Crashed);
            } else if !owned.is_empty() {
                self.scribe.observe(&name, Observation::Revoked(owned));
            }
        }
        let names: Vec<String> = members.iter().map(|member| format!("consumer-{member}")).collect();
        let ids: Vec<ProcessId> = names.iter().map(|name| self.scribe.history.process(name)).collect();
        let (group, generation) = (self.group, self.generation);
        self.scribe.observe("harness", Observation::Rebalanced { group, generation, members: ids });
        for unit in 0..UNITS {
            self.owner[unit] = members[unit % members.len()];
            self.position[unit] = self.committed[unit];
        }
        for (member, name) in members.iter().zip(&names) {
            let own = (0..UNITS).filter(|unit| self.owner[*unit] == *member);
            let units = own.map(|unit| (self.units[unit], Some(self.committed[unit] as u64))).collect();
            let generation = Some(self.generation);
            self.scribe.observe(name, Observation::Assigned { group: Some(group), units, generation });
        }
    }

    fn ask_for_the_end(&mut self) {
        let unit = self.dice.below(UNITS as u64) as usize;
        let op = self.scribe.invoke("admin", Invoke::End { unit: self.units[unit], node: None });
        let (high, stable) = (self.logs[unit].len() as u64, Some(self.stable(unit) as u64));
        self.scribe.complete(op, Completion::Ends(Ends { high, stable, start: Some(0) }));
    }

    fn fault(&mut self) {
        let (id, node) = (self.epoch, self.dice.below(3) as u32);
        let (verb, role, hit) = ("kill".into(), "leader(orders/0)".into(), Hit::Nodes(vec![node]));
        self.scribe.observe("harness", Observation::Fault(Struck { id, verb, role, hit }));
        self.epoch += 1;
        for unit in self.units {
            let elected = Observation::Elected {
                unit,
                leader: Some((node + 1) % 3),
                unclean: false,
                epoch: Some(self.epoch),
            };
            self.scribe.observe("harness", elected);
        }
        self.scribe.observe("harness", Observation::Heal { id });
    }

    /// Everything is answered and healed, the group catches up, and the whole log is drained, then through each node.
    fn finish(&mut self) {
        self.scribe.phase(Phase::WorkloadOver);
        while !self.pending.is_empty() {
            self.answer();
        }
        self.end_txn();
        self.scribe.phase(Phase::Healed);
        for unit in 0..UNITS {
            while self.position[unit] < self.logs[unit].len() {
                self.consume(unit, false);
            }
        }
        self.scribe.phase(Phase::CaughtUp);
        for node in [None, Some(0), Some(1)] {
            for unit in 0..UNITS {
                self.drain(unit, node);
            }
        }
        self.drain_dead_letters();
        self.scribe.phase(Phase::Drained);
    }

    fn drain(&mut self, unit: usize, node: Option<u32>) {
        for (position, stored) in self.logs[unit].clone().into_iter().enumerate() {
            if stored.readable {
                let extra = DeliverExtra { node, epoch: Some(stored.epoch), ..DeliverExtra::NONE };
                let plain = Deliver::new(self.units[unit], position as u64, stored.value);
                self.scribe.observe("drain", Observation::Deliver(Deliver { extra, ..plain }));
            }
        }
        let (unit, to) = (self.units[unit], self.logs[unit].len() as u64);
        self.scribe.observe("drain", Observation::Drain(Drain { unit, from: 0, to, complete: true, node }));
    }

    fn drain_dead_letters(&mut self) {
        for (position, value) in (0..).zip(self.dead_letters.clone()) {
            self.scribe.observe("drain", Observation::Deliver(Deliver::new(self.dead, position, value)));
        }
        let (unit, to) = (self.dead, self.dead_letters.len() as u64);
        self.scribe
            .observe("drain", Observation::Drain(Drain { unit, from: 0, to, complete: true, node: None }));
    }
}
