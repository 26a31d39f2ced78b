//! The two versions of transactions (D3, D4).

use super::*;

#[test]
fn d3_one_epoch_lasts_over_all_transactions() {
    let mut txns = Txns::with(9, v1());
    let producer = txns.init();
    let id = txns.ids[0];
    for commit in [true, true, false, true] {
        txns.whole_v1(producer, id, 2, commit);
    }
    // Measured: data 0, 1, marker 2, and so on; markers carry epoch 0.
    assert_eq!(txns.markers(id), [(2, 0, true), (5, 0, true), (8, 0, false), (11, 0, true)]);
}

#[test]
fn d3_a_partition_that_was_not_added_is_refused() {
    let mut txns = Txns::with(10, v1());
    let producer = txns.init();
    let [first, second] = txns.ids;
    txns.added(producer, &[first]);
    assert_eq!(txns.produce(producer, second, 1, V1), ErrorCode::TransactionAbortable);
    assert_eq!(txns.markers(second), []);
    assert_eq!(txns.produce(producer, first, 1, V1), ErrorCode::None);
}

#[test]
fn d3_without_verification_a_late_write_hangs() {
    for (verify_transactions, error) in [(true, ErrorCode::TransactionAbortable), (false, ErrorCode::None)] {
        let mut txns = Txns::with(11, Rules { verify_transactions, ..v1() });
        let producer = txns.init();
        let id = txns.ids[0];
        txns.whole_v1(producer, id, 1, false);
        assert_eq!(txns.produce(producer, id, 1, V1), error, "verification: {verify_transactions}");
        txns.lab.run(secs(120));
        let stable = txns.listed(id, OffsetSpec::LastStable);
        let latest = txns.listed(id, OffsetSpec::Latest);
        assert_eq!(stable < latest, !verify_transactions, "nobody will end it: KIP-890");
    }
}

#[test]
fn d3_a_late_end_ends_a_later_transaction() {
    let mut txns = Txns::with(12, v1());
    let producer = txns.init();
    let id = txns.ids[0];
    txns.whole_v1(producer, id, 1, true);
    txns.added(producer, &[id]);
    assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    // The EndTxn of the first one, once more (KAFKA-17754).
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
    txns.lab.run(millis(100));
    assert_eq!(txns.end(producer, false, V1).0, ErrorCode::InvalidTxnState);
    let (seen, ..) = txns.read(id, 0, Isolation::ReadCommitted);
    assert_eq!(seen, [0, 2], "what the second one wanted to abort");
}

// D4: version 2.

#[test]
fn d4_every_end_brings_the_next_epoch() {
    let mut txns = Txns::new(13);
    let mut producer = txns.init();
    let id = txns.ids[0];
    for (number, commit) in [true, true, false, true].into_iter().enumerate() {
        while txns.produce(producer, id, 2, V2) == ErrorCode::ConcurrentTransactions {
            *txns.sequences.entry((id, producer)).or_default() = 0;
            txns.lab.run(millis(20));
        }
        let (error, next) = txns.end(producer, commit, V2);
        assert_eq!(error, ErrorCode::None);
        producer = next.expect("version 2 says");
        assert_eq!(usize::from(producer.epoch), number + 1);
        txns.lab.run(millis(200));
    }
    // Measured: data of transaction k carries epoch k, its marker k + 1.
    assert_eq!(txns.markers(id), [(2, 1, true), (5, 2, true), (8, 3, false), (11, 4, true)]);
}

#[test]
fn d4_a_repeated_end_is_recognised_and_a_late_one_is_fenced() {
    let mut txns = Txns::new(14);
    let first = txns.init();
    let id = txns.ids[0];
    assert_eq!(txns.produce(first, id, 1, V2), ErrorCode::None);
    let (_, second) = txns.end(first, true, V2);
    assert_eq!(
        txns.end(first, true, V2).0,
        ErrorCode::ConcurrentTransactions,
        "the markers are on their way"
    );
    txns.lab.run(millis(100));
    assert_eq!(txns.end(first, true, V2), (ErrorCode::None, second), "a repetition");
    assert_eq!(txns.end(first, false, V2).0, ErrorCode::InvalidTxnState);
    let second = second.expect("version 2 says");
    assert_eq!(txns.produce(second, id, 1, V2), ErrorCode::None);
    assert_eq!(txns.end(first, true, V2).0, ErrorCode::ProducerFenced, "KAFKA-17754 cannot be");
    assert_eq!(txns.end(second, false, V2).0, ErrorCode::None);
    txns.lab.run(millis(100));
    let (_, _, aborted) = txns.read(id, 0, Isolation::ReadCommitted);
    assert_eq!(aborted, [Aborted { pid: first.pid, first: 2 }]);
}

#[test]
fn d4_leaders_add_partitions_to_the_transaction() {
    let mut txns = Txns::new(15);
    let producer = txns.init();
    let [first, second] = txns.ids;
    assert_eq!(txns.produce(producer, first, 1, V2), ErrorCode::None);
    assert_eq!(txns.produce(producer, second, 1, V2), ErrorCode::None);
    assert_eq!(txns.end(producer, true, V2).0, ErrorCode::None);
    txns.lab.run(millis(100));
    assert_eq!((txns.markers(first).len(), txns.markers(second).len()), (1, 1));
    // What belonged to the transaction comes too late.
    assert_eq!(txns.produce(producer, first, 1, V2), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn d4_an_exhausted_epoch_brings_a_new_producer_id() {
    let mut txns = Txns::new(16);
    let mut producer = txns.init();
    // Each transaction takes an epoch; without records it needs no marker.
    while producer.epoch < i16::MAX as u16 - 1 {
        let (error, next) = txns.end(producer, false, V2);
        match error {
            ErrorCode::None => producer = next.expect("version 2 says"),
            ErrorCode::ConcurrentTransactions => txns.lab.run(millis(2)),
            other => panic!("{other}"),
        }
    }
    let id = txns.ids[0];
    txns.lab.run(millis(50));
    assert_eq!(txns.produce(producer, id, 1, V2), ErrorCode::None);
    let (error, next) = txns.end(producer, true, V2);
    let next = next.expect("version 2 says");
    assert_eq!((error, next.epoch), (ErrorCode::None, 0));
    assert_ne!(next.pid, producer.pid);
    txns.lab.run(millis(100));
    assert_eq!(txns.markers(id), [(1, i16::MAX as u16, true)]);
    assert_eq!(txns.end(producer, true, V2), (ErrorCode::None, Some(next)), "a repetition");
    assert_eq!(txns.produce(next, id, 1, V2), ErrorCode::None);
}

#[test]
fn d4_after_a_timeout_a_commit_is_invalid_and_an_abort_goes_on() {
    let mut txns = Txns::new(17);
    let (_, producer) = txns.init_with(secs(5), None);
    let id = txns.ids[0];
    assert_eq!(txns.produce(producer, id, 1, V2), ErrorCode::None);
    txns.lab.run(secs(16));
    assert_eq!(txns.state(), TxnState::CompleteAbort);
    // Measured on 4.3: InvalidTxnState; an abort brings the next epoch.
    assert_eq!(txns.end(producer, true, V2).0, ErrorCode::InvalidTxnState);
    let (error, next) = txns.end(producer, false, V2);
    let next = next.expect("version 2 says");
    assert_eq!((error, next.epoch), (ErrorCode::None, producer.epoch + 1));
    assert_eq!(txns.produce(next, id, 1, V2), ErrorCode::None);
}
