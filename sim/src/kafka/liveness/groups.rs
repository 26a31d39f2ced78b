//! EventuallyConverges: every group has come to rest, or its own clock will bring it there.

use super::{Liveness, quorum};
use crate::kafka::{
    Kafka,
    coordinator::loading::longest,
    group::{Place, Unrest},
    protocol::GroupIx,
    rules::Rules,
};
use squall_bus::Time;
use std::{collections::BTreeMap, time::Duration};

/// `session.timeout.ms` of both client libraries and of the coordinator.
const SESSION: Duration = Duration::from_secs(45);

/// No group is where it was when it was first looked without a deadline that moves it on. One that rebalances because
/// its members come and go moves, and members may take their `max.poll.interval.ms` for each round.
#[derive(Debug, Default)]
pub(super) struct Groups {
    restless: BTreeMap<GroupIx, Place>,
}

fn all(model: &Kafka) -> impl Iterator<Item = (GroupIx, Unrest)> + '_ {
    model.servers.iter().flat_map(|server| {
        let groups = server.data().into_iter().flat_map(|broker| broker.coordinator.groups());
        groups.filter_map(|(_, group)| Some((group.id, group.unrest()?)))
    })
}

impl Groups {
    /// The groups that are where they were when it was first looked.
    fn left<'a>(&'a self, model: &'a Kafka) -> impl Iterator<Item = (GroupIx, Unrest)> + 'a {
        all(model).filter(|(id, unrest)| self.restless.get(id) == Some(&unrest.place))
    }
}

impl Liveness for Groups {
    fn name(&self) -> &'static str {
        "EventuallyConverges"
    }

    fn source(&self) -> &'static str {
        "the specification of KIP-848's group coordinator; the classic coordinator's rounds likewise"
    }

    /// The group's partition has a leader, and members that are gone lose their session.
    fn bound(&self, rules: &Rules) -> Duration {
        quorum(rules) + longest(rules) + SESSION.max(rules.consumer_session)
    }

    fn remember(&mut self, model: &Kafka) {
        self.restless = all(model).map(|(id, unrest)| (id, unrest.place)).collect();
    }

    fn missing(&self, model: &Kafka, now: Time) -> Option<String> {
        self.left(model).find(|(_, unrest)| !unrest.moves_after(now)).map(|(id, unrest)| {
            let (name, place) = (model.shared.names.group(id), &unrest.place);
            format!("the group {name} is at {place:?}, and nothing will move it on")
        })
    }

    fn is_done(&self, model: &Kafka, _: Time) -> bool {
        self.left(model).next().is_none()
    }
}
