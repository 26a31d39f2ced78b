//! The coordinator: states, durability, failover, fencing and timeouts (D1, D2).

use super::*;

#[test]
fn d1_the_coordinator_leads_the_partition_that_the_id_hashes_to() {
    let txns = Txns::new(1);
    let id = txns.log();
    let image = txns.lab.kafka().truth().topic(id.topic).expect("it exists");
    assert_eq!((image.partitions.len(), image.settings.min_insync), (4, 2));
    assert_eq!(image.partitions[0].replicas.len(), 3);
    assert_eq!(txns.lab.leader(id), Some(txns.coordinator));
}

#[test]
fn d1_fifty_partitions_with_three_replicas_are_the_default() {
    let rules = crate::kafka::profile::kafka_4_3();
    let of_log = (rules.transactions_partitions, rules.transactions_replicas, rules.transactions_min_insync);
    assert_eq!(of_log, (50, 3, 2));
    assert_eq!(rules.transaction_max_timeout, secs(15 * 60));
    assert_eq!(rules.transaction_sweep, secs(10));
    assert_eq!(rules.transaction_version, V2);
    assert_eq!(rules.transaction_id_expiry, secs(7 * 24 * 3_600));
    assert!(rules.verify_transactions);
}

#[test]
fn d1_an_idle_transactional_id_is_forgotten() {
    let (transaction_id_expiry, transaction_id_expiry_check) = (secs(60), secs(20));
    let mut txns = Txns::with(31, Rules { transaction_id_expiry, transaction_id_expiry_check, ..v1() });
    let producer = txns.init();
    let id = txns.ids[0];
    txns.lab.run(secs(50));
    txns.whole_v1(producer, id, 1, true);
    txns.lab.run(secs(50));
    assert_eq!(txns.add(producer, &[]), ErrorCode::None, "it was used");
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
    txns.lab.run(secs(90));
    assert_eq!(txns.add(producer, &[id]), ErrorCode::InvalidProducerIdMapping);
    assert_ne!(txns.init().pid, producer.pid);
}

#[test]
fn d1_states_have_fixed_predecessors() {
    use TxnState as S;
    let all = [
        S::Empty,
        S::Ongoing,
        S::PrepareCommit,
        S::PrepareAbort,
        S::CompleteCommit,
        S::CompleteAbort,
        S::PrepareEpochFence,
        S::Dead,
    ];
    let legal: usize = all.iter().map(|state| state.predecessors().len()).sum();
    assert_eq!(legal, 3 + 4 + 1 + 5 + 1 + 1 + 1 + 3);
    assert!(S::PrepareCommit.may_follow(S::Ongoing) && !S::PrepareCommit.may_follow(S::Empty));
    assert!(!S::CompleteCommit.may_follow(S::PrepareAbort));
}

#[test]
fn d1_another_broker_is_not_the_coordinator() {
    let mut txns = Txns::new(2);
    let other = (0..3).map(NodeId).find(|node| *node != txns.coordinator).expect("three brokers");
    let (txn, timeout) = (txns.txn, secs(60));
    let asked = txns.ask_at(other, TxnRequest::InitProducerId { txn, timeout, current: None });
    match txns.lab.wait(asked, secs(1)) {
        Some(ResponseBody::Txn(TxnResponse::InitProducerId(error, _))) => {
            assert_eq!(error, ErrorCode::NotCoordinator);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn d1_a_commit_is_answered_before_the_markers_are_written() {
    let mut txns = Txns::with(3, v1());
    let producer = txns.init();
    let ids = txns.ids;
    txns.added(producer, &ids);
    for id in ids {
        assert_eq!(txns.produce(producer, id, 2, V1), ErrorCode::None);
    }
    assert_eq!(txns.state(), TxnState::Ongoing);
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
    assert_eq!(txns.state(), TxnState::PrepareCommit, "it is decided");
    assert_eq!(txns.add(producer, &ids), ErrorCode::ConcurrentTransactions);
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::ConcurrentTransactions, "a repetition, too early");
    txns.lab.run(millis(100));
    assert_eq!(txns.state(), TxnState::CompleteCommit);
    assert_eq!(txns.end(producer, false, V1).0, ErrorCode::InvalidTxnState, "decided otherwise");
    for id in ids {
        assert_eq!(txns.markers(id), [(2, 0, true)]);
    }
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None, "a repetition");
}

#[test]
fn d1_a_prepared_transaction_is_completed_by_the_next_coordinator() {
    for seed in 0..6 {
        let mut txns = Txns::with(seed, v1());
        let producer = txns.init();
        let id = txns.ids.into_iter().find(|id| txns.lab.leader(*id) != Some(txns.coordinator));
        let Some(id) = id else { continue };
        txns.added(producer, &[id]);
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
        let (coordinator, txn) = (txns.coordinator, txns.txn);
        txns.ask_at(coordinator, TxnRequest::End { txn, producer, commit: true, version: V1 });
        // It falls in the moment of the decision.
        txns.lab.until(secs(1), |kafka| {
            let broker = kafka.servers[coordinator.index()].data().expect("a broker");
            broker.txns.transactions().any(|(_, kept)| kept.state == TxnState::PrepareCommit)
        });
        txns.lab.world.kill(coordinator);
        assert_eq!(txns.markers(id), []);
        txns.lab.run(secs(15));
        assert_eq!(txns.find(), ErrorCode::None);
        assert_ne!(txns.coordinator, coordinator);
        assert_eq!(txns.state(), TxnState::CompleteCommit, "seed {seed}");
        // The old coordinator's marker may have been on its way.
        assert!(
            txns.markers(id).iter().all(|(_, epoch, commit)| (*epoch, *commit) == (0, true)),
            "seed {seed}"
        );
        assert_eq!(txns.read(id, 0, Isolation::ReadCommitted).0, [0]);
        // And the producer goes on there.
        txns.whole_v1(producer, id, 1, false);
        assert_eq!(txns.markers(id).last().map(|marker| marker.2), Some(false));
    }
}

/// The connection for the markers breaks, and nothing else happens: they are sent again after 100 ms.
#[test]
fn d1_markers_are_sent_again_when_their_connection_broke() {
    for seed in 0..6 {
        let mut txns = Txns::with(seed, v1());
        let producer = txns.init();
        let id = txns.ids.into_iter().find(|id| txns.lab.leader(*id) != Some(txns.coordinator));
        let Some((id, leader)) = id.and_then(|id| Some((id, txns.lab.leader(id)?))) else { continue };
        txns.added(producer, &[id]);
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
        assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
        assert_eq!(txns.state(), TxnState::PrepareCommit);
        txns.lab.world.enter(leader, |kafka, ctx| {
            kafka.servers[leader.index()].data_mut().expect("a broker").hang_up(ctx);
        });
        txns.lab.run(millis(90));
        assert_eq!(txns.state(), TxnState::PrepareCommit, "seed {seed}");
        txns.lab.run(secs(3));
        assert_eq!(txns.state(), TxnState::CompleteCommit, "seed {seed}");
    }
}

/// A process that was killed and is back before its session ends still coordinates and leads, and takes no connections:
/// those of its own are no better. Were it to write, then over what it has lost of its log.
#[test]
fn d1_a_coordinator_that_takes_no_connections_yet_gets_no_marker_from_itself() {
    let mut whole = 0;
    for seed in 0..6 {
        let mut txns = Txns::with(seed, v1());
        let (coordinator, txn) = (txns.coordinator, txns.txn);
        let Some(id) = txns.ids.into_iter().find(|id| txns.lab.leader(*id) == Some(coordinator)) else {
            continue;
        };
        let producer = txns.init();
        txns.added(producer, &[id]);
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
        let log = txns.log();
        let end = txns.lab.replica(coordinator, log).log.end();
        txns.ask_at(coordinator, TxnRequest::End { txn, producer, commit: true, version: V1 });
        while txns.lab.replica(coordinator, log).log.end() == end {
            txns.lab.run(Duration::from_micros(10));
        }
        // The decision is in its log, and not committed.
        txns.lab.kill_and_start(coordinator);
        // It has read its partition of transactions, and would go on.
        txns.lab.until(secs(5), |kafka| {
            let broker = kafka.servers[coordinator.index()].data().expect("a broker");
            broker.txns.transactions().any(|(_, kept)| kept.state == TxnState::PrepareCommit)
        });
        assert_eq!(txns.lab.leader(id), Some(coordinator), "seed {seed}");
        while txns.lab.leader(id) == Some(coordinator) {
            assert_eq!(txns.markers(id), [], "seed {seed}");
            txns.lab.run(millis(10));
        }
        txns.lab.run(secs(15));
        assert_eq!(txns.markers(id), [(1, 0, true)], "seed {seed}");
        whole += 1;
    }
    assert!(whole > 0);
}

/// One that lost the end of its log with its power and is back in its epoch knows less than was heard of it. It is
/// fenced before anybody asks it.
#[test]
fn d1_transactions_asks_nothing_of_a_coordinator_that_takes_no_connections() {
    let mut txns = Txns::with(2, Rules { group_load_takes: secs(1), ..v1() });
    txns.lab.strict = false;
    let (coordinator, log, ids) = (txns.coordinator, txns.log(), txns.ids);
    txns.lab.run(secs(2));
    let producer = txns.init();
    txns.whole_v1(producer, ids[0], 1, true);
    let end = txns.lab.replica(coordinator, log).log.end();
    txns.whole_v1(producer, ids[0], 1, false);
    assert_eq!(txns.state(), TxnState::CompleteAbort);
    txns.lab.kill_and_start(coordinator);
    txns.lab.until(secs(5), |kafka| leads(kafka, coordinator, log));
    let kafka = txns.lab.world.model_mut();
    let rules = kafka.shared.rules.clone();
    let broker = kafka.servers[coordinator.index()].data_mut().expect("a broker");
    broker.replica_mut(log).expect("it is there").truncate(end, &rules);
    txns.lab.run(millis(1_500));
    assert_eq!(txns.state(), TxnState::CompleteCommit, "what it has read");
    assert_eq!(txns.lab.leader(log), Some(coordinator));
    txns.lab.run(secs(2));
    let of_transactions = txns.lab.world.violation().filter(|it| it.invariant == "Transactions");
    assert!(of_transactions.is_none(), "{of_transactions:?}");
}

#[test]
fn d1_a_coordinator_reads_its_partition_before_it_answers() {
    let mut txns = Txns::with(4, Rules { group_load_takes: secs(2), ..v1() });
    let (error, _) = txns.init_with(secs(60), None);
    assert_eq!(error, ErrorCode::CoordinatorLoadInProgress);
    txns.lab.run(secs(2));
    assert_eq!(txns.init_with(secs(60), None).0, ErrorCode::None);
}

#[test]
fn d1_nothing_is_decided_below_the_minimum_of_copies() {
    let rules = Rules { dedicated_controllers: 1, ..v1() };
    let mut txns = Txns::with(5, rules);
    let producer = txns.init();
    let id = txns.ids[0];
    txns.added(producer, &[id]);
    for node in (0..3).map(NodeId).filter(|node| *node != txns.coordinator) {
        txns.lab.world.kill(node);
    }
    txns.lab.run(secs(12));
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(txns.state(), TxnState::Ongoing);
}

// D2: fencing and timeouts.

#[test]
fn d2_a_new_producer_aborts_the_open_transaction_and_fences_the_old_one() {
    for (version, rules) in [(V1, v1()), (V2, kafka_4_3_test_cluster())] {
        let mut txns = Txns::with(6, rules);
        let old = txns.init();
        let id = txns.ids[0];
        if version == V1 {
            txns.added(old, &[id]);
        }
        assert_eq!(txns.produce(old, id, 1, version), ErrorCode::None);
        let (error, _) = txns.init_with(secs(60), None);
        assert_eq!(error, ErrorCode::ConcurrentTransactions, "the old transaction is aborted first");
        let new = txns.init();
        assert_eq!((new.pid, new.epoch), (old.pid, old.epoch + 2));
        assert_eq!(txns.markers(id), [(1, old.epoch + 1, false)]);
        // Measured: 47 on Produce, 90 on EndTxn.
        assert_eq!(txns.produce(old, id, 1, version), ErrorCode::InvalidProducerEpoch);
        assert_eq!(txns.end(old, true, version).0, ErrorCode::ProducerFenced);
        assert_eq!(txns.end(old, false, version).0, ErrorCode::ProducerFenced);
        assert_eq!(txns.add(old, &[id]), ErrorCode::ProducerFenced);
        let stranger = ProducerIdAndEpoch { pid: new.pid + 99, epoch: 0 };
        assert_eq!(txns.end(stranger, true, version).0, ErrorCode::InvalidProducerIdMapping);
    }
}

/// KIP-360: a producer asks for its next epoch by the one that it has, again if the answer got lost.
#[test]
fn d2_a_repeated_request_for_the_next_epoch_is_answered_alike_and_an_older_one_fenced() {
    let mut txns = Txns::with(9, v1());
    let first = txns.init();
    let second = ProducerIdAndEpoch { epoch: first.epoch + 1, ..first };
    assert_eq!(txns.init_with(secs(60), Some(first)), (ErrorCode::None, second));
    assert_eq!(txns.init_with(secs(60), Some(first)), (ErrorCode::None, second));
    let third = ProducerIdAndEpoch { epoch: first.epoch + 2, ..first };
    assert_eq!(txns.init_with(secs(60), Some(second)), (ErrorCode::None, third));
    assert_eq!(txns.init_with(secs(60), Some(first)).0, ErrorCode::ProducerFenced);
}

#[test]
fn d2_a_timeout_beyond_the_limit_is_refused() {
    let mut txns = Txns::new(7);
    let limit = secs(15 * 60);
    assert_eq!(txns.init_with(limit + millis(1), None).0, ErrorCode::InvalidTransactionTimeout);
    assert_eq!(txns.init_with(limit, None).0, ErrorCode::None);
}

#[test]
fn d2_a_transaction_that_times_out_is_aborted_by_the_next_sweep() {
    let mut waits = Vec::new();
    for seed in 0..6 {
        let mut txns = Txns::with(seed, v1());
        let (_, producer) = txns.init_with(secs(5), None);
        let id = txns.ids[0];
        txns.added(producer, &[id]);
        let begin = txns.lab.now();
        assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
        while txns.markers(id).is_empty() {
            txns.lab.run(millis(50));
        }
        // Measured: 8.4 to 15.3 s.
        let wait = txns.lab.now().since(begin);
        assert_between(wait, 5_000, 15_300);
        waits.push(wait);
        assert_eq!(txns.markers(id), [(1, 1, false)], "with the next epoch");
        txns.lab.run(millis(100));
        assert_eq!(txns.end(producer, true, V1).0, ErrorCode::ProducerFenced);
    }
    let spread = waits.iter().max().zip(waits.iter().min()).map(|(most, least)| *most - *least);
    assert!(spread > Some(secs(2)), "a sweep is at any time of its interval: {waits:?}");
}

#[test]
fn d2_an_older_coordinator_cannot_mark() {
    let mut txns = Txns::with(8, v1());
    let producer = txns.init();
    let id = txns.ids[0];
    txns.whole_v1(producer, id, 1, true);
    let marker =
        crate::kafka::txn::messages::Marker { producer, commit: true, coordinator_epoch: 0, version: V1 };
    let mark = |txns: &mut Txns, coordinator_epoch| {
        let marker = crate::kafka::txn::messages::Marker { coordinator_epoch, ..marker };
        let leader = txns.lab.leader(id).expect("it has one");
        let request = TxnRequest::WriteMarkers { token: 1, marker, partitions: vec![id] };
        let asked = txns.ask_at(leader, request);
        match txns.lab.wait(asked, secs(1)) {
            Some(ResponseBody::Txn(TxnResponse::WriteMarkers(1, results))) => results[0].1,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(mark(&mut txns, 5), ErrorCode::None);
    assert_eq!(mark(&mut txns, 4), ErrorCode::TransactionCoordinatorFenced);
}

#[test]
fn d2_the_sweep_leaves_a_transaction_alone_that_has_time_left() {
    let mut txns = Txns::with(9, v1());
    assert_eq!(txns.lab.kafka().shared.rules.transaction_sweep, secs(10));
    let (_, producer) = txns.init_with(secs(60), None);
    let id = txns.ids[0];
    txns.added(producer, &[id]);
    assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    txns.lab.run(secs(45));
    assert_eq!(txns.state(), TxnState::Ongoing);
    assert_eq!(txns.produce(producer, id, 1, V1), ErrorCode::None);
    assert_eq!(txns.end(producer, true, V1).0, ErrorCode::None);
}

/// The mark of a coordinator that moves counts only with a transaction under way.
#[test]
fn d1_a_coordinator_that_moves_within_a_transaction_is_marked() {
    for open in [false, true] {
        let mut txns = Txns::with(10, v1());
        let producer = txns.init();
        let id = txns.ids[0];
        if open {
            txns.added(producer, &[id]);
        }
        txns.lab.run(secs(1));
        let coordinator = txns.coordinator;
        txns.lab.world.stop(coordinator);
        txns.lab.run(secs(5));
        assert_eq!(txns.lab.world.marks().has(crate::kernel::Mark::TxnCoordinatorMoved), open);
    }
}
