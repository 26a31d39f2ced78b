//! Offsets that belong to transactions: taken, written, and counted once the transaction is over (rule D6).

use super::{
    Coordinator, Pending,
    commits::{OFFSET_BYTES, commit_answer},
};
use crate::{
    kafka::{
        broker::Env,
        error::ErrorCode,
        protocol::{BATCH_OVERHEAD, CommittedOffset, GroupIx, MemberEpoch, Payload},
        txn::messages::{Marker, ProducerIdAndEpoch},
    },
    kernel::ConnId,
};

impl Coordinator {
    /// Whether this broker coordinates the groups of this partition now.
    pub(in crate::kafka) fn coordinates(&self, partition: u32) -> Result<(), ErrorCode> {
        match self.shards.get(partition as usize).and_then(Option::as_ref) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading.is_some() => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(_) => Ok(()),
        }
    }

    /// Whether offsets of a transaction may be taken from this member.
    pub(in crate::kafka) fn check_txn_commit(
        &self,
        partition: u32,
        group: GroupIx,
        member: &MemberEpoch,
    ) -> Result<(), ErrorCode> {
        self.group(partition, group).ok_or(ErrorCode::UnknownMemberId)?.check_txn_commit(member)
    }

    /// Offsets that are not taken.
    pub(in crate::kafka) fn refuse_offsets(
        &mut self,
        conn: ConnId,
        offsets: &[CommittedOffset],
        error: ErrorCode,
    ) {
        self.work.push_back(commit_answer(conn, offsets, error));
    }

    /// Writes offsets of a transaction.
    pub(in crate::kafka) fn append_txn_offsets(
        &mut self,
        partition: u32,
        conn: ConnId,
        producer: ProducerIdAndEpoch,
        group: GroupIx,
        offsets: Vec<CommittedOffset>,
        env: &mut Env<'_, '_>,
    ) {
        if let Err(error) = self.coordinates(partition) {
            return self.refuse_offsets(conn, &offsets, error);
        }
        let bytes = BATCH_OVERHEAD + OFFSET_BYTES * offsets.len() as u32;
        let payload = Payload::TxnOffsets(producer, group, offsets.clone());
        let pending = Pending::TxnOffsets { conn: Some(conn), producer, group, offsets };
        self.append(partition, payload, bytes, pending, env);
    }

    /// The marker of a transaction is committed in this partition.
    pub(in crate::kafka) fn txn_ended(&mut self, partition: u32, marker: &Marker, env: &mut Env<'_, '_>) {
        let at = env.ctx.wall();
        if let Some(shard) = self.shard(partition) {
            shard.ended(marker, at);
            self.watch_retention(env);
        }
    }
}
