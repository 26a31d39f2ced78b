//! Commits: what of them is appended, and what is answered.

use super::{Coordinator, Pending, Work};
use crate::{
    kafka::{
        Touch,
        broker::Env,
        error::ErrorCode,
        group::{Group, check_metadata},
        protocol::{
            BATCH_OVERHEAD, CommittedOffset, Few, OffsetCommitRequest, OffsetFetchRequest, PartitionId,
            Payload, ResponseBody,
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
            return self.work.push_back(Work::Reply(conn, ResponseBody::OffsetCommit(results)));
        }
        let until = env.ctx.now() + env.rules.offsets_commit_timeout;
        let payload = Payload::Offsets(group, offsets.clone());
        let (at, answer) = (env.ctx.wall(), Some((conn, results)));
        let pending = Pending::Offsets { group, answer, offsets, at, until };
        self.append(partition, payload, bytes, pending, env);
        self.arm(until, env);
    }
}

/// Where a group goes on, if who asks may know.
pub(super) fn committed(group: &Group, request: &OffsetFetchRequest) -> ResponseBody {
    if let Err(error) = group.check_fetch(request.member.as_ref()) {
        return ResponseBody::OffsetFetch(error, Vec::new());
    }
    let find = |id: &PartitionId| (*id, group.offsets.get(id).copied());
    ResponseBody::OffsetFetch(ErrorCode::None, request.partitions.iter().map(find).collect())
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
