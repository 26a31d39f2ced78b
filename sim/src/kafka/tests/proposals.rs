//! What the controller makes of proposals and of signs of life that do not fit (rules A2, A3).

use super::*;
use crate::kafka::{
    metadata::UNREGISTERED,
    protocol::{AlterPartitionRequest, AlteredPartition, BrokerHeartbeatRequest, IsrProposal},
};

/// A cluster that has run for a while, with a partition that the active controller does not lead.
struct Stage {
    lab: Lab,
    id: PartitionId,
    leader: NodeId,
    controller: NodeId,
    probe: NodeId,
}

impl Stage {
    fn new() -> Self {
        let mut lab = Lab::new(1);
        let first = lab.topic_of("t", 3, 3, 2, &[]);
        let controller = lab.controller();
        let id = (0..3)
            .map(|partition| PartitionId::new(first.topic, partition))
            .find(|id| lab.leader(*id) != Some(controller))
            .expect("each node leads one");
        let leader = lab.leader(id).expect("it has one");
        lab.run(secs(3));
        let probe = lab.probe();
        Self { lab, id, leader, controller, probe }
    }

    fn epoch(&self, node: NodeId) -> u64 {
        self.lab.kafka().truth().broker(node).expect("it is registered").epoch
    }

    /// What the leader would propose now: the ISR of these members.
    fn proposal(&self, isr: &[NodeId]) -> IsrProposal {
        let known = self.lab.kafka().truth().partition(self.id).expect("it exists");
        IsrProposal {
            id: self.id,
            leader_epoch: known.leader_epoch,
            partition_epoch: known.partition_epoch,
            isr: isr.iter().map(|node| (*node, self.epoch(*node))).collect(),
        }
    }

    /// The answer to a proposal in the leader's name, under this broker epoch.
    fn propose(&mut self, epoch: u64, proposal: IsrProposal) -> (ErrorCode, Option<AlteredPartition>) {
        let request = AlterPartitionRequest { broker: self.leader, epoch, proposals: vec![proposal] };
        let asked = self.lab.ask(self.probe, self.controller, RequestBody::AlterPartition(request));
        match self.lab.wait(asked, secs(1)) {
            Some(ResponseBody::AlterPartition(error, results)) => (error, results.first().copied()),
            other => panic!("not an answer to AlterPartition: {other:?}"),
        }
    }

    fn verdict(&mut self, proposal: IsrProposal) -> ErrorCode {
        let epoch = self.epoch(self.leader);
        let (error, result) = self.propose(epoch, proposal);
        assert_eq!(error, ErrorCode::None, "the request as a whole is fine");
        result.expect("one result for each proposal").error
    }

    fn all() -> [NodeId; 3] {
        [NodeId(0), NodeId(1), NodeId(2)]
    }
}

#[test]
fn a2_a_proposal_or_a_heartbeat_of_a_former_process_is_refused_with_77() {
    let mut stage = Stage::new();
    let former = stage.epoch(stage.leader) - 1;
    let proposal = stage.proposal(&Stage::all());
    let (error, result) = stage.propose(former, proposal);
    assert_eq!((error, error.code(), result), (ErrorCode::StaleBrokerEpoch, 77, None));
    let heartbeat = BrokerHeartbeatRequest {
        broker: stage.leader,
        epoch: former,
        metadata_offset: 0,
        want_fence: false,
        want_shutdown: false,
    };
    let asked = stage.lab.ask(stage.probe, stage.controller, RequestBody::BrokerHeartbeat(heartbeat));
    match stage.lab.wait(asked, secs(1)) {
        Some(ResponseBody::BrokerHeartbeat(said)) => assert_eq!(said.error, ErrorCode::StaleBrokerEpoch),
        other => panic!("not an answer to BrokerHeartbeat: {other:?}"),
    }
}

/// A process that is not registered yet fetches without an epoch.
#[test]
fn a2_a_member_without_a_broker_epoch_is_eligible() {
    let mut stage = Stage::new();
    let mut proposal = stage.proposal(&Stage::all());
    let member = proposal.isr.iter_mut().find(|(node, _)| *node != stage.leader).expect("a follower");
    member.1 = UNREGISTERED;
    assert_eq!(stage.verdict(proposal), ErrorCode::None);
}

#[test]
fn a2_a_fenced_member_or_one_of_a_former_process_is_ineligible_107() {
    let mut stage = Stage::new();
    let mut proposal = stage.proposal(&Stage::all());
    let member = proposal.isr.iter_mut().rfind(|(node, _)| *node != stage.leader).expect("a follower");
    member.1 -= 1;
    assert_ne!(member.1, UNREGISTERED);
    let error = stage.verdict(proposal);
    assert_eq!((error, error.code()), (ErrorCode::IneligibleReplica, 107));
    let (leader, controller) = (stage.leader, stage.controller);
    let victim = Stage::all().into_iter().find(|node| *node != leader && *node != controller);
    stage.lab.world.kill(victim.expect("a third node"));
    let id = stage.id;
    stage.lab.until(secs(12), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 2)
    });
    let proposal = stage.proposal(&Stage::all());
    assert_eq!(stage.verdict(proposal), ErrorCode::IneligibleReplica, "it is fenced");
}

/// The controller freezes when the leader proposes to take a follower back in, over a connection that it has already.
#[test]
fn a3_a_proposal_waits_30_s_for_its_answer_though_another_controller_is_there() {
    let mut stage = Stage::new();
    let (id, leader, controller) = (stage.id, stage.leader, stage.controller);
    let third =
        Stage::all().into_iter().find(|node| *node != leader && *node != controller).expect("a third");
    let is_member = move |kafka: &Kafka| kafka.truth().partition(id).is_some_and(|at| at.isr.contains(third));
    let proposes = move |kafka: &Kafka| {
        let broker = kafka.servers[leader.index()].data();
        let leading = broker.and_then(|broker| broker.replica(id)).and_then(Replica::leading);
        leading.is_some_and(|leading| leading.proposed.is_some())
    };
    stage.lab.world.cut(third, leader);
    // Without anything to fetch nobody lags.
    stage.lab.produce(stage.probe, leader, id, Acks::One);
    stage.lab.until(secs(60), move |kafka| !is_member(kafka));
    stage.lab.world.uncut(third, leader);
    stage.lab.until(secs(60), proposes);
    stage.lab.world.pause(controller);
    let waited = stage.lab.until(secs(60), is_member).as_millis();
    // What is asked first then may be out of date.
    assert!((30_000..33_000).contains(&waited), "{waited} ms");
}

/// What a leader would propose it goes on trying, with one timer for all.
#[test]
fn a3_proposals_without_a_controller_are_tried_at_an_even_pace() {
    let mut stage = Stage::new();
    let others: Vec<NodeId> = Stage::all().into_iter().filter(|node| *node != stage.leader).collect();
    others.iter().for_each(|node| stage.lab.world.kill(*node));
    stage.lab.produce(stage.probe, stage.leader, stage.id, Acks::One);
    stage.lab.run(secs(60));
    let mut events = |span| {
        let before = stage.lab.world.trace().events();
        stage.lab.run(span);
        stage.lab.world.trace().events() - before
    };
    let first = events(secs(60));
    events(secs(240));
    let last = events(secs(60));
    assert!(last.abs_diff(first) <= first / 10, "{first} events in the second minute, {last} in the seventh");
}

#[test]
fn a3_a_proposal_upon_another_partition_epoch_is_refused_with_95() {
    let mut stage = Stage::new();
    let mut proposal = stage.proposal(&Stage::all());
    proposal.partition_epoch += 1;
    let error = stage.verdict(proposal);
    assert_eq!((error, error.code()), (ErrorCode::InvalidUpdateVersion, 95));
}

#[test]
fn a3_a_proposal_of_a_former_leader_is_refused_with_74() {
    let mut stage = Stage::new();
    let mut proposal = stage.proposal(&Stage::all());
    proposal.leader_epoch += 1;
    let error = stage.verdict(proposal);
    assert_eq!((error, error.code()), (ErrorCode::FencedLeaderEpoch, 74));
}

#[test]
fn a3_a_proposal_that_elects_another_leader_is_answered_with_108() {
    let mut stage = Stage::new();
    let others: Vec<NodeId> = Stage::all().into_iter().filter(|node| *node != stage.leader).collect();
    let proposal = stage.proposal(&others);
    let before = proposal.leader_epoch;
    let (_, result) = stage.propose(stage.epoch(stage.leader), proposal);
    let result = result.expect("one result for each proposal");
    assert_eq!((result.error, result.error.code()), (ErrorCode::NewLeaderElected, 108));
    assert_eq!(result.leader_epoch, before + 1, "a new leader, a new epoch");
    stage.lab.run(secs(1));
    assert!(stage.lab.leader(stage.id).is_some_and(|leader| leader != stage.leader));
}

#[test]
fn a3_an_accepted_proposal_raises_the_partition_epoch_and_not_the_leaders() {
    let mut stage = Stage::new();
    let kept = [stage.leader, Stage::all().into_iter().find(|node| *node != stage.leader).expect("another")];
    let proposal = stage.proposal(&kept);
    let before = proposal.clone();
    let (_, result) = stage.propose(stage.epoch(stage.leader), proposal);
    let result = result.expect("one result for each proposal");
    assert_eq!(result.error, ErrorCode::None);
    assert_eq!(
        (result.leader_epoch, result.partition_epoch),
        (before.leader_epoch, before.partition_epoch + 1)
    );
    assert_eq!(result.isr.len(), 2);
}
