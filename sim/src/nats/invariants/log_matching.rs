//! If two logs have an entry with the same index and term, they are equal up to it.
//!
//! Equivalent, and cheaper to watch: an index and a term name one entry, and the term of the one before.

use super::{
    changed, groups,
    seen::{Looked, Seen},
};
use crate::{
    kernel::Invariant,
    nats::{
        Nats, Touch,
        raft::{
            Raft,
            message::{Entry, Op},
        },
    },
};
use squall_bus::Time;
use std::sync::Arc;

/// An entry that was seen at an index, and the term of the one before.
type Follows = (Arc<Entry>, u64);

/// What was ever seen at an index: mostly one entry.
struct Place {
    first: Follows,
    others: Vec<Follows>,
}

impl Place {
    fn of_term(&self, term: u64) -> Option<&Follows> {
        std::iter::once(&self.first).chain(&self.others).find(|(known, _)| known.term == term)
    }
}

/// Every entry that was ever in a log of each group, and up to where each member was looked at.
#[derive(Default)]
pub(super) struct LogMatching {
    seen: Seen<Vec<Place>, Looked>,
}

fn look(seen: &mut Vec<Place>, raft: &Raft, known: u64) -> Result<(), String> {
    let mut last = raft.log().term_at(known).unwrap_or(0);
    for (index, entry) in (known + 1..).zip(raft.log().behind(known)) {
        let before = std::mem::replace(&mut last, entry.term);
        // Every log is looked at from its first entry on.
        let Some(here) = seen.get_mut(index as usize - 1) else {
            seen.push(Place { first: (Arc::clone(entry), before), others: Vec::new() });
            continue;
        };
        let (first, first_before) = &here.first;
        if Arc::ptr_eq(first, entry) && *first_before == before {
            continue;
        }
        match here.of_term(entry.term) {
            None => here.others.push((Arc::clone(entry), before)),
            Some((known, known_before)) if *known_before == before && known == entry => {}
            Some((known, known_before)) => {
                let seen = (entry.term, *known_before, &known.op);
                return Err(differ(raft, index, seen, (entry.term, before, &entry.op)));
            }
        }
    }
    Ok(())
}

fn differ(raft: &Raft, index: u64, one: (u64, u64, &Op), other: (u64, u64, &Op)) -> String {
    let ((term, before, op), (_, other_before, other_op)) = (one, other);
    format!(
        "the logs of {:?} differ at or before index {index} of term {term}: {op:?} after term {before}, and \
         {other_op:?} after term {other_before}",
        raft.group
    )
}

/// Compares two logs entry by entry.
fn compare(one: &Raft, other: &Raft) -> Result<(), String> {
    let (mut last, mut other_last) = (0, 0);
    for (index, (here, there)) in (1..).zip(one.log().behind(0).zip(other.log().behind(0))) {
        let before = std::mem::replace(&mut last, here.term);
        let other_before = std::mem::replace(&mut other_last, there.term);
        if here.term == there.term && (before != other_before || here != there) {
            let entries = ((here.term, before, &here.op), (there.term, other_before, &there.op));
            return Err(differ(one, index, entries.0, entries.1));
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

    fn kinds(&self) -> u8 {
        Touch::LOG
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for (node, raft) in changed(nats, touched, Touch::LOG) {
            let (seen, looked) = self.seen.of(node, raft);
            look(seen, raft, looked.news(raft.log().last(), raft))?;
        }
        Ok(())
    }

    fn full(&self, nats: &Nats) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for members in groups(nats).values() {
            for (place, (_, one)) in members.iter().enumerate() {
                members[..place].iter().try_for_each(|(_, other)| compare(other, one))?;
            }
        }
        Ok(())
    }
}
