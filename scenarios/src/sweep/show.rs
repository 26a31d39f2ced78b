//! What a sweep of the library found, as text: how many runs are as the table says, what differs with the command that
//! shows it, which runs lack what their row is there for, and last the verdict.

use super::{Group, Held, Swept};
use crate::explore::{count, plain, seconds};
use std::fmt;

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} of {} from seed {} on, in {} on {}, {} of virtual time",
            count(self.runs, "run"),
            count(self.seeds, "seed"),
            count(self.rows, "row"),
            self.first,
            seconds(self.elapsed),
            count(self.threads as u64, "thread"),
            seconds(self.virtual_time),
        )?;
        writeln!(
            f,
            "  {:>7} as the table of outcomes says, {} of them unsupported",
            self.as_expected, self.unsupported
        )?;
        let (differ, lack): (Vec<&Group>, Vec<&Group>) =
            self.groups.iter().partition(|group| matches!(group.held, Held::Differs(_)));
        let runs = |groups: &[&Group]| groups.iter().map(|group| group.runs).sum::<u64>();
        writeln!(f, "  {:>7} without an anomaly that their row is there for", runs(&lack))?;
        writeln!(f, "  {:>7} different", runs(&differ))?;
        for group in lack.into_iter().chain(differ) {
            writeln!(f)?;
            group.fmt(f)?;
        }
        let (verdict, reason) = self.verdict();
        write!(f, "\n{verdict}: {reason}")
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {}: {} {}, {} as expected ({})",
            self.scenario,
            self.target,
            count(self.runs, "run"),
            self.what(),
            self.as_expected,
            self.expected
        )?;
        if matches!(self.held, Held::Differs(_)) {
            writeln!(f, "  {}", plain(&self.reason))?;
        }
        writeln!(f, "  reproduce: {}", self.reproduce)
    }
}
