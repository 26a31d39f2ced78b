//! The lines of what merely happened.

use super::{Writer, nanoseconds};
use crate::{
    history::{Observation, ProcessId, UnitId},
    jsonl::line::{
        AckedLine, AdvisoryLine, AssignedLine, ChangedLine, ClockLine, CrashedLine, DrainLine, ElectedLine,
        ErrorLine, FaultLine, HealLine, PhaseLine, RebalancedLine, ResetLine, Side, SoughtLine,
        SubscribedLine, Units,
    },
};
use serde::Serialize;
use std::{
    borrow::Cow,
    io::{self, Write},
};

/// The body of an event of an unknown kind.
#[derive(Serialize)]
struct Nothing {}

impl<'h, W: Write> Writer<'h, W> {
    fn happened(&mut self, index: u32, f: &'static str, body: impl Serialize) -> io::Result<()> {
        self.line(index, Side::Ok, f, body)
    }

    /// What clients see.
    pub(super) fn note(&mut self, index: u32, note: &'h Observation) -> io::Result<()> {
        match note {
            Observation::Acked { group, value } => {
                let group = self.group(*group);
                self.happened(index, "acked", AckedLine { group, value: *value })
            }
            Observation::Assigned { group, units, generation } => {
                let units = units.iter().map(|(unit, at)| self.place(*unit, *at)).collect();
                let (group, generation) = (self.group(*group), *generation);
                self.happened(index, "assigned", AssignedLine { group, units, generation })
            }
            Observation::Subscribed { group, topics } => {
                let history = self.history;
                let topics = topics.iter().map(|topic| Cow::Borrowed(history.topic_name(*topic))).collect();
                let group = self.group(*group);
                self.happened(index, "subscribed", SubscribedLine { group, topics })
            }
            Observation::Revoked(units) => self.happened(index, "revoked", self.list(units)),
            Observation::Lost(units) => self.happened(index, "lost", self.list(units)),
            Observation::Sought { unit, to } => {
                self.happened(index, "sought", SoughtLine { unit: self.unit(*unit), to: *to })
            }
            Observation::Reset { unit, from, to, error } => {
                let error = error.as_deref().map(Cow::Borrowed);
                let body = ResetLine { unit: self.unit(*unit), from: *from, to: *to, error };
                self.happened(index, "reset", body)
            }
            Observation::ClientError { error, message } => {
                let body = ErrorLine { error: Cow::Borrowed(error), message: Cow::Borrowed(message) };
                self.happened(index, "error", body)
            }
            Observation::Crashed => self.happened(index, "crashed", CrashedLine {}),
            Observation::Advisory { group, unit, position, what } => {
                let (group, unit) = (self.group(*group), self.unit(*unit));
                let body = AdvisoryLine { group, unit, position: *position, what: *what };
                self.happened(index, "advisory", body)
            }
            other => self.harness_note(index, other),
        }
    }

    /// What the harness sees.
    fn harness_note(&mut self, index: u32, note: &'h Observation) -> io::Result<()> {
        match note {
            Observation::Rebalanced { group, generation, members } => {
                let group = Cow::Borrowed(self.history.group_name(*group));
                let members = members.iter().map(|member| self.process(*member)).collect();
                let body = RebalancedLine { group, generation: *generation, members };
                self.happened(index, "rebalanced", body)
            }
            Observation::Fault(fault) => {
                let (verb, role) = (Cow::Borrowed(&*fault.verb), Cow::Borrowed(&*fault.role));
                self.happened(index, "fault", FaultLine { id: fault.id, verb, role, hit: fault.hit.clone() })
            }
            Observation::Heal { id } => self.happened(index, "heal", HealLine { id: *id }),
            Observation::Elected { unit, leader, unclean, epoch } => {
                let unit = self.unit(*unit);
                let body = ElectedLine { unit, leader: *leader, unclean: *unclean, epoch: *epoch };
                self.happened(index, "elected", body)
            }
            Observation::ClockBound(bound) => {
                self.happened(index, "clock", ClockLine { bound: nanoseconds(*bound) })
            }
            Observation::Changed { what, deleted } => {
                let deleted = deleted.iter().map(|(unit, at)| self.place(*unit, *at)).collect();
                self.happened(index, "changed", ChangedLine { what: Cow::Borrowed(&**what), deleted })
            }
            Observation::Phase(phase) => self.happened(index, "phase", PhaseLine { phase: *phase }),
            Observation::Drain(drain) => {
                let (unit, node) = (self.unit(drain.unit), drain.node);
                let body = DrainLine { unit, from: drain.from, to: drain.to, complete: drain.complete, node };
                self.happened(index, "drain", body)
            }
            _ => self.happened(index, "other", Nothing {}),
        }
    }

    fn process(&self, process: ProcessId) -> Cow<'h, str> {
        let history = self.history;
        Cow::Borrowed(history.process_name(process))
    }

    fn list(&self, units: &[UnitId]) -> Units<'h> {
        Units { units: units.iter().map(|unit| self.unit(*unit)).collect() }
    }
}
