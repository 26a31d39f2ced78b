//! Clean histories of a work queue under legal chaos: consumers that take their time, die, nak, give up or acknowledge
//! without an answer; sends that are lost, of unknown outcome or repeated under their message id; messages with a time
//! to live. The bus keeps every promise: one holder at a time, no redelivery before its time, no more deliveries and
//! no more messages pending than the limits.

use super::dice::Dice;
use crate::{
    History, Meta,
    guarantees::Reading,
    history::{
        Advice, Completion, Deliver, DeliverExtra, Drain, GroupId, Invoke, Observation, OpId, Phase,
        ProcessId, Send, SendExtra, Settlement, UnitId,
    },
    scribe::Scribe,
};
use squall_bus::{Time, Topic, Unit};
use std::time::Duration;

const MS: u64 = 1_000_000;
const RECORDS: u64 = 30;
const WAIT: u64 = 40 * MS;
const MAX_DELIVER: u32 = 4;
const MAX_PENDING: usize = 3;
/// Longer than a run takes.
const LONG: u64 = 1_000_000 * MS;

/// How far a stored message is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It can be handed out from this time on.
    Ready(u64),
    /// It is held until this time by that consumer, in this delivery.
    Held(u64, usize, u32),
    /// It is acknowledged, given up, or exhausted.
    Done,
}

struct Message {
    value: u64,
    state: State,
    delivered: u32,
}

struct Bus {
    scribe: Scribe,
    dice: Dice,
    unit: UnitId,
    group: GroupId,
    log: Vec<Message>,
    value: u64,
    /// Message ids that were stored, with the place.
    ids: Vec<(u64, u64)>,
}

/// A clean run of two producers and three consumers of one work queue.
pub(super) fn queue(seed: u64) -> History {
    let mut bus = Bus::new(seed);
    bus.scribe.phase(Phase::WorkloadBegan);
    while bus.value < RECORDS {
        bus.step();
    }
    bus.scribe.phase(Phase::WorkloadOver);
    bus.scribe.phase(Phase::Healed);
    for _ in 0..40 {
        bus.take();
    }
    bus.scribe.phase(Phase::CaughtUp);
    bus.drain();
    bus.scribe.phase(Phase::Drained);
    bus.scribe.history
}

fn meta(seed: u64) -> Meta {
    let mut meta = Meta { scenario: "queue".into(), target: "sim:nats".into(), seed, ..Meta::default() };
    let configuration = &mut meta.configuration;
    configuration.reading = Reading::Share;
    configuration.exclusive = true;
    configuration.ack_wait = Some(Duration::from_nanos(WAIT));
    configuration.max_deliver = Some(MAX_DELIVER);
    configuration.max_ack_pending = Some(MAX_PENDING as u32);
    configuration.dedup_window = Some(Duration::from_nanos(LONG));
    configuration.clock_bound = Some(Duration::from_nanos(MS));
    meta
}

impl Bus {
    fn new(seed: u64) -> Self {
        let mut history = History::new(meta(seed));
        let unit = history.unit(&Unit::new(&Topic::new("jobs"), 0));
        let group = history.group("workers");
        let dice = Dice::new(seed);
        Self { scribe: Scribe::new(history), dice, unit, group, log: Vec::new(), value: 0, ids: Vec::new() }
    }

    fn step(&mut self) {
        match self.dice.below(10) {
            0..=2 => self.send(),
            3..=6 => self.take(),
            7 => self.settle_late(),
            8 if self.dice.percent(20) => self.die(),
            _ => self.scribe.now += 10 * MS,
        }
    }

    fn send(&mut self) {
        let value = self.value;
        self.value += 1;
        let process = format!("producer-{}", self.dice.below(2));
        let id = self.dice.percent(40).then(|| self.dice.below(12));
        let message_id = id.map(|id| self.scribe.history.message_id(&format!("job-{id}")));
        let ttl = self.dice.percent(20).then_some(Duration::from_nanos(LONG));
        let (topic, extra) =
            (self.scribe.history.topic("jobs"), SendExtra { message_id, ttl, ..SendExtra::NONE });
        let op = self.scribe.invoke(&process, Invoke::Send(Send { extra, ..Send::new(topic, None, value) }));
        let unit = self.unit;
        if self.dice.percent(8) {
            return self.scribe.complete(op, Completion::Fail { error: "NO_RESPONDERS".into() });
        }
        if let Some((_, at)) = self.ids.iter().find(|(known, _)| Some(*known) == id).copied() {
            return self.scribe.complete(op, Completion::Sent { unit, position: Some(at), duplicate: true });
        }
        let lost = self.dice.percent(5);
        if !lost {
            let position = self.log.len() as u64;
            self.ids.extend(id.map(|id| (id, position)));
            self.log.push(Message { value, state: State::Ready(self.scribe.now), delivered: 0 });
            if !self.dice.percent(8) {
                return self
                    .scribe
                    .complete(op, Completion::Sent { unit, position: Some(position), duplicate: false });
            }
        }
        self.scribe.complete(op, Completion::Unknown { error: "TIMEOUT".into(), place: None });
    }

    /// What is held longer than it may be can be handed out again, or is exhausted.
    fn expire(&mut self) {
        for position in 0..self.log.len() {
            let message = &mut self.log[position];
            if let State::Held(until, ..) = message.state
                && until <= self.scribe.now
            {
                message.state = State::Ready(self.scribe.now);
            }
            if matches!(message.state, State::Ready(_)) && message.delivered == MAX_DELIVER {
                message.state = State::Done;
                let (group, unit, position) = (Some(self.group), self.unit, position as u64);
                let what = Advice::MaxDeliveries;
                self.scribe.observe("harness", Observation::Advisory { group, unit, position, what });
            }
        }
    }

    /// A consumer asks for a message, is handed one if there is any, and settles it, or takes its time.
    fn take(&mut self) {
        let consumer = self.dice.below(3) as usize;
        let name = format!("consumer-{consumer}");
        let poll = self.scribe.invoke(&name, Invoke::Poll { group: Some(self.group), txn: None });
        self.expire();
        let held = self.log.iter().filter(|message| matches!(message.state, State::Held(..))).count();
        let now = self.scribe.now;
        let ready = |message: &Message| matches!(message.state, State::Ready(from) if from <= now);
        let next = self.log.iter().position(ready).filter(|_| held < MAX_PENDING);
        let delivery = next.map(|position| (position, self.hand_out(&name, consumer, poll, position)));
        self.scribe.complete(poll, Completion::Ok);
        if let Some((position, delivery)) = delivery
            && self.dice.percent(75)
        {
            self.settle(&name, position, delivery);
        }
    }

    fn hand_out(&mut self, name: &str, consumer: usize, poll: OpId, position: usize) -> u32 {
        let until = self.scribe.now + WAIT;
        let message = &mut self.log[position];
        message.delivered += 1;
        let (value, attempt) = (message.value, Some(message.delivered));
        let extra = DeliverExtra { deadline: Some(Time(until)), ..DeliverExtra::NONE };
        let plain = Deliver::new(self.unit, position as u64, value);
        let deliver = Deliver { group: Some(self.group), attempt, poll: Some(poll), extra, ..plain };
        let delivery = self.scribe.observe(name, Observation::Deliver(deliver));
        self.log[position].state = State::Held(until, consumer, delivery);
        delivery
    }

    fn settle(&mut self, name: &str, position: usize, delivery: u32) {
        let delay = self.dice.percent(50).then_some(Duration::from_nanos(20 * MS));
        let (how, after) = match self.dice.below(10) {
            0..=6 => (Settlement::Ack, State::Done),
            7 => (Settlement::Term, State::Done),
            8 => {
                let from = self.scribe.now + 2 * MS + delay.map_or(0, |delay| delay.as_nanos() as u64);
                (Settlement::Nak { delay }, State::Ready(from))
            }
            _ => {
                let op = self.scribe.invoke(name, Invoke::Settle { delivery, how: Settlement::Extend });
                if let State::Held(_, consumer, delivery) = self.log[position].state {
                    self.log[position].state = State::Held(self.scribe.now + WAIT + MS, consumer, delivery);
                }
                return self.scribe.complete(op, Completion::Ok);
            }
        };
        let op = self.scribe.invoke(name, Invoke::Settle { delivery, how });
        // An ack that nobody confirms may not have come through.
        let (arrives, answered) = (self.dice.percent(85), self.dice.percent(85));
        if arrives {
            self.log[position].state = after;
        }
        if arrives && answered {
            self.scribe.complete(op, Completion::Ok);
        }
    }

    /// A consumer settles what it holds, in time.
    fn settle_late(&mut self) {
        self.expire();
        let held = self.log.iter().enumerate().filter_map(|(position, message)| match message.state {
            State::Held(until, consumer, delivery) if until > self.scribe.now + 10 * MS => {
                Some((position, consumer, delivery))
            }
            _ => None,
        });
        let held: Vec<(usize, usize, u32)> = held.collect();
        if let Some((position, consumer, delivery)) = self.dice.pick(&held) {
            self.settle(&format!("consumer-{consumer}"), position, delivery);
        }
    }

    fn die(&mut self) {
        let name = format!("consumer-{}", self.dice.below(3));
        self.scribe.observe(&name, Observation::Crashed);
    }

    /// What never came out comes out now, whatever it waits for.
    fn drain(&mut self) {
        for position in 0..self.log.len() {
            if self.log[position].state != State::Done {
                let deliver = Deliver::new(self.unit, position as u64, self.log[position].value);
                let now = self.scribe.tick();
                self.scribe.history.observe(now, ProcessId::DRAIN, Observation::Deliver(deliver));
            }
        }
        let (unit, to) = (self.unit, self.log.len() as u64);
        self.scribe
            .observe("drain", Observation::Drain(Drain { unit, from: 0, to, complete: true, node: None }));
    }
}
