//! What must hold after every event, one file each, named with its source.
//!
//! Losing power under lazy syncs, or a disk, may lose what was committed: that is NATS, not an error of the model.
//! From then on the invariants that it breaks are silent; with `sync_interval: always` a loss of power changes
//! nothing.

mod acked_messages;
mod deduplication;
mod election_safety;
mod leader_completeness;
mod log_matching;
mod seen;
mod state_machine_safety;

use super::{
    Nats, Touch,
    raft::{Raft, message::GroupId},
};
use crate::kernel::{Invariant, NodeId};
use std::collections::BTreeMap;

/// Every invariant of the model.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant<Nats>>> {
    vec![
        Box::<election_safety::ElectionSafety>::default(),
        Box::<log_matching::LogMatching>::default(),
        Box::<leader_completeness::LeaderCompleteness>::default(),
        Box::<state_machine_safety::StateMachineSafety>::default(),
        Box::<acked_messages::AckedMessages>::default(),
        Box::<deduplication::Deduplication>::default(),
    ]
}

/// A group; one of the same name that came later is another one.
type GroupKey = (GroupId, u64);

/// Members that changed in one of these kinds, with their nodes.
fn changed<'a>(
    nats: &'a Nats,
    touched: &'a [Touch],
    concerned: u8,
) -> impl Iterator<Item = (NodeId, &'a Raft)> {
    touched.iter().filter_map(move |touch| match *touch {
        Touch::Member(node, file, kinds) if kinds & concerned != 0 => {
            Some((node, nats.servers.get(node.index())?.rafts.of_file(file)?))
        }
        _ => None,
    })
}

/// Every member there is, with its node.
fn members(nats: &Nats) -> impl Iterator<Item = (NodeId, &Raft)> {
    nats.servers.iter().flat_map(|server| server.rafts.values().map(move |raft| (server.me, raft)))
}

/// The members of each group.
fn groups(nats: &Nats) -> BTreeMap<GroupKey, Vec<(NodeId, &Raft)>> {
    let mut groups: BTreeMap<GroupKey, Vec<(NodeId, &Raft)>> = BTreeMap::new();
    for (node, raft) in members(nats) {
        groups.entry(key(raft)).or_default().push((node, raft));
    }
    groups
}

fn key(raft: &Raft) -> GroupKey {
    (raft.group, raft.incarnation)
}
