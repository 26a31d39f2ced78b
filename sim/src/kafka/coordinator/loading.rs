//! What a new coordinator reads in its partition's log, and how long that takes.
//!
//! A coordinator of a real 4.3.0 cluster said of 64 partitions, none with more than 201 records, that it took 18 to 40 ms
//! when it changed hands; on a machine with other things to do it was once still at it when a commit had been refused
//! three times, so for 240 ms at least. So one in [`LONG`] that takes over from another takes [`LONG`] times as long here.

use super::{Coordinator, Shard};
use crate::kafka::{
    broker::Env,
    group::{ConsumerGroup, Group, GroupSnapshot, consumer::ConsumerGroupRecord},
    protocol::{CommittedOffset, Entry, GroupIx, PartitionId, Payload},
    rules::Rules,
};
use crate::kernel::{Site, mix};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const LOAD: Site = Site::new("kafka.coordinator.load");
const LONG: u32 = 16;

/// When the log of a partition that somebody coordinates from now on, in this epoch, will have been read.
pub(in crate::kafka) fn read_at(id: PartitionId, epoch: u32, env: &Env<'_, '_>) -> Time {
    let entity = mix(u64::from(id.topic.0), u64::from(id.partition));
    let is_long = epoch > 0 && env.ctx.choices().below(LOAD, entity, u64::from(epoch), LONG.into()) == 0;
    env.ctx.now() + env.rules.group_load_takes * if is_long { LONG } else { 1 }
}

/// No coordinator takes longer.
pub(in crate::kafka) fn longest(rules: &Rules) -> Duration {
    rules.group_load_takes * LONG
}

impl Coordinator {
    /// The partition's log was read.
    pub(super) fn load(&mut self, partition: u32, entries: &[Entry], env: &mut Env<'_, '_>) {
        let (rules, now) = (env.rules, env.ctx.now());
        let Some(shard) = self.shard(partition) else { return };
        shard.loading = None;
        let mut latest: BTreeMap<GroupIx, (&Arc<GroupSnapshot>, Time)> = BTreeMap::new();
        let mut consumers: BTreeMap<GroupIx, (&Arc<ConsumerGroupRecord>, Time)> = BTreeMap::new();
        for entry in entries {
            let at = entry.batch.timestamp;
            match &entry.batch.payload {
                Payload::Group(snapshot) => {
                    latest.insert(snapshot.group, (snapshot, at));
                    consumers.remove(&snapshot.group);
                }
                Payload::ConsumerGroup(record) => {
                    consumers.insert(record.group, (record, at));
                }
                Payload::GroupGone(group) => {
                    latest.remove(group);
                    consumers.remove(group);
                }
                Payload::Offsets(group, offsets) => {
                    shard.replay(*group, offsets, at, rules);
                }
                Payload::OffsetsGone(group, partitions) => {
                    if let Some(group) = shard.groups.get_mut(group) {
                        group.offsets.forget(partitions);
                    }
                }
                Payload::TxnOffsets(producer, group, offsets) => {
                    shard.unstable.wrote(*producer, *group, offsets);
                }
                Payload::Marker(marker) => {
                    for (group, offset) in shard.unstable.ended(marker) {
                        shard.replay(group, &[offset], at, rules);
                    }
                }
                _ => {}
            }
        }
        for (id, (snapshot, at)) in latest {
            shard.groups.entry(id).or_insert_with(|| Group::new(id)).restore(snapshot, at, now);
        }
        for (id, (record, at)) in consumers {
            let group = shard.groups.entry(id).or_insert_with(|| Group::new(id));
            group.consumer = Some(Box::new(ConsumerGroup::restore(record, rules, now)));
            group.note_members(at);
        }
        shard.groups.retain(|_, group| !group.is_dead());
        let keeps = shard.groups.values().any(|group| !group.offsets.is_empty());
        let due = shard.groups.values().filter_map(Group::due_at).min();
        if let Some(due) = due {
            self.arm(due, env);
        }
        if keeps {
            self.watch_retention(env);
        }
    }
}

impl Shard {
    /// Positions of a group from the log: the last of a partition counts, as far as the rules go.
    fn replay(&mut self, group: GroupIx, offsets: &[CommittedOffset], at: Time, rules: &Rules) {
        let group = self.groups.entry(group).or_insert_with(|| Group::new(group));
        if rules.replay_newest_offset {
            group.offsets.keep(offsets, at);
        } else {
            group.offsets.keep_unknown(offsets, at);
        }
    }
}
