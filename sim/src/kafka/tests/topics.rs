//! Topics that go, come again, grow and change while the cluster runs; leaders that come back.

use super::{logs::Bench, *};
use crate::kafka::{
    metadata::TopicId,
    protocol::{AdminRequest, Election},
    topic_config::Ratio,
};

impl Bench {
    fn admin(&mut self, request: AdminRequest) -> (ErrorCode, Vec<(PartitionId, ErrorCode)>) {
        let controller = self.lab.controller();
        let asked = self.lab.ask(self.probe, controller, RequestBody::Admin(request));
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::Admin(error, results)) => (error, results),
            other => panic!("not an answer to an administrator: {other:?}"),
        }
    }

    fn elect(&mut self, election: Election) -> ErrorCode {
        let (error, results) = self.admin(AdminRequest::ElectLeaders(election, vec![self.id]));
        assert_eq!(error, ErrorCode::None);
        results[0].1
    }

    fn topic_id(&self) -> Option<TopicId> {
        self.lab.kafka().truth().topic(self.id.topic).map(|topic| topic.id)
    }

    /// Asks the bus' administrator for the topic anew.
    fn create_again(&mut self, partitions: u32) {
        let spec = TopicSpec {
            topic: Topic::new("t"),
            partitions,
            replicas: 3,
            min_insync: 2,
            config: BTreeMap::new(),
        };
        let choices = self.lab.world.choices().clone();
        self.lab.world.model_mut().create_topic(&spec, &choices).expect("the topic can be");
    }

    fn fetch_as(&mut self, broker: NodeId, offset: u64, id: TopicId) -> FetchedPartition {
        let topic_ids = Some([(self.id.topic, id)].into());
        let request = FetchRequest { topic_ids, ..a_fetch(self.id, offset) };
        let asked = self.lab.ask(self.probe, broker, RequestBody::Fetch(request));
        self.lab.fetched(asked).expect("an answer")
    }
}

#[test]
fn a6_a_topic_that_comes_again_is_another_one() {
    let mut bench = Bench::new(&[]);
    bench.write(5);
    let old = bench.topic_id().expect("it is there");
    assert_eq!(bench.fetch_as(bench.leader, 0, old).error, ErrorCode::None);
    assert_eq!(bench.admin(AdminRequest::DeleteTopic(bench.id.topic)).0, ErrorCode::None);
    assert_eq!(bench.topic_id(), None);
    bench.lab.run(millis(50));
    for node in (0..3).map(NodeId) {
        assert!(
            bench.lab.kafka().servers[node.index()].data().is_some_and(|b| b.replica(bench.id).is_none())
        );
    }
    let gone = bench.fetch_as(bench.leader, 5, old);
    assert_eq!((gone.error, gone.error.code()), (ErrorCode::UnknownTopicId, 100));
    let by_name = bench.lab.fetch(bench.probe, bench.leader, bench.id, 5);
    assert_eq!(bench.lab.fetched(by_name).expect("an answer").error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(bench.admin(AdminRequest::DeleteTopic(bench.id.topic)).0.code(), 3, "it is gone already");
    bench.create_again(1);
    bench.lab.run(secs(1));
    let new = bench.topic_id().expect("it is there again");
    assert_ne!(new, old);
    bench.leader = bench.lab.leader(bench.id).expect("it has a leader");
    assert_eq!(bench.fetch_as(bench.leader, 5, old).error, ErrorCode::UnknownTopicId);
    // A reader that goes on at its old position is beyond the end, or reads past what it never saw.
    assert_eq!(bench.fetch_as(bench.leader, 5, new).error, ErrorCode::OffsetOutOfRange);
    bench.write(7);
    let skipping = bench.fetch_as(bench.leader, 5, new);
    assert_eq!((skipping.error, skipping.entries[0].base_offset), (ErrorCode::None, 5));
}

#[test]
fn a6_deleted_and_created_at_once_is_another_topic_too() {
    let mut bench = Bench::new(&[]);
    bench.write(5);
    bench.lab.run(secs(1));
    let old = bench.topic_id();
    let topic = Topic::new("t");
    bench.lab.world.model_mut().delete_topic(&topic).expect("it is there");
    bench.create_again(1);
    bench.lab.run(secs(2));
    assert!(bench.topic_id().is_some() && bench.topic_id() != old);
    for node in (0..3).map(NodeId) {
        assert_eq!(bench.lab.replica(node, bench.id).log.end(), 0, "replicas begin empty");
    }
    bench.leader = bench.lab.leader(bench.id).expect("it has a leader");
    assert_eq!(bench.write_stamped(None).base_offset, Some(0));
    assert_eq!(bench.lab.isr(bench.id), 3);
}

#[test]
fn a6_a_broker_that_was_away_drops_what_it_has_of_the_old_topic() {
    let mut bench = Bench::new(&[]);
    bench.write(5);
    bench.lab.run(secs(1));
    let away = (0..3)
        .map(NodeId)
        .find(|node| *node != bench.lab.controller() && *node != bench.leader)
        .expect("there are three");
    bench.lab.world.kill(away);
    bench.lab.run(secs(12));
    assert_eq!(bench.admin(AdminRequest::DeleteTopic(bench.id.topic)).0, ErrorCode::None);
    bench.lab.world.start(away);
    bench.lab.run(secs(5));
    let has = bench.lab.kafka().servers[away.index()].data().and_then(|broker| broker.replica(bench.id));
    assert!(has.is_none());
}

#[test]
fn a6_a_parked_write_to_a_deleted_topic_is_answered() {
    let mut bench = Bench::new(&[]);
    bench.lab.run(secs(1));
    let frozen = (0..3)
        .map(NodeId)
        .find(|node| *node != bench.leader && *node != bench.lab.controller())
        .expect("there are three");
    bench.lab.world.pause(frozen);
    let (asked, _) = bench.lab.produce(bench.probe, bench.leader, bench.id, Acks::All);
    bench.lab.run(millis(20));
    let topic = Topic::new("t");
    bench.lab.world.model_mut().delete_topic(&topic).expect("it is there");
    let answer = bench.lab.produced(asked, secs(3)).expect("an answer");
    assert_eq!(answer.error, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn c2_a_topic_grows_and_brokers_hear_of_it() {
    let mut bench = Bench::new(&[]);
    let topic = bench.id.topic;
    assert_eq!(bench.admin(AdminRequest::CreatePartitions(topic, 1)).0, ErrorCode::InvalidPartitions);
    assert_eq!(ErrorCode::InvalidPartitions.code(), 37);
    assert_eq!(bench.admin(AdminRequest::CreatePartitions(topic, 4)).0, ErrorCode::None);
    bench.lab.run(millis(50));
    let last = PartitionId::new(topic, 3);
    let leader = bench.lab.leader(last).expect("it has a leader");
    assert_eq!(bench.lab.ask_leader(bench.probe, leader, last), Some(leader));
    let (asked, _) = bench.lab.produce(bench.probe, leader, last, Acks::All);
    assert_eq!(bench.lab.produced(asked, secs(1)).expect("an answer").base_offset, Some(0));
}

#[test]
fn b4_the_minimum_of_in_sync_replicas_changes_while_the_cluster_runs() {
    let mut bench = Bench::new(&[]);
    let config = |value: &str| vec![("min.insync.replicas".to_owned(), value.to_owned())];
    let topic = bench.id.topic;
    let follower = (0..3)
        .map(NodeId)
        .find(|node| *node != bench.leader && *node != bench.lab.controller())
        .expect("there are three");
    bench.lab.world.kill(follower);
    bench.lab.run(secs(12));
    assert_eq!(bench.write_stamped(None).error, ErrorCode::None, "two of two");
    assert_eq!(bench.admin(AdminRequest::AlterConfigs(topic, config("3"))).0, ErrorCode::None);
    bench.lab.run(millis(50));
    assert_eq!(bench.write_stamped(None).error, ErrorCode::NotEnoughReplicas);
    assert_eq!(bench.admin(AdminRequest::AlterConfigs(topic, config("2"))).0, ErrorCode::None);
    bench.lab.run(millis(50));
    assert_eq!(bench.write_stamped(None).error, ErrorCode::None);
    let wrong = vec![("min.insync.replica".to_owned(), "2".to_owned())];
    assert_eq!(bench.admin(AdminRequest::AlterConfigs(topic, wrong)).0.code(), 40);
}

#[test]
fn b8_a_lower_minimum_leaves_nobody_eligible_but_out_of_sync() {
    let mut lab = Lab::with(3, 3, Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() });
    let id = lab.topic(2);
    let leader = lab.leader(id).expect("it has one");
    lab.run(secs(3));
    for node in (0..3).map(NodeId).filter(|node| *node != leader) {
        lab.world.kill(node);
    }
    lab.run(secs(12));
    let elr = |lab: &Lab| lab.kafka().truth().partition(id).map(|partition| partition.elr.len());
    assert_eq!((lab.isr(id), elr(&lab)), (1, Some(1)));
    let topic = Topic::new("t");
    let config = BTreeMap::from([("min.insync.replicas".to_owned(), "1".to_owned())]);
    lab.world.model_mut().alter_topic(&topic, &config).expect("it can be");
    lab.run(secs(1));
    assert_eq!((lab.isr(id), elr(&lab)), (1, Some(0)));
}

#[test]
fn a4_the_preferred_leader_comes_back_within_five_minutes() {
    let rules = kafka_4_3_test_cluster();
    assert_eq!((rules.leader_check, rules.leader_imbalance), (secs(300), Ratio::TENTH));
    let mut bench = Bench::new(&[]);
    let (id, preferred) = (bench.id, bench.leader);
    bench.lab.run(secs(3));
    bench.lab.world.stop(preferred);
    bench.lab.run(secs(5));
    bench.lab.world.start(preferred);
    bench.lab.until(secs(30), |kafka| kafka.truth().partition(id).is_some_and(|it| it.isr.len() == 3));
    assert_ne!(bench.lab.leader(id), Some(preferred), "it is back in sync and leads nothing");
    let begin = bench.lab.now();
    bench.lab.until(secs(310), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.leader == Some(preferred))
    });
    assert!(bench.lab.now().since(begin) > secs(60), "not at once");
}

/// Leaderships of thirty partitions, of which a broker got back all that prefer it but so many by hand; how many of
/// those are back after the controller has looked.
fn left_away(away: usize) -> (usize, usize) {
    let rules = Rules { offsets_partitions: 1, offsets_replicas: 1, ..kafka_4_3_test_cluster() };
    let mut lab = Lab::with(2, 3, rules);
    let id = lab.topic_of("t", 30, 3, 1, &[]);
    let (probe, controller) = (lab.probe(), lab.controller());
    let broker = (0..3).map(NodeId).find(|node| *node != controller).expect("there are three");
    let prefers: Vec<PartitionId> = (0..30)
        .map(|number| PartitionId::new(id.topic, number))
        .filter(|id| lab.kafka().truth().partition(*id).is_some_and(|it| it.replicas[0] == broker))
        .collect();
    assert_eq!(prefers.len(), 10);
    lab.run(secs(3));
    lab.world.stop(broker);
    lab.run(secs(5));
    lab.world.start(broker);
    let all = |kafka: &Kafka, ids: &[PartitionId]| {
        ids.iter().all(|id| kafka.truth().partition(*id).is_some_and(|it| it.isr.len() == 3))
    };
    lab.until(secs(30), |kafka| all(kafka, &prefers));
    let some = prefers[away..].to_vec();
    let request = RequestBody::Admin(AdminRequest::ElectLeaders(Election::Preferred, some));
    let asked = lab.ask(probe, controller, request);
    lab.wait(asked, secs(5)).expect("an answer");
    let led = |lab: &Lab| prefers.iter().filter(|id| lab.leader(**id) == Some(broker)).count();
    let before = led(&lab);
    lab.run(secs(310));
    (before, led(&lab))
}

#[test]
fn a4_an_imbalance_of_a_tenth_is_left_alone_and_a_larger_one_is_not() {
    assert_eq!(left_away(1), (9, 9));
    assert_eq!(left_away(2), (8, 10));
}

#[test]
fn a4_nobody_can_be_elected_when_no_replica_is_there() {
    let mut lab = Lab::new(1);
    let id = lab.topic_of("t", 3, 1, 1, &[]);
    let (probe, controller) = (lab.probe(), lab.controller());
    let id = (0..3)
        .map(|number| PartitionId::new(id.topic, number))
        .find(|id| lab.leader(*id) != Some(controller))
        .expect("each node leads one");
    let only = lab.leader(id).expect("it has one");
    let elect = |lab: &mut Lab, election| {
        let request = RequestBody::Admin(AdminRequest::ElectLeaders(election, vec![id]));
        let asked = lab.ask(probe, controller, request);
        match lab.wait(asked, secs(5)) {
            Some(ResponseBody::Admin(ErrorCode::None, results)) => results[0].1,
            other => panic!("not an answer to an administrator: {other:?}"),
        }
    };
    lab.run(secs(3));
    lab.world.kill(only);
    lab.run(secs(12));
    let none = elect(&mut lab, Election::Unclean);
    assert_eq!((none, none.code()), (ErrorCode::EligibleLeadersNotAvailable, 83));
    assert_eq!(elect(&mut lab, Election::Preferred), ErrorCode::PreferredLeaderNotAvailable);
}

#[test]
fn a4_unclean_elections_can_be_allowed_while_there_is_no_leader() {
    let rules = Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() };
    let mut lab = Lab::with(3, 3, rules);
    let id = lab.topic_of("t", 1, 2, 1, &[]);
    let replicas = lab.kafka().truth().partition(id).expect("it exists").replicas.clone();
    let (leader, follower) = (replicas[0], replicas[1]);
    let probe = lab.probe();
    lab.run(secs(3));
    lab.world.kill(follower);
    lab.run(secs(12));
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    assert_eq!(lab.produced(asked, secs(1)).expect("an answer").error, ErrorCode::None);
    lab.world.kill(leader);
    lab.run(secs(12));
    lab.world.start(follower);
    lab.run(secs(20));
    assert_eq!(lab.leader(id), None, "it is not in sync");
    let topic = Topic::new("t");
    let config = BTreeMap::from([("unclean.leader.election.enable".to_owned(), "true".to_owned())]);
    lab.world.model_mut().alter_topic(&topic, &config).expect("it can be");
    lab.until(secs(301), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.leader == Some(follower))
    });
    lab.run(secs(1));
    assert_eq!(lab.replica(follower, id).log.end(), 0, "the record that was acknowledged is gone");
}

#[test]
fn a4_elections_that_an_administrator_asks_for() {
    let mut bench = Bench::new(&[]);
    let (id, preferred) = (bench.id, bench.leader);
    let needless = bench.elect(Election::Preferred);
    assert_eq!((needless, needless.code()), (ErrorCode::ElectionNotNeeded, 84));
    bench.lab.run(secs(3));
    bench.lab.world.stop(preferred);
    bench.lab.run(secs(5));
    let unavailable = bench.elect(Election::Preferred);
    assert_eq!((unavailable, unavailable.code()), (ErrorCode::PreferredLeaderNotAvailable, 80));
    bench.lab.world.start(preferred);
    bench.lab.until(secs(30), |kafka| kafka.truth().partition(id).is_some_and(|it| it.isr.len() == 3));
    assert_eq!(bench.elect(Election::Preferred), ErrorCode::None);
    assert_eq!(bench.lab.leader(id), Some(preferred));
    assert_eq!(bench.elect(Election::Unclean), ErrorCode::ElectionNotNeeded, "it has a leader");
}

/// An administrator that asks again before the controller has done what it was asked speaks of what will be.
#[test]
fn c2_a_topic_that_is_about_to_grow_does_not_shrink() {
    let mut bench = Bench::new(&[]);
    bench.lab.topic_of("other", 1, 3, 2, &[]);
    let (topic, other) = (Topic::new("t"), Topic::new("other"));
    let kafka = bench.lab.world.model_mut();
    kafka.create_partitions(&topic, 4).expect("more than it has");
    kafka.create_partitions(&other, 9).expect("more than it has");
    kafka.create_partitions(&topic, 4).expect("as many as it will have");
    let refused = kafka.create_partitions(&topic, 3).expect_err("fewer than it will have");
    assert_eq!(refused.message, "the topic `t` has 4 partitions; 3 would be fewer");
    bench.lab.run(secs(1));
    let count = |ix| bench.lab.kafka().truth().topic(ix).expect("it exists").partitions.len();
    assert_eq!(count(bench.id.topic), 4);
}

#[test]
fn a_setting_that_is_wrong_is_refused_by_the_name_of_its_topic() {
    let mut bench = Bench::new(&[]);
    let config = [("retention.ms".to_owned(), "soon".to_owned())].into();
    let refused = bench.lab.world.model_mut().alter_topic(&Topic::new("t"), &config).expect_err("no number");
    assert!(
        refused.message.starts_with("the topic `t`: ") && refused.message.contains("retention.ms"),
        "{refused}"
    );
}

#[test]
fn roles_of_nodes_mean_nodes_that_there_are() {
    let lab = Lab::with(1, 5, kafka_4_3_test_cluster());
    let nodes = |role| lab.kafka().resolve(&role);
    assert_eq!(
        (nodes(Role::Node(5)), nodes(Role::Node(6)), nodes(Role::Node(0))),
        (vec![NodeId(4)], vec![], vec![])
    );
    let few = nodes(Role::Minority);
    assert!(few.len() == 2 && few[0] < few[1] && few[1] < NodeId(5), "{few:?}");
}
