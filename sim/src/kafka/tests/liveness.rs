//! What must come true in the end, and that it is noticed when it does not: a stuck piece of state, or a rule that makes
//! one. Nothing is due before the harness says that everything is healed.

use super::{logs::Bench, *};
use crate::kafka::{conns::Busy, lifecycle::Stage};
use crate::nodes::NodeSet;

/// Runs on after everything is healed; what did not come true, when, and in which words.
fn broken(lab: &mut Lab, span: Duration) -> Option<(&'static str, Duration, String)> {
    lab.strict = false;
    lab.world.healed();
    let healed = lab.now();
    lab.run(span);
    let violation = lab.world.violation()?;
    Some((violation.invariant, violation.at.since(healed), violation.what.clone()))
}

fn server(lab: &mut Lab, node: NodeId) -> &mut crate::kafka::server::Server {
    &mut lab.world.model_mut().servers[node.index()]
}

/// Somebody other than the leader and the controller.
fn bystander(bench: &Bench) -> NodeId {
    let controller = bench.lab.controller();
    (0..3).map(NodeId).find(|node| *node != bench.leader && *node != controller).expect("there are three")
}

#[test]
fn everything_comes_true_after_a_storm() {
    let mut bench = Bench::new(&[]);
    bench.write(3);
    let leader = bench.leader;
    bench.lab.world.kill(leader);
    bench.lab.run(secs(20));
    bench.lab.world.start(leader);
    assert_eq!(broken(&mut bench.lab, secs(200)), None);
    assert_eq!(bench.lab.isr(bench.id), 3);
}

#[test]
fn nothing_is_due_while_something_is_broken() {
    let mut bench = Bench::new(&[]);
    let node = bystander(&bench);
    server(&mut bench.lab, node).broker.as_mut().expect("a broker").life.stage = Stage::Starting;
    bench.lab.world.healed();
    bench.lab.run(secs(30));
    bench.lab.world.broken();
    bench.lab.run(secs(200));
}

#[test]
fn eventually_runs_misses_a_broker_that_never_registers() {
    let mut bench = Bench::new(&[]);
    let node = bystander(&bench);
    server(&mut bench.lab, node).broker.as_mut().expect("a broker").life.stage = Stage::Starting;
    let (name, at, what) = broken(&mut bench.lab, secs(100)).expect("it is noticed");
    assert_eq!((name, at), ("EventuallyRuns", Duration::from_millis(43_650)));
    assert!(what.contains(&format!("the broker of node {} does not serve: it is at Starting", node.0 + 1)));
}

#[test]
fn eventually_unfenced_misses_a_broker_that_shows_no_sign_of_life() {
    let rules = Rules { broker_heartbeat: secs(3_600), ..kafka_4_3_test_cluster() };
    let mut bench = Bench::with(rules, &[]);
    bench.lab.run(secs(60));
    let (name, at, what) = broken(&mut bench.lab, secs(100)).expect("it is noticed");
    assert_eq!(name, "EventuallyUnfenced");
    assert!(at > secs(50) && what.contains("fenced or stopping"), "{at:?} {what}");
}

#[test]
fn eventually_metadata_converges_misses_a_node_that_never_acts_upon_it() {
    let hour = secs(3_600);
    let rules = Rules { metadata_apply_min: hour, metadata_apply_max: hour, ..kafka_4_3_test_cluster() };
    let mut bench = Bench::with(rules, &[]);
    bench.lab.topic_of("late", 1, 3, 2, &[]);
    let (name, _, what) = broken(&mut bench.lab, secs(60)).expect("it is noticed");
    assert_eq!(name, "EventuallyMetadataConverges");
    assert!(what.contains("has the metadata up to"), "{what}");
}

/// A write that nobody answers: its connection at the leader.
fn unanswered(bench: &mut Bench) -> crate::kernel::ConnId {
    let (probe, leader, id) = (bench.probe, bench.leader, bench.id);
    let (batch, _) = bench.lab.batch(1, None);
    bench.lab.produce_batch(probe, leader, id, Acks::All, batch, secs(3_600));
    let parked = |kafka: &Kafka| {
        let data = kafka.servers[leader.index()].data()?;
        data.conns.iter().find(|(_, conn)| matches!(conn.busy, Busy::Produce(_))).map(|(conn, _)| conn)
    };
    bench.lab.until(secs(1), |kafka| parked(kafka).is_some());
    // Nobody waits for the high watermark any more.
    let broker = server(&mut bench.lab, leader).data_mut().expect("a broker");
    broker.replica_mut(id).and_then(|replica| replica.leading_mut()).expect("it leads").waiters.clear();
    parked(bench.lab.kafka()).expect("it waits")
}

#[test]
fn eventually_a_write_is_answered_waits_as_long_as_its_client_does() {
    let mut bench = Bench::new(&[]);
    unanswered(&mut bench);
    assert_eq!(broken(&mut bench.lab, secs(60)), None, "an hour");
}

#[test]
fn eventually_a_write_is_answered_misses_one_that_nobody_looks_at() {
    let mut bench = Bench::new(&[]);
    let (conn, leader) = (unanswered(&mut bench), bench.leader);
    let request =
        Request { correlation: 7, client: bench.probe, body: RequestBody::Fetch(a_fetch(bench.id, 0)) };
    let broker = server(&mut bench.lab, leader).data_mut().expect("a broker");
    let known = broker.conns.get_mut(conn).expect("it is open");
    // Nobody is told that the connection can be read on.
    known.busy = Busy::No;
    known.queue.push_back(request);
    let (name, at, what) = broken(&mut bench.lab, secs(60)).expect("it is noticed");
    assert_eq!((name, at), ("EventuallyWriteIsAcceptedOrRejected", secs(40)));
    assert!(what.contains(&format!("node {} has not looked at a request", leader.0 + 1)), "{what}");
}

#[test]
fn eventually_what_is_acknowledged_is_everywhere_misses_a_replica_that_stays_behind() {
    let mut bench = Bench::new(&[]);
    bench.write(4);
    bench.lab.run(secs(10));
    let (node, id) = (bystander(&bench), bench.id);
    // Its leader takes it for caught up, and neither has anything to say.
    let broker = server(&mut bench.lab, node).data_mut().expect("a broker");
    broker.replica_mut(id).expect("a replica").log.truncate(1);
    let (name, _, what) = broken(&mut bench.lab, secs(100)).expect("it is noticed");
    assert_eq!(name, "EventuallyAcknowledgedValueFullyReplicated");
    assert!(
        what.contains(&format!("t/0 at node {} goes to 1, what was acknowledged to 4", node.0 + 1)),
        "{what}"
    );
}

#[test]
fn eventually_a_proposal_is_answered_misses_one_that_never_left() {
    let mut bench = Bench::new(&[]);
    let (leader, id) = (bench.leader, bench.id);
    let broker = server(&mut bench.lab, leader).data_mut().expect("a broker");
    let all = (0..3).map(NodeId).fold(NodeSet::EMPTY, NodeSet::with);
    broker.replica_mut(id).and_then(|replica| replica.leading_mut()).expect("it leads").proposed = Some(all);
    let (name, _, what) = broken(&mut bench.lab, secs(150)).expect("it is noticed");
    assert_eq!(name, "AlterPartitionEpochEventuallyReachedOrZero");
    assert!(what.contains("still waits for an answer to the in-sync replicas"), "{what}");
}
