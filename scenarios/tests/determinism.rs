//! Two runs of one plan in two processes agree event by event; when they do not, the first event that differs is told.

use squall_scenarios::{Plan, library, runner};
use squall_sim::{
    kernel::{Choice, Choices, first_difference},
    runtime::Options,
};
use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

/// Where the child writes its trace.
const TRACE_FILE: &str = "SQUALL_TEST_TRACE_FILE";

/// The events of one simulated run.
fn trace(bus: &str, scenario: &str, seed: u64) -> Vec<squall_sim::kernel::TraceEvent> {
    let set = ["workload.for=12s".parse().expect("an override"), "faults=".parse().expect("an override")];
    let plan = Arc::new(Plan::new(library::open(scenario, &set).expect("it parses"), seed));
    let simulation = squall_sim::open(bus, plan.cluster(bus), plan.choices().clone()).expect("a model");
    simulation.start_tracing();
    let ended: Arc<Mutex<bool>> = Arc::default();
    let kept = Arc::clone(&ended);
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    let main: squall_sim::SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            let ran = runner::run(cluster, plan, "sim", Arc::new(|_| {})).await;
            *kept.lock().expect("no panic") = ran.is_ok();
        })
    });
    simulation.run(options, main).expect("nothing breaks");
    assert!(*ended.lock().expect("no panic"));
    simulation.trace()
}

fn lines(trace: &[squall_sim::kernel::TraceEvent]) -> String {
    trace.iter().map(|event| format!("{event} {:016x}\n", event.hash)).collect()
}

#[test]
fn two_processes_see_the_same_events() {
    let here: String =
        squall_sim::BUSES.into_iter().map(|bus| lines(&trace(bus, "leader-failover", 7))).collect();
    if let Some(file) = env::var_os(TRACE_FILE) {
        fs::write(Path::new(&file), here).expect("the trace is written");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace");
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["two_processes_see_the_same_events", "--exact"])
        .env(TRACE_FILE, &file)
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let there = fs::read_to_string(&file).expect("the child's trace");
    assert!(here.lines().count() > 20_000, "runs have events");
    let differs = here.lines().zip(there.lines()).enumerate().find(|(_, (here, there))| here != there);
    assert_eq!(differs, None, "the first event that differs");
    assert_eq!(here.len(), there.len());
}

#[test]
fn another_seed_parts_at_an_event_that_can_be_named() {
    let (seven, eight) = (trace("nats", "leader-failover", 7), trace("nats", "leader-failover", 8));
    let (index, left, right) = first_difference(&seven, &eight).expect("they differ");
    assert!(index < seven.len());
    assert_ne!(left.map(ToString::to_string), right.map(ToString::to_string));
}

/// Everything that is drawn in a run of a small plan, without one of its records if `without` says which.
fn drawn(bus: &str, without: Option<usize>) -> Vec<Choice> {
    let set = [
        "workload.for=5s",
        "workload.producers.rate=20/s",
        "faults=[{ at: 2s, isolate: minority, for: 2s }]",
    ]
    .map(|text| text.parse().expect("an override"));
    let choices = Choices::new(5).recording();
    let whole =
        Plan::with_choices(library::open("leader-failover", &set).expect("it parses"), choices.clone());
    let gone = without.map(|place| whole.values().nth(place).expect("a record"));
    let plan = Arc::new(whole.without_records(gone));
    let simulation = squall_sim::open(bus, plan.cluster(bus), choices.clone()).expect("a model");
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    let main: squall_sim::SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            assert!(runner::run(cluster, plan, "sim", Arc::new(|_| {})).await.is_ok());
        })
    });
    simulation.run(options, main).expect("nothing breaks");
    choices.recorded()
}

/// Without one record all other choices of the whole run are what they were, and nearly all are still made: it is this
/// that lets failures shrink.
#[test]
fn without_one_record_all_other_choices_of_the_run_are_equal() {
    for bus in squall_sim::BUSES {
        let keyed = |choices: Vec<Choice>| -> BTreeMap<_, u64> {
            choices
                .iter()
                .map(|choice| ((choice.site, choice.entity, choice.ordinal), choice.drawn))
                .collect()
        };
        let (whole, rest) = (keyed(drawn(bus, None)), keyed(drawn(bus, Some(30))));
        let shared: Vec<_> = whole.iter().filter_map(|(key, drawn)| Some((drawn, rest.get(key)?))).collect();
        assert!(shared.iter().all(|(here, there)| here == there), "a choice depends on more than its key");
        assert!(
            whole.len() > 1_000 && shared.len() * 100 > whole.len() * 90,
            "{} of {}",
            shared.len(),
            whole.len()
        );
        assert_ne!(whole, rest, "the record's own choices are gone");
    }
}
