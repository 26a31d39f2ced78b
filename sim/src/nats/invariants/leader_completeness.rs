//! A leader has everything that was committed before it was elected.

use super::{changed, key, members, seen::Seen};
use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        raft::{Raft, RaftRole},
    },
};
use squall_bus::Time;

/// The terms of what is committed in each group, and up to which term each member's elections were looked at.
#[derive(Default)]
pub(super) struct LeaderCompleteness {
    seen: Seen<Vec<u64>, u64>,
}

/// What a new leader lacks.
fn complete(committed: &[u64], raft: &Raft) -> Result<(), String> {
    for (index, term) in (1..).zip(committed) {
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
        Touch::TERM | Touch::COMMIT
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for (node, raft) in changed(nats, touched, Touch::TERM | Touch::COMMIT) {
            let (committed, elected) = self.seen.of(node, raft);
            if raft.role() == RaftRole::Leader && std::mem::replace(elected, raft.term()) != raft.term() {
                complete(committed, raft)?;
            }
            // Whether members agree on what is committed is another question (StateMachineSafety).
            let known = committed.len() as u64;
            if raft.commit() > known {
                let news = raft.log().behind(known).take((raft.commit() - known) as usize);
                committed.extend(news.map(|entry| entry.term));
            }
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
            .try_for_each(|(_, raft)| complete(self.seen.group(raft).map_or(&[], Vec::as_slice), raft))
    }
}
