//! Commits: what of them is appended, what is answered, and where a group goes on.

use super::{Coordinator, Pending, Shard, Work};
use crate::{
    kafka::{
        Touch,
        broker::Env,
        error::ErrorCode,
        group::check_metadata,
        protocol::{
            BATCH_OVERHEAD, CommittedOffset, Few, GroupIx, OffsetCommitRequest, OffsetFetchRequest,
            PartitionId, Payload, ResponseBody,
        },
    },
    kernel::{ConnId, Mark},
};

/// Bytes of one committed offset in a batch, key and value.
pub(super) const OFFSET_BYTES: u32 = 96;

/// Who waits for a commit, and what each offset gets if it is kept.
pub(super) type Answer = (ConnId, Few<(PartitionId, ErrorCode)>);

impl Coordinator {
    /// Takes a commit in, if the group allows it.
    pub(super) fn take_commit(
        &mut self,
        partition: u32,
        conn: ConnId,
        request: OffsetCommitRequest,
        allowed: Result<(), ErrorCode>,
        env: &mut Env<'_, '_>,
    ) {
        if let Err(error) = allowed {
            env.ctx.mark(Mark::CommitRefused);
            return self.work.push_back(commit_answer(conn, &request.offsets, error));
        }
        env.ctx.touch(Touch::Commit(request.group));
        self.commit(partition, conn, request, env);
    }

    /// Says where a group goes on; stable positions once they are committed.
    pub(super) fn say_positions(&mut self, partition: u32, conn: ConnId, request: &OffsetFetchRequest) {
        let Some(shard) = self.shard(partition) else { return };
        let positions = shard.positions(request);
        self.work.push_back(match positions {
            Err(error) => Work::Reply(conn, ResponseBody::OffsetFetch(error, Vec::new())),
            Ok(body) if request.stable => Work::Answer(partition, conn, body),
            Ok(body) => Work::Reply(conn, body),
        });
    }

    /// Appends what may be committed; the rest is answered with it.
    fn commit(&mut self, partition: u32, conn: ConnId, request: OffsetCommitRequest, env: &mut Env<'_, '_>) {
        let OffsetCommitRequest { group, mut offsets, .. } = request;
        let check = |offset: &CommittedOffset| check_metadata(offset, env.rules);
        let mut results: Few<_> = offsets.iter().map(|offset| (offset.partition, check(offset))).collect();
        if results.iter().any(|(_, error)| error.is_error()) {
            offsets = offsets.into_iter().filter(|offset| !check(offset).is_error()).collect();
        }
        let bytes = offsets.iter().fold(BATCH_OVERHEAD, |sum, offset| {
            sum.saturating_add(OFFSET_BYTES).saturating_add(offset.metadata_bytes)
        });
        if bytes > env.rules.message_max_bytes {
            let refuse =
                |result: &mut (PartitionId, ErrorCode)| result.1 = ErrorCode::InvalidCommitOffsetSize;
            results.iter_mut().filter(|(_, error)| !error.is_error()).for_each(refuse);
            offsets = Few::new();
        }
        if offsets.is_empty() {
            return self.work.push_back(Work::Answer(partition, conn, ResponseBody::OffsetCommit(results)));
        }
        let payload = Payload::Offsets(group, offsets.clone());
        let (at, answer) = (env.ctx.wall(), Some((conn, results)));
        let pending = Pending::Offsets { group, answer, offsets, at };
        self.append(partition, payload, bytes, pending, env);
    }
}

impl Shard {
    /// Where a group goes on, if who asks may know: by what is written if stable positions are asked for, else by what is
    /// committed.
    fn positions(&self, request: &OffsetFetchRequest) -> Result<ResponseBody, ErrorCode> {
        let OffsetFetchRequest { group: id, member, partitions, stable } = request;
        let group = self.groups.get(id);
        group.map_or(Ok(()), |group| group.check_fetch(member.as_ref(), *stable))?;
        if *stable && self.is_unstable(*id, partitions) {
            return Ok(ResponseBody::OffsetFetch(ErrorCode::UnstableOffsetCommit, Vec::new()));
        }
        let find = |id: &PartitionId| {
            let written = if *stable { self.on_its_way(request.group, *id) } else { None };
            (*id, written.or_else(|| group?.offsets.get(id)).copied())
        };
        Ok(ResponseBody::OffsetFetch(ErrorCode::None, partitions.iter().map(find).collect()))
    }

    /// The last offset of a group in this partition that is written and not committed.
    fn on_its_way(&self, id: GroupIx, partition: PartitionId) -> Option<&CommittedOffset> {
        let offsets = self.pending.values().rev().filter_map(|pending| match pending {
            Pending::Offsets { group, offsets, .. } if *group == id => Some(offsets),
            _ => None,
        });
        offsets.flatten().find(|offset| offset.partition == partition)
    }

    /// Whether a transaction may still change one of these positions of a group.
    fn is_unstable(&self, id: GroupIx, partitions: &[PartitionId]) -> bool {
        let written = |pending: &Pending| match pending {
            Pending::TxnOffsets { group, offsets, .. } if *group == id => {
                offsets.iter().any(|offset| partitions.contains(&offset.partition))
            }
            _ => false,
        };
        self.unstable.is_unstable(id, partitions) || self.pending.values().any(written)
    }
}

/// The answer to a commit of which these offsets were appended, with this result.
pub(super) fn commit_answered((conn, mut results): Answer, error: ErrorCode) -> Work {
    let open = results.iter_mut().filter(|(_, refused)| !refused.is_error());
    open.for_each(|(_, result)| *result = error);
    Work::Reply(conn, ResponseBody::OffsetCommit(results))
}

/// The answer to a commit that nothing became of.
pub(super) fn commit_answer(conn: ConnId, offsets: &[CommittedOffset], error: ErrorCode) -> Work {
    let results = offsets.iter().map(|offset| (offset.partition, error)).collect();
    Work::Reply(conn, ResponseBody::OffsetCommit(results))
}
