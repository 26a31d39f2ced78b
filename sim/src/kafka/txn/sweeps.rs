//! What a transaction coordinator does by the clock: aborts what is open for too long, forgets what is idle for too long
//! (rule D2).

use super::{
    coordinator::Then,
    messages::{ProducerIdAndEpoch, TxnIx},
    state::TxnState,
    transaction::Transaction,
};
use crate::{
    kafka::{
        Timer,
        broker::{Broker, BrokerTimer, Env},
    },
    kernel::{Mark, Site},
};
use squall_bus::Time;

const SWEEP: Site = Site::new("kafka.txn.sweep");

impl Broker {
    pub(super) fn arm_txns(&mut self, at: Time, env: &mut Env<'_, '_>) {
        if self.txns.armed.is_none_or(|armed| armed > at) {
            self.txns.armed = Some(at);
            env.ctx.timer(at.since(env.ctx.now()), Timer::Broker(BrokerTimer::Transactions));
        }
    }

    /// The next sweep: whole intervals after the process began, which is at any time before a run.
    pub(super) fn arm_sweep(&mut self, env: &mut Env<'_, '_>) {
        let open = |txn: &Transaction| txn.kept.as_ref().is_some_and(|kept| kept.state == TxnState::Ongoing);
        if self.txns.shards.iter().flatten().any(|shard| shard.txns.values().any(open)) {
            let every = env.rules.transaction_sweep.as_nanos().max(1) as u64;
            let phase = env.ctx.choices().below(SWEEP, u64::from(env.ctx.node().0), self.boots(), every);
            let next = Time(((env.ctx.now().0 + every - phase) / every) * every + phase);
            let at = *self.txns.sweep_at.get_or_insert(next);
            self.arm_txns(at, env);
        }
    }

    /// Does what is due, and wakes again for the next.
    pub(in crate::kafka) fn txns_due(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        if self.txns.armed.is_some_and(|armed| armed > now) {
            return;
        }
        self.txns.armed = None;
        let mut loaded = Vec::new();
        for (partition, shard) in self.txns.shards.iter().enumerate() {
            if let Some(until) = shard.as_ref().and_then(|shard| shard.loading) {
                loaded.push((until, partition as u32));
            }
        }
        for (until, partition) in loaded {
            if until <= now {
                self.load_txns(partition, env);
            } else {
                self.arm_txns(until, env);
            }
        }
        if self.txns.sweep_at.is_some_and(|at| at <= now) {
            self.txns.sweep_at = None;
            self.sweep_txns(env);
        }
        self.forget_idle(env);
        self.arm_sweep(env);
        self.markers_due(env);
        self.verifications_due(env);
    }

    /// Forgets the ids that nobody has used for so long, now and then.
    fn forget_idle(&mut self, env: &mut Env<'_, '_>) {
        let (now, wall) = (env.ctx.now(), env.ctx.wall());
        let Some(at) = self.txns.expiry_at else { return };
        if at > now {
            return self.arm_txns(at, env);
        }
        self.txns.expiry_at = None;
        let expiry = env.rules.transaction_id_expiry;
        let mut idle = Vec::new();
        for (partition, shard) in self.txns.shards.iter().enumerate() {
            let known = shard.iter().flat_map(|shard| shard.txns.values());
            let expired = known.filter(|known| known.is_expired(expiry, wall));
            idle.extend(expired.filter_map(|known| Some((partition as u32, known.kept.clone()?))));
        }
        for (partition, kept) in idle {
            self.keep(partition, Transaction::dead(&kept, wall), Then::Nothing, env);
        }
        self.arm_expiry(env);
    }

    /// Sees to it that somebody looks for ids that nobody uses, as long as there are any.
    pub(super) fn arm_expiry(&mut self, env: &mut Env<'_, '_>) {
        if self.txns.expiry_at.is_none()
            && self.txns.shards.iter().flatten().any(|shard| !shard.txns.is_empty())
        {
            let at = env.ctx.now() + env.rules.transaction_id_expiry_check;
            self.txns.expiry_at = Some(at);
            self.arm_txns(at, env);
        }
    }

    /// Aborts what has been open for too long.
    fn sweep_txns(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.wall();
        let shards = self.txns.shards.iter().flatten();
        let overdue: Vec<(TxnIx, ProducerIdAndEpoch)> = shards
            .flat_map(|shard| &shard.txns)
            .filter(|(_, known)| known.is_overdue(now))
            .filter_map(|(txn, known)| Some((*txn, known.fence()?)))
            .collect();
        for (txn, producer) in overdue {
            env.ctx.mark(Mark::TxnTimedOut);
            self.fence_txn(txn, producer, env);
        }
    }
}
