//! What a coordinator has appended and is not committed yet, by token. Tokens rise, and mostly the first is done first.

use super::commits::Answer;
use crate::{
    kafka::{
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
    Offsets { group: GroupIx, answer: Option<Answer>, offsets: Few<CommittedOffset>, at: Time, until: Time },
    /// Offsets of a transaction on their way.
    TxnOffsets { conn: ConnId, producer: ProducerIdAndEpoch, group: GroupIx, offsets: Vec<CommittedOffset> },
    /// A generation on its way.
    Generation(GroupIx, i32),
    /// A group of the consumer protocol on its way, and who waits for which answer.
    Consumer(Arc<ConsumerGroupRecord>, Option<(ConnId, ResponseBody)>),
    /// A tombstone on its way.
    Tombstone,
}

impl Pending {
    /// Whether it will change this group.
    pub(super) fn concerns(&self, id: GroupIx) -> bool {
        match self {
            Self::Offsets { group, .. } | Self::TxnOffsets { group, .. } | Self::Generation(group, _) => {
                *group == id
            }
            Self::Consumer(record, _) => record.group == id,
            Self::Tombstone => false,
        }
    }
}

/// Everything on its way, in order of the tokens.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(VecDeque<(u64, Pending)>);

impl OnTheWay {
    /// Puts something in, with a token above all others.
    pub(super) fn push(&mut self, token: u64, pending: Pending) {
        debug_assert!(self.0.back().is_none_or(|(last, _)| *last < token));
        self.0.push_back((token, pending));
    }

    /// Takes out what has this token.
    pub(super) fn take(&mut self, token: u64) -> Option<Pending> {
        let place = self.0.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        self.0.remove(place).map(|(_, pending)| pending)
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.0.iter().map(|(_, pending)| pending)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.0.iter_mut().map(|(_, pending)| pending)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = Pending> {
        self.0.into_iter().map(|(_, pending)| pending)
    }
}
