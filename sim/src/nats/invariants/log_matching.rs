//! If two logs have an entry with the same index and term, they are equal up to it.
//!
//! Equivalent, and cheaper to watch: an index and a term name one entry, and the term of the one before.

use super::{
    GroupKey, groups, key, member,
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
    /// By the group's place.
    seen: Vec<Vec<Seen>>,
    places: BTreeMap<GroupKey, usize>,
    members: Members<Known>,
}

/// What is known of one member.
#[derive(Clone, Copy, Default)]
struct Known {
    looked: Looked,
    /// The place of its group.
    group: Option<usize>,
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
                return Err(differ(raft, index, (entry.term, *known, op), (entry.term, before, &entry.op)));
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
    let last = one.log().last().min(other.log().last());
    let at = |raft: &Raft, index: u64| raft.log().term_at(index).unwrap_or_default();
    for index in 1..=last {
        let (Some(here), Some(there)) = (one.log().entry(index), other.log().entry(index)) else { break };
        let (before, other_before) = (at(one, index - 1), at(other, index - 1));
        if here.term == there.term && (before != other_before || here.op != there.op) {
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
        Touch::MEMBER
    }

    fn after(&mut self, nats: &Nats, touched: &[Touch], _: Time) -> Result<(), String> {
        if nats.lost_writes() {
            return Ok(());
        }
        for touch in touched {
            let Touch::Member(node, file) = *touch else { continue };
            let Some(raft) = member(nats, node, file) else { continue };
            let Self { seen, places, members } = self;
            let known = members.of(node, raft);
            let news = known.looked.news(raft.log().last(), raft);
            if news.is_empty() {
                continue;
            }
            let place = *known.group.get_or_insert_with(|| {
                let next = places.len();
                *places.entry(key(raft)).or_insert(next)
            });
            if place == seen.len() {
                seen.push(Vec::new());
            }
            look(&mut seen[place], raft, news)?;
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
