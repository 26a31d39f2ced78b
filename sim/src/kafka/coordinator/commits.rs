//! Commits: what of them is appended, and what is answered.

use super::{Coordinator, Pending, Work};
use crate::{
    kafka::{
        broker::Env,
        error::ErrorCode,
        group::check_metadata,
        protocol::{
            BATCH_OVERHEAD, CommittedOffset, OffsetCommitRequest, PartitionId, Payload, ResponseBody,
        },
    },
    kernel::ConnId,
};

/// Bytes of one committed offset in a batch, key and value.
const OFFSET_BYTES: u32 = 96;

/// Who waits for a commit, and what each offset gets if it is kept.
pub(super) type Answer = (ConnId, Vec<(PartitionId, ErrorCode)>);

impl Coordinator {
    /// Appends what may be committed; the rest is answered with it.
    pub(super) fn commit(
        &mut self,
        partition: u32,
        conn: ConnId,
        request: OffsetCommitRequest,
        env: &mut Env<'_, '_>,
    ) {
        let (group, mut results, mut offsets) = (request.group, Vec::new(), request.offsets);
        results.extend(offsets.iter().map(|offset| (offset.partition, check_metadata(offset, env.rules))));
        offsets.retain(|offset| !check_metadata(offset, env.rules).is_error());
        let bytes = offsets.iter().fold(BATCH_OVERHEAD, |sum, offset| {
            sum.saturating_add(OFFSET_BYTES).saturating_add(offset.metadata_bytes)
        });
        if bytes > env.rules.message_max_bytes {
            let refuse =
                |result: &mut (PartitionId, ErrorCode)| result.1 = ErrorCode::InvalidCommitOffsetSize;
            results.iter_mut().filter(|(_, error)| !error.is_error()).for_each(refuse);
            offsets.clear();
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
