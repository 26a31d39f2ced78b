//! Expired offsets and forgotten groups are put to rest (rule E7).

use super::{Coordinator, Pending};
use crate::kafka::{
    Touch,
    broker::Env,
    protocol::{BATCH_OVERHEAD, CommittedOffset, GroupIx, PartitionId, Payload, TopicIx},
};

/// Bytes of one tombstone: a key.
const TOMBSTONE_BYTES: u32 = 64;

impl Coordinator {
    /// Sees to it that somebody looks for expired offsets.
    pub(super) fn watch_retention(&mut self, env: &mut Env<'_, '_>) {
        if self.retention_check.is_none() {
            let at = env.ctx.now() + env.rules.offsets_retention_check;
            self.retention_check = Some(at);
            self.arm(at, env);
        }
    }

    /// Puts to rest what need not be kept any longer.
    pub(super) fn expire_offsets(&mut self, env: &mut Env<'_, '_>) {
        let (rules, wall) = (env.rules, env.ctx.wall());
        let mut keeps = false;
        for partition in 0..self.shards.len() as u32 {
            let Some(shard) = self.shard(partition) else { continue };
            let mut tombstones = Vec::new();
            for (id, group) in &mut shard.groups {
                let mut gone = group.expired_offsets(rules, wall);
                let on_their_way = shard.pending.values().filter_map(|pending| match pending {
                    Pending::Offsets { group, offsets, .. } if group == id => Some(offsets),
                    _ => None,
                });
                let on_their_way: Vec<&CommittedOffset> = on_their_way.flatten().collect();
                gone.retain(|id| on_their_way.iter().all(|offset| offset.partition != *id));
                if !gone.is_empty() {
                    group.offsets.forget(&gone);
                    tombstones.push(Payload::OffsetsGone(*id, gone));
                }
                if group.is_dead() && on_their_way.is_empty() && group.generation > 0 {
                    tombstones.push(Payload::GroupGone(*id));
                }
                keeps |= !group.offsets.is_empty();
            }
            let pending = &shard.pending;
            let awaited = |id| pending.values().any(|pending| pending.concerns(id));
            shard.groups.retain(|id, group| {
                let stays = !group.is_dead() || awaited(*id);
                if !stays {
                    env.ctx.touch(Touch::Group(*id));
                }
                stays
            });
            for payload in tombstones {
                let records = if let Payload::OffsetsGone(_, gone) = &payload { gone.len() } else { 1 };
                let bytes = BATCH_OVERHEAD + TOMBSTONE_BYTES * records as u32;
                self.append(partition, payload, bytes, Pending::Tombstone, env);
            }
        }
        if keeps {
            self.watch_retention(env);
        }
    }

    /// A topic is gone: no group goes on in it.
    pub(in crate::kafka) fn topic_gone(&mut self, topic: TopicIx, env: &mut Env<'_, '_>) {
        for partition in 0..self.shards.len() as u32 {
            let Some(shard) = self.shard(partition) else { continue };
            let gone: Vec<(GroupIx, Vec<PartitionId>)> = shard
                .groups
                .iter_mut()
                .map(|(id, group)| (*id, group.offsets.forget_topic(topic)))
                .filter(|(_, gone)| !gone.is_empty())
                .collect();
            for (group, gone) in gone {
                env.ctx.touch(Touch::Group(group));
                let bytes = BATCH_OVERHEAD + TOMBSTONE_BYTES * gone.len() as u32;
                self.append(partition, Payload::OffsetsGone(group, gone), bytes, Pending::Tombstone, env);
            }
        }
    }
}
