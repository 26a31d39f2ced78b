//! Old segments go: by age, by size, and because the log begins behind them (rules B11, C3).
//!
//! - A broker looks at all its logs every `log.retention.check.interval.ms`, each replica for itself.
//! - A segment goes whole, and only when everything in it is committed: when its newest record is older than
//!   `retention.ms`; while the log without it is still no smaller than `retention.bytes`; or when the log's start
//!   has passed it (DeleteRecords, the leader's start). The active segment goes too when it is too old: another is
//!   begun first. What `cleanup.policy` does not delete goes only when the start has passed it.
//! - What producers are remembered by goes on without the records that it was made from, until a producer has
//!   written nothing for `producer.id.expiration.ms`, looked at every `producer.id.expiration.check.interval.ms`.
//!
//! Source: `UnifiedLog.deleteOldSegments`, `ProducerStateManager.removeExpiredProducers` of Apache Kafka 4.x.

use super::{
    Timer, Touch,
    broker::{Broker, BrokerTimer, Env},
    protocol::PartitionId,
    replica::Replica,
    segments::Segment,
};
use squall_bus::Time;

/// How many segments at the beginning of a log may go.
fn deletable(replica: &Replica, wall: Time) -> usize {
    let segments = replica.log.segments();
    let next_base = |place: usize| segments.get(place + 1).map_or(replica.log.end(), |next| next.base_offset);
    // An active segment without records has nothing to delete.
    let full = segments.len() - usize::from(segments.last().is_some_and(|active| active.bytes == 0));
    let committed = (0..full).take_while(|place| next_base(*place) <= replica.high_watermark).count();
    let started = (0..committed).take_while(|place| next_base(*place) <= replica.log.start()).count();
    let settings = &replica.settings.log;
    if !settings.cleanup.deletes() {
        return started;
    }
    let old = |segment: &&Segment| {
        settings.retention.is_some_and(|retention| wall.since(segment.newest) > retention)
    };
    let aged = segments[..committed].iter().take_while(old).count();
    let mut surplus = settings
        .retention_bytes
        .map_or(0, |limit| segments.iter().map(|segment| segment.bytes).sum::<u64>().saturating_sub(limit));
    let fits = |segment: &&Segment| {
        let goes = segment.bytes <= surplus;
        surplus = surplus.saturating_sub(segment.bytes);
        goes && segment.bytes > 0
    };
    let large = segments[..committed].iter().take_while(fits).count();
    started.max(aged).max(large)
}

impl Broker {
    /// Deletes the segments that may go, in every log, and comes back for the next ones.
    pub(super) fn delete_old_segments(&mut self, env: &mut Env<'_, '_>) {
        let wall = env.ctx.wall();
        let old: Vec<(PartitionId, usize)> = self
            .replicas()
            .map(|replica| (replica.id, deletable(replica, wall)))
            .filter(|(_, count)| *count > 0)
            .collect();
        for (id, count) in old {
            self.delete_segments(id, count, env);
        }
        env.ctx.timer(env.rules.retention_check, Timer::Broker(BrokerTimer::Retention));
    }

    fn delete_segments(&mut self, id: PartitionId, count: usize, env: &mut Env<'_, '_>) {
        let me = self.me;
        let Some(replica) = self.replica_mut(id) else { return };
        let bytes = replica.delete_segments(count, env.rules);
        env.ctx.disk().discard(replica.file, bytes);
        env.ctx.touch(Touch::Replica(me, id));
        self.start_raised(id, env);
        self.follower_begins(id);
    }

    /// Forgets producers that have written nothing for long, and comes back for the next ones.
    pub(super) fn expire_producers(&mut self, env: &mut Env<'_, '_>) {
        let (wall, limit) = (env.ctx.wall(), env.rules.producer_expiration);
        for replica in self.replicas_mut() {
            replica.producers.expire(wall, limit);
        }
        env.ctx.timer(env.rules.producer_expiration_check, Timer::Broker(BrokerTimer::Producers));
    }
}
