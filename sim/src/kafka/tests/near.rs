//! Consumers that read from a replica in their own rack.

use super::{logs::Bench, *};
use crate::kafka::rules::ReplicaSelector;
use squall_bus::{ConsumerConfig, Position};
use std::task::Poll;

fn aware() -> Rules {
    Rules { replica_selector: ReplicaSelector::RackAware, ..kafka_4_3_test_cluster() }
}

impl Bench {
    fn fetch_from_rack(&mut self, broker: NodeId, rack: NodeId, offset: u64) -> Option<FetchedPartition> {
        let request = FetchRequest { rack: Some(rack), ..a_fetch(self.id, offset) };
        let asked = self.lab.ask(self.probe, broker, RequestBody::Fetch(request));
        self.lab.fetched(asked)
    }
}

#[test]
fn b14_a_leader_names_the_replica_in_the_readers_rack() {
    assert_eq!(kafka_4_3_test_cluster().replica_selector, ReplicaSelector::Leader);
    let mut bench = Bench::with(aware(), &[]);
    bench.write(4);
    bench.lab.run(secs(1));
    let (leader, near) = (bench.leader, NodeId((bench.leader.0 + 1) % 3));
    let answer = bench.fetch_from_rack(leader, near, 0).expect("an answer");
    assert_eq!((answer.error, answer.preferred, answer.entries.len()), (ErrorCode::None, Some(near), 0));
    assert_eq!(bench.fetch_from_rack(near, near, 0).expect("records").entries.len(), 4);
    let own = bench.fetch_from_rack(leader, leader, 0).expect("records");
    assert_eq!((own.preferred, own.entries.len()), (None, 4), "the leader is the nearest");
    let elsewhere = bench.fetch_from_rack(near, leader, 0).expect("an answer");
    assert_eq!(elsewhere.error, ErrorCode::NotLeaderOrFollower, "a follower serves its own rack");
    let mut plain = Bench::new(&[]);
    plain.write(1);
    let (leader, near) = (plain.leader, NodeId((plain.leader.0 + 1) % 3));
    assert_eq!(plain.fetch_from_rack(leader, near, 0).expect("records").entries.len(), 1);
    assert_eq!(
        plain.fetch_from_rack(near, near, 0).expect("an answer").error,
        ErrorCode::NotLeaderOrFollower,
        "unless it is asked for, only leaders are read"
    );
}

#[test]
fn b14_a_follower_serves_up_to_its_own_high_watermark() {
    let mut bench = Bench::with(aware(), &[]);
    bench.write(1);
    let near = NodeId((bench.leader.0 + 1) % 3);
    assert_eq!(bench.lab.replica(near, bench.id).high_watermark, 0, "it hears of it one fetch later");
    assert_eq!(bench.lab.replica(near, bench.id).log.end(), 1);
    let begin = bench.lab.now();
    assert_eq!(bench.fetch_from_rack(near, near, 0).expect("a record").entries.len(), 1);
    assert_between(bench.lab.now().since(begin), 100, 502);
    let beyond = bench.fetch_from_rack(near, near, 9).expect("an answer");
    assert_eq!((beyond.error, beyond.error.code()), (ErrorCode::OffsetOutOfRange, 1));
}

#[test]
fn b14_a_consumer_reads_near_and_goes_back_to_the_leader() {
    let mut bench = Bench::with(aware(), &[]);
    bench.write(4);
    bench.lab.run(secs(1));
    let near = NodeId((bench.leader.0 + 1) % 3);
    let near = if near == bench.lab.controller() { NodeId((near.0 + 1) % 3) } else { near };
    let near = if near == bench.leader { NodeId((near.0 + 1) % 3) } else { near };
    let unit = Unit::new(&Topic::new("t"), 0);
    let config = ConsumerConfig {
        rack: Some(near.0 + 1),
        ..ConsumerConfig::assign("consumer-1", vec![(unit, Some(Position(0)))])
    };
    let node = bench.lab.world.add_node("consumer-1");
    bench.lab.world.model_mut().open_consumer(node, config).expect("a consumer");
    bench.lab.world.start(node);
    let take = |lab: &mut Lab| {
        let mut read = Vec::new();
        lab.world.enter(node, |model, ctx| {
            while model.take_event(node, ctx).is_some() {}
            while let Poll::Ready(Ok(delivery)) = model.take_record(node, ctx) {
                read.push(delivery.position.0);
            }
        });
        read
    };
    bench.lab.run(secs(3));
    assert_eq!(take(&mut bench.lab), [0, 1, 2, 3]);
    bench.lab.world.kill(near);
    bench.lab.run(secs(12));
    bench.write(3);
    bench.lab.run(secs(3));
    assert_eq!(take(&mut bench.lab), [4, 5, 6]);
}
