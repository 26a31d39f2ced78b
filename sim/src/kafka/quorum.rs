//! The metadata quorum (KRaft): what its voters and observers say to each other.
//!
//! The state machine that says it is in `voter`.

use super::metadata::MetadataRecord;
use crate::kernel::{NodeId, mix};
use std::sync::Arc;

/// Records that are appended together, at one offset.
#[derive(Clone, Debug)]
pub struct MetadataBatch {
    /// The quorum epoch it was appended in.
    pub epoch: u32,
    /// The records.
    pub records: Arc<[MetadataRecord]>,
}

/// What voters and observers ask.
#[derive(Clone, Debug)]
pub enum QuorumRequest {
    /// Give me your vote.
    Vote {
        /// Only asks whether the vote would be given (KIP-996); `epoch` is then the one the asker is in.
        pre: bool,
        /// The candidate's epoch.
        epoch: u32,
        /// The epoch of its last batch.
        last_epoch: u32,
        /// The end of its log.
        end: u64,
    },
    /// I lead this epoch.
    BeginEpoch {
        /// The epoch.
        epoch: u32,
    },
    /// I no longer lead this epoch: elect somebody.
    EndEpoch {
        /// The epoch.
        epoch: u32,
    },
    /// What comes after this.
    Fetch {
        /// The epoch that the fetcher is in.
        epoch: u32,
        /// The end of its log.
        end: u64,
        /// The epoch of its last batch.
        last_epoch: u32,
        /// How far it knows the log to be committed.
        committed: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum QuorumResponse {
    /// To Vote.
    Vote {
        /// The voter's epoch.
        epoch: u32,
        /// Whose epoch it is, if the voter knows.
        leader: Option<NodeId>,
        /// Whether the request was a pre-vote.
        pre: bool,
        /// Whether it votes for the candidate.
        granted: bool,
    },
    /// To BeginEpoch and EndEpoch, and to a Fetch at the wrong node: the epoch and who leads it.
    Epoch {
        /// The epoch.
        epoch: u32,
        /// Its leader, if known.
        leader: Option<NodeId>,
    },
    /// To Fetch.
    Fetch {
        /// The leader's epoch.
        epoch: u32,
        /// Batches from the fetcher's end on.
        batches: Vec<MetadataBatch>,
        /// How far the log is committed.
        committed: u64,
        /// The logs diverge: the largest epoch of the leader's log that is not above the fetcher's last one,
        /// and where it ends there.
        diverging: Option<(u32, u64)>,
    },
}

impl QuorumRequest {
    /// A summary for the hash of events.
    #[must_use]
    pub fn digest(&self) -> u64 {
        match self {
            Self::Vote { pre, epoch, last_epoch, end } => {
                mix(mix(mix(u64::from(*epoch), u64::from(*last_epoch)), *end), u64::from(*pre))
            }
            Self::BeginEpoch { epoch } => mix(1, u64::from(*epoch)),
            Self::EndEpoch { epoch } => mix(2, u64::from(*epoch)),
            Self::Fetch { epoch, end, last_epoch, .. } => {
                mix(mix(mix(3, u64::from(*epoch)), u64::from(*last_epoch)), *end)
            }
        }
    }
}

impl QuorumResponse {
    /// A summary for the hash of events.
    #[must_use]
    pub fn digest(&self) -> u64 {
        match self {
            Self::Vote { epoch, granted, .. } => mix(u64::from(*epoch), u64::from(*granted)),
            Self::Epoch { epoch, leader } => {
                mix(u64::from(*epoch), leader.map_or(u64::MAX, |leader| u64::from(leader.0)))
            }
            Self::Fetch { epoch, batches, committed, diverging } => mix(
                mix(mix(u64::from(*epoch), batches.len() as u64), *committed),
                diverging.map_or(u64::MAX, |(_, end)| end),
            ),
        }
    }
}
