//! The log cleaner: of each key the last record stays (rule B12).
//!
//! - It cleans whole segments, never the active one, nothing beyond [`cleanable_bound`], and no segment with a
//!   record younger than `min.compaction.lag.ms`.
//! - A log is worth cleaning when its dirty part, the cleanable segments that were never cleaned, is more than
//!   `min.cleanable.dirty.ratio` of it and the clean part. Cleaning takes no time, so that it does not matter
//!   that the dirtiest comes first; then the cleaner rests for `log.cleaner.backoff.ms`. Each replica is cleaned
//!   for itself.
//! - A record goes when the dirty part has a later one of its key. Offsets never change: they have gaps then.
//! - A tombstone, a record with an empty value, gets a horizon when it is cleaned first: `delete.retention.ms` from
//!   then. The first cleaning behind it takes the tombstone away; a late reader never hears of the deletion.
//! - The last batch of each remembered producer stays, if need be without its records: its sequence number is the
//!   producer's state.
//! - A record without a key goes. The leader of a topic with `compact` takes none (87): those that are there were
//!   written before the policy was set.
//!
//! Source: `LogCleaner`, `LogCleanerManager` of Apache Kafka 4.x, KIP-58, KIP-534.

use super::{
    Timer, Touch,
    broker::{Broker, BrokerTimer, Env},
    protocol::{
        BATCH_OVERHEAD, Batch, Entry, GroupIx, Kept, PartitionId, Payload, RECORD_OVERHEAD, record_bytes,
    },
    replica::Replica,
    txn::messages::TxnIx,
};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Nothing at this offset or behind it is cleaned: it is not certain yet to stay.
pub(super) fn cleanable_bound(replica: &Replica) -> u64 {
    replica.last_stable()
}

/// What a record is about: a later record of the same key takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Bytes(&'a [u8]),
    Offset(GroupIx, PartitionId),
    Group(GroupIx),
    Transaction(TxnIx),
}

fn key(batch: &Batch, place: u32) -> Option<Key<'_>> {
    let place = place as usize;
    match &batch.payload {
        Payload::Records(records) => records[place].key.as_deref().map(Key::Bytes),
        Payload::Offsets(group, offsets) => Some(Key::Offset(*group, offsets[place].partition)),
        Payload::OffsetsGone(group, partitions) => Some(Key::Offset(*group, partitions[place])),
        Payload::Group(snapshot) => Some(Key::Group(snapshot.group)),
        Payload::ConsumerGroup(record) => Some(Key::Group(record.group)),
        Payload::GroupGone(group) => Some(Key::Group(*group)),
        Payload::Transaction(kept) => Some(Key::Transaction(kept.txn)),
        // Whether they count is for their marker to say; both stay.
        Payload::TxnOffsets(..) | Payload::Marker(_) => None,
    }
}

fn is_tombstone(batch: &Batch, place: u32) -> bool {
    match &batch.payload {
        Payload::Records(records) => records[place as usize].value.is_empty(),
        Payload::OffsetsGone(..) | Payload::GroupGone(_) => true,
        _ => false,
    }
}

/// The part of a log that can be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cleanable {
    /// Its dirty part begins here.
    dirty_from: u64,
    /// It ends here, with a segment.
    upto: u64,
    clean_bytes: u64,
    dirty_bytes: u64,
}

/// What can be cleaned now; and whether more can be when some time has passed.
fn cleanable(replica: &Replica, wall: Time) -> (Cleanable, bool) {
    let log = &replica.log;
    let (segments, from) = (log.segments(), log.cleaned());
    let lag = replica.settings.log.min_compaction_lag;
    let mut part = Cleanable { dirty_from: from, upto: from, clean_bytes: 0, dirty_bytes: 0 };
    for pair in segments.windows(2) {
        let (segment, next) = (&pair[0], &pair[1]);
        if next.base_offset <= from {
            part.clean_bytes += segment.bytes;
            continue;
        }
        if next.base_offset > cleanable_bound(replica) || wall.since(segment.newest) < lag {
            return (part, true);
        }
        part.dirty_bytes += segment.bytes;
        part.upto = next.base_offset;
    }
    (part, false)
}

/// The entries below `upto` as they are after cleaning.
fn clean(replica: &Replica, part: Cleanable, wall: Time) -> Vec<Entry> {
    let all = replica.log.entries();
    let upto = all.partition_point(|entry| entry.base_offset < part.upto);
    let dirty = all[..upto].partition_point(|entry| entry.base_offset < part.dirty_from);
    let mut latest: BTreeMap<Key<'_>, u64> = BTreeMap::new();
    for entry in &all[dirty..upto] {
        for index in 0..entry.left() {
            let place = entry.place(index);
            if let Some(key) = key(&entry.batch, place) {
                latest.insert(key, entry.base_offset + u64::from(place));
            }
        }
    }
    let horizon = wall + replica.settings.log.delete_retention;
    let stays = |entry: &Entry, place: u32| {
        if matches!(entry.batch.payload, Payload::TxnOffsets(..) | Payload::Marker(_)) {
            return true;
        }
        let offset = entry.base_offset + u64::from(place);
        let past = entry.kept.as_ref().and_then(|kept| kept.delete_horizon).is_some_and(|at| at <= wall);
        key(&entry.batch, place).is_some_and(|key| {
            latest.get(&key).is_none_or(|latest| *latest <= offset)
                && !(past && is_tombstone(&entry.batch, place))
        })
    };
    all[..upto].iter().filter_map(|entry| clean_entry(entry, replica, horizon, &stays)).collect()
}

/// What stays of a batch, if anything does.
fn clean_entry(
    entry: &Entry,
    replica: &Replica,
    horizon: Time,
    stays: &impl Fn(&Entry, u32) -> bool,
) -> Option<Entry> {
    let places: Vec<u32> =
        (0..entry.left()).map(|index| entry.place(index)).filter(|place| stays(entry, *place)).collect();
    if places.is_empty() && !replica.producers.last_batch_is(entry) {
        return None;
    }
    let before = entry.kept.as_ref().and_then(|kept| kept.delete_horizon);
    let tombstones = places.iter().any(|place| is_tombstone(&entry.batch, *place));
    let delete_horizon = before.or_else(|| tombstones.then_some(horizon));
    if places.len() as u32 == entry.left() && delete_horizon == before {
        return Some(entry.clone());
    }
    let bytes = places.iter().fold(BATCH_OVERHEAD, |bytes, place| {
        let record = entry.batch.records().get(*place as usize);
        bytes + record.map_or(RECORD_OVERHEAD, record_bytes)
    });
    let kept = Kept { places: places.into(), bytes: bytes.min(entry.bytes()), delete_horizon };
    Some(Entry { kept: Some(Arc::new(kept)), ..entry.clone() })
}

impl Broker {
    /// A log has a new segment: there may be something to clean.
    pub(super) fn log_rolled(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        if self.replica(id).is_some_and(|replica| replica.settings.log.cleanup.compacts()) {
            self.wake_cleaner(env);
        }
    }

    /// Sees to it that the cleaner looks when it has rested.
    pub(super) fn wake_cleaner(&mut self, env: &mut Env<'_, '_>) {
        if std::mem::replace(&mut self.cleaner_armed, true) {
            return;
        }
        let rest = env.rules.cleaner_backoff.as_nanos().max(1) as u64;
        let wait = rest - env.ctx.now().0 % rest;
        env.ctx.timer(Duration::from_nanos(wait), Timer::Broker(BrokerTimer::Cleaner));
    }

    /// The cleaner has rested: it cleans whatever is worth it.
    pub(super) fn clean_logs(&mut self, env: &mut Env<'_, '_>) {
        self.cleaner_armed = false;
        let wall = env.ctx.wall();
        while let Some((id, part)) = self.worth_cleaning(wall) {
            self.clean_log(id, part, env);
        }
        let held_back =
            |replica: &Replica| replica.settings.log.cleanup.compacts() && cleanable(replica, wall).1;
        if self.replicas().any(held_back) {
            self.wake_cleaner(env);
        }
    }

    /// A log that is worth cleaning.
    fn worth_cleaning(&self, wall: Time) -> Option<(PartitionId, Cleanable)> {
        self.replicas().filter(|replica| replica.settings.log.cleanup.compacts()).find_map(|replica| {
            let (part, _) = cleanable(replica, wall);
            let whole = part.clean_bytes + part.dirty_bytes;
            let worth = replica.settings.log.min_cleanable.is_exceeded(part.dirty_bytes, whole);
            worth.then_some((replica.id, part))
        })
    }

    fn clean_log(&mut self, id: PartitionId, part: Cleanable, env: &mut Env<'_, '_>) {
        let (me, wall) = (self.me, env.ctx.wall());
        let Some(replica) = self.replica_mut(id) else { return };
        let clean = clean(replica, part, wall);
        let left: u64 = clean.iter().map(|entry| u64::from(entry.bytes())).sum();
        let segment_bytes = u64::from(replica.settings.log.segment_bytes);
        replica.log.replace_below(part.upto, clean, segment_bytes);
        let freed = (part.clean_bytes + part.dirty_bytes).saturating_sub(left);
        env.ctx.disk().discard(replica.file, freed);
        env.ctx.touch(Touch::Replica(me, id));
    }
}
