//! What readers see of transactions, and what they do not promise (D5, D7).

use super::*;

#[test]
fn d5_markers_take_offsets_and_aborted_records_are_told() {
    let mut txns = Txns::with(18, v1());
    let producer = txns.init();
    let id = txns.ids[0];
    for commit in [true, true, false, true] {
        txns.whole_v1(producer, id, 2, commit);
    }
    let (all, end, told) = txns.read(id, 0, Isolation::ReadUncommitted);
    assert_eq!((all, end, told), (vec![0, 1, 3, 4, 6, 7, 9, 10], 12, vec![]));
    let (_, end, told) = txns.read(id, 0, Isolation::ReadCommitted);
    assert_eq!((end, told), (12, vec![Aborted { pid: producer.pid, first: 6 }]));
    let (_, _, told) = txns.read(id, 9, Isolation::ReadCommitted);
    assert_eq!(told, [], "its marker is below");
}

#[test]
fn d5_g8_an_open_transaction_holds_readers_of_committed_records_back() {
    let mut txns = Txns::with(19, v1());
    let (_, producer) = txns.init_with(secs(5), None);
    let id = txns.ids[0];
    txns.plain(id);
    txns.added(producer, &[id]);
    assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    assert_eq!(txns.plain(id), 2, "another one's record is acknowledged");
    txns.lab.run(millis(600));
    let both =
        |txns: &mut Txns| (txns.listed(id, OffsetSpec::LastStable), txns.listed(id, OffsetSpec::Latest));
    assert_eq!(both(&mut txns), (1, 3));
    assert_eq!(txns.read(id, 0, Isolation::ReadCommitted).0, [0]);
    assert_eq!(txns.read(id, 0, Isolation::ReadUncommitted).0, [0, 1, 2]);
    txns.lab.run(secs(16));
    assert_eq!(both(&mut txns), (4, 4));
    let (seen, _, told) = txns.read(id, 0, Isolation::ReadCommitted);
    assert_eq!((seen, told), (vec![0, 1, 2], vec![Aborted { pid: producer.pid, first: 1 }]));
}

#[test]
fn d5_a_new_leader_knows_the_open_transactions() {
    for seed in 20..24 {
        let mut txns = Txns::with(seed, v1());
        let producer = txns.init();
        let id = txns.ids.into_iter().find(|id| txns.lab.leader(*id) != Some(txns.coordinator));
        let Some(id) = id else { continue };
        txns.whole_v1(producer, id, 2, false);
        txns.added(producer, &[id]);
        assert_eq!(txns.produce(producer, id, 2, V1), ErrorCode::None);
        let old = txns.lab.leader(id).expect("it has one");
        txns.lab.world.kill(old);
        txns.lab.until(secs(15), |kafka| {
            kafka.truth().partition(id).is_some_and(|image| image.leader.is_some_and(|leader| leader != old))
        });
        txns.lab.run(secs(2));
        assert_eq!(txns.listed(id, OffsetSpec::LastStable), 3);
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None, "c4: the sequence goes on");
        assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
        txns.lab.run(secs(1));
        let (seen, _, told) = txns.read(id, 0, Isolation::ReadCommitted);
        assert_eq!((seen, told), (vec![0, 1, 3, 4, 5], vec![Aborted { pid: producer.pid, first: 0 }]));
    }
}

#[test]
fn d5_an_off_by_one_shows_the_beginning_of_an_open_transaction() {
    let rules = Rules { read_committed_upto: ReadCommittedUpto::Including, ..v1() };
    let mut txns = Txns::with(25, rules);
    let producer = txns.init();
    let id = txns.ids[0];
    txns.added(producer, &[id]);
    assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    txns.lab.run(millis(600));
    assert_eq!(txns.read(id, 0, Isolation::ReadCommitted).0, [0]);
}

#[test]
fn d7_writes_of_concurrent_transactions_interleave() {
    let mut txns = Txns::with(29, v1());
    let id = txns.ids[0];
    let first = txns.init();
    let one = txns.txn;
    txns.added(first, &[id]);
    let other = txns.lab.world.model_mut().shared.names.intern_transaction("refunds");
    txns.txn = other;
    txns.find();
    let second = txns.init();
    txns.added(second, &[id]);
    let mut write = |txn, producer| {
        txns.txn = txn;
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    };
    write(one, first);
    write(other, second);
    write(one, first);
    txns.txn = one;
    txns.find();
    assert_eq!(txns.end(first, true, V1).0, ErrorCode::None);
    txns.lab.run(millis(200));
    assert_eq!(txns.listed(id, OffsetSpec::LastStable), 1, "the second one is open");
    txns.txn = other;
    txns.find();
    assert_eq!(txns.end(second, true, V1).0, ErrorCode::None);
    txns.lab.run(millis(200));
    assert_eq!(txns.read(id, 0, Isolation::ReadCommitted).0, [0, 1, 2]);
}

#[test]
fn d7_a_reader_sees_one_partition_of_a_transaction_before_the_other() {
    let mut txns = Txns::with(30, v1());
    let producer = txns.init();
    let ids = txns.ids;
    let leaders = ids.map(|id| txns.lab.leader(id).expect("it has one"));
    txns.added(producer, &ids);
    for id in ids {
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    }
    let (coordinator, txn) = (txns.coordinator, txns.txn);
    txns.ask_at(coordinator, TxnRequest::End { txn, producer, commit: true, version: V1 });
    let stable = |kafka: &Kafka, place: usize| {
        let broker = kafka.servers[leaders[place].index()].data().expect("a broker");
        broker.replica(ids[place]).expect("it is there").last_stable()
    };
    txns.lab.until(secs(1), |kafka| stable(kafka, 0) != stable(kafka, 1));
    txns.lab.run(secs(1));
    assert_eq!(ids.map(|id| txns.listed(id, OffsetSpec::LastStable)), [2, 2]);
}

/// acks=all holds within a transaction, too: a bug switch says what comes without.
#[test]
fn d3_b4_a_write_of_a_transaction_is_acknowledged_once_it_is_on_all_in_sync_replicas() {
    for replicate_transactions in [true, false] {
        let rules = Rules { replicate_transactions, ..v1() };
        let mut txns = Txns::with(29, rules);
        let producer = txns.init();
        let id = txns.ids[0];
        txns.added(producer, &[id]);
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
        let leader = txns.lab.leader(id).expect("it has one");
        for node in (0..3).map(NodeId).filter(|node| *node != leader) {
            txns.lab.world.pause(node);
        }
        let asked = txns.send_produce(producer, id, 1, V1);
        txns.lab.run(secs(2));
        assert_eq!(txns.lab.answer(asked).is_none(), replicate_transactions);
        for node in (0..3).map(NodeId).filter(|node| *node != leader) {
            txns.lab.world.resume(node);
        }
        assert_eq!(txns.lab.produced(asked, secs(5)).expect("an answer").error, ErrorCode::None);
    }
}
