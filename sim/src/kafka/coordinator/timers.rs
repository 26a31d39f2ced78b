//! When the coordinator wakes: for what is due in a group, somebody who has waited long enough, a log that is read, or
//! offsets that expire. One timer serves all of them.

use super::{Coordinator, Work};
use crate::{
    kafka::{
        Timer,
        broker::{BrokerTimer, Env},
        group::Group,
        protocol::GroupIx,
    },
    kernel::Mark,
};
use squall_bus::Time;

impl Coordinator {
    pub(super) fn arm(&mut self, at: Time, env: &mut Env<'_, '_>) {
        if self.armed.is_none_or(|armed| armed > at) {
            self.armed = Some(at);
            env.ctx.timer(at.since(env.ctx.now()), Timer::Broker(BrokerTimer::Groups));
        }
    }

    pub(super) fn arm_group(&mut self, partition: u32, id: GroupIx, env: &mut Env<'_, '_>) {
        let due = self.shard(partition).and_then(|shard| shard.groups.get(&id)).and_then(Group::due_at);
        if let Some(due) = due {
            self.arm(due, env);
        }
    }

    /// Does what is due in any group, and wakes again for the next.
    pub(in crate::kafka) fn due(&mut self, env: &mut Env<'_, '_>) {
        self.armed = None;
        let now = env.ctx.now();
        if self.retention_check.is_some_and(|at| at <= now) {
            self.retention_check = None;
            self.expire_offsets(env);
        }
        let mut next: Option<Time> = self.retention_check;
        for partition in 0..self.shards.len() as u32 {
            self.due_in(partition, env);
            let Some(shard) = self.shard(partition) else { continue };
            let waits = shard.pending.due_at().into_iter().chain(shard.loading);
            let soonest = shard.groups.values().filter_map(Group::due_at).chain(waits).min();
            next = next.into_iter().chain(soonest).min();
        }
        if let Some(next) = next {
            self.arm(next.max(now), env);
        }
    }

    fn due_in(&mut self, partition: u32, env: &mut Env<'_, '_>) {
        let (rules, now) = (env.rules, env.ctx.now());
        let Some(shard) = self.shard(partition) else { return };
        if let Some(until) = shard.loading {
            if until <= now {
                self.work.push_back(Work::Load(partition));
            }
            return;
        }
        let late = shard.pending.late(partition, now);
        let mut effects = Vec::new();
        for (id, group) in &mut shard.groups {
            if group.due_at().is_some_and(|due| due <= now) {
                if group.is_missing_somebody(now) {
                    env.ctx.mark(Mark::MemberExpired);
                }
                effects.push((*id, group.due(rules, now)));
            }
        }
        self.work.extend(late);
        for (id, effects) in effects {
            self.carry_out(partition, id, effects, env);
        }
    }
}
