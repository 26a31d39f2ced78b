//! Two runs of one plan in two processes agree event by event; when they do not, the first event that differs is told.

use squall_scenarios::{Plan, library, runner};
use squall_sim::{kernel::first_difference, runtime::Options};
use std::{
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
    let simulation = squall_sim::open(bus, plan.cluster(), plan.choices().clone()).expect("a model");
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
