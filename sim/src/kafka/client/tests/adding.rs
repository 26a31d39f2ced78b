//! What becomes of partitions that are being added when their transaction is aborted. Real brokers (Kafka 4.3.0 with
//! librdkafka 2.12.1) showed the refused end in two of six runs of `aborted-read-committed`.

use super::transactions::{SECOND, Stage, begun, short};
use crate::{kernel::NodeId, model::TxnCall};
use ClientProfile::{Java3, Native};
use squall_bus::{ClientProfile, Isolation};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);

/// The outcome of a call, as soon as there is one: the coordinator may not be done with what it answered.
fn at_once(stage: &mut Stage, node: NodeId, call: TxnCall) -> String {
    let op = stage.ask(node, call);
    while !stage.done.contains_key(&op) {
        stage.run(MILLISECOND / 100);
    }
    short(&stage.done[&op])
}

/// A producer with a committed transaction whose markers are on their way, and the next one begun.
fn between_transactions(profile: ClientProfile) -> (Stage, NodeId) {
    let mut stage = Stage::new(1);
    let producer = begun(&mut stage, "producer-1", profile, None);
    assert_eq!(stage.send(producer), "ok");
    assert_eq!(at_once(&mut stage, producer, TxnCall::Commit), "ok");
    assert_eq!(at_once(&mut stage, producer, TxnCall::Begin), "ok");
    (stage, producer)
}

#[test]
fn d3_an_abort_while_51_is_the_answer_finishes_librdkafka_alone() {
    for (profile, told, next) in
        [(Native, "fatal INVALID_TXN_STATE", "fatal INVALID_TXN_STATE"), (Java3, "ok", "ok")]
    {
        let (mut stage, producer) = between_transactions(profile);
        stage.send_to(producer, "orders");
        stage.run(2 * MILLISECOND);
        let from = stage.world.now();
        assert_eq!(at_once(&mut stage, producer, TxnCall::Abort), told, "{profile:?}");
        let took = stage.world.now().since(from);
        // librdkafka does not wait for its next attempt to add the partition, Java does: 20 ms after the last.
        let waits = took >= Duration::from_millis(15);
        assert_eq!(waits, profile == Java3, "{profile:?} took {took:?}");
        assert_eq!(stage.call(producer, TxnCall::Begin), next, "{profile:?}");
        stage.run(SECOND);
        assert_eq!(stage.offsets(Isolation::ReadCommitted), [0], "{profile:?}: the one that was committed");
    }
}

#[test]
fn d3_without_51_the_partition_is_added_and_the_end_follows() {
    for profile in [Native, Java3] {
        let (mut stage, producer) = between_transactions(profile);
        stage.run(SECOND);
        for _ in 0..3 {
            // The question is under way.
            stage.send_to(producer, "orders");
            stage.run(MILLISECOND / 10);
            assert_eq!(at_once(&mut stage, producer, TxnCall::Abort), "ok", "{profile:?}");
            stage.run(SECOND);
            assert_eq!(stage.call(producer, TxnCall::Begin), "ok", "{profile:?}");
        }
        assert_eq!(stage.send(producer), "ok");
        assert_eq!(stage.call(producer, TxnCall::Commit), "ok");
        stage.transaction(producer, true);
    }
}
