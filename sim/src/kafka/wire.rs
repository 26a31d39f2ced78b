//! What the kernel wants to know of messages: a digest for the hash of events, a size for the bandwidth of links.

use super::protocol::{AdminRequest, Election, Entry, Msg, RequestBody, Response, ResponseBody};
use crate::kernel::{Digest, Message, mix};

impl RequestBody {
    fn digest(&self) -> u64 {
        match self {
            Self::Metadata(topics) => mix(1, topics.as_ref().map_or(u64::MAX, |topics| topics.len() as u64)),
            Self::Produce(request) => request.batches.iter().fold(2, |hash, (id, batch)| {
                mix(mix(hash, id.word()), u64::from(batch.count()) << 32 | u64::from(batch.bytes))
            }),
            Self::Fetch(request) => mix(
                3,
                request
                    .partitions
                    .iter()
                    .fold(0, |sum, partition| step(step(sum, partition.id.word()), partition.offset)),
            ),
            Self::ListOffsets(partitions) => partitions.iter().fold(4, |hash, p| mix(hash, p.id.word())),
            Self::InitProducerId => 5,
            Self::FindCoordinator(group) => mix(6, u64::from(group.0)),
            Self::JoinGroup(request) => {
                mix(mix(7, u64::from(request.group.0)), request.member.map_or(0, |member| member.0))
            }
            Self::SyncGroup(request) => mix(mix(8, request.member.id.0), request.member.epoch as u64),
            Self::Heartbeat(_, member) => mix(mix(9, member.id.0), member.epoch as u64),
            Self::LeaveGroup(_, member, _) => mix(10, member.0),
            Self::ConsumerGroupHeartbeat(request) => {
                let owned = request.owned.as_ref().map_or(u64::MAX, |owned| owned.len() as u64);
                mix(mix(mix(68, request.member.0), request.epoch as u64), owned)
            }
            Self::OffsetCommit(request) => request
                .offsets
                .iter()
                .fold(11, |hash, offset| mix(mix(hash, offset.partition.word()), offset.offset)),
            Self::OffsetFetch(request) => {
                mix(mix(12, u64::from(request.group.0)), request.partitions.len() as u64)
            }
            Self::BrokerRegistration(request) => mix(13, request.incarnation),
            Self::BrokerHeartbeat(request) => {
                mix(mix(14, request.metadata_offset), u64::from(request.want_shutdown))
            }
            Self::AlterPartition(request) => request
                .proposals
                .iter()
                .fold(15, |hash, proposal| mix(mix(hash, proposal.id.word()), proposal.isr.len() as u64)),
            Self::Quorum(request) => mix(16, request.digest()),
            Self::DeleteRecords(request) => request
                .partitions
                .iter()
                .fold(17, |hash, (id, upto)| mix(mix(hash, id.word()), upto.unwrap_or(u64::MAX))),
            Self::Admin(request) => mix(18, request.digest()),
            Self::OffsetForLeaderEpoch(partitions) => partitions
                .iter()
                .fold(19, |hash, at| mix(mix(hash, at.id.word()), u64::from(at.leader_epoch))),
            Self::Txn(request) => mix(20, request.digest()),
            Self::TxnOffsetCommit(request) => mix(21, request.digest()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Produce(request) => {
                request.batches.iter().fold(64, |bytes, (_, batch)| batch.bytes.saturating_add(bytes))
            }
            Self::Fetch(request) => 64 + 32 * request.partitions.len() as u32,
            _ => 64,
        }
    }
}

impl AdminRequest {
    fn digest(&self) -> u64 {
        match self {
            Self::DeleteTopic(topic) => mix(1, u64::from(topic.0)),
            Self::CreatePartitions(topic, count) => mix(mix(2, u64::from(topic.0)), u64::from(*count)),
            Self::AlterConfigs(topic, config) => mix(mix(3, u64::from(topic.0)), config.len() as u64),
            Self::ElectLeaders(election, partitions) => {
                let first = mix(4, u64::from(*election == Election::Unclean));
                partitions.iter().fold(first, |hash, id| mix(hash, id.word()))
            }
        }
    }
}

impl ResponseBody {
    fn digest(&self) -> u64 {
        match self {
            Self::Metadata(response) => response.topics.iter().fold(1, |hash, topic| {
                topic.partitions.iter().fold(mix(hash, u64::from(topic.topic.0)), |hash, partition| {
                    mix(hash, u64::from(partition.leader_epoch))
                })
            }),
            Self::Produce(partitions) => partitions.iter().fold(2, |hash, partition| {
                mix(mix(hash, partition.error as u64), partition.base_offset.unwrap_or(u64::MAX))
            }),
            Self::Fetch(partitions) => partitions.iter().fold(3, |hash, partition| {
                let end = partition.entries.last().map_or(0, Entry::end_offset);
                mix(mix(mix(hash, partition.error as u64), partition.high_watermark), end)
            }),
            Self::ListOffsets(offsets) => {
                offsets.iter().fold(4, |hash, offset| mix(mix(hash, offset.error as u64), offset.offset))
            }
            Self::InitProducerId(pid) => mix(5, *pid),
            Self::FindCoordinator(error, node) => {
                mix(mix(6, *error as u64), node.map_or(u64::MAX, |node| u64::from(node.0)))
            }
            Self::JoinGroup(response) => mix(mix(7, response.error as u64), response.generation as u64),
            Self::SyncGroup(error, partitions) => mix(mix(8, *error as u64), partitions.len() as u64),
            Self::Heartbeat(error) => mix(9, *error as u64),
            Self::LeaveGroup(error) => mix(10, *error as u64),
            Self::ConsumerGroupHeartbeat(response) => {
                let assigned =
                    response.assignment.as_ref().map_or(u64::MAX, |assigned| assigned.len() as u64);
                mix(mix(mix(68, response.error as u64), response.epoch as u64), assigned)
            }
            Self::OffsetCommit(results) => {
                results.iter().fold(11, |hash, (_, error)| mix(hash, *error as u64))
            }
            Self::OffsetFetch(error, offsets) => {
                offsets.iter().fold(mix(12, *error as u64), |hash, (_, found)| {
                    mix(hash, found.map_or(u64::MAX, |found| found.offset))
                })
            }
            Self::BrokerRegistration(error, epoch) => mix(mix(13, *error as u64), *epoch),
            Self::BrokerHeartbeat(response) => {
                mix(mix(14, response.error as u64), u64::from(response.fenced))
            }
            Self::AlterPartition(error, results) => {
                results.iter().fold(mix(15, *error as u64), |hash, result| mix(hash, result.error as u64))
            }
            Self::Quorum(response) => mix(16, response.digest()),
            Self::DeleteRecords(results) => results
                .iter()
                .fold(17, |hash, result| mix(mix(hash, result.error as u64), result.low_watermark)),
            Self::OffsetForLeaderEpoch(ends) => ends.iter().fold(19, |hash, end| {
                mix(mix(hash, end.error as u64), end.end.map_or(u64::MAX, |(_, offset)| offset))
            }),
            Self::Admin(error, results) => {
                results.iter().fold(mix(18, *error as u64), |hash, (_, error)| mix(hash, *error as u64))
            }
            Self::Txn(response) => mix(20, response.digest()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Fetch(partitions) => partitions
                .iter()
                .flat_map(|partition| &partition.entries)
                .fold(64, |bytes, entry| entry.bytes().saturating_add(bytes)),
            _ => 64,
        }
    }
}

/// Folds a word into a sum, as a polynomial does: for many words of which the sum is [mixed](mix) in the end.
const fn step(sum: u64, word: u64) -> u64 {
    sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(word)
}

impl Digest for Msg {
    fn digest(&self) -> u64 {
        match self {
            Self::Request(request) => mix(u64::from(request.correlation), request.body.digest()),
            Self::Response(response) => mix(!u64::from(response.correlation), response.body.digest()),
        }
    }
}

impl Message for Msg {
    fn size(&self) -> u32 {
        match self {
            Self::Request(request) => request.body.size(),
            Self::Response(response) => response.body.size(),
        }
    }

    fn acknowledges_write(&self) -> bool {
        matches!(self, Self::Response(Response { body: ResponseBody::Produce(_), .. }))
    }
}
