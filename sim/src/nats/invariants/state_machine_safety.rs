//! No two members apply different entries at an index.

use super::{committed::Committed, groups, member};
use crate::{
    kernel::{Invariant, NodeId},
    nats::{
        Nats, Touch,
        raft::{Raft, message::Entry},
    },
};
use squall_bus::Time;

/// What is committed.
#[derive(Default)]
pub(super) struct StateMachineSafety {
    committed: Committed<Entry>,
}

fn differs(node: NodeId, raft: &Raft, index: u64) -> String {
    let entry = raft.log().entry(index);
    format!(
        "{node} applies {entry:?} at index {index} of {:?}, where another member applied another entry",
        raft.group
    )
}

impl Invariant<Nats> for StateMachineSafety {
    fn name(&self) -> &'static str {
        "StateMachineSafety"
    }

    fn source(&self) -> &'static str {
        "Raft, figure 3; raft.tla StateMachineSafety; nats-server asserts that no truncation goes below the commit"
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
            if let Some(raft) = member(nats, node, file)
                && let Some(index) = self.committed.take(node, raft)
            {
                return Err(differs(node, raft, index));
            }
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        let known = |raft: &Raft| raft.commit().min(raft.log().last());
        for members in groups(nats).values() {
            let Some((_, longest)) = members.iter().max_by_key(|(_, raft)| known(raft)) else { continue };
            for (node, raft) in members {
                let differ = |index: &u64| raft.log().entry(*index) != longest.log().entry(*index);
                if let Some(index) = (1..=known(raft)).find(differ) {
                    return Err(differs(*node, raft, index));
                }
            }
        }
        Ok(())
    }
}
