//! Fresh processes: this test binary once more, for one storm of this one test.
//!
//! The environment variable `SQUALL_WORKER` says which storm of the test is meant, counted from 0. That storm takes
//! [orders](Order) from standard input, runs one seed for each, answers each with its [`Run`] on a line of its own on
//! standard output, and ends the process when there are no more. Everything of a run comes back but its history, which
//! is large and stays where it was made. Nothing of this happens inside a run.
//!
//! Storms of the same test before that one run nothing: they answer what they answered in the first process, which
//! sends it along. So the test comes to the storm that is meant by the way that it came there first, and at once. A test
//! that needs the histories of storms before, or what their bodies left in variables, to get that far does not get
//! there; that is said, and nothing is lost but the fresh process.
//!
//! The name of the test is that of its thread, as `cargo test` has it, or the one argument beside `--exact`, as
//! cargo-nextest has it. Where there is neither, or the binary is none that cargo built for tests, no process is started.

mod confirm;
mod link;
mod workers;

pub use workers::WORKERS_VARIABLE;
pub(super) use workers::{Spread, from_environment as workers_from_environment};

use super::sweep::{Run, Sweep};
use link::Link;
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    env,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
    thread,
};

/// The environment variable that tells a process which storm of its test it was started for.
const VARIABLE: &str = "SQUALL_WORKER";
/// The folder that cargo builds test binaries in.
const TEST_FOLDER: &str = "deps";
/// What a line of standard output begins with that is meant for the process which started this one. The harness and the
/// code under test print there too.
const MARK: &str = "squall-worker ";
/// The first word of a storm that waits for orders.
const READY: &str = "ready";

thread_local! {
    /// What the storms of this test answered so far; `None` for one that is still at it.
    static STORMS: RefCell<Vec<Option<Sweep>>> = const { RefCell::new(Vec::new()) };
}

/// One seed to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    seed: u64,
    /// The events behind this checkpoint are to be recorded.
    record_from: Option<u64>,
}

/// What this process was started for by another.
struct Errand {
    storm: usize,
    /// What the storms before it answered there.
    before: Vec<Option<Sweep>>,
}

impl Errand {
    /// That of this process, if it has one.
    fn of_this_process() -> Option<&'static Self> {
        static ERRAND: OnceLock<Option<Errand>> = OnceLock::new();
        ERRAND.get_or_init(Self::read).as_ref()
    }

    fn read() -> Option<Self> {
        let storm = env::var(VARIABLE).ok()?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string());
        let before = read.and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()));
        match (storm.parse(), before) {
            (Ok(storm), Ok(before)) => Some(Self { storm, before }),
            (_, before) => {
                let why = before.err().unwrap_or_default();
                eprintln!("{VARIABLE}={storm} is for processes that a storm starts: {why}");
                process::exit(1);
            }
        }
    }
}

/// Which storm of its test this is, counted on the test's thread.
#[derive(Debug)]
pub(super) struct Place(usize);

/// What a storm is to do.
pub(super) enum Part {
    /// Its own work.
    Own,
    /// Nothing: this is what it answered in the process that started this one.
    Answered(Sweep),
    /// What it is ordered to.
    Serve,
}

impl Place {
    /// That of the storm which begins now.
    pub(super) fn next() -> Self {
        STORMS.with_borrow_mut(|storms| {
            storms.push(None);
            Self(storms.len() - 1)
        })
    }

    pub(super) fn part(&self) -> Part {
        match Errand::of_this_process() {
            Some(errand) if errand.storm == self.0 => Part::Serve,
            Some(errand) => match errand.before.get(self.0) {
                Some(Some(answered)) => Part::Answered(answered.clone()),
                _ => Part::Own,
            },
            None => Part::Own,
        }
    }

    /// Keeps what the storm answers, for processes that are started by those behind it.
    pub(super) fn answered(&self, sweep: &Sweep) {
        STORMS.with_borrow_mut(|storms| storms[self.0] = Some(sweep.without_histories()));
    }

    /// Runs seeds as they are ordered, and ends the process.
    pub(super) fn serve(mut run: impl FnMut(u64, Option<u64>) -> Run) -> ! {
        say(READY);
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(Order { seed, record_from }) = serde_json::from_str(&line) else { break };
            match serde_json::to_string(&run(seed, record_from)) {
                Ok(answer) => say(&answer),
                Err(error) => {
                    eprintln!("seed {seed} was run, but its run cannot be told: {error}");
                    process::exit(1);
                }
            }
        }
        process::exit(0);
    }

    /// What the storms of this test answered so far, for a process that is to come as far.
    fn before() -> String {
        STORMS.with_borrow(|storms| serde_json::to_string(storms).unwrap_or_default())
    }
}

/// Says something to the process that started this one.
fn say(what: &str) {
    let mut out = io::stdout().lock();
    // The line begins anew: somebody may have printed half a one. Who cannot be told need not be told.
    let _ = out.write_all(format!("\n{MARK}{what}\n").as_bytes());
    let _ = out.flush();
}

/// This test, as its binary can be asked for it.
struct Test {
    binary: PathBuf,
    name: String,
}

impl Test {
    /// None in a process that was started for a storm: it starts no others.
    fn this() -> Option<Self> {
        let binary = env::current_exe().ok()?;
        let built_for_tests =
            binary.parent().and_then(Path::file_name).is_some_and(|folder| folder == TEST_FOLDER);
        let thread = thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let name = thread.or_else(|| exact_name(env::args().skip(1)));
        let errand = Errand::of_this_process().is_some();
        Some(Self { binary, name: name? }).filter(|_| built_for_tests && !errand)
    }
}

/// The one test that these arguments name.
fn exact_name(arguments: impl Iterator<Item = String>) -> Option<String> {
    let (flags, names): (Vec<String>, Vec<String>) =
        arguments.partition(|argument| argument.starts_with("--"));
    match (flags.iter().any(|flag| flag == "--exact"), <[String; 1]>::try_from(names)) {
        (true, Ok([name])) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::exact_name;

    #[test]
    fn only_a_sole_exact_name_names_a_test() {
        let name = |text: &str| exact_name(text.split(' ').map(str::to_owned));
        assert_eq!(name("a::b --nocapture --exact").as_deref(), Some("a::b"));
        assert_eq!(name("a::b --nocapture"), None);
        assert_eq!(name("--exact a b"), None);
    }
}
