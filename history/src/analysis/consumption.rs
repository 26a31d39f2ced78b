//! What each logical consumer did with each record. A logical consumer is a group; readers without a group count
//! together as one.

use super::values::Writers;
use crate::history::{CommitRow, GroupId, Handling, History, Observation, SettleRow, Settlement, Status};

/// What one logical consumer did with one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// How often it was handed the record.
    pub delivered: u32,
    /// How often a handler processed it.
    pub handled: u32,
    /// How often a handler gave it up.
    pub given_up: u32,
    /// The event of its ack, on a bus that acknowledges each record.
    pub acked: Option<u32>,
}

/// One logical consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// The group; `None` for the readers without one.
    pub group: Option<GroupId>,
    /// What it did with each record, by the row of the send.
    pub touches: Vec<Touch>,
    /// Per unit: the highest place at which it is certain to go on, with the index of the commit's completion.
    pub committed: Vec<Option<(u64, u32)>>,
    /// Per topic: whether it reads it.
    pub reads: Vec<bool>,
    /// Whether its handlers write down what they do: the configuration names it, or some did. Without that
    /// processing cannot be judged.
    pub handles: bool,
}

/// The logical consumers that did anything, by name.
pub(crate) fn consumers(history: &History, writers: &Writers) -> Vec<Consumer> {
    let mut all: Vec<Option<Consumer>> = vec![None; history.group_count() + 1];
    let slot = |group: Option<GroupId>| group.map_or(history.group_count(), GroupId::index);
    for read in history.delivers().iter().filter(|read| !read.drained()) {
        let consumer = all[slot(read.group())].get_or_insert_with(|| fresh(history, read.group()));
        consumer.reads[history.unit_topic(read.unit).index()] = true;
        if let Some(row) = read.value().and_then(|value| writers.of(value)) {
            consumer.touches[row as usize].delivered += 1;
        }
    }
    for handled in history.handled() {
        let consumer = all[slot(handled.group)].get_or_insert_with(|| fresh(history, handled.group));
        consumer.handles = true;
        let Some(row) = writers.of(handled.value) else { continue };
        let touch = &mut consumer.touches[row as usize];
        match handled.how {
            Handling::Ok => touch.handled += 1,
            Handling::Poison => touch.given_up += 1,
            Handling::Retry(_) => {}
        }
    }
    for commit in commits_in_force(history) {
        let group = Some(commit.group);
        let consumer = all[slot(group)].get_or_insert_with(|| fresh(history, group));
        let event = commit.completion().unwrap_or(commit.invoke.0);
        for (unit, position) in &commit.positions {
            consumer.reads[history.unit_topic(*unit).index()] = true;
            let known = &mut consumer.committed[unit.index()];
            if known.is_none_or(|(before, _)| before < *position) {
                *known = Some((*position, event));
            }
        }
    }
    let acks = |one: &&SettleRow| one.how == Settlement::Ack && one.status == Status::Ok;
    for one in history.settles().iter().filter(acks) {
        let read = &history.delivers()[one.delivery as usize];
        let consumer = all[slot(read.group())].get_or_insert_with(|| fresh(history, read.group()));
        if let (Some(row), Some(event)) = (read.value().and_then(|value| writers.of(value)), one.completion())
        {
            let acked = &mut consumer.touches[row as usize].acked;
            *acked = Some(acked.map_or(event, |known| known.min(event)));
        }
    }
    for (event, note) in history.notes() {
        match note {
            Observation::Assigned { group: Some(group), units, .. } => {
                let consumer = all[slot(Some(*group))].get_or_insert_with(|| fresh(history, Some(*group)));
                for (unit, _) in units {
                    consumer.reads[history.unit_topic(*unit).index()] = true;
                }
            }
            Observation::Acked { group, value } => {
                let consumer = all[slot(*group)].get_or_insert_with(|| fresh(history, *group));
                if let Some(row) = writers.of(*value) {
                    consumer.touches[row as usize].acked.get_or_insert(*event);
                }
            }
            _ => {}
        }
    }
    let mut all: Vec<Consumer> = all.into_iter().flatten().collect();
    all.sort_by_key(|consumer| consumer.group.map(|group| history.group_name(group)));
    all
}

/// The commits that happened, their transactions considered.
pub(crate) fn commits_in_force(history: &History) -> impl Iterator<Item = &CommitRow> {
    history.commits().iter().filter(|commit| {
        let txn = commit.txn().map(|txn| history.txns()[history.txn_row(txn) as usize].status);
        commit.status == Status::Ok && txn.is_none_or(|txn| txn == Status::Ok)
    })
}

fn fresh(history: &History, group: Option<GroupId>) -> Consumer {
    Consumer {
        group,
        touches: vec![Touch::default(); history.sends().len()],
        committed: vec![None; history.unit_count()],
        reads: vec![false; history.topic_count()],
        handles: group.is_some_and(|group| {
            history.meta.configuration.groups.iter().any(|name| name == history.group_name(group))
        }),
    }
}
