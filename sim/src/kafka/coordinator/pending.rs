//! What a coordinator has appended and is not committed yet, by token, and the answers that wait for that without
//! anything of their own to append. Tokens rise, and mostly the first is done first.
//!
//! Whoever waits is answered 15 when `offsets.commit.timeout.ms` is over (`CoordinatorRuntime` of Apache Kafka gives each
//! operation that time); what was appended stays so, and takes effect once it is committed.

use super::{
    Work,
    commits::{Answer, commit_answer, commit_answered},
    heartbeat_refused,
};
use crate::{
    kafka::{
        error::ErrorCode,
        group::consumer::ConsumerGroupRecord,
        protocol::{CommittedOffset, Few, GroupIx, ResponseBody},
        txn::messages::ProducerIdAndEpoch,
    },
    kernel::ConnId,
};
use squall_bus::Time;
use std::{collections::VecDeque, sync::Arc};

#[derive(Debug)]
pub(super) enum Pending {
    /// Offsets on their way, and who waits for which answer if all goes well.
    Offsets { group: GroupIx, answer: Option<Answer>, offsets: Few<CommittedOffset>, at: Time },
    /// Offsets of a transaction on their way, and who waits for that.
    TxnOffsets {
        conn: Option<ConnId>,
        producer: ProducerIdAndEpoch,
        group: GroupIx,
        offsets: Vec<CommittedOffset>,
    },
    /// A generation on its way.
    Generation(GroupIx, i32),
    /// A group of the consumer protocol on its way, and who waits for which answer.
    Consumer(Arc<ConsumerGroupRecord>, Option<(ConnId, ResponseBody)>),
    /// A tombstone on its way.
    Tombstone,
    /// An answer that waits for everything before it, unless it was given up.
    Answer(Option<(ConnId, ResponseBody)>),
}

impl Pending {
    /// Whether it will change this group.
    pub(super) fn concerns(&self, id: GroupIx) -> bool {
        match self {
            Self::Offsets { group, .. } | Self::TxnOffsets { group, .. } | Self::Generation(group, _) => {
                *group == id
            }
            Self::Consumer(record, _) => record.group == id,
            Self::Tombstone | Self::Answer(_) => false,
        }
    }

    /// Whether somebody waits for it whose time can be up.
    const fn is_awaited(&self) -> bool {
        match self {
            Self::Offsets { answer, .. } => answer.is_some(),
            Self::TxnOffsets { conn, .. } => conn.is_some(),
            Self::Consumer(_, answer) | Self::Answer(answer) => answer.is_some(),
            Self::Generation(..) => true,
            Self::Tombstone => false,
        }
    }

    /// Who waits for it waits no longer.
    pub(super) fn give_up(&mut self, error: ErrorCode) -> Option<Work> {
        match self {
            Self::Offsets { answer, .. } => answer.take().map(|answer| commit_answered(answer, error)),
            Self::TxnOffsets { conn, offsets, .. } => {
                conn.take().map(|conn| commit_answer(conn, offsets, error))
            }
            Self::Consumer(_, answer) => answer.take().map(|(conn, _)| heartbeat_refused(conn, error)),
            Self::Answer(answer) => answer.take().map(|(conn, body)| failed(conn, body, error)),
            Self::Generation(..) | Self::Tombstone => None,
        }
    }
}

/// An answer that would have been this, of a kind that waits, with an error instead.
fn failed(conn: ConnId, body: ResponseBody, error: ErrorCode) -> Work {
    let body = match body {
        ResponseBody::OffsetCommit(results) => return commit_answered((conn, results), error),
        ResponseBody::ConsumerGroupHeartbeat(_) => return heartbeat_refused(conn, error),
        ResponseBody::OffsetFetch(..) => ResponseBody::OffsetFetch(error, Vec::new()),
        ResponseBody::LeaveGroup(_) => ResponseBody::LeaveGroup(error),
        _ => ResponseBody::Heartbeat(error),
    };
    Work::Reply(conn, body)
}

/// Everything on its way, in order of the tokens, each with the time until which somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(VecDeque<(u64, Time, Pending)>);

impl OnTheWay {
    /// Puts something in, with a token above all others.
    pub(super) fn push(&mut self, token: u64, until: Time, pending: Pending) {
        debug_assert!(self.0.back().is_none_or(|(last, ..)| *last < token));
        self.0.push_back((token, until, pending));
    }

    /// Takes out what has this token.
    pub(super) fn take(&mut self, token: u64) -> Option<Pending> {
        let place = self.0.binary_search_by_key(&token, |(token, ..)| *token).ok()?;
        self.0.remove(place).map(|(.., pending)| pending)
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.0.iter().map(|(.., pending)| pending)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = Pending> {
        self.0.into_iter().map(|(.., pending)| pending)
    }

    /// When the time of somebody who waits is up next.
    pub(super) fn due_at(&self) -> Option<Time> {
        let awaited = self.0.iter().filter(|(.., pending)| pending.is_awaited());
        awaited.map(|(_, until, _)| *until).min()
    }

    /// What is to be done for those whose time is up. A generation's members all wait for it: it has failed.
    pub(super) fn late(&mut self, partition: u32, now: Time) -> Vec<Work> {
        let late = self.0.iter_mut().filter(|(_, until, _)| *until <= now);
        let done = late.filter_map(|(token, _, pending)| match pending {
            Pending::Generation(..) => Some(Work::Appended(partition, *token, ErrorCode::RequestTimedOut)),
            pending => pending.give_up(ErrorCode::CoordinatorNotAvailable),
        });
        done.collect()
    }
}
