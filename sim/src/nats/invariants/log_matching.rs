//! If two logs have an entry with the same index and term, they are equal up to it.
//!
//! Equivalent, and cheaper to watch: an index and a term name one entry, and the term of the one before.

use super::{
    GroupKey, key, member, members,
    seen::{Looked, Members},
};
use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        raft::{Raft, message::Op},
    },
};
use squall_bus::Time;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// An entry that was seen at an index: term, term before, what it does.
type Entry = (u64, u64, Op);

/// What was ever seen at an index: mostly one entry.
#[derive(Debug)]
struct Seen {
    first: Entry,
    others: Vec<Entry>,
}

impl Seen {
    fn of_term(&self, term: u64) -> Option<&Entry> {
        std::iter::once(&self.first).chain(&self.others).find(|(known, ..)| *known == term)
    }
}

/// Every entry that was ever in a log.
#[derive(Default)]
pub(super) struct LogMatching {
    seen: BTreeMap<GroupKey, Vec<Seen>>,
    looked: Members<Looked>,
}

fn look(seen: &mut Vec<Seen>, raft: &Raft, indices: RangeInclusive<u64>) -> Result<(), String> {
    for index in indices {
        let (Some(entry), Some(before)) = (raft.log().entry(index), raft.log().term_at(index - 1)) else {
            break;
        };
        // Every log is looked at from its first entry on.
        let Some(here) = seen.get_mut(index as usize - 1) else {
            let first = (entry.term, before, entry.op.clone());
            seen.push(Seen { first, others: Vec::new() });
            continue;
        };
        match here.of_term(entry.term) {
            None => here.others.push((entry.term, before, entry.op.clone())),
            Some((_, known, op)) if *known == before && *op == entry.op => {}
            Some((_, known, op)) => {
                return Err(format!(
                    "the logs of {:?} differ at or before index {index} of term {}: {op:?} after term {known}, and \
                     {:?} after term {before}",
                    raft.group, entry.term, entry.op
                ));
            }
        }
    }
    Ok(())
}

impl Invariant<Nats> for LogMatching {
    fn name(&self) -> &'static str {
        "LogMatching"
    }

    fn source(&self) -> &'static str {
        "Raft, figure 3; raft.tla LogMatching"
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for touch in touched {
            let Touch::Member(node, file) = *touch else { continue };
            let Some(raft) = member(nats, node, file) else { continue };
            let news = self.looked.of(node, raft).news(raft.log().last(), raft);
            if !news.is_empty() {
                look(self.seen.entry(key(raft)).or_default(), raft, news)?;
            }
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        let mut seen: BTreeMap<GroupKey, Vec<Seen>> = BTreeMap::new();
        members(nats)
            .try_for_each(|(_, raft)| look(seen.entry(key(raft)).or_default(), raft, 1..=raft.log().last()))
    }
}
