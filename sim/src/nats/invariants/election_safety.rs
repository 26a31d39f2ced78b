//! At most one leader is elected in a term.

use super::{GroupKey, changed, key, members, seen::Seen};
use crate::{
    kernel::{Invariant, NodeId},
    nats::{
        Nats, Touch,
        raft::{Raft, RaftRole},
    },
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// Who led which group in which term, and the term in which each member was last seen to lead.
#[derive(Default)]
pub(super) struct ElectionSafety {
    seen: Seen<BTreeMap<u64, NodeId>, u64>,
}

fn two(raft: &Raft, a: NodeId, b: NodeId) -> String {
    format!("{a} and {b} both lead {:?} in term {}", raft.group, raft.term())
}

impl Invariant<Nats> for ElectionSafety {
    fn name(&self) -> &'static str {
        "ElectionSafety"
    }

    fn source(&self) -> &'static str {
        "Raft, figure 3; raft.tla ElectionSafety; nats-server asserts it (\"Two leaders using the same term\")"
    }

    fn kinds(&self) -> u8 {
        Touch::TERM
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_votes() {
            return Ok(());
        }
        for (node, raft) in changed(nats, touched, Touch::TERM) {
            if raft.role() != RaftRole::Leader {
                continue;
            }
            let (leaders, elected) = self.seen.of(node, raft);
            if std::mem::replace(elected, raft.term()) == raft.term() {
                continue;
            }
            let leader = *leaders.entry(raft.term()).or_insert(node);
            if leader != node {
                return Err(two(raft, leader, node));
            }
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_votes() {
            return Ok(());
        }
        let mut leaders: BTreeMap<(GroupKey, u64), NodeId> = BTreeMap::new();
        for (node, raft) in members(nats).filter(|(_, raft)| raft.role() == RaftRole::Leader) {
            if let Some(other) = leaders.insert((key(raft), raft.term()), node) {
                return Err(two(raft, other, node));
            }
        }
        Ok(())
    }
}
