//! DeleteRecords: the administrator moves the start of a log (rules B9, B11).
//!
//! - The leader raises its log's start to the offset asked for, at most to its high watermark (beyond it: 1), and
//!   answers when the low watermark, the least start over the replicas that are alive, has got there; 7 when the
//!   request's time is up first. Followers hear of the start with their fetches, and report theirs with the next.
//! - Nothing can be read below the start from then on. Segments that lie before it go at the next look at retention.
//! - Without an offset, everything up to the high watermark goes.
//!
//! Source: `ReplicaManager.deleteRecords`, `DelayedDeleteRecords` of Apache Kafka, KIP-107.

use super::{
    Touch,
    broker::{Broker, Env},
    conns::Busy,
    error::ErrorCode,
    protocol::{DeleteRecordsRequest, DeletedRecords, PartitionId, ResponseBody},
    replica::Replica,
};
use crate::kernel::ConnId;
use squall_bus::Time;

/// A DeleteRecords request that waits for low watermarks.
#[derive(Debug)]
pub(super) struct ParkedDeletion {
    correlation: u32,
    pub(super) until: Time,
    /// The results, and the low watermarks that are still waited for.
    results: Vec<(DeletedRecords, Option<u64>)>,
}

impl Broker {
    /// Answers a DeleteRecords, or lets it wait.
    pub(super) fn delete_records(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: &DeleteRecordsRequest,
        env: &mut Env<'_, '_>,
    ) {
        let results = request
            .partitions
            .iter()
            .map(|(id, upto)| match self.raise_start(*id, *upto, env) {
                Ok(start) => {
                    (DeletedRecords { id: *id, error: ErrorCode::None, low_watermark: 0 }, Some(start))
                }
                Err(error) => (DeletedRecords { id: *id, error, low_watermark: 0 }, None),
            })
            .collect();
        let until = env.ctx.now() + request.timeout;
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::DeleteRecords(ParkedDeletion { correlation, until, results });
            self.wake_at(until, env);
        }
        for (id, _) in &request.partitions {
            if let Some(replica) = self.replica_mut(*id)
                && !replica.deletions.contains(&conn)
            {
                replica.deletions.push(conn);
            }
        }
        self.answer_deletion(conn, false, env);
    }

    /// Raises the start of a log that is led here; where it is then.
    fn raise_start(
        &mut self,
        id: PartitionId,
        upto: Option<u64>,
        env: &mut Env<'_, '_>,
    ) -> Result<u64, ErrorCode> {
        if env.image.partition(id).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let me = self.me;
        let start = self.delete_before(id, upto)?;
        env.ctx.touch(Touch::Replica(me, id));
        self.start_raised(id, env);
        Ok(start)
    }

    /// Moves the start of a log that is led here; where it is to be.
    pub(super) fn delete_before(&mut self, id: PartitionId, upto: Option<u64>) -> Result<u64, ErrorCode> {
        let replica = self.replica_mut(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        if replica.leading().is_none() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let upto = upto.unwrap_or(replica.high_watermark);
        if upto > replica.high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if replica.log.raise_start(upto) {
            self.has_untold(id);
            self.has_news = true;
        }
        Ok(upto)
    }

    /// The start of a log rose: followers are to be told, and who waits for that may have waited long enough.
    pub(super) fn start_raised(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        self.has_untold(id);
        self.has_news = true;
        self.answer_deletions(id, env);
    }

    /// A replica's low watermark may have risen.
    pub(super) fn answer_deletions(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        let Some(replica) = self.replica_mut(id) else { return };
        if replica.deletions.is_empty() {
            return;
        }
        for conn in std::mem::take(&mut replica.deletions) {
            if self.answer_deletion(conn, false, env)
                && let Some(replica) = self.replica_mut(id)
            {
                replica.deletions.push(conn);
            }
        }
    }

    /// Answers a waiting DeleteRecords if all is done, or, `expired`, if its time is up; whether it goes on waiting.
    pub(super) fn answer_deletion(&mut self, conn: ConnId, expired: bool, env: &mut Env<'_, '_>) -> bool {
        let Some(known) = self.conns.get_mut(conn) else { return false };
        let Busy::DeleteRecords(parked) = &mut known.busy else { return false };
        let (correlation, expired) = (parked.correlation, expired && parked.until <= env.ctx.now());
        let mut results = std::mem::take(&mut parked.results);
        for (result, wanted) in &mut results {
            let Some(upto) = *wanted else { continue };
            let replica = self.replica(result.id).filter(|replica| replica.leading().is_some());
            let low = replica.map(|replica| replica.low_watermark(env.image));
            (result.error, result.low_watermark) = match low {
                None => (ErrorCode::NotLeaderOrFollower, 0),
                Some(low) if low >= upto => (ErrorCode::None, low),
                Some(_) if expired => (ErrorCode::RequestTimedOut, 0),
                Some(_) => continue,
            };
            *wanted = None;
        }
        if results.iter().any(|(_, wanted)| wanted.is_some()) {
            if let Some(Busy::DeleteRecords(parked)) = self.conns.get_mut(conn).map(|known| &mut known.busy) {
                parked.results = results;
            }
            return true;
        }
        let results = results.into_iter().map(|(result, _)| result).collect();
        self.answer(conn, correlation, ResponseBody::DeleteRecords(results), env);
        false
    }

    /// The replica no longer leads: nobody need wait here.
    pub(super) fn deletions_deposed(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        if self.replica(id).is_some_and(|replica: &Replica| !replica.deletions.is_empty()) {
            self.answer_deletions(id, env);
        }
    }
}
