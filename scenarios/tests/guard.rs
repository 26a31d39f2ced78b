//! The guard passes what repeats, finds what does not, and refuses what cannot.

use squall_scenarios::{
    Job, Target,
    guard::{GuardError, examine, footprint},
    library,
};
use std::sync::Arc;

fn job(target: &str, seed: u64) -> Job {
    let overrides: Vec<_> =
        ["workload.for=5s", "faults="].map(|text| text.parse().expect("an override")).into_iter().collect();
    Job {
        scenario: Arc::new(library::open("leader-failover", &overrides).expect("it parses")),
        named: "leader-failover".to_owned(),
        overrides,
        target: target.parse().expect("a target"),
        seed,
    }
}

#[test]
fn a_job_that_repeats_passes() {
    for bus in squall_sim::BUSES {
        let job = job(&format!("sim:{bus}"), 3);
        let (left, parted) = examine(&job, |from| footprint(&job, from)).expect("it is simulated");
        assert_eq!(parted, None);
        assert!(left.events > 1_000 && !left.checkpoints.is_empty(), "{} events", left.events);
    }
}

#[test]
fn a_process_that_does_something_else_is_told_with_its_first_event() {
    // Stands for a process in which something else than the seed decides.
    let planted = job("sim:kafka", 4);
    let (_, parted) =
        examine(&job("sim:kafka", 3), |from| footprint(&planted, from)).expect("it is simulated");
    let parted = parted.expect("they differ");
    let difference = parted.difference.clone().expect("the event is found");
    assert_ne!(difference.one, difference.other);
    assert!(parted.evidence.fresh_agree && parted.evidence.here_repeats);
    assert!(parted.to_string().contains("  in a fresh process: "), "{parted}");
}

#[test]
fn a_fresh_process_that_leaves_nothing_is_an_error() {
    let why = GuardError::Fresh("it was killed".to_owned());
    let examined = examine(&job("sim:nats", 1), |_| Err(why.clone()));
    assert_eq!(examined.map(|_| ()), Err(why));
    let real = Target::Local("kafka".to_owned());
    assert_eq!(
        footprint(&Job { target: real.clone(), ..job("sim:kafka", 1) }, None),
        Err(GuardError::NotSimulated(real))
    );
}
