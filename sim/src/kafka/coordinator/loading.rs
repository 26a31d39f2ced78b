//! What a new coordinator reads in its partition's log.

use super::{Coordinator, Shard};
use crate::kafka::{
    broker::Env,
    group::{ConsumerGroup, Group, GroupSnapshot, consumer::ConsumerGroupRecord},
    protocol::{CommittedOffset, Entry, GroupIx, Payload},
    rules::Rules,
};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc};

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
