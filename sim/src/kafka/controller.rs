//! The active controller: brokers' sessions, in-sync replicas, leaders, topics (rules A1 to A4, B2, B8).
//!
//! - It decides on an image that is ahead of the committed log; whoever asked hears of it once it is committed.
//! - A session lives `broker_session` from the last heartbeat that arrived; sessions are tested every eighth of
//!   that. A new controller gives every broker that is not fenced a new session.
//! - Fencing a broker takes it out of every ISR and gives its partitions other leaders, in one batch.
//! - A broker that wants to stop leads nothing any more at once, and may go when every live broker has the
//!   metadata that says so.
//! - While a broker's session lives, another process of it is refused, fenced or not (101).
//!
//! Source: `ClusterControlManager`, `BrokerHeartbeatManager`, `ReplicationControlManager` of Apache Kafka 4.x.

use super::{
    election::{self, Change},
    error::ErrorCode,
    links::ReplyTo,
    metadata::{BrokerImage, Image, MetadataRecord, PartitionImage, TopicSettings, UNREGISTERED},
    protocol::{
        AlterPartitionRequest, AlteredPartition, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
        BrokerRegistrationRequest, IsrProposal, PartitionId, ResponseBody,
    },
    rules::Rules,
    topic_config::LogSettings,
};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;
use squall_bus::Time;
use std::{collections::VecDeque, sync::Arc};

#[derive(Clone, Copy, Debug)]
struct Session {
    /// When the last heartbeat arrived.
    contact: Time,
    /// How far the broker had the metadata then.
    metadata_offset: u64,
    /// The metadata that took its leaderships away, while it wants to stop.
    stopping_since: Option<u64>,
}

/// The active controller.
#[derive(Debug)]
pub(super) struct Controller {
    /// The metadata with everything decided, committed or not.
    pub(super) image: Image,
    sessions: Vec<Option<Session>>,
    /// Answers that wait for the log to be committed up to an offset.
    pub(super) waiting: VecDeque<(u64, ReplyTo, ResponseBody)>,
}

/// Records to append.
pub(super) type Records = Vec<MetadataRecord>;

impl Controller {
    /// A controller begins with the whole log.
    pub(super) fn new(image: Image, servers: u32, now: Time) -> Self {
        let mut sessions = vec![None; servers as usize];
        for broker in image.unfenced() {
            sessions[broker.index()] =
                Some(Session { contact: now, metadata_offset: 0, stopping_since: None });
        }
        Self { image, sessions, waiting: VecDeque::new() }
    }

    /// Takes records that are being appended into the image.
    pub(super) fn decide(&mut self, records: &[MetadataRecord]) {
        self.image.apply(records, &mut Vec::new());
    }

    fn has_session(&self, broker: NodeId, rules: &Rules, now: Time) -> bool {
        self.sessions[broker.index()].is_some_and(|session| now.since(session.contact) < rules.broker_session)
    }

    pub(super) fn active(&self) -> NodeSet {
        self.image
            .registered()
            .filter(|(_, broker)| broker.is_active())
            .fold(NodeSet::EMPTY, |active, (node, _)| active.with(node))
    }

    /// The partitions that change when `change` is asked of each that `concerns`.
    fn change_partitions(
        &self,
        rules: &Rules,
        concerns: impl Fn(&PartitionImage) -> bool,
        ask: impl Fn(&PartitionImage) -> Change,
        records: &mut Records,
    ) {
        for (topic, image) in self.image.topics() {
            for (number, partition) in image.partitions.iter().enumerate() {
                if concerns(partition)
                    && let Some(next) = election::change(partition, &image.settings, ask(partition), rules)
                {
                    records.push(MetadataRecord::Partition(PartitionId::new(topic, number as u32), next));
                }
            }
        }
    }

    fn remove(&self, broker: NodeId, rules: &Rules, records: &mut Records) {
        let active = self.active().without(broker);
        self.change_partitions(
            rules,
            |partition| partition.isr.contains(broker) || partition.leader == Some(broker),
            |partition| Change { isr: partition.isr.without(broker), active, unclean: NodeSet::EMPTY },
            records,
        );
    }

    fn fence(&self, broker: NodeId, image: BrokerImage, rules: &Rules) -> Records {
        let mut records = vec![MetadataRecord::Broker { broker, fenced: true, stopping: image.stopping }];
        self.remove(broker, rules, &mut records);
        records
    }

    fn unfence(&self, broker: NodeId, rules: &Rules) -> Records {
        let mut records = vec![MetadataRecord::Broker { broker, fenced: false, stopping: false }];
        let active = self.active().with(broker);
        self.change_partitions(
            rules,
            |partition| partition.leader.is_none(),
            |partition| Change { isr: partition.isr, active, unclean: NodeSet::EMPTY },
            &mut records,
        );
        records
    }

    /// The next broker whose session ended, with what that means.
    pub(super) fn expire_session(&mut self, rules: &Rules, now: Time) -> Option<Records> {
        let (broker, image) = self
            .image
            .registered()
            .find(|(broker, image)| !image.fenced && !self.has_session(*broker, rules, now))?;
        Some(self.fence(broker, image, rules))
    }

    /// A broker process presents itself.
    pub(super) fn register(
        &mut self,
        request: BrokerRegistrationRequest,
        rules: &Rules,
        now: Time,
    ) -> (Records, ResponseBody) {
        let broker = request.broker;
        let before = self.image.broker(broker);
        if let Some(before) = before {
            if before.incarnation == request.incarnation {
                // A repeated request: the first one went through.
                return (Vec::new(), ResponseBody::BrokerRegistration(ErrorCode::None, before.epoch));
            }
            if rules.refuse_duplicate_registration && self.has_session(broker, rules, now) {
                let error = ErrorCode::DuplicateBrokerRegistration;
                return (Vec::new(), ResponseBody::BrokerRegistration(error, 0));
            }
        }
        let mut records = vec![MetadataRecord::Register { broker, incarnation: request.incarnation }];
        if let Some(before) = before {
            let clean = request.previous_epoch == Some(before.epoch);
            if rules.elr && !clean {
                let active = self.active().without(broker);
                let unclean = NodeSet::EMPTY.with(broker);
                self.change_partitions(
                    rules,
                    |partition| partition.isr.or(partition.elr).contains(broker),
                    |partition| Change { isr: partition.isr.without(broker), active, unclean },
                    &mut records,
                );
            } else if !before.fenced {
                self.remove(broker, rules, &mut records);
            }
        }
        self.sessions[broker.index()] =
            Some(Session { contact: now, metadata_offset: 0, stopping_since: None });
        (records, ResponseBody::BrokerRegistration(ErrorCode::None, self.image.end))
    }

    /// A broker gives a sign of life.
    pub(super) fn heartbeat(
        &mut self,
        request: BrokerHeartbeatRequest,
        rules: &Rules,
        now: Time,
    ) -> (Records, ResponseBody) {
        let broker = request.broker;
        let answer = |error, fenced, should_shutdown| {
            ResponseBody::BrokerHeartbeat(BrokerHeartbeatResponse { error, fenced, should_shutdown })
        };
        let Some(image) = self.image.broker(broker).filter(|image| image.epoch == request.epoch) else {
            return (Vec::new(), answer(ErrorCode::StaleBrokerEpoch, true, false));
        };
        let stopping_since = self.sessions[broker.index()].and_then(|session| session.stopping_since);
        let mut session = Session { contact: now, metadata_offset: request.metadata_offset, stopping_since };
        let (records, fenced, leave) = if request.want_shutdown {
            self.shut_down(broker, image, &mut session, rules)
        } else if request.want_fence && !image.fenced {
            (self.fence(broker, image, rules), true, false)
        } else if !request.want_fence && image.fenced && request.metadata_offset > request.epoch {
            (self.unfence(broker, rules), false, false)
        } else {
            (Vec::new(), image.fenced, false)
        };
        self.sessions[broker.index()] = Some(session);
        (records, answer(ErrorCode::None, fenced, leave))
    }

    /// A broker wants to stop: (records, fenced, whether it may go).
    fn shut_down(
        &self,
        broker: NodeId,
        image: BrokerImage,
        session: &mut Session,
        rules: &Rules,
    ) -> (Records, bool, bool) {
        if image.fenced {
            return (Vec::new(), true, true);
        }
        if let Some(since) = session.stopping_since {
            let others = self.image.registered().filter(|(_, broker)| broker.is_active());
            let told = |node: NodeId| {
                self.sessions[node.index()].is_none_or(|session| session.metadata_offset > since)
            };
            let all_told = others.map(|(node, _)| node).all(told);
            let records = if all_told { self.fence(broker, image, rules) } else { Vec::new() };
            return (records, all_told, all_told);
        }
        if !self.image.partitions().any(|(_, partition)| partition.leader == Some(broker)) {
            return (self.fence(broker, image, rules), true, true);
        }
        session.stopping_since = Some(self.image.end);
        let mut records = vec![MetadataRecord::Broker { broker, fenced: false, stopping: true }];
        self.remove(broker, rules, &mut records);
        (records, false, false)
    }

    /// A leader proposes in-sync replicas. Decides each proposal on its own.
    pub(super) fn alter(
        &mut self,
        request: &AlterPartitionRequest,
        rules: &Rules,
    ) -> (Records, ResponseBody) {
        let known = self.image.broker(request.broker);
        if rules.check_broker_epoch && known.is_none_or(|broker| broker.epoch != request.epoch) {
            return (Vec::new(), ResponseBody::AlterPartition(ErrorCode::StaleBrokerEpoch, Vec::new()));
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.proposals.len());
        for proposal in &request.proposals {
            let (error, next) = match self.judge(request.broker, proposal, rules) {
                Ok(next) => (ErrorCode::None, next),
                Err(error) => (error, None),
            };
            let error = match &next {
                Some(next) if next.leader != Some(request.broker) => ErrorCode::NewLeaderElected,
                _ => error,
            };
            let current = next.as_ref().or_else(|| self.image.partition(proposal.id));
            results.push(AlteredPartition {
                id: proposal.id,
                error,
                leader_epoch: current.map_or(0, |partition| partition.leader_epoch),
                partition_epoch: current.map_or(0, |partition| partition.partition_epoch),
                isr: current.map_or(NodeSet::EMPTY, |partition| partition.isr),
            });
            records.extend(next.map(|next| MetadataRecord::Partition(proposal.id, next)));
        }
        (records, ResponseBody::AlterPartition(ErrorCode::None, results))
    }

    fn judge(
        &self,
        leader: NodeId,
        proposal: &IsrProposal,
        rules: &Rules,
    ) -> Result<Option<PartitionImage>, ErrorCode> {
        let topic = self.image.topic(proposal.id.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let partition =
            topic.partitions.get(proposal.id.partition as usize).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if partition.leader != Some(leader) || partition.leader_epoch != proposal.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition.partition_epoch != proposal.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let eligible = |(node, epoch): &(NodeId, u64)| {
            self.image.broker(*node).is_some_and(|broker| {
                broker.is_active()
                    && (!rules.check_broker_epoch || *epoch == UNREGISTERED || broker.epoch == *epoch)
            })
        };
        if !proposal.isr.iter().all(eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        let isr = proposal.isr.iter().fold(NodeSet::EMPTY, |isr, (node, _)| isr.with(*node));
        let ask = Change { isr, active: self.active(), unclean: NodeSet::EMPTY };
        Ok(election::change(partition, &topic.settings, ask, rules))
    }

    /// The next answer that waited for the log to be committed no further than this.
    pub(super) fn next_committed(&mut self, committed: u64) -> Option<(ReplyTo, ResponseBody)> {
        let (_, to, body) = self.waiting.pop_front_if(|(offset, ..)| *offset < committed)?;
        Some((to, body))
    }
}

/// A new topic's partitions: every active replica is in sync, the first of them leads.
pub(super) fn new_partitions(
    placed: &[Arc<[NodeId]>],
    active: impl Fn(NodeId) -> bool,
) -> Arc<[PartitionImage]> {
    let partition = |replicas: &Arc<[NodeId]>| {
        let insync = || replicas.iter().copied().filter(|node| active(*node));
        PartitionImage {
            replicas: Arc::clone(replicas),
            isr: insync().fold(NodeSet::EMPTY, NodeSet::with),
            elr: NodeSet::EMPTY,
            last_known_leader: None,
            leader: insync().next(),
            leader_epoch: 0,
            partition_epoch: 0,
            recovering: false,
        }
    };
    placed.iter().map(partition).collect()
}

/// The settings of a topic that says nothing but how many replicas must be in sync.
pub(super) fn default_settings(min_insync: u32, rules: &Rules) -> TopicSettings {
    TopicSettings {
        min_insync: if rules.heed_min_isr { min_insync } else { 1 },
        unclean_election: rules.unclean_election,
        max_message_bytes: rules.message_max_bytes,
        log: LogSettings::of(rules),
    }
}
