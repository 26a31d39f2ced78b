//! Changes of a group of the consumer protocol that the log refuses, while earlier ones are still on their way (E6).

use super::{consumer::six_with, *};
use crate::kafka::protocol::TopicIx;

/// Two members of six partitions at epoch 2 whose coordinator has lost both of its followers; what the second join
/// changed is in the log and not committed, and the log takes no more.
struct Alone {
    groups: Groups,
    first: Member,
    second: Member,
    joining: Asked,
}

fn alone(seed: u64) -> Alone {
    let rules = Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() };
    let mut groups = six_with(Lab::with(seed, 3, rules));
    let [first, second] = [1, 2].map(|id| groups.member(id));
    assert_eq!(groups.enter(first).epoch, 1);
    for follower in groups.followers() {
        groups.lab.world.kill(follower);
    }
    let body = RequestBody::ConsumerGroupHeartbeat(groups.joining(second));
    let joining = groups.lab.ask(second.probe, groups.coordinator, body);
    let office = groups.office();
    groups.lab.until(secs(11), |kafka| kafka.truth().partition(office).is_some_and(|at| at.isr.len() == 1));
    groups.lab.run(millis(100));
    assert!(groups.lab.answer(joining).is_none(), "it is in the log, and waits");
    Alone { groups, first, second, joining }
}

impl Groups {
    fn office(&self) -> PartitionId {
        PartitionId::new(TopicIx::CONSUMER_OFFSETS, self.lab.kafka().offsets_partition("billing"))
    }

    fn followers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let coordinator = self.coordinator;
        (0..3).map(NodeId).filter(move |node| *node != coordinator)
    }

    /// The followers are back, and what was on its way is committed.
    fn heal(&mut self) {
        for follower in self.followers() {
            self.lab.world.start(follower);
        }
        let office = self.office();
        self.lab.until(secs(6), |kafka| kafka.truth().partition(office).is_some_and(|at| at.isr.len() > 1));
    }
}

/// Kafka goes back to what was last written, not to what was last committed.
#[test]
fn e6_a_refused_change_leaves_what_is_on_its_way() {
    for seed in 0..4 {
        let Alone { mut groups, first, second, joining } = alone(seed);
        let third = groups.member(3);
        assert_eq!(groups.enter(third).error, ErrorCode::CoordinatorNotAvailable, "the log refuses it");
        groups.heal();
        match groups.lab.wait(joining, secs(1)) {
            Some(ResponseBody::ConsumerGroupHeartbeat(told)) => {
                assert_eq!((told.error, told.epoch), (ErrorCode::None, 2));
            }
            other => panic!("not an answer to ConsumerGroupHeartbeat: {other:?}"),
        }
        assert_eq!(groups.beat(second, 2, None).error, ErrorCode::None, "it was told that it is a member");
        assert_eq!(groups.beat(third, 3, None).error, ErrorCode::UnknownMemberId);
        assert_eq!(groups.enter(third).epoch, 3, "the group goes on from epoch 2");
        assert_eq!(groups.beat(first, 1, None).error, ErrorCode::None);
    }
}

/// The session of a silent member ends while nothing can be written: 45 s after its last sign of life, whatever was
/// refused in between, and tried again every 500 ms.
#[test]
fn e6_who_cannot_be_put_out_is_put_out_when_the_log_takes_it() {
    let Alone { mut groups, first, second, .. } = alone(4);
    // Its first connection waits for the answer to its join.
    let second = Member { probe: groups.lab.probe(), ..second };
    let begin = groups.lab.now();
    groups.lab.run(secs(20));
    let third = groups.member(3);
    assert_eq!(groups.enter(third).error, ErrorCode::CoordinatorNotAvailable);
    groups.lab.run(secs(15));
    assert_eq!(groups.beat(second, 2, None).error, ErrorCode::None);
    groups.lab.run(secs(12));
    assert!(groups.lab.now().since(begin) > secs(46));
    assert_eq!(groups.beat(second, 2, None).epoch, 2, "nobody could be put out yet");
    groups.heal();
    groups.lab.run(millis(600));
    assert_eq!(groups.beat(first, 1, None).error, ErrorCode::UnknownMemberId);
    assert_eq!(groups.beat(second, 2, None).epoch, 3);
}
