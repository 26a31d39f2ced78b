//! Exploration: what a seed draws depends on nothing else, failures are found and grouped, marks are counted.

use squall_history::{Kind, Verdict};
use squall_scenarios::{
    Override, Scenario, Target,
    explore::{Class, Exploration, Limit, Preset, Summary, draw},
    format::scalar::PeriodRange,
    library,
};
use std::{
    collections::BTreeSet,
    env, fs,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

fn scenario(name: &str, set: &[&str]) -> (Arc<Scenario>, Vec<Override>) {
    let overrides: Vec<Override> = set.iter().map(|text| text.parse().expect("an override")).collect();
    (Arc::new(library::open(name, &overrides).unwrap_or_else(|error| panic!("\n{error}"))), overrides)
}

fn exploration(name: &str, bus: &str, set: &[&str], seeds: u64) -> Exploration {
    let (scenario, overrides) = scenario(name, set);
    Exploration {
        scenario,
        named: name.to_owned(),
        overrides,
        target: Target::Sim(bus.to_owned()),
        preset: Preset::Swarm,
        first: 1,
        limit: Limit::Seeds(seeds),
        keep_going: true,
        threads: 1,
    }
}

/// A sweep that is quick: little is sent.
const SMALL: [&str; 3] = ["workload.for=20s", "workload.producers.rate=20/s", "faults="];

/// Without what differs from machine to machine.
fn timeless(mut summary: Summary) -> Summary {
    summary.elapsed = Duration::from_millis(1_500);
    summary
}

fn hashes(exploration: &Exploration, seeds: std::ops::Range<u64>) -> Vec<Option<String>> {
    seeds.map(|seed| exploration.run(seed).hash).collect()
}

/// Every draw is a scenario like any file: it fits together, prints itself and reads itself again; it has no bounds,
/// and its faults have their times.
#[test]
fn every_draw_is_a_plain_scenario() {
    for entry in library::entries() {
        let base = entry.scenario(&[]).expect("valid");
        for bus in squall_sim::BUSES {
            let capabilities = squall_sim::capabilities(bus).expect("a model");
            for (preset, seed) in [Preset::Lite, Preset::Swarm, Preset::Storm]
                .into_iter()
                .zip(0..)
                .cycle()
                .take(60)
                .zip(0_u64..)
                .map(|((preset, _), seed)| (preset, seed))
            {
                let drawn = draw(&base, preset, &capabilities, seed);
                let text = serde_json::to_string(&*drawn.scenario).expect("JSON");
                let again = Scenario::parse("draw.json", &text, &[])
                    .unwrap_or_else(|error| panic!("{} {preset} seed {seed}\n{error}", entry.name));
                assert_eq!(again, *drawn.scenario, "{} {preset} seed {seed}", entry.name);
                assert!(again.explore.is_none());
                for fault in &again.faults {
                    assert_eq!(fault.at.map(PeriodRange::low), fault.at.map(PeriodRange::high));
                    assert!(fault.every.is_none());
                }
                if drawn.class == Class::Beyond {
                    assert_eq!(again.expect, squall_scenarios::format::Expect::default());
                }
                assert!(preset != Preset::Lite || drawn.class == Class::Within, "lite is within the budget");
            }
        }
    }
}

#[test]
fn seeds_differ_in_everything_that_is_drawn() {
    let base = scenario("storm", &[]).0;
    let capabilities = squall_sim::capabilities("kafka").expect("a model");
    let draws: Vec<_> = (0..200).map(|seed| draw(&base, Preset::Swarm, &capabilities, seed)).collect();
    let several = |of: &dyn Fn(&Scenario) -> String| {
        draws.iter().map(|drawn| of(&drawn.scenario)).collect::<BTreeSet<String>>().len()
    };
    assert!(several(&|s| s.topology.nodes.to_string()) == 2);
    assert!(several(&|s| s.topology.topics["order-events"].partitions.to_string()) == 6);
    assert!(several(&|s| s.producer_groups().len().to_string()) >= 3, "some groups are left out");
    assert!(several(&|s| s.consumer_count().to_string()) >= 5);
    assert!(several(&|s| s.faults.len().to_string()) >= 8);
    let verbs: BTreeSet<String> = draws
        .iter()
        .flat_map(|drawn| squall_scenarios::Plan::new(Arc::clone(&drawn.scenario), 1).faults().to_vec())
        .map(|fault| fault.kind.verb().to_owned())
        .collect();
    assert_eq!(verbs.len(), 10, "{verbs:?}");
    let beyond = draws.iter().filter(|drawn| drawn.class == Class::Beyond).count();
    assert!((10..100).contains(&beyond), "{beyond} of 200 are beyond the budget");
}

#[test]
fn somebody_reads_what_somebody_writes() {
    for entry in library::entries() {
        let base = entry.scenario(&[]).expect("valid");
        if base.consumer_groups().is_empty() {
            continue;
        }
        for seed in 0..300 {
            let capabilities = squall_sim::capabilities("kafka").expect("a model");
            let drawn = draw(&base, Preset::Swarm, &capabilities, seed).scenario;
            let written: BTreeSet<&str> = drawn.producer_groups().iter().map(|group| &*group.topic).collect();
            let mut read = drawn.consumer_groups().iter().flat_map(|group| group.topic.as_slice());
            assert!(read.any(|topic| written.contains(&**topic)), "{} seed {seed}", entry.name);
        }
    }
}

/// Nobody tells a client that its request was lost with a node's power; that takes as long as it waits.
#[test]
fn a_draw_that_takes_power_gives_clients_the_time_to_notice() {
    let base = scenario("storm", &[]).0;
    let capabilities = squall_sim::capabilities("kafka").expect("a model");
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let drawn = draw(&base, Preset::Swarm, &capabilities, seed).scenario;
        let faults = squall_scenarios::Plan::new(Arc::clone(&drawn), seed).faults().to_vec();
        let takes = faults.iter().any(|fault| fault.kind == squall_bus::FaultKind::PowerFail);
        let recovery = if takes { Duration::from_secs(400) } else { base.recovery.get() };
        assert_eq!(drawn.recovery.get(), recovery, "seed {seed}");
        seen.insert(takes);
    }
    assert_eq!(seen.len(), 2);
}

/// The file that the other process writes.
const HASH_FILE: &str = "SQUALL_TEST_HASH_FILE";

#[test]
fn a_seed_is_the_same_in_every_process_and_on_any_number_of_threads() {
    let kafka = exploration("leader-failover", "kafka", &SMALL, 4);
    let here = hashes(&kafka, 1..5);
    if let Some(file) = env::var_os(HASH_FILE) {
        fs::write(file, format!("{here:?}")).expect("the hashes are written");
        return;
    }
    assert!(here.iter().all(Option::is_some));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hashes");
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["a_seed_is_the_same_in_every_process_and_on_any_number_of_threads", "--exact"])
        .env(HASH_FILE, &file)
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(fs::read_to_string(&file).expect("its hashes"), format!("{here:?}"));

    let on = |threads| {
        let sweep = Exploration { threads, ..kafka.clone() }.sweep(&|_| {});
        timeless(Summary { threads: 1, ..sweep }).to_string()
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn a_bad_configuration_is_found_at_once_and_its_command_finds_it_again() {
    let exploration =
        Exploration { keep_going: false, threads: 2, ..exploration("lone-leader-acks1", "kafka", &[], 40) };
    let told = Mutex::new(0);
    let summary = exploration.sweep(&|progress| *told.lock().expect("no panic") = progress.seeds);
    assert_eq!(summary.verdict().0, Verdict::Invalid);
    assert!(summary.seeds() < 40, "it stops at the first failure");
    assert_eq!(*told.lock().expect("no panic"), summary.seeds());
    let failure = exploration.first_failure(&summary).expect("a failure");
    assert_eq!(failure.anomaly().map(|anomaly| anomaly.kind), Some(Kind::LostWrite));
    let seed = failure.job.seed;
    assert_eq!(failure.reproduce, format!("squall explore lone-leader-acks1 --on sim:kafka --seed {seed}"));
    let again = exploration.run(seed);
    assert!(again.fails());
    assert_eq!(again.report, failure.report);
    assert_eq!(again.job.scenario, failure.job.scenario);
    // Every seed before it held: it is the first whatever the number of threads.
    assert!((1..seed).all(|seed| !exploration.run(seed).fails()));
}

#[test]
fn failures_are_grouped_by_kind_with_the_first_of_each() {
    // A retry without idempotence duplicates, and acks of one copy lose records.
    let set = [
        "workload.for=30s",
        "expect.log=exactly-once",
        "explore={families: [partition, kill, drop-responses], every: 2s..8s, lasting: 2s..9s}",
        "faults=",
    ];
    let exploration = exploration("lone-leader-acks1", "kafka", &set, 24);
    let summary = exploration.sweep(&|_| {});
    let kinds: Vec<_> = summary.groups.iter().filter_map(|group| group.kind).collect();
    assert!(kinds.contains(&Kind::Duplicate) && kinds.len() > 1, "{kinds:?}");
    let unique: BTreeSet<_> = kinds.iter().collect();
    assert_eq!(unique.len(), kinds.len());
    let seeds: Vec<u64> = summary.groups.iter().map(|group| group.first.job.seed).collect();
    assert!(seeds.is_sorted());
    assert_eq!(summary.seeds(), 24);
    assert_eq!(
        summary.failures(),
        summary.within.seeds() + summary.beyond.seeds()
            - summary.within.valid
            - summary.beyond.valid
            - summary.beyond.unknown
    );
    insta::assert_snapshot!(timeless(summary));
}

#[test]
fn a_mark_that_is_required_and_never_reached_leaves_the_sweep_unknown() {
    let set =
        [SMALL.as_slice(), &["expect.marks=[leader-changed, producer-epoch-bumped, max-deliver-reached]"]]
            .concat();
    let exploration =
        Exploration { preset: Preset::Lite, ..exploration("leader-failover", "kafka", &set, 4) };
    let summary = exploration.sweep(&|_| {});
    let (verdict, reason) = summary.verdict();
    assert_eq!(verdict, Verdict::Unknown, "{reason}");
    assert!(reason.contains("producer-epoch-bumped"), "{reason}");
    assert!(!reason.contains("max-deliver-reached"), "no mark of this bus: {reason}");
    assert!(!summary.required.is_empty());
    insta::assert_snapshot!(timeless(summary));
    let reached = Exploration {
        scenario: scenario(
            "leader-failover",
            &[SMALL[0], SMALL[1], SMALL[2], "expect.marks=[leader-changed]"],
        )
        .0,
        ..exploration
    };
    assert_eq!(reached.sweep(&|_| {}).verdict().0, Verdict::Valid);
}

#[test]
fn what_cannot_be_explored_is_refused_with_the_reason() {
    let acks = exploration("lone-leader-acks1", "nats", &[], 1);
    assert!(acks.refusal().expect("a reason").contains("acks=1"));
    let real = Exploration { target: Target::Local("kafka".to_owned()), ..acks };
    let reason = real.refusal().expect("a reason");
    assert!(reason.contains("only simulated runs are repeatable"), "{reason}");
    assert_eq!(exploration("storm", "nats", &[], 1).refusal(), None);
}

/// The whole shop holds on both buses; long sweeps are a command: `squall explore storm --seeds 500`.
#[test]
fn the_storm_holds() {
    for bus in squall_sim::BUSES {
        let set = ["workload.for=20s", "faults=", "expect.marks=[]"];
        let summary = Exploration { threads: 2, ..exploration("storm", bus, &set, 8) }.sweep(&|_| {});
        assert_eq!(summary.verdict().0, Verdict::Valid, "{summary}");
        assert!(summary.within.valid > 0);
    }
}
