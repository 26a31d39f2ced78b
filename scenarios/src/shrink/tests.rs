//! Shrinking small runs: less of everything, the same every time, on any number of cores.

use super::*;
use crate::{Job, library};

/// The first failing seed of a scenario of the library.
fn failing(name: &str, target: &str, set: &[&str]) -> Capsule {
    let overrides: Vec<_> = set.iter().map(|text| text.parse().expect("an override")).collect();
    let scenario = library::open(name, &overrides).unwrap_or_else(|error| panic!("\n{error}"));
    let mut job = Job {
        scenario: Arc::new(scenario),
        named: name.to_owned(),
        overrides,
        target: target.parse().expect("a target"),
        seed: 1,
    };
    let nobody: Sink = Arc::new(|_| {});
    loop {
        match Capsule::of(&job, &job.run(&nobody, &|_| {})) {
            Ok(capsule) => return capsule,
            Err(why) => assert!(job.seed < 20, "{why}"),
        }
        job.seed += 1;
    }
}

const SHORT: [&str; 3] = [
    "workload.for=4s",
    "workload.producers.rate=20/s",
    "faults=[{ at: 1s..2s, power-fail: all, for: 1s }, { at: 500ms, pause: controller, for: 200ms }]",
];

#[test]
fn what_is_left_is_less_and_fails_alike() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let mut passes = Vec::new();
    let shrunk = shrink(&capsule, &mut |progress| passes.push(progress.clone())).expect("it fails");
    assert!(shrunk.complete);
    assert!(shrunk.after.records < shrunk.before.records && shrunk.after.faults == 1, "{shrunk}");
    assert!(shrunk.after.lasts_ms < shrunk.before.lasts_ms, "{shrunk}");
    assert_eq!(shrunk.capsule.expected.anomaly, capsule.expected.anomaly);
    assert_eq!(shrunk.capsule.origin, capsule.origin);
    let again = crate::replay::replay(&shrunk.capsule, "x", false);
    assert_eq!(again.comparison.applies, crate::replay::Applies::Same, "{}", again.comparison);
    let text = shrunk.capsule.to_yaml();
    assert_eq!(
        Capsule::parse("x", text.as_bytes()).unwrap_or_else(|error| panic!("\n{error}")),
        shrunk.capsule
    );
    assert!(passes.windows(2).all(|pair| pair[0].runs <= pair[1].runs));
    // Once more: nothing is left to do.
    let twice = shrink(&shrunk.capsule, &mut |_| {}).expect("it fails");
    assert_eq!(twice.after, shrunk.after);
}

fn work(capsule: &Capsule, effort: u64) -> Work {
    let bench = Bench::new(capsule.target.0.bus(), &capsule.expected, 1_000_000, effort);
    Work { case: Case::of(capsule), bench, budget: Budget::of(CANDIDATES) }
}

/// A finding names its own record and up to three to either side.
#[test]
fn the_records_that_the_finding_names_are_the_first_guess() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let mut work = work(&capsule, EFFORT);
    work.only_the_evidence();
    assert!(Size::of(&work.case).records <= 7, "{}", Size::of(&work.case));
    assert!(work.bench.runs <= 4, "{} runs", work.bench.runs);
    assert!(capsule.expected.is_shown_by(&work.bench.run(&work.case).report));
}

/// A consumer that commits before it processes loses what it has in hand, for some milliseconds of each record. It has
/// another one in hand when the others are left out, so the fault is aimed anew.
#[test]
fn faults_are_aimed_at_the_records_that_are_left() {
    let set = [
        "workload.for=6s",
        "workload.producers.rate=500/s",
        "workload.consumers.commit=before-processing",
        "faults=[{ at: 4s..5s, kill: client(consumer-1), for: 1s }]",
    ];
    let capsule = failing("consumer-crash", "sim:kafka", &set);
    let mut work = work(&capsule, EFFORT);
    let before = work.case.faults.clone();
    work.only_the_evidence();
    assert!(Size::of(&work.case).records <= 7, "{}", Size::of(&work.case));
    assert_ne!(work.case.faults, before, "it is another moment");
    assert!(capsule.expected.is_shown_by(&work.bench.run(&work.case).report));
}

/// The guess takes its share, found or not.
#[test]
fn a_guess_takes_a_quarter_of_the_effort_at_most() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let effort = 4 * first_run(&capsule).expect("it fails");
    let mut work = work(&capsule, effort);
    work.only_the_evidence();
    assert_eq!(work.bench.runs, 1, "the look at the run itself takes all of it");
    assert_eq!(work.bench.left, effort - effort / 4);
    assert_eq!(Size::of(&work.case), Size::of(&Case::of(&capsule)));
}

#[test]
fn the_number_of_cores_does_not_show() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let on = |width: usize| {
        let mut work = work(&capsule, EFFORT);
        work.bench.set_width(width);
        for (_, make_less) in PASSES {
            make_less(&mut work);
        }
        (written(&capsule, &work), work.bench.runs, work.budget)
    };
    assert_eq!(on(1), on(3));
}

/// In events of the kernel, which do not depend on the machine.
#[test]
fn shrinking_costs_a_few_runs_as_it_is() {
    let capsule = failing("power-loss", "sim:kafka", &["workload.producers.rate=50/s"]);
    let whole = first_run(&capsule).expect("it fails");
    let bench = Bench::new("kafka", &capsule.expected, whole, EFFORT);
    let mut work = Work { case: Case::of(&capsule), bench, budget: Budget::of(CANDIDATES) };
    for (_, make_less) in PASSES {
        make_less(&mut work);
    }
    let effort = EFFORT - work.bench.left;
    assert!(effort < 5 * whole, "{effort} events in {} runs, and {whole} in the first", work.bench.runs);
    assert_eq!(Size::of(&work.case).records, 2);
}

#[test]
fn the_faults_written_out_are_the_run_itself() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let case = Case::of(&capsule);
    let bench = Bench::new("kafka", &capsule.expected, 1_000_000, EFFORT);
    assert_eq!(Some(format!("{:016x}", bench.run(&case).hash)), capsule.expected.hash);
}

#[test]
fn another_kind_of_failure_is_not_taken() {
    let mut capsule = failing("power-loss", "sim:kafka", &SHORT);
    capsule.expected.anomaly = Some(squall_history::Kind::Duplicate);
    let error = shrink(&capsule, &mut |_| {}).expect_err("it loses records and repeats none");
    assert!(error.to_string().starts_with("the run does not show duplicate: it is invalid"), "{error}");
}

#[test]
fn the_effort_ends_with_what_was_reached() {
    let capsule = failing("power-loss", "sim:kafka", &SHORT);
    let mut work = work(&capsule, 1);
    for (_, make_less) in PASSES {
        make_less(&mut work);
    }
    assert!(work.bench.is_spent() && work.bench.runs <= 1);
}
