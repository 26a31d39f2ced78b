//! Scenarios that nobody wrote: drawn by the strategies, read back, planned, and run on both models.
//!
//! The cases are the same every time. `SQUALL_CASES=2000 cargo test --release -p squall-scenarios --test strategies`
//! goes on from there, for as long as that takes.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use squall_bus::{Acks, FaultKind, Role};
use squall_history::{Anomaly, Verdict};
use squall_scenarios::{
    Job, Plan, Scenario, Target,
    explore::{Budget, Class},
    format::{Delivery, Expect, scalar::AcksChoice},
    runner::Sink,
    runs::Outcome,
    strategies::{Bounds, plans, scenarios},
};
use std::{collections::BTreeSet, sync::Arc};

/// Draws the same cases every time: so many, or as many as the environment asks for.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("SQUALL_CASES").ok().and_then(|text| text.parse().ok());
    runner_of(asked.unwrap_or(cases))
}

fn runner_of(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Small enough that a run takes milliseconds.
fn small() -> Bounds {
    Bounds { rate: 8, lasts: std::time::Duration::from_secs(12), ..Bounds::default() }
}

fn run(scenario: &Scenario, seed: u64, target: &Target) -> Outcome {
    let job = Job {
        scenario: Arc::new(scenario.clone()),
        named: "drawn.yaml".to_owned(),
        overrides: Vec::new(),
        target: target.clone(),
        seed,
    };
    let nobody: Sink = Arc::new(|_| {});
    job.run(&nobody, &|_| {})
}

fn simulated() -> [Target; 2] {
    ["sim:kafka", "sim:nats"].map(|name| name.parse().expect("a target"))
}

#[test]
fn a_scenario_reads_back_as_itself() {
    let reads_back = |scenario: Scenario| {
        let text = scenario.to_yaml();
        let read = Scenario::parse("drawn.yaml", &text, &[]);
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read, scenario);
        Ok(())
    };
    runner(300).run(&scenarios(&Bounds::default()), reads_back).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_plan_is_the_same_every_time_and_without_a_part_the_rest_stays() {
    let repeats = |plan: Plan| {
        let again = Plan::new(Arc::clone(plan.scenario()), plan.seed());
        prop_assert_eq!(plan.to_string(), again.to_string());
        let values: Vec<u64> = plan.values().collect();
        prop_assert_eq!(&values, &again.values().collect::<Vec<_>>());
        prop_assert!(!values.is_empty() && values.is_sorted());
        let end = plan.scenario().workload.lasts.get();
        prop_assert!(plan.faults().iter().all(|fault| fault.at.since(squall_bus::Time::ZERO) < end));
        let gone = values[values.len() / 2];
        let rest = again.without_records([gone]).without_faults(&BTreeSet::from([0]));
        for (before, after) in plan.producers().iter().zip(rest.producers()) {
            let kept: Vec<_> = before.records().filter(|record| record.value != gone).collect();
            prop_assert_eq!(kept, after.records().collect::<Vec<_>>());
        }
        prop_assert_eq!(&plan.faults()[plan.faults().len().min(1)..], rest.faults());
        Ok(())
    };
    runner(100).run(&plans(&small()), repeats).unwrap_or_else(|error| panic!("{error}"));
}

/// Nothing is demanded here but what the configuration promises, and that holds whatever strikes. Evidence may be missing
/// where more was broken than the configuration is made to survive.
#[test]
fn on_both_models_every_promise_holds() {
    for target in simulated() {
        let holds = |plan: Plan| {
            let scenario = Scenario { expect: Expect::default(), ..(**plan.scenario()).clone() };
            let lacks = plan.lacks(&target.capabilities());
            let outcome = run(&scenario, plan.seed(), &target);
            let report = &outcome.finished.report;
            let class = Budget::of(&scenario).class(plan.faults());
            let expected = match report.verdict {
                Verdict::Valid => lacks.is_empty(),
                Verdict::Unsupported => !lacks.is_empty(),
                Verdict::Unknown => class == Class::Beyond,
                Verdict::Invalid | Verdict::Broken => false,
            };
            let stories = || report.anomalies.iter().filter(|found| found.forbidden()).map(Anomaly::story);
            prop_assert!(
                expected,
                "{}: {}: {}\n{}\nsquall run FILE --on {target} --seed {}, where FILE is\n{}",
                if class == Class::Within { "within the fault budget" } else { "beyond the fault budget" },
                report.verdict,
                report.reason,
                stories().map(|story| story.to_string()).collect::<String>(),
                plan.seed(),
                scenario.to_yaml()
            );
            Ok(())
        };
        runner(40).run(&plans(&small()), holds).unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}

/// What bites in the test above bites in this one: where nobody waits for acks and nothing may be lost, records are
/// lost, and the case shrinks to the one fault that loses them.
#[test]
fn a_promise_that_nobody_keeps_is_found_broken_and_shrinks_to_one_fault() {
    let hasty = scenarios(&small()).prop_map(|mut scenario| {
        let mut text = serde_json::to_value(&scenario.workload.producers).expect("JSON");
        let groups =
            if let Some(list) = text.as_array_mut() { list } else { std::slice::from_mut(&mut text) };
        for group in groups {
            group["acks"] = serde_json::to_value(AcksChoice(Acks::One)).expect("JSON");
            group["idempotent"] = false.into();
        }
        scenario.workload.producers = serde_json::from_value(text).expect("producers");
        scenario.expect = Expect { delivery: Some(Delivery::AtLeastOnce), ..Expect::default() };
        scenario
    });
    let kafka = &simulated()[0];
    let keeps = |(scenario, seed): (Scenario, u64)| {
        let report = run(&scenario, seed, kafka).finished.report;
        prop_assert!(report.verdict != Verdict::Invalid);
        Ok(())
    };
    let found = runner_of(400).run(&(hasty, 0..1_000_u64), keeps);
    let Err(TestError::Fail(_, (smallest, _))) = found else { panic!("a loss is found: {found:?}") };
    assert_eq!(smallest.faults.len(), 1, "{}", smallest.to_yaml());
    assert!(smallest.consumer_groups().is_empty(), "{}", smallest.to_yaml());
}

#[test]
fn a_scenario_shrinks_to_what_matters() {
    // Planted: something breaks when the followers of a partition freeze.
    let freezes = |scenario: &Scenario| {
        let plan = Plan::new(scenario.clone(), 1);
        plan.faults()
            .iter()
            .any(|fault| matches!((fault.kind, &fault.role), (FaultKind::Pause, Role::Followers(_))))
    };
    let found = runner_of(4_000).run(&scenarios(&Bounds::default()), |scenario| {
        prop_assert!(!freezes(&scenario));
        Ok(())
    });
    let Err(TestError::Fail(_, smallest)) = found else { panic!("it is found") };
    let yaml = smallest.to_yaml();
    assert_eq!((smallest.topology.nodes.get(), smallest.topology.topics.len()), (2, 1), "{yaml}");
    assert_eq!(smallest.topology.topics["events-1"].partitions.get(), 1, "{yaml}");
    assert_eq!((smallest.faults.len(), smallest.record_count()), (1, 1), "{yaml}");
    assert!(smallest.workload.consumers.is_none() && smallest.expect == Expect::default(), "{yaml}");
    assert_eq!(smallest.recovery.to_string(), "120s", "{yaml}");
}
