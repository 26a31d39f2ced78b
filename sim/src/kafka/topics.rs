//! What administrators ask of the controller while a cluster runs (rules A4, A6, B8).
//!
//! | request | what follows | refused |
//! |---|---|---|
//! | delete a topic | its partitions are gone from the metadata; brokers drop their replicas as they hear of it | 3 |
//! | create partitions | new ones behind those that there are, placed like a new topic's | 3, 37 |
//! | alter its settings | brokers take them up as they hear of them | 3, 40 |
//! | elect leaders | preferred: the first replica, if it is in sync and active (else 80); unclean: any active one where there is no leader (else 83); 84 where there is nothing to elect | 3 |
//!
//! - A topic that is created again has another id: what was known of the old one does not concern it.
//! - Settings that concern elections have their effect on the next one. Where there is no leader, and unclean
//!   elections are allowed by now, the controller elects one at its periodic look
//!   (`unclean.leader.election.interval.ms`). A new minimum of in-sync replicas settles the eligible ones anew.
//! - The same look, every `leader.imbalance.check.interval.seconds`, gives partitions back to their preferred
//!   leaders: those of each broker that does not lead more than `leader.imbalance.per.broker.percentage` of the
//!   partitions that prefer it.
//!
//! Source: `ReplicationControlManager` of Apache Kafka 4.x; the imbalance rule from its `KafkaController`.

use super::{
    controller::{Controller, Records, new_partitions},
    election::{self, Change},
    error::ErrorCode,
    metadata::{MetadataRecord, PartitionImage, TopicImage},
    names::Names,
    placement::place,
    protocol::{AdminRequest, Election, PartitionId, ResponseBody, TopicIx},
    rules::Rules,
    topic_config,
};
use crate::{
    kernel::{Choices, NodeId, mix},
    nodes::NodeSet,
};
use std::sync::Arc;

/// A topic to the choices: its name, not its number, so that another topic's absence does not move this one.
pub(super) fn entity(names: &Names, topic: TopicIx) -> u64 {
    names.topic(topic).as_str().bytes().fold(0, |entity, byte| mix(entity, u64::from(byte)))
}

impl Controller {
    /// An administrator asks.
    pub(super) fn admin(
        &self,
        request: &AdminRequest,
        rules: &Rules,
        names: &Names,
        choices: &Choices,
    ) -> (Records, ResponseBody) {
        let mut results = Vec::new();
        let decided = match request {
            AdminRequest::DeleteTopic(topic) => self.delete_topic(*topic),
            AdminRequest::CreatePartitions(topic, count) => {
                self.create_partitions(*topic, *count, entity(names, *topic), choices)
            }
            AdminRequest::AlterConfigs(topic, config) => self.alter_configs(*topic, config, rules),
            AdminRequest::ElectLeaders(election, partitions) => {
                Ok(self.elect_leaders(*election, partitions, rules, &mut results))
            }
        };
        match decided {
            Ok(records) => (records, ResponseBody::Admin(ErrorCode::None, results)),
            Err(error) => (Vec::new(), ResponseBody::Admin(error, results)),
        }
    }

    fn existing(&self, topic: TopicIx) -> Result<&TopicImage, ErrorCode> {
        self.image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    fn delete_topic(&self, topic: TopicIx) -> Result<Records, ErrorCode> {
        self.existing(topic)?;
        Ok(vec![MetadataRecord::RemoveTopic(topic)])
    }

    fn create_partitions(
        &self,
        topic: TopicIx,
        count: u32,
        entity: u64,
        choices: &Choices,
    ) -> Result<Records, ErrorCode> {
        let image = self.existing(topic)?;
        let before = image.partitions.len();
        if (count as usize) <= before {
            return Err(ErrorCode::InvalidPartitions);
        }
        let brokers: Vec<NodeId> = self.image.unfenced().collect();
        let replicas = image.partitions.first().map_or(1, |partition| partition.replicas.len() as u32);
        if (brokers.len() as u32) < replicas {
            return Err(ErrorCode::InvalidReplicationFactor);
        }
        let placed = place(&brokers, count, replicas, entity, choices);
        let partitions = new_partitions(&placed[before..], |node| self.image.is_active(node));
        Ok(vec![MetadataRecord::NewPartitions(topic, partitions)])
    }

    fn alter_configs(
        &self,
        topic: TopicIx,
        config: &[(String, String)],
        rules: &Rules,
    ) -> Result<Records, ErrorCode> {
        let image = self.existing(topic)?;
        let mut settings = (*image.settings).clone();
        for (name, value) in config {
            topic_config::set(&mut settings, name, value).map_err(|_| ErrorCode::InvalidConfig)?;
        }
        let settled = settings.min_insync != image.settings.min_insync;
        let settings = Arc::new(settings);
        let mut records = vec![MetadataRecord::Config(topic, Arc::clone(&settings))];
        if rules.elr && settled {
            for (number, partition) in image.partitions.iter().enumerate() {
                let enough = partition.isr.len() >= partition.effective_min_insync(&settings);
                if enough && !(partition.elr.is_empty() && partition.last_known_leader.is_none()) {
                    let next = PartitionImage {
                        elr: NodeSet::EMPTY,
                        last_known_leader: None,
                        partition_epoch: partition.partition_epoch + 1,
                        ..partition.clone()
                    };
                    records.push(MetadataRecord::Partition(PartitionId::new(topic, number as u32), next));
                }
            }
        }
        Ok(records)
    }

    fn elect_leaders(
        &self,
        election: Election,
        partitions: &[PartitionId],
        rules: &Rules,
        results: &mut Vec<(PartitionId, ErrorCode)>,
    ) -> Records {
        let mut records = Vec::new();
        for id in partitions {
            let elected = match election {
                Election::Preferred => self.elect_preferred(*id, rules),
                Election::Unclean => self.elect_unclean(*id, rules),
            };
            let error = elected.as_ref().err().copied().unwrap_or_default();
            records.extend(elected.map(|next| MetadataRecord::Partition(*id, next)));
            results.push((*id, error));
        }
        records
    }

    fn elect_preferred(&self, id: PartitionId, rules: &Rules) -> Result<PartitionImage, ErrorCode> {
        let partition = self.image.partition(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let preferred = partition.replicas.first().copied();
        if partition.leader == preferred {
            return Err(ErrorCode::ElectionNotNeeded);
        }
        // Without its leader, the first replica in the order of assignment that may lead does: the preferred one.
        let may_lead = |node: &NodeId| partition.isr.contains(*node) && self.image.is_active(*node);
        if preferred.filter(may_lead).is_none() {
            return Err(ErrorCode::PreferredLeaderNotAvailable);
        }
        let deposed = PartitionImage { leader: None, ..partition.clone() };
        self.elect(id, &deposed, partition.isr, rules).ok_or(ErrorCode::PreferredLeaderNotAvailable)
    }

    fn elect_unclean(&self, id: PartitionId, rules: &Rules) -> Result<PartitionImage, ErrorCode> {
        let partition = self.image.partition(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if partition.leader.is_some() {
            return Err(ErrorCode::ElectionNotNeeded);
        }
        let mut settings = (*self.existing(id.topic)?.settings).clone();
        settings.unclean_election = true;
        let ask = Change { isr: partition.isr, active: self.active(), unclean: NodeSet::EMPTY };
        election::change(partition, &settings, ask, rules)
            .filter(|next| next.leader.is_some())
            .ok_or(ErrorCode::EligibleLeadersNotAvailable)
    }

    fn elect(
        &self,
        id: PartitionId,
        partition: &PartitionImage,
        isr: NodeSet,
        rules: &Rules,
    ) -> Option<PartitionImage> {
        let topic = self.image.topic(id.topic)?;
        let ask = Change { isr, active: self.active(), unclean: NodeSet::EMPTY };
        election::change(partition, &topic.settings, ask, rules).filter(|next| next.leader.is_some())
    }

    /// The periodic look: partitions that go back to their preferred leaders, and partitions without a leader that
    /// may have an unclean one by now.
    pub(super) fn balance_leaders(&self, rules: &Rules) -> Records {
        let mut records = Vec::new();
        for broker in self.image.unfenced() {
            let prefers = |partition: &PartitionImage| partition.replicas.first() == Some(&broker);
            let away = |partition: &PartitionImage| partition.leader != Some(broker);
            let (total, elsewhere) = self
                .image
                .partitions()
                .filter(|(_, partition)| prefers(partition))
                .fold((0, 0), |(total, elsewhere), (_, partition)| {
                    (total + 1, elsewhere + u64::from(away(partition)))
                });
            if !rules.leader_imbalance.is_exceeded(elsewhere, total) {
                continue;
            }
            for (id, partition) in self.image.partitions() {
                if prefers(partition)
                    && away(partition)
                    && let Ok(next) = self.elect_preferred(id, rules)
                {
                    records.push(MetadataRecord::Partition(id, next));
                }
            }
        }
        for (id, partition) in self.image.partitions().filter(|(_, partition)| partition.leader.is_none()) {
            let elected = self.elect(id, partition, partition.isr, rules);
            records.extend(elected.map(|next| MetadataRecord::Partition(id, next)));
        }
        records
    }
}
