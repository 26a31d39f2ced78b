//! The text that a failing test shows: how many seeds show what, and the first that failed in full.

use super::{
    capsule::{hit_words, print},
    finding::Finding,
    sweep::{Run, Sweep},
};
use squall_bus::Time;
use std::{collections::BTreeMap, fmt};

/// How many failing runs are told in full.
const TOLD: usize = 1;

/// What was found and where: the run as it is, or as it was shrunk.
fn findings(run: &Run, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for anomaly in run.report.anomalies.iter().filter(|one| one.forbidden() || one.ruling.undecided()) {
        let verb = if anomaly.forbidden() { "forbidden" } else { "undecided" };
        writeln!(f, "  {} of {}, {verb}: {}", anomaly.count, anomaly.kind, anomaly.clause())?;
        for line in anomaly.story().lines() {
            writeln!(f, "    {line}")?;
        }
    }
    for check in &run.failed_checks {
        writeln!(f, "  {check}")?;
    }
    for fault in &run.faults {
        write!(f, "  at {} {fault} for {}", print(fault.at), print(Time::ZERO + fault.lasts))?;
        match run.hit(fault.id) {
            Some(hit) => writeln!(f, ", hit {}", hit_words(hit))?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

/// So many of something.
fn many(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A finding, in a list of findings.
fn name(finding: &Finding) -> String {
    match finding {
        Finding::Anomaly(kind) => kind.to_string(),
        Finding::Check(name) => format!("check `{name}`"),
        Finding::Panic(process) => format!("panic of {process}"),
        Finding::Unknown | Finding::Broken => finding.to_string(),
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replayed {
            Some(path) => write!(f, "capsule {} (seed {})", path.display(), self.seed)?,
            None => write!(f, "seed {}", self.seed)?,
        }
        writeln!(f, ": {}: {}", self.report.verdict, self.report.reason)?;
        match &self.shrunk {
            None => findings(self, f)?,
            Some(shrunk) => {
                let (before, after) = (many(self.faults.len(), "fault"), shrunk.run.faults.len());
                let tries = many(shrunk.tries, "run");
                writeln!(f, "  shrunk from {before} to {after} in {tries}, and then:")?;
                findings(&shrunk.run, f)?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        if self.repeats == Some(false) {
            writeln!(
                f,
                "  warning: a second run of this seed went another way: something in the service is not decided by \
                 the seed (the order of a HashMap, random numbers, the wall clock, a thread)"
            )?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        if let Some(capsule) = self.capsule.as_ref().filter(|_| !self.given) {
            let how = if self.shrunk.is_some() { "as shrunk" } else { "from its capsule" };
            writeln!(f, "  {how}: {}", Self::reproduce_capsule(capsule))?;
        }
        write!(f, "  run it again: {}", self.reproduce())
    }
}

impl Sweep {
    /// In how many failing runs each finding stands, the most frequent first.
    fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for finding in self.failures().flat_map(Run::findings) {
            *counts.entry(finding).or_insert(0_usize) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
            .iter()
            .map(|(finding, count)| format!("{} in {count}", name(finding)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// How many passed, what the others show, and the first of them in full.
impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid = |runs: &[Run]| runs.iter().filter(|run| run.is_valid()).count();
        let mut counts = Vec::new();
        for (runs, what) in [(&self.replays, "capsules"), (&self.runs, "seeds")] {
            if !runs.is_empty() {
                counts.push(format!("{} of {} {what}", valid(runs), runs.len()));
            }
        }
        write!(f, "{} are valid", counts.join(" and "))?;
        let failed = self.failures().count();
        if failed > 0 {
            write!(f, "; found: {}", self.summary())?;
        }
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        for run in self.failures().take(TOLD) {
            write!(f, "\n{run}")?;
        }
        Ok(())
    }
}
