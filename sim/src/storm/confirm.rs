//! A failing seed, confirmed: run once more in this process, and alone in a fresh one.
//!
//! The fresh process is this test binary again, with the name of this test and `--exact`, and the environment variable
//! `SQUALL_CONFIRM` says which storm of the test is to run which seed. That storm does, leaves its
//! [footprint](crate::guard::Footprint) in a file, and ends the process; storms of the same test before it run as ever.
//! When the runs differ, the [guard](crate::guard) says where they part and names the suspects.
//!
//! The name of the test is that of its thread, as `cargo test` has it, or the one argument beside `--exact`, as
//! cargo-nextest has it. Where there is neither, or the binary is none that cargo built for tests, nothing is started,
//! and the second run in this process is all there is.

use super::{SHRINK_VARIABLE, sweep::Run};
use crate::guard::{self, Footprint};
use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// The environment variable that asks a process for one run: the storm's place, the seed, the checkpoint from which
/// events are recorded or `-`, and the file for the footprint.
const VARIABLE: &str = "SQUALL_CONFIRM";
/// The folder that cargo builds test binaries in.
const TEST_FOLDER: &str = "deps";

thread_local! {
    static STORMS: Cell<u64> = const { Cell::new(0) };
}

/// Which storm of its test this is, counted on the test's thread.
#[derive(Debug)]
pub(super) struct Place(u64);

/// What a process was started for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    storm: u64,
    seed: u64,
    from: Option<u64>,
    file: PathBuf,
}

impl Request {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (storm, seed) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let from = match words.next()? {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        Some(Self { storm, seed, from, file: PathBuf::from(words.next()?) })
    }

    fn of_this_process() -> Option<Self> {
        Self::read(&env::var(VARIABLE).ok()?)
    }

    fn text(&self) -> String {
        let from = self.from.map_or_else(|| "-".to_owned(), |from| from.to_string());
        format!("{} {} {from} {}", self.storm, self.seed, self.file.display())
    }
}

impl Place {
    /// That of the storm which runs now.
    pub(super) fn next() -> Self {
        Self(STORMS.replace(STORMS.get() + 1))
    }

    /// The seed that this process was started to run in this storm, and from which checkpoint on it records events.
    pub(super) fn asked(&self) -> Option<(u64, Option<u64>)> {
        let request = Request::of_this_process()?;
        (request.storm == self.0).then_some((request.seed, request.from))
    }

    /// Leaves the footprint where it was asked for, and ends the process.
    pub(super) fn answer(&self, footprint: &Footprint) -> ! {
        let written = Request::of_this_process()
            .is_some_and(|request| fs::write(request.file, footprint.to_string()).is_ok());
        process::exit(i32::from(!written));
    }

    /// Runs the seed again, here and in a fresh process, and writes down what that shows.
    pub(super) fn confirm(&self, run: &mut Run, here: &mut dyn FnMut(Option<u64>) -> Footprint) {
        let fresh = |test: &Test, from| test.run(self.0, run.seed, from);
        let examined = match Test::this() {
            // A process that was started for another storm of this test starts none itself.
            Some(test) if env::var_os(VARIABLE).is_none() => {
                guard::examine(&run.footprint, &mut |from| Ok(here(from)), &mut |from| fresh(&test, from))
            }
            _ => {
                run.repeats = Some(run.footprint.parts_from(&here(None)).is_none());
                return;
            }
        };
        match examined {
            Ok(parted) => {
                run.repeats = Some(parted.is_none());
                run.notes.extend(parted.map(|parted| parted.to_string()));
            }
            Err(why) => {
                run.repeats = Some(run.footprint.parts_from(&here(None)).is_none());
                run.notes.push(format!("the seed could not be run alone in a fresh process: {why}"));
            }
        }
    }
}

/// This test, as its binary can be asked for it.
struct Test {
    binary: PathBuf,
    name: String,
}

impl Test {
    fn this() -> Option<Self> {
        let binary = env::current_exe().ok()?;
        let built_for_tests =
            binary.parent().and_then(Path::file_name).is_some_and(|folder| folder == TEST_FOLDER);
        let thread = thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let name = thread.or_else(|| exact_name(env::args().skip(1)));
        Some(Self { binary, name: name? }).filter(|_| built_for_tests)
    }

    fn run(&self, storm: u64, seed: u64, from: Option<u64>) -> Result<Footprint, String> {
        // Tests of one process confirm at the same time.
        static FILES: AtomicU64 = AtomicU64::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = env::temp_dir().join(format!("squall-confirm-{}-{number}", process::id()));
        let request = Request { storm, seed, from, file };
        let status = Command::new(&self.binary)
            .args([&*self.name, "--exact", "--nocapture", "--include-ignored"])
            .env(VARIABLE, request.text())
            .env(SHRINK_VARIABLE, "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("{} does not start: {error}", self.binary.display()))?;
        let text = fs::read_to_string(&request.file);
        drop(fs::remove_file(&request.file));
        match text {
            Ok(text) => text.parse().map_err(|error: guard::NoFootprint| error.to_string()),
            Err(_) => Err(format!("the test {} ended with {status} before it came to this seed", self.name)),
        }
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
    use super::{Request, exact_name};
    use std::path::PathBuf;

    #[test]
    fn a_request_reads_what_it_writes() {
        for from in [None, Some(3)] {
            let request = Request { storm: 1, seed: 9, from, file: PathBuf::from("/a folder/file") };
            assert_eq!(Request::read(&request.text()), Some(request));
        }
        assert_eq!(Request::read("1 9 x file"), None);
    }

    #[test]
    fn only_a_sole_exact_name_names_a_test() {
        let name = |text: &str| exact_name(text.split(' ').map(str::to_owned));
        assert_eq!(name("a::b --nocapture --exact").as_deref(), Some("a::b"));
        assert_eq!(name("a::b --nocapture"), None);
        assert_eq!(name("--exact a b"), None);
    }
}
