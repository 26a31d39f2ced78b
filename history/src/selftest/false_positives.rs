//! What other tools reported and was no fault: each a history that must be valid. And the negative controls: what a
//! configuration allows.

use crate::{
    Kind, Report, Verdict,
    checks::testing::{Tale, tale},
    guarantees::{Isolation, Reading},
    history::{Handling, Phase},
};
use squall_bus::Acks;

/// The run is valid, and nothing of this kind is forbidden.
#[track_caller]
fn fine(tale: &Tale) -> Report {
    let report = tale.judged();
    assert_eq!(report.verdict, Verdict::Valid, "{}: {:#?}", report.reason, report.anomalies);
    report
}

#[test]
fn a_group_reads_again_from_its_last_commit() {
    // kgo-verifier failed on this: redpanda #16838, #21299, #31029.
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).assigned(0).polls(&[(1, 0)]).committed(1).polls(&[(2, 1)]);
    tale.revoked().by("consumer-1").assigned(1).polls(&[(2, 1)]).committed(2);
    tale.drain(1, 0).drain(2, 1).drained(2);
    fine(&tale);
}

#[test]
fn acks_arrive_out_of_order() {
    // redpanda #6129.
    let mut tale = tale();
    tale.configure(|meta| meta.configuration.idempotent = true);
    tale.send(1).send(2).send(3).ok(3, 2).ok(1, 0).ok(2, 1).drain(1, 0).drain(2, 1).drain(3, 2).drained(3);
    fine(&tale);
}

#[test]
fn a_reader_of_uncommitted_records_goes_back_when_a_leader_changes() {
    // redpanda #4320.
    let mut tale = tale();
    tale.configure(|meta| {
        meta.configuration.isolation = Isolation::ReadUncommitted;
        meta.configuration.reading = Reading::Assign;
    });
    tale.sent(1, 0).sent(2, 1).assigns(&[(0, Some(0))]).polls(&[(1, 0), (2, 1)]);
    tale.fault("kill", &[1]).elected(2, 2).seeks(1).polls(&[(2, 1)]).sent(3, 2).polls(&[(3, 2)]);
    tale.drain(1, 0).drain(2, 1).drain(3, 2).drained(3);
    fine(&tale);
}

#[test]
fn a_log_ends_with_a_marker_that_nobody_can_read() {
    // "Read to the high watermark" waits for ever; the drain knows better.
    let mut tale = tale();
    tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
    tale.begin().sent(1, 0).commit_txn().polls(&[(1, 0)]).polls(&[]).ends(2, Some(2), Some(0));
    tale.phase(Phase::WorkloadOver).phase(Phase::Healed).drain(1, 0).drained(2);
    fine(&tale);
}

#[test]
fn an_error_that_says_not_leader_may_have_stored_the_record() {
    // KAFKA-13574: the client's table makes it unknown, and then a read of it is no G1a.
    let mut tale = tale();
    tale.unknown(1, None).sent(2, 1).drain(1, 0).drain(2, 1).drained(2);
    fine(&tale);
}

#[test]
fn a_record_of_unknown_outcome_surfaces_late() {
    let mut tale = tale();
    tale.configure(|meta| meta.configuration.idempotent = true);
    tale.send(1).sent(2, 1).timeout(1).polls(&[(2, 1)]).drain(1, 0).drain(2, 1).drained(2);
    tale.configure(|meta| meta.configuration.reading = Reading::Subscribe);
    fine(&tale);
}

#[test]
fn acks_1_may_lose_when_the_leader_is_killed() {
    let mut tale = tale();
    tale.configure(|meta| meta.configuration.acks = Acks::One);
    tale.sent(1, 0).fault("kill", &[1]).elected(2, 2).sent(2, 0).drain(2, 0).drained(1);
    let report = fine(&tale);
    assert!(report.anomalies.iter().any(|anomaly| anomaly.kind == Kind::LostWrite && !anomaly.forbidden()));
}

#[test]
fn a_redelivery_after_a_rebalance_is_processed_again() {
    let mut tale = tale();
    tale.sent(1, 0).assigned(0).read(1, 0).handled(1, Handling::Ok).revoked();
    tale.by("consumer-1").assigned(0).read(1, 0).handled(1, Handling::Ok).committed(1).drain(1, 0).drained(1);
    fine(&tale);
}

#[test]
fn transactions_interleave() {
    // Writes of two open transactions stand between each other in both units: Kafka does not isolate writes.
    let mut tale = tale();
    tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
    let one = tale.producer("a").begin().sent(1, 0).suspend();
    let two = tale.producer("b").begin().sent(2, 1).partition(1).sent(3, 0).suspend();
    tale.producer("a").resume(one).sent(4, 1).commit_txn();
    tale.producer("b").resume(two).commit_txn();
    tale.drain(3, 0).drain(4, 1).drained(4).partition(0).drain(1, 0).drain(2, 1).drained(4);
    fine(&tale);
}

#[test]
fn markers_leave_holes_that_are_no_skip() {
    let mut tale = tale();
    tale.configure(|meta| {
        meta.configuration.isolation = Isolation::ReadCommitted;
        meta.configuration.reading = Reading::Assign;
    });
    tale.begin().sent(1, 0).commit_txn().begin().sent(2, 2).abort_txn().sent(3, 4);
    tale.assigns(&[(0, Some(0))]).polls(&[(1, 0)]).polls(&[(3, 4)]).drain(1, 0).drain(3, 4).drained(5);
    fine(&tale);
}
