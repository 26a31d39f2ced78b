//! What must come true once nothing is broken any more (liveness), one file each, named with its source.
//!
//! | file | in the end | within (defaults of Kafka 4.3) |
//! |---|---|---|
//! | `runs` | every process is up and every broker serves | 44 s |
//! | `unfenced` | the controller has every broker that serves for alive | 53 s |
//! | `metadata` | every node follows one controller and has the metadata | 22 s |
//! | `writes` | no write waits beyond its own time | 40 s |
//! | `replicated` | what was acknowledged by all is on every replica | 75 s |
//! | `proposals` | no proposal of in-sync replicas stays under way | 53 s |
//! | `groups` | every group has come to rest, or will by its own clock | 66 s |
//!
//! The time runs from the moment when the harness has healed the last thing that it broke, and stops when it breaks
//! the next. The bounds are sums of the rules' own timeouts, one after the other, as if each were needed in full; so
//! they are long, and a run that is over before says nothing: what is stuck keeps a run from ending.
//!
//! Nothing is looked at while something is broken, and then four times: after a quarter of the bound, when it is
//! written down what is still to be done, after a half, after three quarters and at the end. What has come true once
//! need not be true later, since clients go on working.

mod groups;
mod metadata;
mod proposals;
mod replicated;
mod runs;
mod unfenced;
mod writes;

use super::{Kafka, Touch, rules::Rules};
use crate::kernel::Invariant;
use squall_bus::Time;
use std::{fmt, time::Duration};

/// How often it is looked whether something has come true.
const LOOKS: u32 = 4;

/// Something that must come true.
trait Liveness: fmt::Debug + Send {
    /// Its name, as its source has it.
    fn name(&self) -> &'static str;
    /// Where it comes from.
    fn source(&self) -> &'static str;
    /// How long after the last healing it may take.
    fn bound(&self, rules: &Rules) -> Duration;
    /// Writes down what is still to be done.
    fn remember(&mut self, _model: &Kafka) {}
    /// What has not come true, to be judged at the end.
    fn missing(&self, model: &Kafka, now: Time) -> Option<String>;
    /// Whether it has come true before the end.
    fn is_done(&self, model: &Kafka, now: Time) -> bool {
        self.missing(model, now).is_none()
    }
}

/// Looks at it when it is due, as an invariant that is never asked otherwise.
#[derive(Debug)]
struct Eventually<L> {
    what: L,
    /// Since when nothing is broken.
    since: Time,
    looks: u32,
}

impl<L: Liveness> Eventually<L> {
    fn new(what: L) -> Self {
        Self { what, since: Time::ZERO, looks: 0 }
    }

    fn next(&self, model: &Kafka) -> Time {
        self.since + self.what.bound(&model.shared.rules) * (self.looks + 1) / LOOKS
    }
}

impl<L: Liveness> Invariant<Kafka> for Eventually<L> {
    fn name(&self) -> &'static str {
        self.what.name()
    }

    fn source(&self) -> &'static str {
        self.what.source()
    }

    fn kinds(&self) -> u8 {
        0
    }

    fn after(&mut self, _: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        Ok(())
    }

    fn full(&self, _: &Kafka) -> Result<(), String> {
        // It need not be true at any moment but the last.
        Ok(())
    }

    fn healed(&mut self, model: &Kafka, now: Time) -> Option<Time> {
        (self.since, self.looks) = (now, 0);
        Some(self.next(model))
    }

    fn due(&mut self, model: &Kafka, now: Time) -> Result<Option<Time>, String> {
        if self.looks == 0 {
            self.what.remember(model);
        }
        self.looks += 1;
        if self.looks < LOOKS {
            let next = self.next(model);
            return Ok((!self.what.is_done(model, now)).then_some(next));
        }
        let bound = self.what.bound(&model.shared.rules);
        let missing = self.what.missing(model, now);
        missing.map_or(Ok(None), |what| Err(format!("{bound:?} after everything was healed {what}")))
    }
}

/// Everything that must come true.
pub(super) fn all() -> Vec<Box<dyn Invariant<Kafka>>> {
    vec![
        Box::new(Eventually::new(runs::Runs)),
        Box::new(Eventually::new(unfenced::Unfenced)),
        Box::new(Eventually::new(metadata::Metadata::default())),
        Box::new(Eventually::new(writes::Writes::default())),
        Box::new(Eventually::new(replicated::Replicated::default())),
        Box::new(Eventually::new(proposals::Proposals::default())),
        Box::new(Eventually::new(groups::Groups::default())),
    ]
}

/// How long a quorum may take until one voter leads and everybody follows it: the old leader is missed, and some
/// elections come to nothing.
fn quorum(rules: &Rules) -> Duration {
    let missed = rules.quorum_fetch_timeout + rules.quorum_notice;
    let election = rules.quorum_election_timeout + rules.quorum_election_backoff;
    missed + election * 8 + rules.quorum_request_timeout
}

/// How long a broker's process may take until it serves: it starts, there is a controller, the session of the process
/// before ends, and two requests get no answer.
fn joining(rules: &Rules) -> Duration {
    let session = rules.broker_session + rules.registration_retry + rules.broker_heartbeat.min(SIGN_OF_LIFE);
    rules.startup_max + quorum(rules) + session + rules.controller_request_timeout * 2
}

/// The interval of heartbeats beyond which it is no use to wait for one: rules may be set to anything.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::profile::kafka_4_3;

    #[test]
    fn the_bounds_are_those_that_the_table_has() {
        let rules = kafka_4_3();
        let all: [&dyn Liveness; 7] = [
            &runs::Runs,
            &unfenced::Unfenced,
            &metadata::Metadata::default(),
            &writes::Writes::default(),
            &replicated::Replicated::default(),
            &proposals::Proposals::default(),
            &groups::Groups::default(),
        ];
        let seconds = all.map(|liveness| (liveness.bound(&rules).as_millis() + 500) / 1_000);
        assert_eq!(seconds, [44, 53, 22, 40, 75, 104, 66]);
    }
}
