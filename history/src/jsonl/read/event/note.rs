//! From a line to what merely happened.

use super::Reader;
use crate::{
    history::{Deliver, DeliverExtra, Drain, Handling, Observation, OpId, Struck, UnitId, What},
    jsonl::{
        line::{
            AckedLine, AdvisoryLine, AssignedLine, ChangedLine, ClockLine, DeliverLine, DrainLine,
            ElectedLine, ErrorLine, FaultLine, HandledLine, HealLine, How, PhaseLine, Place, RebalancedLine,
            ResetLine, SoughtLine, SubscribedLine, Units,
        },
        read::{Line, Problem, body, maybe_plain, plain, plain_body},
    },
};
use squall_bus::Time;
use std::time::Duration;

/// What an event can be, besides operations; each is always of type `ok`.
pub(in crate::jsonl) const KNOWN: &[&str] = &[
    "deliver",
    "handled",
    "acked",
    "assigned",
    "subscribed",
    "rebalanced",
    "crashed",
    "sought",
    "revoked",
    "lost",
    "reset",
    "advisory",
    "changed",
    "clock",
    "error",
    "fault",
    "heal",
    "elected",
    "phase",
    "drain",
];

impl Reader {
    /// What clients see.
    pub(super) fn observation(&mut self, f: &str, line: &Line<'_>) -> Result<Observation, Problem> {
        Ok(match f {
            "deliver" => self.deliver(plain_body(line)?)?,
            "handled" => self.handled(plain_body(line)?)?,
            "acked" => {
                let line: AckedLine<'_> = body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                Observation::Acked { group, value: line.value }
            }
            "assigned" => self.assigned(body(line)?)?,
            "subscribed" => {
                let line: SubscribedLine<'_> = body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                let topics = line.topics.iter().map(|topic| self.history.topic(topic)).collect();
                Observation::Subscribed { group, topics }
            }
            "revoked" => Observation::Revoked(self.units(&body(line)?)?),
            "lost" => Observation::Lost(self.units(&body(line)?)?),
            "sought" => {
                let line: SoughtLine<'_> = body(line)?;
                Observation::Sought { unit: self.unit(&line.unit)?, to: line.to }
            }
            "reset" => {
                let line: ResetLine<'_> = body(line)?;
                let error = line.error.map(std::borrow::Cow::into_owned);
                Observation::Reset { unit: self.unit(&line.unit)?, from: line.from, to: line.to, error }
            }
            "error" => {
                let line: ErrorLine<'_> = body(line)?;
                Observation::ClientError {
                    error: line.error.into_owned(),
                    message: line.message.into_owned(),
                }
            }
            "crashed" => Observation::Crashed,
            "advisory" => {
                let line: AdvisoryLine<'_> = body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                let (unit, position) = (self.unit(&line.unit)?, plain(line.position)?);
                Observation::Advisory { group, unit, position, what: line.what }
            }
            f => self.harness_observation(f, line)?,
        })
    }

    /// What the harness sees.
    fn harness_observation(&mut self, f: &str, line: &Line<'_>) -> Result<Observation, Problem> {
        Ok(match f {
            "rebalanced" => {
                let line: RebalancedLine<'_> = body(line)?;
                let members = line.members.iter().map(|member| self.history.process(member)).collect();
                let (group, generation) = (self.history.group(&line.group), line.generation);
                Observation::Rebalanced { group, generation, members }
            }
            "fault" => {
                let line: FaultLine<'_> = body(line)?;
                let (verb, role) = (line.verb.into_owned(), line.role.into_owned());
                Observation::Fault(Struck { id: line.id, verb, role, hit: line.hit })
            }
            "heal" => Observation::Heal { id: body::<HealLine>(line)?.id },
            "elected" => {
                let line: ElectedLine<'_> = body(line)?;
                let (unit, leader) = (self.unit(&line.unit)?, line.leader);
                Observation::Elected { unit, leader, unclean: line.unclean, epoch: line.epoch }
            }
            "clock" => Observation::ClockBound(Duration::from_nanos(body::<ClockLine>(line)?.bound)),
            "changed" => {
                let line: ChangedLine<'_> = body(line)?;
                let deleted = line.deleted.iter().map(|place| self.place(place)).collect::<Result<_, _>>()?;
                Observation::Changed { what: line.what.into_owned(), deleted }
            }
            "phase" => Observation::Phase(body::<PhaseLine>(line)?.phase),
            "drain" => {
                let line: DrainLine<'_> = body(line)?;
                let (from, to, unit) = (plain(line.from)?, plain(line.to)?, self.unit(&line.unit)?);
                Observation::Drain(Drain { unit, from, to, complete: line.complete, node: line.node })
            }
            _ => Observation::Other,
        })
    }

    fn deliver(&mut self, line: DeliverLine<'_>) -> Result<Observation, Problem> {
        if let Some(event) = line.poll
            && self.history.row_of(event, What::PollInvoke).is_none()
        {
            return Err(Problem::NoReference { field: "poll", event, what: "`poll`" });
        }
        let extra = DeliverExtra {
            deadline: line.deadline.map(Time),
            node: line.node,
            epoch: line.epoch,
            timestamp: line.timestamp.map(Time),
        };
        Ok(Observation::Deliver(Deliver {
            group: line.group.map(|group| self.history.group(&group)),
            unit: self.unit(&line.unit)?,
            position: plain(line.position)?,
            value: maybe_plain(line.value)?,
            corrupt: line.corrupt,
            attempt: line.attempt,
            poll: line.poll.map(OpId),
            extra,
        }))
    }

    fn assigned(&mut self, line: AssignedLine<'_>) -> Result<Observation, Problem> {
        let group = line.group.map(|group| self.history.group(&group));
        let units = line.units.iter().map(|place| self.place(place)).collect::<Result<_, _>>()?;
        Ok(Observation::Assigned { group, units, generation: line.generation })
    }

    fn handled(&mut self, line: HandledLine<'_>) -> Result<Observation, Problem> {
        let how = match (line.how, line.attempt) {
            (How::Ok, _) => Handling::Ok,
            (How::Poison, _) => Handling::Poison,
            (How::Retry, Some(attempt)) => Handling::Retry(attempt),
            (How::Retry, None) => return Err(Problem::Damaged("a `retry` without its `attempt`".to_owned())),
        };
        let group = line.group.map(|group| self.history.group(&group));
        Ok(Observation::Handled { group, value: plain(line.value)?, how })
    }

    fn units(&mut self, line: &Units<'_>) -> Result<Vec<UnitId>, Problem> {
        line.units.iter().map(|unit| self.unit(unit)).collect()
    }

    fn place(&mut self, place: &Place<'_>) -> Result<(UnitId, Option<u64>), Problem> {
        Ok((self.unit(&place.unit)?, maybe_plain(place.position)?))
    }
}
