//! What a broker answers at once from what it has: metadata, offsets, the ends of leader epochs (rules A3, A5, B6, B10).

use super::{
    broker::Broker,
    error::ErrorCode,
    metadata::{Image, PartitionImage},
    protocol::{
        EpochEnd, EpochPartition, LeaderHint, ListOffsetsPartition, ListedOffset, MetadataResponse,
        OffsetSpec, PartitionId, PartitionMetadata, TopicIx, TopicMetadata,
    },
    replica::Replica,
    rules::Rules,
};

impl Broker {
    /// Who leads a partition, by this broker's metadata (KIP-951).
    pub(super) fn leader_hint(id: PartitionId, image: &Image) -> Option<LeaderHint> {
        let partition = image.partition(id)?;
        Some(LeaderHint { node: partition.leader, epoch: partition.leader_epoch })
    }

    /// The replica that leads, if the client's idea of the leader's epoch is right (rule A3).
    pub(super) fn check_leader(&self, id: PartitionId, epoch: Option<u32>) -> Result<&Replica, ErrorCode> {
        let replica = self.replica(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        replica.check_leads(epoch).map(|()| replica)
    }

    pub(super) fn list_offset(&self, at: &ListOffsetsPartition, rules: &Rules) -> ListedOffset {
        let listed = |error, offset, leader_epoch| ListedOffset { id: at.id, error, offset, leader_epoch };
        let replica = match self.check_leader(at.id, at.current_leader_epoch) {
            Ok(replica) => replica,
            Err(error) => return listed(error, 0, 0),
        };
        let begin = replica.leading().map_or(0, |leading| leading.begin);
        match at.at {
            OffsetSpec::Earliest => listed(ErrorCode::None, replica.log.start(), replica.leader_epoch),
            OffsetSpec::Latest | OffsetSpec::LastStable
                if rules.guard_latest_offset && replica.high_watermark < begin =>
            {
                listed(ErrorCode::OffsetNotAvailable, 0, replica.leader_epoch)
            }
            OffsetSpec::Latest => listed(ErrorCode::None, replica.high_watermark, replica.leader_epoch),
            OffsetSpec::LastStable => listed(ErrorCode::None, replica.last_stable(), replica.leader_epoch),
        }
    }

    /// Where a leader epoch ends here (rule B6).
    pub(super) fn epoch_end(&self, at: &EpochPartition) -> EpochEnd {
        match self.check_leader(at.id, at.current_leader_epoch) {
            Ok(replica) => {
                EpochEnd { id: at.id, error: ErrorCode::None, end: replica.log.epoch_end(at.leader_epoch) }
            }
            Err(error) => EpochEnd { id: at.id, error, end: None },
        }
    }
}

/// What this broker's image says of topics.
pub(super) fn metadata(image: &Image, topics: Option<&[TopicIx]>) -> MetadataResponse {
    let describe = |topic: TopicIx| {
        let Some(known) = image.topic(topic) else {
            let error = ErrorCode::UnknownTopicOrPartition;
            return TopicMetadata { topic, error, id: None, partitions: Vec::new() };
        };
        let partition = |partition: &PartitionImage| PartitionMetadata {
            error: if partition.leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable },
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
        };
        let partitions = known.partitions.iter().map(partition).collect();
        TopicMetadata { topic, error: ErrorCode::None, id: Some(known.id), partitions }
    };
    let topics = match topics {
        Some(topics) => topics.iter().copied().map(describe).collect(),
        None => image.topics().map(|(topic, _)| describe(topic)).collect(),
    };
    MetadataResponse { brokers: image.unfenced().collect(), topics }
}
