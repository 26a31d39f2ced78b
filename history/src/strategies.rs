//! proptest strategies of histories: clean ones, in which a bus kept every promise. Behind the feature `proptest`.
//!
//! A check that is worth its name finds nothing in them, and what a test takes away or adds it finds. They are built
//! from plain [`Happening`]s, so a failing case shrinks to the few that matter.
//!
//! ```
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use squall_history::{Verdict, judge, strategies::histories};
//!
//! let history = histories(20).new_tree(&mut TestRunner::deterministic()).expect("a history").current();
//! assert_eq!(judge(&history).verdict, Verdict::Valid);
//! ```

use crate::{
    History, Meta,
    guarantees::{Delivery, Log, Order},
    history::{
        Completion, Deliver, Drain, GroupId, Handling, Invoke, Observation, OpId, Phase, Send, UnitId,
    },
    scribe::Scribe,
};
use proptest::{collection::vec, prelude::*};
use squall_bus::{Time, Topic, Unit};

/// How many units the topic `orders` has.
const UNITS: usize = 2;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A record is sent to this unit and acknowledged.
    Acked(u8),
    /// It is sent there and stored, and its answer is lost.
    AnswerLost(u8),
    /// It is sent there and refused.
    Refused(u8),
    /// The consumer takes the next record of this unit, if there is one, processes it and commits.
    Processed(u8),
    /// The consumer takes it, processes it and crashes before it commits.
    CrashedBeforeCommit(u8),
}

/// Up to `most` happenings.
pub fn happenings(most: usize) -> impl Strategy<Value = Vec<Happening>> {
    let unit = 0..UNITS as u8;
    let happening = prop_oneof![
        6 => unit.clone().prop_map(Happening::Acked),
        1 => unit.clone().prop_map(Happening::AnswerLost),
        1 => unit.clone().prop_map(Happening::Refused),
        4 => unit.clone().prop_map(Happening::Processed),
        1 => unit.prop_map(Happening::CrashedBeforeCommit),
    ];
    vec(happening, 0..=most)
}

/// Clean histories of up to `most` happenings: one producer, one consumer of the group `billing`, and in the end a
/// reader of everything. At least one record is acknowledged, so that there is something to judge.
pub fn histories(most: usize) -> impl Strategy<Value = History> {
    happenings(most).prop_map(|happenings| history(&happenings))
}

/// The clean history in which this happens, after one record is acknowledged in unit 0.
#[must_use]
pub fn history(happenings: &[Happening]) -> History {
    let mut writer = Writer::new();
    writer.scribe.phase(Phase::WorkloadBegan);
    writer.assign();
    writer.happen(Happening::Acked(0));
    for happening in happenings {
        writer.happen(*happening);
    }
    writer.finish()
}

struct Writer {
    scribe: Scribe,
    value: u64,
    group: GroupId,
    units: [UnitId; UNITS],
    logs: [Vec<u64>; UNITS],
    committed: [usize; UNITS],
}

impl Writer {
    fn new() -> Self {
        let mut meta = Meta { scenario: "generated".into(), target: "generated".into(), ..Meta::default() };
        meta.configuration.idempotent = true;
        meta.configuration.groups = vec!["billing".into()];
        meta.expect.delivery = Some(Delivery::AtLeastOnce);
        meta.expect.log = Some(Log::ExactlyOnce);
        meta.expect.order = Some(Order::PerKey);
        let mut history = History::new(meta);
        let units = [0, 1].map(|unit| history.unit(&Unit::new(&Topic::new("orders"), unit)));
        let group = history.group("billing");
        let (logs, committed) = (Default::default(), [0; UNITS]);
        Self { scribe: Scribe::new(history), value: 0, group, units, logs, committed }
    }

    /// The consumer owns all units, from where its group committed.
    fn assign(&mut self) {
        let units =
            self.units.iter().zip(self.committed).map(|(unit, at)| (*unit, Some(at as u64))).collect();
        self.scribe
            .observe("consumer", Observation::Assigned { group: Some(self.group), units, generation: None });
    }

    fn happen(&mut self, happening: Happening) {
        let unit = |unit: u8| usize::from(unit) % UNITS;
        match happening {
            Happening::Acked(to) => {
                let (op, unit) = (self.send(unit(to)), unit(to));
                let position = Some(self.store(unit));
                let sent = Completion::Sent { unit: self.units[unit], position, duplicate: false };
                self.scribe.complete(op, sent);
            }
            Happening::AnswerLost(to) => {
                let op = self.send(unit(to));
                self.store(unit(to));
                self.scribe.complete(op, Completion::Unknown { error: "_MSG_TIMED_OUT".into(), place: None });
            }
            Happening::Refused(to) => {
                let op = self.send(unit(to));
                self.scribe.complete(op, Completion::Fail { error: "NOT_ENOUGH_REPLICAS".into() });
            }
            Happening::Processed(of) => {
                self.process(unit(of), true);
            }
            Happening::CrashedBeforeCommit(of) => {
                if self.process(unit(of), false) {
                    self.scribe.observe("consumer", Observation::Crashed);
                    self.assign();
                }
            }
        }
    }

    fn send(&mut self, unit: usize) -> OpId {
        self.value += 1;
        let (topic, key) =
            (self.scribe.history.topic("orders"), self.scribe.history.key(format!("customer-{unit}")));
        let intended = Some(Time(self.scribe.now));
        self.scribe
            .invoke("producer", Invoke::Send(Send { intended, ..Send::new(topic, Some(key), self.value) }))
    }

    fn store(&mut self, unit: usize) -> u64 {
        self.logs[unit].push(self.value);
        self.logs[unit].len() as u64 - 1
    }

    /// Whether there was a record to process.
    fn process(&mut self, unit: usize, commits: bool) -> bool {
        let at = self.committed[unit];
        let Some(value) = self.logs[unit].get(at).copied() else { return false };
        let group = Some(self.group);
        let deliver = Deliver { group, ..Deliver::new(self.units[unit], at as u64, value) };
        self.scribe.observe("consumer", Observation::Deliver(deliver));
        self.scribe.observe("consumer", Observation::Handled { group, value, how: Handling::Ok });
        if commits {
            let positions = vec![(self.units[unit], at as u64 + 1)];
            let op =
                self.scribe.invoke("consumer", Invoke::Commit { group: self.group, positions, txn: None });
            self.scribe.complete(op, Completion::Ok);
            self.committed[unit] += 1;
        }
        true
    }

    fn finish(mut self) -> History {
        self.scribe.phase(Phase::WorkloadOver);
        self.scribe.phase(Phase::Healed);
        for unit in 0..UNITS {
            while self.process(unit, true) {}
        }
        self.scribe.phase(Phase::CaughtUp);
        for unit in 0..UNITS {
            for (position, value) in (0..).zip(self.logs[unit].clone()) {
                self.scribe
                    .observe("drain", Observation::Deliver(Deliver::new(self.units[unit], position, value)));
            }
            let to = self.logs[unit].len() as u64;
            let drain = Drain { unit: self.units[unit], from: 0, to, complete: true, node: None };
            self.scribe.observe("drain", Observation::Drain(drain));
        }
        self.scribe.phase(Phase::Drained);
        self.scribe.history
    }
}
