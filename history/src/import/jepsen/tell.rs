//! From operations to a history.

use super::{
    Fault, Imported, Problem, Workload,
    form::Form,
    nemesis,
    op::{Micro, Op, Records, Side, Work},
    values::Values,
};
use crate::{
    History, Meta,
    guarantees::{Isolation, Reading, TxnOrder},
    history::{Completion, Deliver, Drain, GroupId, Invoke, Observation, OpId, ProcessId, Send, UnitId},
};
use squall_bus::{Time, Topic, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// Tells the operations as a history.
pub(super) fn tell(ops: &[Op], skipped: usize) -> Result<Imported, Fault> {
    let workload = workload(ops)?;
    let mut teller = Teller::new(ops, workload);
    let mut faults = nemesis::faults(ops);
    for (index, op) in ops.iter().enumerate() {
        teller.time = Time(op.time);
        for note in faults.remove(&index).unwrap_or_default() {
            teller.history.observe(teller.time, ProcessId::HARNESS, note);
        }
        teller.line(op).map_err(|problem| (op.line, problem))?;
        teller.at_line(op.line);
    }
    if workload == Workload::ListAppend {
        teller.drain_lists();
    }
    let Teller { mut history, lines, .. } = teller;
    history.is_of_lines(lines);
    Ok(Imported { history, workload, ops: ops.len() + skipped, skipped })
}

fn workload(ops: &[Op]) -> Result<Workload, Fault> {
    let mut met: Option<Workload> = None;
    for op in ops {
        let Work::Micros { micros, lists, .. } = &op.work else { continue };
        if micros.is_empty() {
            continue;
        }
        let this = if *lists { Workload::ListAppend } else { Workload::Kafka };
        if met.replace(this).is_some_and(|other| other != this) {
            return Err((op.line, Problem::Mixed));
        }
    }
    Ok(met.unwrap_or(Workload::Kafka))
}

/// What the workloads promise when they are run by default.
fn promises(ops: &[Op], workload: Workload) -> Meta {
    let mut meta = Meta { scenario: "jepsen".into(), target: "imported".into(), ..Meta::default() };
    let configuration = &mut meta.configuration;
    configuration.idempotent = true;
    configuration.isolation = Isolation::ReadCommitted;
    let subscribes = ops.iter().any(|op| matches!(op.work, Work::Subscribe(_)));
    configuration.reading = if subscribes { Reading::Subscribe } else { Reading::Assign };
    if workload == Workload::ListAppend {
        configuration.isolated_writes = true;
        configuration.txn_order = TxnOrder::Realtime;
        configuration.whole_reads = true;
    }
    meta
}

/// An operation that has begun.
struct Open {
    /// The operation of each micro-operation.
    ops: Vec<OpId>,
    txn: Option<OpId>,
}

/// The last read of a list.
struct LastRead {
    begin: u32,
    line: u64,
    list: Vec<Option<u64>>,
}

struct Teller {
    history: History,
    values: Values,
    open: BTreeMap<String, Open>,
    groups: BTreeMap<String, GroupId>,
    /// Whether processes choose all units by polling.
    implicit: bool,
    chosen: BTreeSet<String>,
    units: Vec<UnitId>,
    time: Time,
    /// The last successful read of each list, and the last event at which an append to it was acknowledged.
    reads: BTreeMap<UnitId, LastRead>,
    acks: BTreeMap<UnitId, u32>,
    /// Where records stand that some poll does not place, by key and number.
    offsets: BTreeMap<(String, u64), u64>,
    /// The line of the operation that each event is part of.
    lines: Vec<u32>,
}

impl Teller {
    fn new(ops: &[Op], workload: Workload) -> Self {
        let mut history = History::new(promises(ops, workload));
        let mut values = Values::of(ops);
        let offsets = offsets(ops, &mut values);
        let units = values.keys().map(|key| history.unit(&Unit::new(&Topic::new(key), 0))).collect();
        let implicit = !ops.iter().any(|op| matches!(op.work, Work::Assign { .. } | Work::Subscribe(_)));
        let (open, groups, chosen) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (reads, acks, time, lines) = (BTreeMap::new(), BTreeMap::new(), Time(0), Vec::new());
        Self { history, values, open, groups, implicit, chosen, units, time, reads, acks, offsets, lines }
    }

    /// What was told since the last time is part of the operation in this line.
    fn at_line(&mut self, line: u64) {
        self.lines.resize(self.history.len(), u32::try_from(line).unwrap_or(u32::MAX));
    }

    fn process(&mut self, op: &Op) -> ProcessId {
        self.history.process(&format!("process-{}", op.process))
    }

    fn unit(&mut self, key: &str) -> UnitId {
        self.history.unit(&Unit::new(&Topic::new(key), 0))
    }

    fn observe(&mut self, op: &Op, note: Observation) -> u32 {
        let process = self.process(op);
        self.history.observe(self.time, process, note)
    }

    fn line(&mut self, op: &Op) -> Result<(), Problem> {
        let happened = matches!(op.side, Side::Ok | Side::Info);
        match &op.work {
            Work::Micros { micros, txn, .. } => return self.micros(op, micros, *txn),
            Work::Assign { keys, from_start } if happened => self.assign(op, keys, *from_start),
            Work::Subscribe(keys) if happened => self.subscribe(op, keys),
            // Its client is opened anew whatever the answer.
            Work::Crash if op.side != Side::Invoke => {
                self.observe(op, Observation::Crashed);
            }
            Work::Assign { .. } | Work::Subscribe(_) | Work::Crash | Work::Nemesis { .. } => {}
        }
        Ok(())
    }

    fn assign(&mut self, op: &Op, keys: &[String], from_start: bool) {
        self.groups.remove(&op.process);
        let units: Vec<UnitId> = keys.iter().map(|key| self.unit(key)).collect();
        let places = units.iter().map(|unit| (*unit, None)).collect();
        self.observe(op, Observation::Assigned { group: None, units: places, generation: None });
        for unit in units.into_iter().filter(|_| from_start) {
            self.observe(op, Observation::Sought { unit, to: 0 });
        }
    }

    fn subscribe(&mut self, op: &Op, keys: &[String]) {
        let group = self.history.group("group");
        self.groups.insert(op.process.clone(), group);
        let topics = keys.iter().map(|key| self.history.topic(key)).collect();
        self.observe(op, Observation::Subscribed { group: Some(group), topics });
    }

    fn micros(&mut self, op: &Op, micros: &[Micro], txn: bool) -> Result<(), Problem> {
        if op.side == Side::Invoke {
            // What the process had open before never ends.
            self.open.remove(&op.process);
            return self.begin(op, micros, txn);
        }
        if !self.open.contains_key(&op.process) {
            self.begin(op, micros, txn)?;
        }
        if let Some(open) = self.open.remove(&op.process) {
            self.end(op, micros, &open);
        }
        Ok(())
    }

    fn begin(&mut self, op: &Op, micros: &[Micro], txn: bool) -> Result<(), Problem> {
        let process = self.process(op);
        let polls = micros.iter().any(|micro| matches!(micro, Micro::Poll(_)));
        if self.implicit && polls && self.chosen.insert(op.process.clone()) {
            let units = self.units.iter().map(|unit| (*unit, None)).collect();
            self.observe(op, Observation::Assigned { group: None, units, generation: None });
        }
        let group = self.groups.get(&op.process).copied();
        let txn = txn.then(|| self.history.invoke(self.time, process, Invoke::Txn { id: None, epoch: None }));
        let mut ops = Vec::with_capacity(micros.len());
        for micro in micros {
            let invoke = match micro {
                Micro::Send { key, value, .. } => {
                    let Some(number) = self.values.number(key, value) else {
                        return Err(Problem::Op(format!("a send to {key} has no value")));
                    };
                    let topic = self.history.topic(key);
                    Invoke::Send(Send { partition: Some(0), txn, ..Send::new(topic, None, number) })
                }
                Micro::Poll(_) => Invoke::Poll { group, txn },
                Micro::Read { .. } => Invoke::Poll { group: None, txn },
            };
            ops.push(self.history.invoke(self.time, process, invoke));
        }
        self.open.insert(op.process.clone(), Open { ops, txn });
        Ok(())
    }

    fn end(&mut self, op: &Op, micros: &[Micro], open: &Open) {
        for (micro, id) in micros.iter().zip(&open.ops) {
            match micro {
                Micro::Send { key, offset, .. } => self.end_send(op, key, *offset, *id, open.txn.is_some()),
                Micro::Poll(records) => self.end_poll(op, records.as_ref().unwrap_or(&Records::new()), *id),
                Micro::Read { key, list } => self.end_read(op, key, list.as_deref(), *id),
            }
        }
        if let Some(txn) = open.txn {
            let completion = ending(op);
            self.history.complete(self.time, txn, completion);
        }
    }

    fn end_send(&mut self, op: &Op, key: &str, offset: Option<u64>, id: OpId, in_txn: bool) {
        let unit = self.unit(key);
        let sent = Completion::Sent { unit, position: offset, duplicate: false };
        let completion = match op.side {
            Side::Ok => sent,
            // The transaction failed or is in doubt, but the send itself was acknowledged.
            Side::Fail | Side::Info if in_txn && offset.is_some() => sent,
            Side::Info => {
                let place = offset.map(|offset| (unit, offset));
                Completion::Unknown { error: error(op), place }
            }
            Side::Fail | Side::Invoke => Completion::Fail { error: error(op) },
        };
        self.history.complete(self.time, id, completion);
        if op.side == Side::Ok {
            self.acks.insert(unit, self.history.len() as u32);
        }
    }

    fn end_poll(&mut self, op: &Op, units: &Records, id: OpId) {
        let group = self.groups.get(&op.process).copied();
        for (key, records) in units {
            if op.rebalanced.contains(key) {
                // Where it goes on from here nobody said.
                let unit = self.unit(key);
                self.observe(op, Observation::Revoked(vec![unit]));
            }
            for (offset, value) in records {
                // A record whose place nobody knows proves nothing about the log.
                if let Some(position) = offset.or_else(|| self.offset(key, value)) {
                    self.deliver(op, key, position, value, (id, group));
                }
            }
        }
        self.history.complete(self.time, id, ending(op));
    }

    /// Where a record stands, if any operation says so.
    fn offset(&mut self, key: &str, value: &Form) -> Option<u64> {
        let number = self.values.number(key, value)?;
        self.offsets.get(&(key.to_owned(), number)).copied()
    }

    fn deliver(
        &mut self,
        op: &Op,
        key: &str,
        position: u64,
        value: &Form,
        (poll, group): (OpId, Option<GroupId>),
    ) {
        let unit = self.unit(key);
        let value = self.values.number(key, value);
        let plain = Deliver::new(unit, position, 0);
        let deliver = Deliver { value, corrupt: value.is_none(), poll: Some(poll), group, ..plain };
        self.observe(op, Observation::Deliver(deliver));
    }

    fn end_read(&mut self, op: &Op, key: &str, list: Option<&[Form]>, id: OpId) {
        let unit = self.unit(key);
        if let Some(list) = list {
            self.observe(op, Observation::Sought { unit, to: 0 });
            for (position, value) in (0..).zip(list) {
                self.deliver(op, key, position, value, (id, None));
            }
        }
        self.history.complete(self.time, id, ending(op));
        if let (Side::Ok, Some(list)) = (op.side, list) {
            let list = list.iter().map(|value| self.values.number(key, value)).collect();
            self.reads.insert(unit, LastRead { begin: id.0, line: op.line, list });
        }
    }

    /// The last read of a list that began after every append to it was acknowledged is its final drain.
    fn drain_lists(&mut self) {
        for (unit, read) in std::mem::take(&mut self.reads) {
            if self.acks.get(&unit).is_some_and(|ack| *ack > read.begin) {
                continue;
            }
            for (position, value) in (0..).zip(&read.list) {
                let deliver = Deliver { value: *value, ..Deliver::new(unit, position, 0) };
                self.history.observe(self.time, ProcessId::DRAIN, Observation::Deliver(deliver));
            }
            let to = read.list.len() as u64;
            let drain = Drain { unit, from: 0, to, complete: true, node: None };
            self.history.observe(self.time, ProcessId::DRAIN, Observation::Drain(drain));
            self.at_line(read.line);
        }
    }
}

/// Where the records stand that some poll does not place, as far as any operation says.
fn offsets(ops: &[Op], values: &mut Values) -> BTreeMap<(String, u64), u64> {
    let mut offsets = BTreeMap::new();
    let micros = || {
        ops.iter().flat_map(|op| match &op.work {
            Work::Micros { micros, .. } => micros.as_slice(),
            _ => &[],
        })
    };
    let lacks = |micro: &Micro| match micro {
        Micro::Poll(Some(units)) => {
            units.iter().flat_map(|(_, list)| list).any(|(offset, _)| offset.is_none())
        }
        _ => false,
    };
    if !micros().any(lacks) {
        return offsets;
    }
    let mut learn = |key: &str, offset: Option<u64>, value: &Form| {
        if let (Some(offset), Some(number)) = (offset, values.number(key, value)) {
            offsets.entry((key.to_owned(), number)).or_insert(offset);
        }
    };
    for micro in micros() {
        match micro {
            Micro::Send { key, value, offset } => learn(key, *offset, value),
            Micro::Poll(Some(units)) => {
                for (key, records) in units {
                    records.iter().for_each(|(offset, value)| learn(key, *offset, value));
                }
            }
            Micro::Poll(None) | Micro::Read { .. } => {}
        }
    }
    offsets
}

fn error(op: &Op) -> String {
    op.error.clone().unwrap_or_else(|| "unknown".to_owned())
}

/// How anything but a send ends.
fn ending(op: &Op) -> Completion {
    match op.side {
        Side::Ok => Completion::Ok,
        Side::Fail => Completion::Fail { error: error(op) },
        Side::Info | Side::Invoke => Completion::Unknown { error: error(op), place: None },
    }
}
