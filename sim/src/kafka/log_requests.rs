//! Requests about topics and logs: what administrators ask for, and where leader epochs end.
//!
//! Part of the [`protocol`](super::protocol).

use super::{
    error::ErrorCode,
    protocol::{PartitionId, TopicIx},
};
use std::time::Duration;

/// Asks where a leader epoch ends in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochPartition {
    /// The partition.
    pub id: PartitionId,
    /// The leader epoch that the client knows.
    pub current_leader_epoch: Option<u32>,
    /// The epoch in question.
    pub leader_epoch: u32,
}

/// Where a leader epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The largest epoch of the log that is not above the one in question, and where it ends; `None` if the log
    /// knows no epoch.
    pub end: Option<(u32, u64)>,
}

/// What an administrator can ask of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// DeleteTopics.
    DeleteTopic(TopicIx),
    /// CreatePartitions: so many in all.
    CreatePartitions(TopicIx, u32),
    /// IncrementalAlterConfigs: these names get these values.
    AlterConfigs(TopicIx, Vec<(String, String)>),
    /// ElectLeaders.
    ElectLeaders(Election, Vec<PartitionId>),
}

/// How ElectLeaders elects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Election {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica that is alive, where there is no leader.
    Unclean,
}

/// Asks for the start of logs to be moved.
#[derive(Clone, Debug)]
pub struct DeleteRecordsRequest {
    /// How long the broker may wait for the replicas.
    pub timeout: Duration,
    /// The partitions, each with its new first offset; `None` for the high watermark.
    pub partitions: Vec<(PartitionId, Option<u64>)>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The least first offset over the live replicas, unless there is an error.
    pub low_watermark: u64,
}
