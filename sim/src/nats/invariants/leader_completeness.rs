//! A leader has everything that was committed before it was elected.

use super::{committed::Committed, key, member, members, seen::Members};
use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        raft::{Raft, RaftRole},
    },
};
use squall_bus::Time;

/// What is known to be committed, and up to which term each member's elections were looked at.
#[derive(Default)]
pub(super) struct LeaderCompleteness {
    /// The terms of what is committed.
    committed: Committed<u64>,
    elections: Members<u64>,
}

/// What a new leader lacks.
fn complete(committed: &Committed<u64>, raft: &Raft) -> Result<(), String> {
    for (index, term) in (1..).zip(committed.entries(raft)) {
        let has = raft.log().term_at(index);
        if *term < raft.term() && has != Some(*term) {
            return Err(format!(
                "the leader of {:?} in term {} has {has:?} for the term at index {index}, where an entry of term {term} \
                 is committed",
                raft.group,
                raft.term()
            ));
        }
    }
    Ok(())
}

impl Invariant<Nats> for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "LeaderCompleteness"
    }

    fn source(&self) -> &'static str {
        "Raft, figure 3; raft.tla LeaderCompleteness"
    }

    fn kinds(&self) -> u8 {
        Touch::MEMBER
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for touch in touched {
            let Touch::Member(node, file) = *touch else { continue };
            let Some(raft) = member(nats, node, file) else { continue };
            if raft.role() == RaftRole::Leader {
                let elected = std::mem::replace(self.elections.of(node, raft), raft.term());
                if elected != raft.term() {
                    complete(&self.committed, raft)?;
                }
            }
            self.committed.take(node, raft);
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        let latest = |raft: &Raft| {
            members(nats).all(|(_, other)| key(other) != key(raft) || other.term() <= raft.term())
        };
        members(nats)
            .filter(|(_, raft)| raft.role() == RaftRole::Leader && latest(raft))
            .try_for_each(|(_, raft)| complete(&self.committed, raft))
    }
}
