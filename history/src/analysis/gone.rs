//! Which records may be gone by right: compacted, older than their retention, or past their time to live.
//!
//! *Compacted*: the topic compacts, and a later record of the same key stands in the same unit, or the record is a
//! tombstone. *Aged*: from the send's invocation to the end of the history is at least the topic's retention, or the
//! record's time to live, less the bound of the clocks. Without such a topic or record nothing may be gone.

use super::{Place, UnitLog, fates::Fate};
use crate::{
    guarantees::TopicFacts,
    history::{History, KeyId},
};
use std::{collections::HashMap, time::Duration};

/// By a send's row: whether its record may be gone. Empty when none may.
pub(crate) fn records(
    history: &History,
    units: &[UnitLog],
    fates: &[Fate],
    clock_bound: Option<Duration>,
) -> Vec<bool> {
    let configuration = &history.meta.configuration;
    let lives = history.send_extras().iter().any(|(_, extra)| extra.ttl.is_some());
    if configuration.topics.is_empty() && !lives {
        return Vec::new();
    }
    let topics: Vec<TopicFacts> = (0..history.topic_count() as u32)
        .map(|topic| configuration.topic(history.topic_name(topic.into())))
        .collect();
    let slack = clock_bound.unwrap_or_default();
    let mut gone: Vec<bool> = (0u32..)
        .zip(history.sends())
        .map(|(row, send)| {
            let facts = &topics[send.topic.index()];
            let extra = history.send_extra(row);
            let ages = [facts.retention.filter(|_| facts.deletes()), extra.ttl.or(facts.ttl)];
            let since =
                extra.timestamp.unwrap_or(history.time(send.invoke.0)).min(history.time(send.invoke.0));
            let age = history.end().since(since) + slack;
            ages.into_iter().flatten().any(|limit| age >= limit) || (facts.compacts() && extra.tombstone)
        })
        .collect();
    for (index, log) in units.iter().enumerate() {
        if topics[history.unit_topic((index as u32).into()).index()].compacts() {
            superseded(history, log, fates, &mut gone);
        }
    }
    gone
}

/// All records behind which another one of their key stands that was not aborted.
fn superseded(history: &History, log: &UnitLog, fates: &[Fate], gone: &mut [bool]) {
    // Only asked, never walked.
    let mut latest: HashMap<KeyId, u32> = HashMap::new();
    for row in log.places.iter().rev().filter_map(Place::send) {
        let Some(key) = history.sends()[row as usize].key() else { continue };
        match latest.get(&key) {
            Some(later) => gone[row as usize] |= *later != row,
            None if fates[row as usize] != Fate::Failed => drop(latest.insert(key, row)),
            None => {}
        }
    }
}
