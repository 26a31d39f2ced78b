//! The end: what is still in flight is lost, unseen or unknown, and the guarantees rule on all that was found.

use super::{Drain, Flight, Online, State, UnitId, UnitState, findings::Pile};
use crate::{
    Anomaly, Kind, Report, Verdict,
    checks::{CHECKS, Found},
    guarantees::Rules,
    verdict::{self, Counts},
};
use squall_bus::Acks;

impl UnitState {
    fn complete_drain(&self) -> Option<Drain> {
        self.drain.filter(|drain| drain.complete)
    }

    /// The highest position about which there is evidence that a record is or is not there.
    fn bound(&self) -> Option<u64> {
        let drained = self.complete_drain().and_then(|drain| drain.to.checked_sub(1));
        self.highest_read.max(drained)
    }
}

impl Online {
    /// How far the final drain of a unit came.
    pub fn drained(&mut self, drain: Drain) {
        let unit = &mut self.units[drain.unit.index()];
        unit.met = true;
        unit.drain = Some(drain);
    }

    /// Ends the run: the report, as [`judge`](crate::judge) gives it. Its findings name no events, since none are kept.
    #[must_use]
    pub fn finish(mut self, rules: &Rules<'_>) -> Report {
        if let Some(value) = self.clash {
            let reason = format!(
                "value {value} was sent twice: without a unique value a record cannot be told from another"
            );
            return Report { counts: self.counts, ..Report::unjudged(Verdict::Unknown, reason) };
        }
        self.settle();
        let counts =
            Counts { duplicates: self.findings.count(Kind::Duplicate), ..std::mem::take(&mut self.counts) };
        let missing = self.missing_evidence(rules, &counts);
        let mut anomalies = Vec::new();
        for check in CHECKS {
            for pile in self.findings.piles.iter().filter(|pile| pile.kind == check.kind) {
                let ruling = (check.rule)(rules, &Found { case: pile.case, ..Found::default() });
                let Pile { kind, count, examples, .. } = pile.clone();
                anomalies.push(Anomaly { kind, count, ruling, examples });
            }
        }
        verdict::forbidden_first(&mut anomalies);
        let (verdict, reason) = verdict::conclude(&anomalies, missing);
        Report { verdict, reason, anomalies, counts }
    }

    /// What was acknowledged and never read is lost or unseen.
    fn settle(&mut self) {
        let flights = self.window.flights();
        let mut tail: Vec<(UnitId, u64, &Flight)> = Vec::new();
        for flight in flights.iter().filter(|flight| flight.state == State::Acked) {
            let place = flight.unit.zip(flight.position);
            let bound = place.and_then(|(unit, _)| self.units[unit.index()].bound());
            match (place, bound) {
                (Some(place), Some(bound)) if place.1 <= bound => self.lost(flight, place, bound),
                _ => self.never_seen(flight, self.was_drained(flight.unit)),
            }
            let waits = |(unit, at): &(UnitId, u64)| {
                let unit = &self.units[unit.index()];
                unit.complete_drain().is_none() && unit.bound().is_none_or(|bound| *at > bound)
            };
            tail.extend(place.filter(waits).map(|(unit, at)| (unit, at, flight)));
        }
        // What is not read yet stands in the log as its acks say.
        tail.sort_unstable_by_key(|(unit, at, flight)| (*unit, *at, flight.value));
        for (unit, at, flight) in tail {
            self.ordered(flight, (unit, at));
        }
    }

    /// Whether the final drain of a unit finished; without a unit, those of all units that anybody met.
    fn was_drained(&self, unit: Option<UnitId>) -> bool {
        match unit {
            Some(unit) => self.units[unit.index()].complete_drain().is_some(),
            None => {
                let mut met = self.units.iter().filter(|unit| unit.met).peekable();
                met.peek().is_some() && met.all(|unit| unit.complete_drain().is_some())
            }
        }
    }

    /// Why a run without a forbidden anomaly would not be valid, in words.
    fn missing_evidence(&self, rules: &Rules<'_>, counts: &Counts) -> Option<String> {
        let asked = rules.configuration.acks != Acks::None;
        let nothing = |what: &str| Some(format!("there is nothing to judge: nothing was {what}"));
        if counts.sent == 0 {
            return nothing("sent");
        }
        if asked && counts.acked == 0 {
            return nothing("acknowledged");
        }
        if counts.delivered + counts.drained == 0 {
            return nothing("delivered");
        }
        if self.skipped > 0 {
            return Some(format!(
                "{} records were sent while {} and more were in flight, and were not judged",
                self.skipped, self.limit
            ));
        }
        if self.strays > 0 {
            return Some(format!("{} completions name no send, or one that had completed", self.strays));
        }
        let undrained = self.units.iter().find(|unit| unit.drain.is_some_and(|drain| !drain.complete));
        undrained.map(|unit| format!("the final drain of {} did not come to its end", unit.name))
    }
}
