//! The online checker against the offline checks, on small random runs and on stories.

use super::{Online, Read, SessionId};
use crate::{
    Configuration, Expect, History, Kind, Report, Verdict,
    analysis::{Analysis, Facts},
    checks::{
        CHECKS, Case, Found,
        testing::{Tale, tale},
    },
    guarantees::Rules,
    history::{
        Completion, Deliver, Drain, Invoke, Observation, ProcessId, Send, SendRow, Status, UnitId, What,
    },
};
use proptest::prelude::*;
use squall_bus::{Time, Topic, Unit};
use std::collections::BTreeMap;

/// Feeds a history as if it happened now.
fn replay(history: &History, limit: usize) -> Online {
    let units: Vec<Unit> =
        (0..history.unit_count() as u32).map(|unit| history.unit_name(unit.into())).collect();
    let mut online = Online::new(&units).limit(limit);
    let mut sessions: BTreeMap<(u32, u32), SessionId> = BTreeMap::new();
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        match event.what {
            What::SendInvoke => {
                let send = &history.sends()[event.row as usize];
                let name = history.process_name(send.process);
                let key = (send.process.index() as u32, send.session);
                let session = *sessions.entry(key).or_insert_with(|| online.session(name));
                online.sent(session, send.value);
            }
            What::SendDone => completed(&mut online, &history.sends()[event.row as usize]),
            What::Deliver => {
                let read = &history.delivers()[event.row as usize];
                let (unit, position, corrupt, drain) =
                    (read.unit, read.position, history.is_corrupt(event.row), read.drained());
                online.read(Read { unit, position, value: read.value(), corrupt, drain });
            }
            What::Note => {
                if let (_, Observation::Drain(drain)) = &history.notes()[event.row as usize] {
                    online.drained(*drain);
                }
            }
            _ => {}
        }
    }
    online
}

fn completed(online: &mut Online, send: &SendRow) {
    match send.status {
        Status::Ok => online.acked(send.value, send.unit(), send.position()),
        Status::Fail => online.failed(send.value),
        Status::Unknown => online.unknown(send.value, send.unit().zip(send.position())),
    }
}

fn finished(online: Online) -> Report {
    let (configuration, expect, facts) = (Configuration::default(), Expect::default(), Facts::default());
    online.finish(&Rules { configuration: &configuration, expect: &expect, facts: &facts })
}

fn reported(history: &History) -> Report {
    finished(replay(history, Online::LIMIT))
}

fn online_count(report: &Report, kind: Kind) -> u64 {
    report.anomalies.iter().filter(|one| one.kind == kind).map(|one| one.count).sum()
}

fn offline(analysis: &Analysis<'_>, kind: Kind) -> Vec<Found> {
    let check = CHECKS.iter().find(|check| check.kind == kind).expect("a check");
    (check.find)(analysis)
}

/// Loss by the offline check, without what vanished after it had been read.
fn offline_count(analysis: &Analysis<'_>, kind: Kind) -> u64 {
    offline(analysis, kind).iter().filter(|found| found.case != Case::Vanished).count() as u64
}

/// How many records of the log were overtaken: read, or beyond all that was read, behind one that the same session
/// sent later. Straight from the definition.
fn naive_overtaken(analysis: &Analysis<'_>) -> u64 {
    let standing: Vec<(u32, UnitId, u64)> = (0..analysis.history.sends().len() as u32)
        .filter_map(|row| {
            let (unit, index) = analysis.first_place[row as usize]?;
            let log = &analysis.units[unit.index()];
            let place = log.places[index as usize];
            let tail =
                log.complete_drain().is_none() && log.bound().is_none_or(|bound| place.position > bound);
            (place.read().is_some() || tail).then_some((row, unit, place.position))
        })
        .collect();
    let session = |row: u32| analysis.session_of[row as usize];
    let overtakes = |later: &(u32, UnitId, u64), one: &(u32, UnitId, u64)| {
        session(later.0) == session(one.0) && later.1 == one.1 && later.0 > one.0 && later.2 < one.2
    };
    standing.iter().filter(|one| standing.iter().any(|later| overtakes(later, one))).count() as u64
}

/// A random run. Two units with a log each; what is in the log and what the acks say are two things.
struct Run {
    history: History,
    units: [UnitId; 2],
    logs: [Vec<(u64, u64)>; 2],
    next_place: [u64; 2],
    /// How far each log was read, in records, and which of its records were and could be.
    cursors: [usize; 2],
    read: [Vec<usize>; 2],
    open: Vec<(u64, crate::history::OpId)>,
    values: u64,
}

impl Run {
    fn new() -> Self {
        let mut history = History::default();
        let units = [0, 1].map(|partition| history.unit(&Unit::new(&Topic::new("orders"), partition)));
        let (logs, read) = (Default::default(), Default::default());
        Self { history, units, logs, next_place: [0; 2], cursors: [0; 2], read, open: Vec::new(), values: 0 }
    }

    fn tick(&self) -> Time {
        Time(self.history.len() as u64 * 1000)
    }

    fn send(&mut self, producer: u8) {
        let (now, process) = (self.tick(), self.history.process(&format!("producer-{}", producer % 2)));
        let send = Send {
            session: u32::from(producer / 2 % 2),
            ..Send::new(self.history.topic("orders"), None, self.values)
        };
        let op = self.history.invoke(now, process, Invoke::Send(send));
        self.open.push((self.values, op));
        self.values += 1;
    }

    fn append(&mut self, unit: usize, value: u64) {
        self.logs[unit].push((self.next_place[unit], value));
        self.next_place[unit] += 1;
    }

    fn place_of(&self, value: u64) -> Option<(UnitId, u64)> {
        let find = |unit: usize| {
            self.logs[unit].iter().find(|(_, other)| *other == value).map(|(at, _)| (self.units[unit], *at))
        };
        find(0).or_else(|| find(1))
    }

    fn complete(&mut self, which: u8, how: u8, made_up: u8) {
        if self.open.is_empty() {
            return;
        }
        let (value, op) = self.open.remove(which as usize % self.open.len());
        let known = self.place_of(value).filter(|_| how % 8 < 6);
        let place = known.unwrap_or((self.units[usize::from(made_up % 2)], u64::from(made_up / 2 % 8)));
        let error = "_MSG_TIMED_OUT".to_owned();
        let completion = match how / 8 % 8 {
            0 => Completion::Fail { error },
            1 => Completion::Unknown { error, place: None },
            2 => Completion::Unknown { error, place: Some(place) },
            3 => Completion::Sent { unit: place.0, position: None, duplicate: false },
            4 => Completion::Ok,
            _ => Completion::Sent { unit: place.0, position: Some(place.1), duplicate: false },
        };
        self.history.complete(self.tick(), op, completion);
    }

    fn deliver(&mut self, unit: usize, position: u64, value: u64, damage: u8, drain: bool) {
        let process = if drain { ProcessId::DRAIN } else { self.history.process("consumer-0") };
        let value = (damage != 0).then_some(value);
        let unit = self.units[unit];
        let deliver = Deliver { value, corrupt: damage < 2, ..Deliver::new(unit, position, 0) };
        self.history.observe(self.tick(), process, Observation::Deliver(deliver));
    }

    /// Reads on in a log, maybe leaving some out for good, or reads again what was read.
    fn read(&mut self, unit: usize, step: u8, damage: u8) {
        if step < 200 {
            let index = self.cursors[unit] + usize::from(step < 40);
            if let Some((position, value)) = self.logs[unit].get(index).copied() {
                self.cursors[unit] = index + 1;
                if damage != 0 {
                    self.read[unit].push(index);
                }
                self.deliver(unit, position, value, damage, step.is_multiple_of(2));
            }
        } else if !self.read[unit].is_empty() {
            let index = self.read[unit][step as usize % self.read[unit].len()];
            let (position, value) = self.logs[unit][index];
            self.deliver(unit, position, value, 9, false);
        }
    }

    fn drained(&mut self, unit: usize, to: u64, complete: bool) {
        let drain = Drain { unit: self.units[unit], from: 0, to, complete, node: None };
        self.history.observe(self.tick(), ProcessId::DRAIN, Observation::Drain(drain));
    }
}

type Step = (u8, u8, u8, u8);

/// A run whose places are read first in the order of the log. `wild`: readers read anything anywhere instead.
fn run(steps: &[Step], wild: bool) -> History {
    let mut run = Run::new();
    for (what, a, b, c) in steps.iter().copied() {
        let unit = usize::from(a % 2);
        match what % 16 {
            0..=4 => run.send(a),
            5..=7 if run.values > 0 => run.append(unit, u64::from(b) % run.values),
            8..=9 => run.complete(a, b, c),
            10 if b < 30 => run.append(unit, 1_000_000 + u64::from(c)),
            10 => run.next_place[unit] += 1,
            11..=14 if wild && run.values > 0 => run.deliver(
                unit,
                u64::from(b % 8),
                if c < 250 { u64::from(c) % run.values } else { 1_000_000 },
                a,
                b < 40,
            ),
            11..=14 => run.read(unit, b, c),
            15 if wild || b > 127 => run.drained(unit, u64::from(c % 10), b.is_multiple_of(2)),
            _ => {}
        }
    }
    run.history
}

/// The kinds whose counts are the same on every run, and those where a record must be read in the order of the log.
const ALWAYS: [Kind; 5] = [Kind::LostWrite, Kind::Unseen, Kind::Unexpected, Kind::AbortedRead, Kind::Corrupt];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_offline_checks(steps in prop::collection::vec(any::<Step>(), 0..50)) {
        let history = run(&steps, false);
        let (analysis, report) = (Analysis::new(&history), reported(&history));
        for kind in ALWAYS.into_iter().chain([Kind::Duplicate]) {
            prop_assert_eq!(online_count(&report, kind), offline_count(&analysis, kind), "{}", kind);
        }
        let order = online_count(&report, Kind::NonmonotonicSend);
        let disturbs = [Kind::Duplicate, Kind::AbortedRead, Kind::InconsistentOffsets];
        if disturbs.iter().all(|kind| offline_count(&analysis, *kind) == 0) {
            prop_assert_eq!(order, naive_overtaken(&analysis));
            prop_assert_eq!(order > 0, offline_count(&analysis, Kind::NonmonotonicSend) > 0);
        }
        let counts = crate::judge(&history).counts;
        prop_assert_eq!(report.counts.sent, counts.sent);
        prop_assert_eq!(report.counts.acked, counts.acked);
        prop_assert_eq!(report.counts.failed, counts.failed);
        prop_assert_eq!(report.counts.delivered, counts.delivered);
        prop_assert_eq!(report.counts.drained, counts.drained);
    }

    #[test]
    fn finds_nothing_that_the_offline_checks_do_not(steps in prop::collection::vec(any::<Step>(), 0..50)) {
        let history = run(&steps, true);
        let (analysis, report) = (Analysis::new(&history), reported(&history));
        for kind in ALWAYS {
            prop_assert_eq!(online_count(&report, kind), offline_count(&analysis, kind), "{}", kind);
        }
        prop_assert!(online_count(&report, Kind::Duplicate) <= offline_count(&analysis, Kind::Duplicate));
        if offline_count(&analysis, Kind::Duplicate) == 0 {
            let order = online_count(&report, Kind::NonmonotonicSend);
            prop_assert!(order == 0 || offline_count(&analysis, Kind::NonmonotonicSend) > 0);
        }
    }
}

/// The random runs are no better than what they contain: each kind must occur in many of them.
#[test]
fn the_random_runs_contain_every_kind() {
    let mut runs: BTreeMap<Kind, u32> = BTreeMap::new();
    let mut draw = 1u64;
    let mut next = || {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 56) as u8
    };
    for _ in 0..500 {
        let steps: Vec<Step> = (0..40).map(|_| (next(), next(), next(), next())).collect();
        for anomaly in reported(&run(&steps, false)).anomalies {
            *runs.entry(anomaly.kind).or_default() += 1;
        }
    }
    for kind in ALWAYS.into_iter().chain([Kind::Duplicate, Kind::NonmonotonicSend]) {
        assert!(runs.get(&kind).is_some_and(|runs| *runs > 9), "{kind}: {runs:?}");
    }
}

#[track_caller]
fn finds(tale: &Tale, expected: &[(Kind, u64)]) -> Report {
    let report = reported(tale.history());
    let found: Vec<(Kind, u64)> = report.anomalies.iter().map(|one| (one.kind, one.count)).collect();
    assert_eq!(found, expected, "{report:#?}");
    report
}

#[test]
fn an_acked_record_that_readers_passed_is_lost() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).sent(3, 2).read(1, 0).read(3, 2);
    insta::assert_debug_snapshot!(finds(&tale, &[(Kind::LostWrite, 1)]));
}

#[test]
fn a_loss_that_a_later_reader_takes_back() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).read(2, 1).drain(1, 0).drain(2, 1).drained(2);
    assert_eq!(finds(&tale, &[]).verdict, Verdict::Valid);
}

#[test]
fn a_reader_may_be_faster_than_the_ack() {
    let mut tale = tale();
    tale.send(1).send(2).read(1, 0).ok(1, 0).read(2, 1).timeout(2);
    assert_eq!(finds(&tale, &[]).verdict, Verdict::Valid);
}

#[test]
fn a_redelivery_after_a_rebalance_is_not_a_duplicate() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).assigned(0).read(1, 0).read(2, 1);
    assert_eq!(finds(&tale, &[]).counts.redelivered, 2);
}

#[test]
fn a_retry_that_appended_again() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).read(1, 2).read(1, 2);
    insta::assert_debug_snapshot!(finds(&tale, &[(Kind::Duplicate, 1)]));
}

#[test]
fn a_retried_record_is_overtaken() {
    let mut tale = tale();
    tale.sent(1, 1).sent(2, 0).read(2, 0).read(1, 1);
    insta::assert_debug_snapshot!(finds(&tale, &[(Kind::NonmonotonicSend, 1)]));
}

#[test]
fn a_tail_that_a_finished_drain_lacks() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).drain(1, 0).drained(1);
    assert_eq!(finds(&tale, &[(Kind::Unseen, 1)]).verdict, Verdict::Invalid);
}

#[test]
fn the_same_tail_may_be_lag() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).read(1, 0);
    assert_eq!(finds(&tale, &[(Kind::Unseen, 1)]).verdict, Verdict::Unknown);
}

#[test]
fn nothing_is_never_valid() {
    let mut tale = tale();
    assert_eq!(reported(tale.history()).reason, "there is nothing to judge: nothing was sent");
    assert_eq!(
        reported(tale.send(1).history()).reason,
        "there is nothing to judge: nothing was acknowledged"
    );
    assert_eq!(reported(tale.sent(2, 0).history()).verdict, Verdict::Unknown);
}

#[test]
fn a_value_that_was_sent_twice_cannot_be_judged() {
    let mut online = Online::new(&[Unit::new(&Topic::new("orders"), 0)]);
    let session = online.session("producer-0");
    online.sent(session, 1);
    online.sent(session, 1);
    let report = finished(online);
    assert_eq!(report.verdict, Verdict::Unknown);
    insta::assert_snapshot!(report.reason, @"value 1 was sent twice: without a unique value a record cannot be told from another");
}

#[test]
fn a_completion_of_nothing_is_missing_evidence() {
    let mut online = replay(tale().sent(1, 0).read(1, 0).history(), Online::LIMIT);
    online.acked(1, None, None);
    insta::assert_snapshot!(finished(online).reason, @"1 completions name no send, or one that had completed");
}

/// A stall: nothing is read for as long as the producers like, then all of it. The checker keeps what fits, says how
/// much it left out, and judges again as soon as there is room.
#[test]
fn more_in_flight_than_the_limit_is_unknown_not_endless() {
    let units = [Unit::new(&Topic::new("orders"), 0)];
    let mut online = Online::new(&units).limit(1000);
    let (session, unit) = (online.session("producer-0"), online.units()[0]);
    let read = |position| Read { unit, position, value: Some(position), corrupt: false, drain: false };
    for value in 0..10_000 {
        online.sent(session, value);
        online.acked(value, Some(unit), Some(value));
    }
    assert_eq!(online.in_flight(), 999);
    (0..10_000).for_each(|position| online.read(read(position)));
    assert_eq!(online.in_flight(), 0);
    let so_far = finished(online.clone());
    assert_eq!((so_far.verdict, so_far.anomalies.len()), (Verdict::Unknown, 0));
    insta::assert_snapshot!(so_far.reason, @"9001 records were sent while 1000 and more were in flight, and were not judged");
    online.sent(session, 10_000);
    online.acked(10_000, Some(unit), Some(10_000));
    online.sent(session, 10_001);
    online.acked(10_001, Some(unit), Some(10_001));
    online.read(read(10_001));
    let report = finished(online);
    assert_eq!((report.verdict, online_count(&report, Kind::LostWrite)), (Verdict::Invalid, 1));
}

/// Memory is bounded by the window, not by the run: two million records, a thousand in flight, and one lost for good
/// in every hundred thousand.
#[test]
fn memory_does_not_grow_with_the_run() {
    const IN_FLIGHT: u64 = 1000;
    let units: Vec<Unit> = (0..12).map(|partition| Unit::new(&Topic::new("orders"), partition)).collect();
    let mut online = Online::new(&units);
    let sessions: Vec<SessionId> = (0..4).map(|n| online.session(&format!("producer-{n}"))).collect();
    let units = online.units();
    let mut after_warm_up = 0;
    for value in 0..2_000_000u64 {
        let (unit, position) = (units[(value % 12) as usize], Some(value / 12));
        online.sent(sessions[(value % 4) as usize], value);
        online.acked(value, Some(unit), position);
        if let Some(old) = value.checked_sub(IN_FLIGHT).filter(|old| old % 100_000 != 7) {
            let (unit, position) = (units[(old % 12) as usize], old / 12);
            online.read(Read { unit, position, value: Some(old), corrupt: false, drain: false });
        }
        if value == 10_000 {
            after_warm_up = online.bytes();
        }
        assert!(online.in_flight() as u64 <= IN_FLIGHT + value / 100_000 + 2);
    }
    assert_eq!(online.bytes(), after_warm_up);
    assert!(online.bytes() < 128 * (IN_FLIGHT as usize + 24), "{} bytes", online.bytes());
    assert_eq!(online_count(&finished(online), Kind::LostWrite), 20);
}
