//! No two members apply different entries at an index.

use super::{
    changed, groups,
    seen::{Looked, Seen},
};
use crate::{
    kernel::{Invariant, NodeId},
    nats::{
        Nats, Touch,
        raft::{Raft, message::Entry},
    },
};
use squall_bus::Time;
use std::sync::Arc;

/// What is committed in each group, as its members find out, and up to where each member was looked at.
#[derive(Default)]
pub(super) struct StateMachineSafety {
    seen: Seen<Vec<Arc<Entry>>, Looked>,
}

/// Takes in what a member knows to be committed; the first index where it contradicts another.
fn take(committed: &mut Vec<Arc<Entry>>, looked: &mut Looked, raft: &Raft) -> Option<u64> {
    let upto = raft.commit().min(raft.log().last());
    let known = looked.news(upto, raft);
    for (index, entry) in (known + 1..).zip(raft.log().behind(known).take((upto - known) as usize)) {
        match committed.get(index as usize - 1) {
            None => committed.push(Arc::clone(entry)),
            Some(known) if known == entry => {}
            Some(_) => return Some(index),
        }
    }
    None
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
        Touch::COMMIT
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for (node, raft) in changed(nats, touched, Touch::COMMIT) {
            let (committed, looked) = self.seen.of(node, raft);
            if let Some(index) = take(committed, looked, raft) {
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
