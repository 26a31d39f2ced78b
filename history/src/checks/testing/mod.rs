//! A tiny constructor of histories, so that a test tells its story in five lines. One unit, `orders/0`, its
//! dead-letter topic, one key, one producer and one group, unless the tale says otherwise; a millisecond an event.
//! Transactions, polls and what else clients do are told in [`clients`]; queues in [`queue`]; what befalls the bus,
//! and what it says of itself, in [`bus`].

mod bus;
mod clients;
mod queue;

use super::{Case, Check};
use crate::{
    History, Meta, Report,
    analysis::Analysis,
    history::{
        Completion, Deliver, DeliverExtra, Drain, Handling, Invoke, Observation, OpId, ProcessId, Send,
        SendExtra, TopicId, UnitId,
    },
    judge,
};
use squall_bus::{Time, Topic, Unit};
use std::collections::BTreeMap;

pub(crate) struct Tale {
    history: History,
    now: Time,
    orders: UnitId,
    dead: UnitId,
    key: String,
    producer: String,
    consumer: String,
    session: u32,
    ops: BTreeMap<u64, OpId>,
    /// The transaction that is open, and the poll.
    txn: Option<OpId>,
    poll: Option<OpId>,
    /// What the next send, and the next delivery, carry besides.
    send_extra: SendExtra,
    deliver_extra: DeliverExtra,
    attempt: Option<u32>,
    cause: Option<u64>,
    /// The node that is drained through.
    node: Option<u32>,
    /// The last delivery of each value, by its event.
    deliveries: BTreeMap<u64, u32>,
}

pub(crate) fn tale() -> Tale {
    let mut meta = Meta::default();
    meta.configuration.dlq = Some("orders.dlq".into());
    let mut history = History::new(meta);
    let orders = history.unit(&Unit::new(&Topic::new("orders"), 0));
    let dead = history.unit(&Unit::new(&Topic::new("orders.dlq"), 0));
    let (key, consumer) = ("k".to_owned(), "consumer-0".to_owned());
    Tale {
        history,
        now: Time(0),
        orders,
        dead,
        key,
        producer: "producer-0".to_owned(),
        consumer,
        session: 0,
        ops: BTreeMap::new(),
        txn: None,
        poll: None,
        send_extra: SendExtra::NONE,
        deliver_extra: DeliverExtra::NONE,
        attempt: None,
        cause: None,
        node: None,
        deliveries: BTreeMap::new(),
    }
}

impl Tale {
    fn tick(&mut self) -> Time {
        self.now = Time(self.now.0 + 1_000_000);
        self.now
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Meta)) -> &mut Self {
        change(&mut self.history.meta);
        self
    }

    /// The next event happens at this millisecond.
    pub(crate) fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Time::from_millis(ms - 1);
        self
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.key = key.into();
        self
    }

    pub(crate) fn by(&mut self, consumer: &str) -> &mut Self {
        self.consumer = consumer.into();
        self
    }

    pub(crate) fn restart_producer(&mut self) -> &mut Self {
        self.session += 1;
        self
    }

    fn invoke(&mut self, topic: &str, value: u64, change: impl FnOnce(&mut Send, Time)) -> &mut Self {
        let topic = self.history.topic(topic);
        self.invoke_to(topic, value, change)
    }

    fn invoke_to(&mut self, topic: TopicId, value: u64, change: impl FnOnce(&mut Send, Time)) -> &mut Self {
        let (now, process) = (self.tick(), self.history.process(&self.producer));
        let key = self.history.key(&self.key);
        let (txn, extra) = (self.txn, std::mem::take(&mut self.send_extra));
        let (session, cause) = (self.session, self.cause.take());
        let mut send = Send { session, cause, txn, extra, ..Send::new(topic, Some(key), value) };
        change(&mut send, now);
        let op = self.history.invoke(now, process, Invoke::Send(send));
        self.ops.insert(value, op);
        self
    }

    fn complete(&mut self, value: u64, completion: Completion) -> &mut Self {
        let now = self.tick();
        self.history.complete(now, self.ops[&value], completion);
        self
    }

    pub(crate) fn send(&mut self, value: u64) -> &mut Self {
        let topic = self.history.unit_topic(self.orders);
        self.invoke_to(topic, value, |_, _| {})
    }

    /// A send that the schedule wanted right now.
    pub(crate) fn intend(&mut self, value: u64) -> &mut Self {
        self.invoke("orders", value, |send, now| send.intended = Some(now));
        self.now = Time(self.now.0 - 1_000_000);
        self
    }

    pub(crate) fn ok(&mut self, value: u64, position: u64) -> &mut Self {
        let unit = self.orders;
        self.complete(value, Completion::Sent { unit, position: Some(position), duplicate: false })
    }

    pub(crate) fn timeout(&mut self, value: u64) -> &mut Self {
        self.complete(value, Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place: None })
    }

    pub(crate) fn sent(&mut self, value: u64, position: u64) -> &mut Self {
        self.send(value).ok(value, position)
    }

    pub(crate) fn poison(&mut self, value: u64, position: u64) -> &mut Self {
        self.invoke("orders", value, |send, _| send.poison = true).ok(value, position)
    }

    pub(crate) fn failed(&mut self, value: u64) -> &mut Self {
        self.send(value).complete(value, Completion::Fail { error: "NOT_ENOUGH_REPLICAS".into() })
    }

    pub(crate) fn unknown(&mut self, value: u64, position: Option<u64>) -> &mut Self {
        let place = position.map(|position| (self.orders, position));
        self.send(value).complete(value, Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place })
    }

    fn dead_send(&mut self, value: u64, cause: Option<u64>) -> &mut Self {
        self.invoke("orders.dlq", value, |send, _| send.cause = cause)
    }

    pub(crate) fn dead(&mut self, value: u64, cause: Option<u64>, position: u64) -> &mut Self {
        let unit = self.dead;
        let completion = Completion::Sent { unit, position: Some(position), duplicate: false };
        self.dead_send(value, cause).complete(value, completion)
    }

    pub(crate) fn dead_failed(&mut self, value: u64, cause: Option<u64>) -> &mut Self {
        self.dead_send(value, cause).complete(value, Completion::Fail { error: "NOT_ENOUGH_REPLICAS".into() })
    }

    pub(crate) fn dead_unknown(&mut self, value: u64, cause: Option<u64>) -> &mut Self {
        self.dead_send(value, cause)
            .complete(value, Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place: None })
    }

    fn observe(&mut self, process: ProcessId, observation: Observation) -> &mut Self {
        let now = self.tick();
        self.history.observe(now, process, observation);
        self
    }

    fn deliver(
        &mut self,
        unit: UnitId,
        value: Option<u64>,
        position: u64,
        drain: bool,
        corrupt: bool,
    ) -> &mut Self {
        let group = self.history.group("group");
        let process = if drain { ProcessId::DRAIN } else { self.history.process(&self.consumer) };
        let group = (!drain).then_some(group);
        let mut extra = std::mem::take(&mut self.deliver_extra);
        extra.node = extra.node.or(self.node.filter(|_| drain));
        let (attempt, poll) = (self.attempt.take(), self.poll.filter(|_| !drain));
        let deliver = Deliver { group, unit, position, value, corrupt, attempt, poll, extra };
        let event = self.history.len() as u32;
        self.deliveries.extend(value.map(|value| (value, event)));
        self.observe(process, Observation::Deliver(deliver))
    }

    pub(crate) fn read(&mut self, value: u64, position: u64) -> &mut Self {
        self.deliver(self.orders, Some(value), position, false, false)
    }

    pub(crate) fn read_damaged(&mut self, value: Option<u64>, position: u64) -> &mut Self {
        self.deliver(self.orders, value, position, false, true)
    }

    pub(crate) fn drain(&mut self, value: u64, position: u64) -> &mut Self {
        self.deliver(self.orders, Some(value), position, true, false)
    }

    pub(crate) fn drain_dead(&mut self, value: u64, position: u64) -> &mut Self {
        self.deliver(self.dead, Some(value), position, true, false)
    }

    fn drain_fact(&mut self, to: u64, complete: bool) -> &mut Self {
        let (unit, node) = (self.orders, self.node);
        self.observe(ProcessId::DRAIN, Observation::Drain(Drain { unit, from: 0, to, complete, node }))
    }

    pub(crate) fn drained(&mut self, to: u64) -> &mut Self {
        self.drain_fact(to, true)
    }

    pub(crate) fn undrained(&mut self, to: u64) -> &mut Self {
        self.drain_fact(to, false)
    }

    pub(crate) fn handled(&mut self, value: u64, how: Handling) -> &mut Self {
        let (group, process) = (Some(self.history.group("group")), self.history.process(&self.consumer));
        self.observe(process, Observation::Handled { group, value, how })
    }

    /// The consumer is assigned the unit; the position is what the bus says, and does not matter to the checks.
    pub(crate) fn assigned(&mut self, position: u64) -> &mut Self {
        let (group, process) = (Some(self.history.group("group")), self.history.process(&self.consumer));
        let units = vec![(self.orders, Some(position))];
        self.observe(process, Observation::Assigned { group, units, generation: None })
    }

    fn commit(&mut self, position: u64, completion: Completion) -> &mut Self {
        let (group, process) = (self.history.group("group"), self.history.process(&self.consumer));
        let (now, positions) = (self.tick(), vec![(self.orders, position)]);
        let op = self.history.invoke(now, process, Invoke::Commit { group, positions, txn: self.txn });
        let now = self.tick();
        self.history.complete(now, op, completion);
        self
    }

    pub(crate) fn committed(&mut self, position: u64) -> &mut Self {
        self.commit(position, Completion::Ok)
    }

    pub(crate) fn commit_unknown(&mut self, position: u64) -> &mut Self {
        self.commit(position, Completion::Unknown { error: "_TIMED_OUT".into(), place: None })
    }

    pub(crate) fn judged(&self) -> Report {
        judge(&self.history)
    }

    /// Exactly these findings: (value, position, case), in order.
    #[track_caller]
    pub(crate) fn finds(&self, check: Check, expected: &[(u64, u64, Case)]) {
        let analysis = Analysis::new(&self.history);
        let found = (check.find)(&analysis);
        for one in &found {
            let [first, second] = (check.tell)(&analysis, one);
            assert!(first.ends_with('.') && second.ends_with('.'), "not a story: {first:?} {second:?}");
        }
        let found: Vec<(u64, u64, Case)> = found
            .iter()
            .map(|one| {
                let value = one.send.map(|row| analysis.send(row).value);
                (value.expect("a send"), one.position.expect("a position"), one.case)
            })
            .collect();
        assert_eq!(found, expected);
    }

    /// Findings at exactly these positions.
    #[track_caller]
    pub(crate) fn finds_at(&self, check: Check, expected: &[u64]) {
        let found = (check.find)(&Analysis::new(&self.history));
        assert_eq!(found.iter().filter_map(|one| one.position).collect::<Vec<_>>(), expected);
    }

    /// Findings in exactly these units.
    #[track_caller]
    pub(crate) fn finds_units(&self, check: Check, expected: &[&str]) {
        let found = (check.find)(&Analysis::new(&self.history));
        let units = found.iter().filter_map(|one| one.unit);
        assert_eq!(units.map(|unit| self.history.unit_name(unit).to_string()).collect::<Vec<_>>(), expected);
    }
}
