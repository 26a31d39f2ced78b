//! A first guess at the records that it takes: those that the finding names, then those that were sent about then.
//!
//! Without the load of the others these few go their way sooner, and a fault that struck just when one of them was in
//! hand strikes too late. So where they alone do not fail, the faults are aimed: they strike as long after the finding's
//! record was acknowledged or delivered as they did before, give or take a little ([`ABOUT`]). What fails is kept; what
//! else can be left out is the question of the other passes. The guess may take one part in [`SHARE`] of the effort
//! that is left.

use super::{candidate::Case, passes::Work};
use squall_bus::Time;
use squall_history::{Example, History, history::SendRow};
use std::{collections::BTreeSet, time::Duration};

/// The guess may take one part in so many of the effort that is left.
const SHARE: u64 = 4;
/// Records sent so many milliseconds before or after the one that the finding is about.
const WINDOWS: [u64; 6] = [20, 50, 200, 500, 1_000, 2_000];
/// So many microseconds an aim is tried sooner and later.
const ABOUT: [i64; 11] = [0, -100, 100, -200, 200, -500, 500, -1_000, 1_000, -2_000, 2_000];

const MICROSECOND: i64 = 1_000;

/// These records alone, and all faults later by so many microseconds.
struct Guess {
    kept: BTreeSet<u64>,
    later: i64,
}

/// When a record was acknowledged and delivered to the workload, in microseconds since it was meant to be sent.
struct Life {
    acked: Option<i64>,
    delivered: Vec<i64>,
}

impl Work {
    /// Leaves only what the finding is about, if it still fails.
    pub(super) fn only_the_evidence(&mut self) {
        let reserve = self.bench.left - self.bench.left / SHARE;
        self.bench.left -= reserve;
        self.guess();
        self.bench.left += reserve;
    }

    fn guess(&mut self) -> Option<()> {
        let whole = self.bench.look(&self.case)?;
        let example = self.bench.expected().found_in(&whole.report)?.examples.first()?.clone();
        let (sent, named) = (self.case.sent(), named(&example));
        let own = *named[0].first()?;
        let before = Life::of(own, &whole.history?);
        for kept in named.into_iter().filter(|kept| kept.len() < sent.len()) {
            let few = Guess { kept, later: 0 };
            let mut case = self.case.clone();
            few.make(&mut case);
            let ran = self.bench.look(&case)?;
            if self.bench.expected().is_shown_by(&ran.report) {
                self.case = case;
                return Some(());
            }
            let now = Life::of(own, &ran.history?);
            let aimed = before.aims(&now).into_iter().map(|later| Guess { kept: few.kept.clone(), later });
            if self.take_first(aimed, |case, guess| guess.make(case)) {
                return Some(());
            }
        }
        let near = windows(own, &sent).into_iter().filter(|kept| kept.len() < sent.len());
        self.take_first(near.map(|kept| Guess { kept, later: 0 }), |case, guess| guess.make(case));
        None
    }
}

impl Guess {
    fn make(&self, case: &mut Case) {
        let values = case.values();
        case.left_out.extend(values.into_iter().filter(|value| !self.kept.contains(value)));
        for fault in &mut case.faults {
            fault.at = Time(fault.at.0.saturating_add_signed(self.later * MICROSECOND));
        }
    }
}

impl Life {
    fn of(value: u64, history: &History) -> Self {
        let send = history.sends().iter().find(|send| send.value == value);
        let meant = send.and_then(SendRow::intended).unwrap_or(Time::ZERO);
        let since = |event: u32| (history.time(event).0.cast_signed() - meant.0.cast_signed()) / MICROSECOND;
        let to_group = history.delivers().iter().filter(|row| row.group().is_some());
        Self {
            acked: send.and_then(SendRow::completion).map(since),
            delivered: to_group
                .filter(|row| row.value() == Some(value))
                .map(|row| since(row.event))
                .collect(),
        }
    }

    /// By how much faults have to strike later, so that they strike when they did in this life.
    fn aims(&self, now: &Self) -> Vec<i64> {
        let first = now.delivered.first();
        let known = [(self.delivered.last(), first), (self.delivered.first(), first)];
        let known = known.into_iter().chain([(self.acked.as_ref(), now.acked.as_ref())]);
        let later: BTreeSet<i64> = known.filter_map(|(before, now)| Some(now? - before?)).collect();
        ABOUT.into_iter().flat_map(|about| later.iter().map(move |later| later + about)).collect()
    }
}

/// What a finding is about: its own records, those with the ones after them in their unit, those with all around.
fn named(example: &Example) -> [BTreeSet<u64>; 3] {
    let around = |from: Option<u64>, to: Option<u64>| {
        let within = example.neighbourhood.iter().filter(move |near| {
            from.is_none_or(|from| near.position >= from) && to.is_none_or(|to| near.position <= to)
        });
        within.flat_map(|near| near.values.iter().copied()).collect()
    };
    let place = example.position;
    [around(place, place), around(place, None), around(None, None)]
}

/// The records that were sent about when this one was.
fn windows(own: u64, sent: &[(u64, Time)]) -> Vec<BTreeSet<u64>> {
    let Some((_, then)) = sent.iter().find(|(value, _)| *value == own) else { return Vec::new() };
    let about = |millis: &u64| {
        let near = |at: Time| at.since(*then).max(then.since(at)) <= Duration::from_millis(*millis);
        sent.iter().filter(|(_, at)| near(*at)).map(|(value, _)| *value).collect()
    };
    WINDOWS.iter().map(about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was delivered 900 microseconds late and is now delivered after 100 is struck 800 sooner, or about then; what
    /// was delivered twice, as after either.
    #[test]
    fn faults_follow_what_happened_to_the_record() {
        let life = |acked, delivered: &[i64]| Life { acked, delivered: delivered.to_vec() };
        let aims = life(Some(500), &[900]).aims(&life(Some(500), &[100]));
        assert_eq!(aims[..6], [-800, 0, -900, -100, -700, 100]);
        assert_eq!(aims.len(), 2 * ABOUT.len());
        assert_eq!(life(None, &[900, 5_000]).aims(&life(Some(7), &[100]))[..2], [-4_900, -800]);
        assert!(life(None, &[900]).aims(&life(Some(500), &[])).is_empty(), "nothing is known of both");
    }
}
