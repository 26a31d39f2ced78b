//! Every strike of every fault, with its time and duration.
//!
//! What is drawn for a fault is drawn for its place in the file and the number of the strike. Strikes are
//! numbered in the order of time; those at the same time in the order of the file.

use crate::format::{
    FaultSpec, Scenario, Verb,
    scalar::{Period, PeriodRange},
};
use squall_bus::{Fault, FaultKind, Role, Time};
use squall_sim::kernel::{Choices, Site};
use std::time::Duration;

const MILLISECOND: u64 = 1_000_000;

const AT: Site = Site::new("plan.fault.at");
const LASTS: Site = Site::new("plan.fault.for");
const BY: Site = Site::new("plan.fault.by");

pub(super) fn plan(scenario: &Scenario, choices: &Choices) -> Vec<Fault> {
    let end = scenario.workload.lasts;
    let mut faults = Vec::new();
    for (entity, spec) in (0_u64..).zip(&scenario.faults) {
        let Some((verb, role)) = spec.verbs().into_iter().next() else { continue };
        let draw = Draw { choices, entity };
        for (ordinal, at) in (0_u64..).zip(draw.times(spec, end)) {
            faults.push(draw.strike(spec, verb, role, ordinal, at));
        }
    }
    faults.sort_by_key(|fault| fault.at);
    for (id, fault) in (0_u32..).zip(&mut faults) {
        fault.id = id;
    }
    faults
}

/// The draws of one fault of the file.
struct Draw<'a> {
    choices: &'a Choices,
    entity: u64,
}

impl Draw<'_> {
    /// A duration of the range: in whole milliseconds if its ends are, since people read and shorten these.
    fn within(&self, site: Site, ordinal: u64, range: PeriodRange) -> Period {
        let (low, high) = (range.low().nanos(), range.high().nanos());
        let grain = if low % MILLISECOND == 0 && high % MILLISECOND == 0 { MILLISECOND } else { 1 };
        let steps = self.choices.between(site, self.entity, ordinal, low / grain, high / grain);
        Period::from_nanos(steps * grain)
    }

    /// When it strikes. Of a train, only the strikes that are over by the end, however long they last.
    fn times(&self, spec: &FaultSpec, end: Period) -> Vec<Time> {
        let since_start = |period: Period| Time::ZERO + period.get();
        match (spec.at, spec.every) {
            (Some(at), _) => vec![since_start(self.within(AT, 0, at))],
            (None, Some(every)) => {
                let longest = spec.longest().get();
                let distances = (0..).map(|ordinal| self.within(AT, ordinal, every).get());
                let times = distances.scan(Duration::ZERO, |at, distance| {
                    *at += distance;
                    Some(*at)
                });
                times
                    .take_while(|at| *at + longest <= end.get() && *at < end.get())
                    .map(|at| Time::ZERO + at)
                    .collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn strike(&self, spec: &FaultSpec, verb: Verb, role: &Role, ordinal: u64, at: Time) -> Fault {
        let kind = match verb {
            Verb::Plain(kind) => kind,
            Verb::Delay(by) => FaultKind::Delay(self.within(BY, ordinal, by).get()),
        };
        let lasts = spec.lasts.map_or(Duration::ZERO, |range| self.within(LASTS, ordinal, range).get());
        Fault { id: 0, kind, role: role.clone(), at, lasts }
    }
}
