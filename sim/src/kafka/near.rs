//! Reading from a replica that is near (rule B14, KIP-392).
//!
//! - With `replica.selector.class` a leader sends a consumer that says in which rack it is to the replica there, if
//!   that one is in sync, alive, and has the offset; the answer has no records then. Every broker is a rack of its own.
//! - A follower serves consumers up to its own high watermark, which lags behind the leader's. An offset that it does
//!   not have (yet) is OFFSET_OUT_OF_RANGE (1) there: the consumer goes back to the leader.
//!
//! Source: `ReplicaManager.findPreferredReadReplica`, `RackAwareReplicaSelector` of Apache Kafka.

use super::{
    broker::{Broker, Env},
    error::ErrorCode,
    protocol::{FetchPartition, FetchRequest},
    replica::{Replica, Role},
    rules::{ReplicaSelector, Rules},
};
use crate::kernel::NodeId;

impl Broker {
    /// The replica that this reader may read: one that leads or, for a consumer with a rack, one that follows.
    pub(super) fn check_reader(
        &self,
        at: &FetchPartition,
        request: &FetchRequest,
        rules: &Rules,
    ) -> Result<&Replica, ErrorCode> {
        let near = rules.replica_selector == ReplicaSelector::RackAware && request.rack == Some(self.me);
        if near
            && let Some(replica) = self.replica(at.id)
            && matches!(replica.role, Role::Follower)
            && at.current_leader_epoch.is_none_or(|epoch| epoch == replica.leader_epoch)
        {
            return Ok(replica);
        }
        self.check_leader(at.id, at.current_leader_epoch)
    }

    /// The replica in the consumer's rack that it is to read from instead of this one.
    #[inline]
    pub(super) fn preferred(
        &self,
        at: &FetchPartition,
        request: &FetchRequest,
        env: &Env<'_, '_>,
    ) -> Option<NodeId> {
        match env.rules.replica_selector {
            ReplicaSelector::Leader => None,
            ReplicaSelector::RackAware => self.nearest(at, request, env),
        }
    }

    fn nearest(&self, at: &FetchPartition, request: &FetchRequest, env: &Env<'_, '_>) -> Option<NodeId> {
        let near = request.rack.filter(|near| *near != self.me && env.image.is_active(*near))?;
        let replica = self.replica(at.id)?;
        replica.has_in_sync(near, at.offset).then_some(near)
    }
}
