//! Storms over several processes: workers find what one process finds, whatever happens to them, and a fresh process
//! comes to its storm at once.

use squall_bus::{ConsumerConfig, Error, ProducerConfig, Record, Role};
use squall_history::Verdict;
use squall_sim::{
    runtime::Options,
    storm::{Run, Storm, Sweep, Trial, WORKERS_VARIABLE},
};
use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{self, Command},
    thread,
    time::Duration,
};

/// Set in worker processes.
const WORKER: &str = "SQUALL_WORKER";

fn in_a_worker() -> bool {
    env::var_os(WORKER).is_some()
}

/// A service that may acknowledge before its work is done, and a shop that sends it some orders.
async fn shop(trial: Trial, acks_first: bool) -> Result<(), Error> {
    trial.start("billing", move |service| async move {
        let config = ConsumerConfig {
            session_timeout: Some(Duration::from_secs(6)),
            ..ConsumerConfig::group("billing", "billing", &["orders".into()])
        };
        let (sink, Ok(orders)) = (service.sink("billing"), service.bus().consumer(config)) else { return };
        while let Ok(order) = orders.next().await {
            if acks_first {
                let _ = orders.ack(&order).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            sink.processed(&order);
            let _ = orders.ack(&order).await;
        }
    });
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    for number in 0..20 {
        producer.ready().await?;
        drop(producer.send(Record::new(&"orders".into(), None, format!("order {number}").into())));
        trial.clock().sleep(Duration::from_millis(300)).await;
    }
    producer.flush().await
}

fn storm() -> Storm {
    Storm::kafka().topic("orders", 2).kill(Role::Client("billing".into()), 1).seeds(0..6).shrinking(0)
}

/// Everything of a run that comes back from a worker.
fn told(run: &Run) -> String {
    let Run { seed, report, hash, events, faults, warnings, footprint, failed_checks, broken, .. } = run;
    let facts = (seed, report, hash, events, faults);
    format!("{:?}", (facts, warnings, footprint, failed_checks, broken))
}

fn first_failing(sweep: &Sweep) -> &Run {
    sweep.runs.iter().find(|run| !run.is_valid()).expect("a failing seed")
}

#[test]
fn workers_find_what_one_process_finds() {
    let sweep = |workers| {
        storm().workers(workers).run(|trial| async move {
            let seed = trial.seed();
            trial.check("not seed 4", move || if seed == 4 { Err("it is 4".to_owned()) } else { Ok(()) });
            if seed == 5 {
                trial.start("fragile", |_| async { panic!("no such table") });
            }
            shop(trial, true).await
        })
    };
    let (alone, spread) = (sweep(1), sweep(3));
    assert_eq!((alone.runs.len(), &spread.notes), (6, &Vec::new()));
    for (one, other) in alone.runs.iter().zip(&spread.runs) {
        assert_eq!(told(one), told(other));
    }
    assert_eq!(spread.runs[4].failed_checks.len(), 1);
    assert!(spread.runs[5].broken.is_some());
    // All that is done for the first failing seed is done here, so its history is there as well.
    let (one, other) = (first_failing(&alone), first_failing(&spread));
    assert_eq!((one.repeats, &one.notes, &one.history), (Some(true), &Vec::new(), &other.history));
    assert_eq!((other.repeats, &other.notes), (one.repeats, &one.notes));
    let histories = |sweep: &Sweep| sweep.runs.iter().filter(|run| run.history.is_some()).count();
    assert_eq!((histories(&alone), histories(&spread)), (5, 1), "the others ran in workers");
    assert_eq!(alone.to_string(), spread.to_string());
}

#[test]
fn a_seed_whose_worker_dies_is_broken_and_no_other_is_lost() {
    let sweep = storm().workers(2).run(|trial| async move {
        if in_a_worker() && trial.seed() % 4 == 1 {
            eprintln!("the driver gave up");
            process::exit(7);
        }
        shop(trial, false).await
    });
    let seeds: Vec<u64> = sweep.runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds, [0, 1, 2, 3, 4, 5]);
    for run in &sweep.runs {
        let dies = run.seed % 4 == 1;
        assert_eq!(run.report.verdict, if dies { Verdict::Broken } else { Verdict::Valid }, "{run}");
        assert!(run.repeats.is_none(), "it would end this process, too: {run}");
    }
    let told = sweep.to_string();
    let why = "the worker process that ran this seed ended with exit status: 7 (`the driver gave up`)";
    assert!(told.contains(&format!("seed 1: broken: {why}")), "{told}");
    assert!(told.contains("run it again: SQUALL_SEED=1 cargo test"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_worker_that_hangs_is_ended_and_its_seed_is_broken() {
    let options = Options { watchdog: Some(Duration::from_millis(100)), ..Options::default() };
    let sweep = storm().options(options).workers(2).run(|trial| async move {
        if in_a_worker() && trial.seed() == 2 {
            let stopped = Command::new("kill").args(["-STOP", &process::id().to_string()]).status();
            assert!(stopped.is_ok_and(|status| status.success()));
        }
        shop(trial, false).await
    });
    let why = "the worker process that ran this seed said nothing for 3s and was ended";
    assert_eq!(first_failing(&sweep).report.reason, why);
    assert_eq!(sweep.runs.iter().filter(|run| run.is_valid()).count(), 5, "{sweep}");
}

/// A blocked thread is left behind by the watchdog, in a worker as anywhere.
#[test]
fn a_seed_that_blocks_is_broken_by_the_watchdog_of_its_worker() {
    let options = Options { watchdog: Some(Duration::from_millis(200)), ..Options::default() };
    let sweep = storm().options(options).workers(2).run(|trial| async move {
        if trial.seed() == 0 && in_a_worker() {
            thread::sleep(Duration::from_secs(60));
        }
        shop(trial, false).await
    });
    assert!(sweep.runs[0].report.reason.contains("blocks the thread"), "{sweep}");
    // Here it does not block, so the two differ.
    assert_eq!((sweep.runs[0].repeats, sweep.failures().count()), (Some(false), 1), "{sweep}");
}

#[test]
fn seeds_that_no_worker_can_be_started_for_run_in_this_process() {
    let on_a_thread = |name: &str| {
        let run = || storm().workers(2).run(|trial| shop(trial, false));
        thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread").join().expect("no panic")
    };
    // There is no such test.
    let sweep = on_a_thread("nobody");
    let why = "seeds ran in this process that no worker process could be started for: \
               the test nobody ended with exit status: 0 before it came to this storm";
    assert_eq!(sweep.notes, [why]);
    assert_eq!((sweep.runs.len(), sweep.failures().count()), (6, 0));
    assert!(sweep.to_string().ends_with(&format!("6 of 6 seeds are valid\n{why}")), "{sweep}");
}

/// Not for itself: the test below runs it in a process with another environment.
#[test]
#[ignore = "it is run by the test of the environment"]
fn spreads() {
    let sweep = storm().run(|trial| shop(trial, false));
    let here = sweep.runs.iter().filter(|run| run.history.is_some()).count();
    println!("{here} of 6 seeds ran here");
    sweep.assert_valid();
}

#[test]
fn the_environment_says_over_how_many_processes() {
    let ran = |workers: &str| {
        let output = Command::new(env::current_exe().expect("this test"))
            .args(["spreads", "--exact", "--ignored", "--nocapture"])
            .env(WORKERS_VARIABLE, workers)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    };
    for (workers, here) in [("1", 6), ("2", 0)] {
        let (success, said) = ran(workers);
        assert!(success && said.contains(&format!("{here} of 6 seeds ran here")), "{said}");
    }
    for workers in ["none", "0"] {
        let (success, said) = ran(workers);
        let why = format!("SQUALL_WORKERS=`{workers}` is no number of processes");
        assert!(!success && said.contains(&why), "{said}");
    }
}

/// A file that notes every call of a body, in whichever process.
struct Calls(PathBuf);

impl Calls {
    /// In the process of the test itself it begins anew.
    fn new(name: &str) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !in_a_worker() {
            fs::write(&file, "").expect("a file");
        }
        Self(file)
    }

    fn noting(&self) -> impl Fn() + Send + Sync + 'static {
        let file = self.0.clone();
        move || {
            let mut file = fs::OpenOptions::new().append(true).open(&file).expect("the file");
            file.write_all(b".").expect("it is written");
        }
    }

    fn count(&self) -> u64 {
        fs::metadata(&self.0).expect("the file").len()
    }
}

#[test]
fn storms_before_the_one_in_question_are_not_run_again_in_fresh_processes() {
    let calls = Calls::new("calls-of-storms-before");
    let (note, note_again) = (calls.noting(), calls.noting());
    let first = storm().named("first").run(move |trial| {
        note();
        shop(trial, true)
    });
    // The test gets on only with what the storm before found.
    let found = first_failing(&first);
    assert!(found.forbidden().next().is_some() && found.repeats == Some(true), "{first}");
    let (before, seeds) = (calls.count(), first.runs.len() as u64);
    assert!(
        in_a_worker() || before == seeds + 2,
        "every seed, and the failing one confirmed twice: {before}"
    );
    let second = storm().named("second").workers(2).run(move |trial| {
        note_again();
        shop(trial, true)
    });
    let found = first_failing(&second);
    assert_eq!((found.repeats, &found.notes), (Some(true), &Vec::new()), "{second}");
    // Every seed in a worker, and the failing one here, here again and in a fresh process.
    assert_eq!(calls.count() - before, seeds + 3);
}

#[test]
fn a_test_that_needs_more_of_a_storm_before_than_is_known_in_a_fresh_process_is_told_so() {
    let valid = storm().seeds(0..1).run(|trial| shop(trial, false));
    let history = valid.runs[0].history.as_ref();
    assert!(history.is_some_and(|history| !history.sends().is_empty()), "there is none in a fresh process");
    let failing = storm().run(|trial| shop(trial, true));
    let found = first_failing(&failing);
    assert_eq!(found.repeats, Some(true), "in this process it does repeat");
    let note = found.notes.join("\n");
    let why = "the seed could not be run alone in a fresh process: the test \
               a_test_that_needs_more_of_a_storm_before_than_is_known_in_a_fresh_process_is_told_so ended with";
    assert!(note.starts_with(why) && note.ends_with("before it came to this storm"), "{note}");
}

#[test]
fn shrinking_is_for_the_process_of_the_test() {
    let sweep = storm().shrinking(20).workers(2).run(|trial| shop(trial, true));
    let shrunk = first_failing(&sweep).shrunk.as_ref().expect("it is shrunk");
    assert!(shrunk.tries <= 20 && shrunk.run.history.is_some(), "{sweep}");
}
