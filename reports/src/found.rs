//! Anomalies of many runs, gathered: one finding for each target, kind and ruling, told by the first run.

use crate::{Run, Runs};
use squall_history::{Anomaly, Kind, Ruling};
use std::collections::BTreeMap;

/// So many seeds are named.
const NAMED: usize = 8;

/// One kind of anomaly on one target under one ruling.
#[derive(Clone, Debug)]
pub(crate) struct Found<'a> {
    /// The first run that found it.
    pub run: &'a Run,
    /// As that run found it.
    pub anomaly: &'a Anomaly,
    /// The seeds of the runs that found it.
    seeds: Vec<u64>,
    /// How many runs there were on this target.
    of: usize,
}

/// Forbidden before undecided before allowed.
fn rank(ruling: &Ruling) -> u8 {
    match ruling {
        Ruling::ForbiddenBy(_) => 0,
        Ruling::UndecidedBecause(_) => 1,
        Ruling::AllowedBy(_) => 2,
    }
}

/// `forbidden`, `undecided`, `allowed`.
pub(crate) fn ruling_word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::ForbiddenBy(_) => "forbidden",
        Ruling::UndecidedBecause(_) => "undecided",
        Ruling::AllowedBy(_) => "allowed",
    }
}

impl<'a> Found<'a> {
    /// Everything found: forbidden first, then in the order of the runs' targets and the kinds.
    pub(crate) fn all(runs: &'a Runs) -> Vec<Self> {
        let mut on_target: BTreeMap<&str, usize> = BTreeMap::new();
        runs.runs.iter().for_each(|run| *on_target.entry(&run.started.target).or_default() += 1);

        let mut all: Vec<Self> = Vec::new();
        let mut places: BTreeMap<(&str, Kind, u8, &str), usize> = BTreeMap::new();
        for run in &runs.runs {
            for anomaly in run.anomalies() {
                let target = run.started.target.as_str();
                let key = (target, anomaly.kind, rank(&anomaly.ruling), anomaly.clause());
                let place = *places.entry(key).or_insert_with(|| {
                    all.push(Self { run, anomaly, seeds: Vec::new(), of: on_target[target] });
                    all.len() - 1
                });
                all[place].seeds.push(run.started.seed);
            }
        }
        all.sort_by_key(|found| rank(&found.anomaly.ruling));
        all
    }

    /// `12 in sim:kafka, seed 3`, or `in 120 of 200 runs on sim:kafka, seeds 1, 2, 5, ...`.
    pub(crate) fn where_found(&self) -> String {
        let target = &self.run.started.target;
        if self.of == 1 {
            return format!("{} on {}", self.anomaly.count, self.run.name());
        }
        let mut seeds: Vec<String> = self.seeds.iter().take(NAMED).map(u64::to_string).collect();
        if self.seeds.len() > NAMED {
            seeds.push("...".to_owned());
        }
        let plural = if self.seeds.len() == 1 { "seed" } else { "seeds" };
        format!("in {} of {} runs on {target}, {plural} {}", self.seeds.len(), self.of, seeds.join(", "))
    }
}
