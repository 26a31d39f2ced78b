//! Changes of a group of the consumer protocol that the log refuses, while earlier ones are still on their way (E6).

use super::{consumer::six_with, *};
use crate::kafka::names::CONSUMER_OFFSETS;

/// A group of six partitions whose coordinator needs none of its followers to be told of metadata.
fn apart(seed: u64) -> Groups {
    six_with(Lab::with(seed, 3, Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() }))
}

/// So large is the record of a group with two members: with three it is larger.
const OF_TWO: u32 = 61 + 3 * 160;

impl Groups {
    /// The group's log takes batches of so many bytes from now on.
    fn limit(&mut self, bytes: u32) {
        let config = BTreeMap::from([("max.message.bytes".to_owned(), bytes.to_string())]);
        let topic = Topic::new(CONSUMER_OFFSETS);
        self.lab.world.model_mut().alter_topic(&topic, &config).expect("it can be");
        self.lab.run(millis(600));
    }
}

/// Kafka goes back to what was last written, not to what was last committed.
#[test]
fn e6_a_refused_change_leaves_what_is_on_its_way() {
    for seed in 0..4 {
        let mut groups = apart(seed);
        let [first, second, third] = [1, 2, 3].map(|id| groups.member(id));
        assert_eq!(groups.enter(first).epoch, 1);
        groups.limit(OF_TWO);
        groups.pause_followers();
        let joining = RequestBody::ConsumerGroupHeartbeat(groups.joining(second));
        let joining = groups.lab.ask(second.probe, groups.coordinator, joining);
        groups.lab.run(millis(100));
        assert_eq!(groups.told(joining), None, "it is in the log, and waits");
        let refused = groups.enter(third).error;
        assert_eq!(refused, ErrorCode::UnknownServerError, "the log refuses it, which is told at once");
        groups.resume_followers();
        groups.lab.run(secs(1));
        assert_eq!(groups.told(joining).map(|told| (told.error, told.epoch)), Some((ErrorCode::None, 2)));
        assert_eq!(groups.beat(second, 2, None).error, ErrorCode::None, "it was told that it is a member");
        assert_eq!(groups.beat(third, 3, None).error, ErrorCode::UnknownMemberId);
        groups.limit(1 << 20);
        assert_eq!(groups.enter(third).epoch, 3, "the group goes on from epoch 2");
        assert_eq!(groups.beat(first, 1, None).error, ErrorCode::None);
    }
}

/// The session of a silent member ends while nothing can be written: 45 s after its last sign of life, whatever was
/// refused in between, and tried again every 500 ms.
#[test]
fn e6_who_cannot_be_put_out_is_put_out_when_the_log_takes_it() {
    let mut groups = apart(4);
    let [first, second, third] = [1, 2, 3].map(|id| groups.member(id));
    groups.enter(first);
    let begin = groups.lab.now();
    assert_eq!(groups.enter(second).epoch, 2);
    groups.limit(100);
    groups.lab.run(secs(20));
    assert!(groups.enter(third).error.is_error());
    groups.lab.run(secs(15));
    assert_eq!(groups.beat(second, 2, None).error, ErrorCode::None);
    groups.lab.run(secs(12));
    assert!(groups.lab.now().since(begin) > secs(46));
    assert_eq!(groups.beat(second, 2, None).epoch, 2, "nobody could be put out yet");
    groups.limit(1 << 20);
    groups.lab.run(millis(600));
    assert_eq!(groups.beat(first, 1, None).error, ErrorCode::UnknownMemberId);
    assert_eq!(groups.beat(second, 2, None).epoch, 3);
}

/// What is written counts before it is committed: a member whose session ends meanwhile is out, and nobody hears of it
/// before it is committed.
#[test]
fn e6_who_is_put_out_while_nothing_is_committed_stays_out() {
    let mut groups = apart(5);
    let [first, second] = [1, 2].map(|id| groups.member(id));
    groups.enter(first);
    assert_eq!(groups.enter(second).epoch, 2);
    groups.lab.run(secs(40));
    let [before, after] = groups.probes();
    let beat = groups.ask_beat(before, second, 2);
    groups.lab.run(secs(4));
    assert_eq!(groups.told(beat).map(|told| told.epoch), Some(2));
    groups.pause_followers();
    groups.lab.run(secs(3));
    let beat = groups.ask_beat(after, second, 2);
    groups.lab.run(secs(1));
    assert_eq!(groups.told(beat), None);
    assert_eq!(groups.beat(first, 1, None).error, ErrorCode::UnknownMemberId, "an error is told at once");
    groups.resume_followers();
    groups.lab.run(secs(1));
    let told = groups.told(beat).expect("it is committed");
    assert_eq!((told.error, told.epoch), (ErrorCode::None, 3));
}
