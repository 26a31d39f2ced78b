//! The summary of a sweep as text: how many seeds held, each kind of failure with its story and its command, what was
//! found that may happen, the marks, and last the verdict, where the eye is.

use super::{
    budget::Class,
    summary::{Group, Summary, Tally},
};
use crate::Plan;
use squall_bus::{FaultKind, Time};
use std::{fmt, sync::Arc, time::Duration};

/// So many faults of a draw are listed.
const LISTED: usize = 8;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        for group in &self.groups {
            writeln!(f)?;
            group.fmt(f)?;
        }
        self.lost(f)?;
        self.reached(f)?;
        let (verdict, reason) = self.verdict();
        writeln!(f)?;
        write!(f, "{verdict}: {reason}")?;
        match self.groups.first() {
            Some(group) => write!(f, "\nreproduce: {}", group.first.reproduce),
            None => Ok(()),
        }
    }
}

impl Summary {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.seeds();
        writeln!(
            f,
            "{} on {}: {} from seed {} ({}) in {} on {}, {} of virtual time",
            self.scenario,
            self.target,
            count(seeds, "seed"),
            self.first,
            self.preset,
            seconds(self.elapsed),
            count(self.threads as u64, "thread"),
            seconds(self.virtual_time),
        )?;
        writeln!(f, "  within the fault budget  {}", tally(self.within))?;
        writeln!(f, "  beyond it                {}", tally(self.beyond))
    }

    fn lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.allowed.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        writeln!(
            f,
            "allowed by the configuration, and in how many seeds it was found (within the budget, beyond it)"
        )?;
        for (kind, seeds) in &self.allowed {
            writeln!(f, "  {:>7} {:>7}  {}", seeds.within, seeds.beyond, kind.id())?;
        }
        Ok(())
    }

    fn reached(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "marks, and in how many seeds they were reached")?;
        for (mark, seeds) in self.marks.iter().filter(|(_, seeds)| **seeds > 0) {
            writeln!(f, "  {seeds:>7}  {mark}")?;
        }
        let required = |mark| if self.required.contains(&mark) { " (required)" } else { "" };
        for mark in self.never() {
            writeln!(f, "    never  {mark}{}: {}", required(mark), mark.about())?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.first;
        let class = match first.class {
            Class::Within => "within the fault budget",
            Class::Beyond => "beyond the fault budget",
        };
        writeln!(
            f,
            "{} {}: {}, the first is {} ({class})",
            self.verdict,
            self.what,
            count(self.seeds, "seed"),
            first.job.seed
        )?;
        if let Some(anomaly) = first.anomaly() {
            writeln!(f, "  {}", plain(anomaly.ruling.clause()))?;
            for line in anomaly.story().lines() {
                writeln!(f, "  | {}", plain(line))?;
            }
        } else {
            writeln!(f, "  {}", plain(&first.report.reason))?;
        }
        let plan = Plan::new(Arc::clone(&first.job.scenario), first.job.seed);
        let topology = &first.job.scenario.topology;
        writeln!(
            f,
            "  {} nodes, {}, {} to send in {}",
            topology.nodes,
            count(plan.faults().len() as u64, "fault"),
            count(first.job.scenario.record_count(), "record"),
            first.job.scenario.workload.lasts,
        )?;
        for fault in plan.faults().iter().take(LISTED) {
            let lasts =
                if fault.lasts.is_zero() { String::new() } else { format!(" for {}", seconds(fault.lasts)) };
            let by = match fault.kind {
                FaultKind::Delay(by) => format!(" by {}", seconds(by)),
                FaultKind::DropResponses(count) => format!(" of {count}"),
                _ => String::new(),
            };
            writeln!(f, "    {} {fault}{by}{lasts}", seconds(fault.at.since(Time::ZERO)))?;
        }
        if plan.faults().len() > LISTED {
            writeln!(f, "    and {} more", plan.faults().len() - LISTED)?;
        }
        writeln!(f, "  reproduce: {}", first.reproduce)
    }
}

/// Text from outside must not move a terminal's cursor or change its colours.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `1 seed`, `2 seeds`.
pub(crate) fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub(crate) fn seconds(span: Duration) -> String {
    let millis = span.as_millis();
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}

fn tally(tally: Tally) -> String {
    let mut parts = Vec::new();
    for (seeds, word) in [
        (tally.valid, "valid"),
        (tally.invalid, "invalid"),
        (tally.unknown, "unknown"),
        (tally.broken, "broken"),
    ] {
        if seeds > 0 {
            parts.push(format!("{seeds} {word}"));
        }
    }
    match parts.len() {
        0 => "no seed".to_owned(),
        1 => format!(
            "{}: {}",
            count(tally.seeds(), "seed"),
            parts[0].split_once(' ').map_or("", |(_, word)| word)
        ),
        _ => format!("{}: {}", count(tally.seeds(), "seed"), parts.join(", ")),
    }
}
