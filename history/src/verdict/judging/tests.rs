use crate::{
    Anomaly, Kind, Verdict,
    checks::testing::{Tale, tale},
    guarantees::{Delivery, Dlq, Log, Order},
    history::{Handling, Phase},
};
use squall_bus::Acks;

/// Two records, one of them poison; everything is as it should be, after a kill and a redelivery.
fn clean() -> Tale {
    let mut tale = tale();
    tale.phase(Phase::WorkloadBegan).sent(1, 0).fault("kill", &[1]).poison(2, 1).assigned(0);
    tale.read(1, 0).handled(1, Handling::Ok).by("consumer-1").assigned(0).read(1, 0).handled(1, Handling::Ok);
    tale.committed(1).read(2, 1).handled(2, Handling::Poison).dead(3, Some(2), 0).committed(2);
    tale.phase(Phase::CaughtUp).drain(1, 0).drain(2, 1).drained(2).drain_dead(3, 0);
    tale
}

fn strict(tale: &mut Tale) {
    tale.configure(|meta| {
        meta.expect.delivery = Some(Delivery::AtLeastOnce);
        meta.expect.log = Some(Log::ExactlyOnce);
        meta.expect.order = Some(Order::PerKey);
        meta.expect.dlq = Some(Dlq::ExactlyThePoison);
    });
}

#[test]
fn a_clean_run_is_valid_under_every_expectation() {
    let mut tale = clean();
    strict(&mut tale);
    let report = tale.judged();
    assert_eq!(report.verdict, Verdict::Valid, "{report:#?}");
    assert_eq!(report.reason, "nothing forbidden was found; allowed: 1 of reprocessed");
    insta::assert_debug_snapshot!(report.counts);
}

#[test]
fn a_loss_is_invalid_and_told_with_its_proof() {
    let mut tale = tale();
    tale.sent(1, 0).sent(2, 1).sent(3, 2).fault("kill", &[1]).drain(1, 0).drain(3, 2).drained(3);
    insta::assert_debug_snapshot!(tale.judged());
}

#[test]
fn the_same_loss_is_allowed_by_acks_1_and_forbidden_again_by_expectation() {
    let mut tale = tale();
    tale.sent(1, 0).fault("kill", &[1]).sent(2, 1).drain(2, 1).drained(2);
    tale.configure(|meta| meta.configuration.acks = Acks::One);
    let report = tale.judged();
    assert_eq!((report.verdict, report.anomalies[0].forbidden()), (Verdict::Valid, false));
    assert_eq!(
        report.anomalies[0].clause(),
        "acks=1 promises a record only while its leader lives, and `kill leader(orders/0)` struck (event 2)"
    );
    tale.configure(|meta| meta.expect.delivery = Some(Delivery::AtLeastOnce));
    assert_eq!(tale.judged().verdict, Verdict::Invalid);
}

#[test]
fn nothing_acknowledged_or_nothing_delivered_is_unknown() {
    let mut silent = tale();
    silent.failed(1).unknown(2, None).drained(0);
    let report = silent.judged();
    assert_eq!((report.verdict, report.anomalies[0].kind), (Verdict::Unknown, Kind::Vacuous));
    assert_eq!(report.reason, "there is nothing to judge: nothing was acknowledged");
    let mut deaf = tale();
    deaf.sent(1, 0);
    assert_eq!(deaf.judged().reason, "there is nothing to judge: nothing was delivered");
    assert_eq!(tale().judged().verdict, Verdict::Unknown);
    let mut idle = tale();
    idle.configure(|meta| meta.configuration.groups = vec!["group".into(), "billing".into()]);
    idle.sent(1, 0).read(1, 0).handled(1, Handling::Ok).committed(1).drain(1, 0).drained(1);
    assert_eq!(idle.judged().reason, "there is nothing to judge: nothing was delivered to the group billing");
    let mut starved = tale();
    starved.sent(1, 0).assigned(0).drain(1, 0).drained(1);
    assert_eq!(starved.judged().reason, "there is nothing to judge: nothing was delivered");
}

#[test]
fn an_unfinished_drain_is_unknown_unless_something_forbidden_was_found() {
    let mut tale = tale();
    tale.sent(1, 0).drain(1, 0).undrained(2);
    assert_eq!(tale.judged().verdict, Verdict::Unknown);
    tale.sent(2, 1);
    let report = tale.judged();
    assert_eq!((report.verdict, report.anomalies[0].kind), (Verdict::Unknown, Kind::Unseen));
    tale.read(7, 5);
    assert_eq!(tale.judged().verdict, Verdict::Invalid);
}

#[test]
fn a_value_that_is_sent_twice_cannot_be_judged() {
    let mut tale = tale();
    tale.sent(1, 0).sent(1, 1).drain(1, 0);
    assert_eq!(tale.judged().verdict, Verdict::Unknown);
    assert!(tale.judged().reason.starts_with("value 1 was sent twice (event 0 and event 2)"));
}

/// An anomaly, and how it is planted in a clean run.
type Planted = (Kind, fn(&mut Tale) -> &mut Tale);

/// Each anomaly, planted in a clean run, is found and forbidden: the checks bite.
#[test]
fn every_planted_anomaly_is_found() {
    let planted: &[Planted] = &[
        (Kind::LostWrite, |tale| tale.sent(10, 10).sent(11, 11).drain(11, 11)),
        (Kind::Unseen, |tale| tale.sent(10, 10)),
        (Kind::Duplicate, |tale| tale.drain(1, 7)),
        (Kind::InconsistentOffsets, |tale| tale.unknown(10, None).drain(10, 1)),
        (Kind::Unexpected, |tale| tale.drain(99, 10)),
        (Kind::AbortedRead, |tale| tale.failed(10).drain(10, 10)),
        (Kind::Corrupt, |tale| tale.read_damaged(Some(1), 0)),
        (Kind::KeyOrder, |tale| tale.sent(10, 11).sent(11, 10).drain(11, 10).drain(10, 11)),
        (Kind::NonmonotonicSend, |tale| {
            tale.configure(|meta| meta.configuration.idempotent = true);
            tale.key("a").sent(10, 11).key("b").sent(11, 10).drain(11, 10).drain(10, 11)
        }),
        (Kind::GroupJump, |tale| tale.sent(10, 10).sent(11, 11).assigned(2).read(11, 11).drain(10, 10)),
        (Kind::Unprocessed, |tale| tale.sent(10, 10).drain(10, 10)),
        (Kind::DlqLost, |tale| tale.poison(10, 10).drain(10, 10)),
        (Kind::DlqPremature, |tale| tale.sent(10, 10).read(10, 10).dead(11, Some(10), 1).drain_dead(11, 1)),
        (Kind::DlqAcked, |tale| tale.dead(11, Some(1), 1).drain_dead(11, 1)),
        (Kind::DlqDuplicate, |tale| tale.dead(11, Some(2), 1).drain_dead(11, 1)),
    ];
    let mut told = String::new();
    for (kind, plant) in planted {
        let mut tale = clean();
        strict(&mut tale);
        plant(&mut tale);
        let report = tale.judged();
        assert_eq!(report.verdict, Verdict::Invalid, "{kind}: {}", report.reason);
        let found = report.anomalies.iter().find(|anomaly| anomaly.kind == *kind);
        assert!(found.is_some_and(Anomaly::forbidden), "{kind}: {report:#?}");
        assert!(found.is_some_and(|anomaly| !anomaly.examples[0].ops.is_empty()), "{kind} has no proof");
        if let Some(anomaly) = found {
            told += &format!("{kind}: {}\n{}\n\n", anomaly.clause(), anomaly.story());
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn findings_are_capped_and_all_counted() {
    let mut tale = tale();
    for value in 0..50 {
        tale.sent(value, value);
    }
    let report = tale.sent(50, 50).drain(50, 50).judged();
    assert_eq!((report.anomalies[0].count, report.anomalies[0].examples.len()), (50, 8));
}

#[test]
fn exit_codes_and_the_worst_of_several() {
    use Verdict::{Broken, Invalid, Unknown, Unsupported, Valid};
    let order = [Broken, Unsupported, Invalid, Unknown, Valid];
    assert_eq!(order.map(Verdict::exit_code), [4, 2, 1, 3, 0]);
    for (index, worse) in order.iter().enumerate() {
        for better in &order[index..] {
            assert_eq!((worse.worst(*better), better.worst(*worse)), (*worse, *worse));
        }
    }
}
