//! The passes: each makes one thing of a case less, and keeps what still fails.
//!
//! What makes runs cheap comes first. Times go up a ladder of simple figures, from the smallest; numbers go down
//! to their floor; lists are minimized by delta debugging. What a candidate would break (a role without its
//! partition, a fault past the end) does not fit and is not run.
//!
//! Records are named by producer and ordinal, so rates and producers change only as long as all records are there.

use super::candidate::{Bench, By, Case};
use crate::format::{
    Consumers, OneOrMany, Producers,
    scalar::{Count, Period},
};
use squall_bus::{Fault, FaultKind, Time};
use squall_sim::minimize::{self, Budget};
use std::{collections::BTreeSet, time::Duration};

/// A pass: its name, and what it does.
pub(super) type Pass = (&'static str, fn(&mut Work));

/// All passes, in their order. The guess comes again once runs are cheaper: what was judged before is not run again.
pub(super) const PASSES: [Pass; 14] = [
    ("time", Work::end_sooner),
    ("start", Work::strike_sooner),
    ("rate", Work::send_less),
    ("faults", Work::fewer_faults),
    ("producers", Work::fewer_producers),
    ("evidence", Work::only_the_evidence),
    ("consumers", Work::fewer_consumers),
    ("handlers", Work::simpler_handlers),
    ("topics", Work::fewer_topics),
    ("partitions", Work::fewer_partitions),
    ("nodes", Work::fewer_nodes),
    ("evidence", Work::only_the_evidence),
    ("records", Work::fewer_records),
    ("timings", Work::simpler_timings),
];

/// Simple figures, in milliseconds.
const FIGURES: [u64; 20] = [
    0, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 15_000, 20_000,
    30_000, 60_000, 120_000,
];
/// What a time is rounded to, in milliseconds, coarsest first.
const GRAINS: [u64; 6] = [5_000, 1_000, 500, 100, 10, 1];

const MILLISECOND: u64 = 1_000_000;

/// A case under work.
pub(super) struct Work {
    pub(super) case: Case,
    pub(super) bench: Bench,
    pub(super) budget: Budget,
}

impl Work {
    /// Takes the first of these changes that still fails.
    pub(super) fn take_first<C>(
        &mut self,
        changes: impl IntoIterator<Item = C>,
        change: impl Fn(&mut Case, &C),
    ) -> bool {
        let base = self.case.clone();
        let case = |candidate: &C| {
            let mut case = base.clone();
            change(&mut case, candidate);
            Some(case)
        };
        let found =
            minimize::first(changes, &mut self.budget, &mut By { bench: &mut self.bench, case: &case });
        let taken = found.and_then(|found| case(&found));
        taken.map(|taken| self.case = taken).is_some()
    }

    /// Makes a number as small as still fails.
    fn least(&mut self, value: u64, floor: u64, change: impl Fn(&mut Case, u64)) {
        let base = self.case.clone();
        let case = |number: &u64| {
            let mut case = base.clone();
            change(&mut case, *number);
            Some(case)
        };
        let found =
            minimize::number(value, floor, &mut self.budget, &mut By { bench: &mut self.bench, case: &case });
        if found < value
            && let Some(taken) = case(&found)
        {
            self.case = taken;
        }
    }

    /// Leaves out as many of these items as still fails.
    fn fewest<T: Clone>(&mut self, items: Vec<T>, change: impl Fn(&mut Case, &[T])) {
        let (base, all) = (self.case.clone(), items.len());
        let case = |items: &Vec<T>| {
            let mut case = base.clone();
            change(&mut case, items);
            Some(case)
        };
        let found = minimize::list(items, &mut self.budget, &mut By { bench: &mut self.bench, case: &case });
        if found.len() < all
            && let Some(taken) = case(&found)
        {
            self.case = taken;
        }
    }

    fn all_records(&self) -> bool {
        self.case.left_out.is_empty()
    }

    /// The workload is over sooner; what would strike later does not strike, and what would last longer is healed. At
    /// least one fault strikes, if any does: whether it takes one is the question of another pass.
    fn end_sooner(&mut self) {
        let whole = self.case.scenario.workload.lasts.get();
        let first = self.case.faults.iter().map(|fault| fault.at.since(Time::ZERO)).min();
        let ends = figures_below(whole).filter(|end| first.is_none_or(|first| first < *end));
        self.take_first(ends, |case, end| {
            case.scenario.workload.lasts = Period::of(*end);
            let end = Time::ZERO + *end;
            case.faults.retain(|fault| fault.at < end);
            for fault in &mut case.faults {
                fault.lasts = fault.lasts.min(end.since(fault.at));
            }
        });
    }

    /// Everything that strikes strikes sooner, at the same distances, and the workload is over sooner.
    fn strike_sooner(&mut self) {
        let Some(first) = self.case.faults.iter().map(|fault| fault.at).min() else { return };
        self.take_first(figures_below(first.since(Time::ZERO)), |case, at| {
            let sooner = first.since(Time::ZERO) - *at;
            for fault in &mut case.faults {
                fault.at = Time::ZERO + (fault.at.since(Time::ZERO) - sooner);
            }
            let lasts = &mut case.scenario.workload.lasts;
            *lasts = Period::of(lasts.get().saturating_sub(sooner));
        });
    }

    /// Up the ladder of rates, each twice the one before or so: all steps together cost no more than a run as it is. With
    /// another rate every record is sent at another time, so it is no use to look for the least that still fails.
    fn send_less(&mut self) {
        if !self.all_records() {
            return;
        }
        for index in 0..self.case.scenario.producer_groups().len() {
            let rate = self.case.scenario.producer_groups()[index].rate.count();
            let steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
            self.take_first(steps.take_while(|step| *step < rate), |case, count| {
                let group = &mut case.scenario.workload.producers.as_mut()[index];
                group.rate = group.rate.with_count(*count);
            });
        }
    }

    /// Fewer of them may be over sooner, and strike sooner.
    fn fewer_faults(&mut self) {
        let faults: Vec<Fault> = self.case.faults.clone();
        let before = faults.len();
        self.fewest(faults, |case, faults| case.faults = faults.to_vec());
        if self.case.faults.len() < before {
            self.end_sooner();
            self.strike_sooner();
        }
    }

    fn fewer_producers(&mut self) {
        if !self.all_records() {
            return;
        }
        let groups: Vec<Producers> = self.case.scenario.producer_groups().to_vec();
        if groups.len() > 1 {
            self.fewest(groups, |case, groups| *case.scenario.workload.producers.as_mut() = groups.to_vec());
        }
        for index in 0..self.case.scenario.producer_groups().len() {
            let count = self.case.scenario.producer_groups()[index].count.get();
            self.least(count.into(), 1, |case, count| {
                case.scenario.workload.producers.as_mut()[index].count = to_count(count);
            });
        }
    }

    fn fewer_consumers(&mut self) {
        let groups: Vec<Consumers> = self.case.scenario.consumer_groups().to_vec();
        self.fewest(groups, |case, groups| {
            case.scenario.workload.consumers = (!groups.is_empty()).then(|| OneOrMany::of(groups.to_vec()));
        });
        for index in 0..self.case.scenario.consumer_groups().len() {
            let count = self.case.scenario.consumer_groups()[index].count.get();
            self.least(count.into(), 1, |case, count| {
                consumers(case, index, |group| group.count = to_count(count));
            });
        }
    }

    /// Handlers that take no time and never fail, records that are tried once and dead-lettered nowhere.
    fn simpler_handlers(&mut self) {
        let simpler: [fn(&mut Consumers); 4] = [
            |group| group.handler.takes = crate::format::scalar::PeriodRange::default(),
            |group| group.handler.fails = crate::format::scalar::Ratio::default(),
            |group| group.handler.poison = crate::format::scalar::Ratio::default(),
            |group| group.retry = crate::format::Retry::default(),
        ];
        for index in 0..self.case.scenario.consumer_groups().len() {
            for simplify in simpler {
                let mut simple = self.case.scenario.consumer_groups()[index].clone();
                simplify(&mut simple);
                if simple != self.case.scenario.consumer_groups()[index] {
                    self.take_first([simple], |case, simple| {
                        consumers(case, index, |group| *group = simple.clone());
                    });
                }
            }
        }
    }

    fn fewer_topics(&mut self) {
        let topics: Vec<_> = self.case.scenario.topology.topics.clone().into_iter().collect();
        if topics.len() > 1 {
            self.fewest(topics, |case, topics| {
                case.scenario.topology.topics = topics.iter().cloned().collect();
            });
        }
    }

    fn fewer_partitions(&mut self) {
        let names: Vec<String> = self.case.scenario.topology.topics.keys().cloned().collect();
        for name in names {
            let partitions = self.case.scenario.topology.topics[&name].partitions.get();
            self.least(partitions.into(), 1, |case, count| {
                if let Some(shape) = case.scenario.topology.topics.get_mut(&name) {
                    shape.partitions = to_count(count);
                }
            });
        }
    }

    /// No fewer nodes than copies: with fewer copies other promises would hold.
    fn fewer_nodes(&mut self) {
        let topology = &self.case.scenario.topology;
        let copies =
            topology.topics.values().map(|topic| topic.replicas_on(topology.nodes)).max().unwrap_or(1);
        self.least(topology.nodes.get().into(), copies.into(), |case, count| {
            case.scenario.topology.nodes = to_count(count);
        });
    }

    fn fewer_records(&mut self) {
        let values = self.case.values();
        let all = values.clone();
        self.fewest(values, |case, kept| {
            let kept: BTreeSet<u64> = kept.iter().copied().collect();
            case.left_out.extend(all.iter().filter(|value| !kept.contains(value)));
        });
    }

    /// Simple figures for when a fault strikes, how long it lasts and how much it does, and for the whole.
    fn simpler_timings(&mut self) {
        for index in 0..self.case.faults.len() {
            match self.case.faults[index].kind {
                FaultKind::DropResponses(count) => self.least(count.into(), 1, |case, count| {
                    case.faults[index].kind = FaultKind::DropResponses(to_count(count).get());
                }),
                FaultKind::Delay(by) => {
                    self.take_first(simpler(by), |case, by| case.faults[index].kind = FaultKind::Delay(*by));
                }
                _ => {}
            }
            let lasts = self.case.faults[index].lasts;
            self.take_first(simpler(lasts), |case, span| case.faults[index].lasts = *span);
            let at = self.case.faults[index].at.since(Time::ZERO);
            self.take_first(simpler(at), |case, at| case.faults[index].at = Time::ZERO + *at);
        }
        let whole = self.case.scenario.workload.lasts.get();
        self.take_first(simpler(whole), |case, end| case.scenario.workload.lasts = Period::of(*end));
    }
}

fn consumers(case: &mut Case, index: usize, change: impl Fn(&mut Consumers)) {
    let mut groups = case.scenario.workload.consumers.iter_mut().flat_map(OneOrMany::as_mut);
    if let Some(group) = groups.nth(index) {
        change(group);
    }
}

fn to_count(count: u64) -> Count {
    Count::new(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The simple figures below a span, ascending.
fn figures_below(span: Duration) -> impl Iterator<Item = Duration> {
    FIGURES.into_iter().map(Duration::from_millis).take_while(move |figure| *figure < span)
}

/// What is simpler than a span: the figures below it, then the span rounded down, ever less coarsely.
fn simpler(span: Duration) -> impl Iterator<Item = Duration> {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let rounded = GRAINS
        .into_iter()
        .map(move |grain| Duration::from_nanos(nanos / (grain * MILLISECOND) * (grain * MILLISECOND)))
        .filter(move |rounded| *rounded < span && !rounded.is_zero());
    figures_below(span).chain(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_figures_come_first_and_rounding_last() {
        let millis = |millis| Duration::from_millis(millis);
        let figures: Vec<Duration> = simpler(millis(7_123)).collect();
        assert_eq!(figures[..3], [0, 10, 20].map(millis));
        assert_eq!(figures[figures.len() - 5..], [5_000, 7_000, 7_000, 7_100, 7_120].map(millis));
        assert_eq!(simpler(Duration::ZERO).count(), 0);
        assert!(simpler(Duration::from_nanos(1_500_001)).any(|span| span == millis(1)));
    }
}
