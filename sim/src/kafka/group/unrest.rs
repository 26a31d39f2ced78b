//! What keeps a group from being at rest, and when its own clock moves it on: what must come true of groups
//! ([`liveness`](crate::kafka::liveness)) is said in these words.

use super::{
    ConsumerGroup, Group, GroupState,
    consumer::{AWAY, Reconciliation},
};
use crate::kafka::protocol::MemberId;
use squall_bus::Time;
use std::time::Duration;

/// Where a group is that is not at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Place {
    /// In a round: the generation before it, and how far the round is.
    Round(i32, GroupState),
    /// On the way to a group epoch: the members that have not got there, with their epochs.
    Epoch(i32, Vec<(MemberId, i32, Reconciliation)>),
}

/// A group that is not at rest.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Unrest {
    pub(in crate::kafka) place: Place,
    /// When its own clock moves it on.
    moves: Option<Time>,
    /// The longest time that a member may take for a round.
    longest: Duration,
}

impl Unrest {
    /// Whether its own clock will move it on, no later than its members may keep it waiting.
    pub(in crate::kafka) fn moves_after(&self, now: Time) -> bool {
        self.moves.is_some_and(|at| at >= now && at <= now + self.longest)
    }
}

impl Group {
    /// Why the group is not at rest, if it is not.
    pub(in crate::kafka) fn unrest(&self) -> Option<Unrest> {
        if let Some(group) = &self.consumer {
            return group.unrest();
        }
        if matches!(self.state, GroupState::Empty | GroupState::Stable) {
            return None;
        }
        let place = Place::Round(self.generation, self.state);
        Some(Unrest { place, moves: self.join_ends.or(self.sync_ends), longest: self.longest_rebalance() })
    }
}

impl ConsumerGroup {
    fn unrest(&self) -> Option<Unrest> {
        let record = &self.record;
        let (mut behind, mut moves, mut longest) = (Vec::new(), None, Duration::ZERO);
        for (id, member) in &record.members {
            if member.epoch == record.epoch && member.state == Reconciliation::Stable {
                continue;
            }
            behind.push((*id, member.epoch, member.state));
            longest = longest.max(member.rebalance_timeout);
            let limits = self.limits.get(id);
            // One that is there shows signs of life for ever: only what it must give up has an end.
            let ends =
                limits.and_then(|it| if member.epoch == AWAY { Some(it.session) } else { it.revocation });
            moves = moves.max(ends);
        }
        (!behind.is_empty()).then_some(Unrest { place: Place::Epoch(record.epoch, behind), moves, longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_moves_on_by_its_clock_within_what_its_members_may_take() {
        let (now, longest) = (Time::from_millis(10_000), Duration::from_secs(60));
        let unrest = |moves| Unrest { place: Place::Round(1, GroupState::Preparing), moves, longest };
        assert!(unrest(Some(now)).moves_after(now));
        assert!(unrest(Some(now + longest)).moves_after(now));
        assert!(!unrest(Some(now + longest + Duration::from_nanos(1))).moves_after(now));
        assert!(!unrest(Some(Time::from_millis(9_999))).moves_after(now));
        assert!(!unrest(None).moves_after(now));
    }
}
