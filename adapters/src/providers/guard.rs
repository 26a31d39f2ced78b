//! The guard: a small process that outlives this one by a moment and leaves nothing behind.
//!
//! 1. There is one guard for each run: `/bin/sh` with the script `guard.sh`, in a process group of its own,
//!    deaf to INT, TERM, HUP and QUIT. It reads lines from a pipe whose only write end is in this process
//!    (it is closed on exec), so the end of this process, however it comes, is the end of the file there.
//! 2. `add PID START` and `del PID START` keep the guard's list of nodes. START is the start time of the
//!    process (field 22 of `/proc/PID/stat`), so that a process id that was given out again is left alone.
//! 3. At the end of the file the guard kills every node of its list with its process group, waits until they
//!    are gone and removes the run's folder, if the folder carries the mark [`MARK`].
//! 4. `done` (all was tidied up) and `keep` (the nodes shall live on) end the guard without a kill.
//! 5. A node starts through a gate: `sh -c 'read -r go && exec "$@"'`, which waits for one line from this
//!    process. The line is written after the guard has been told of the process. So there is no moment in
//!    which a node runs and nobody would end it: if this process dies before the line, the gate sees the
//!    end of its file and never becomes a node.

use super::{ProviderError, process::start_time};
use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// The file that marks a folder as a run's own, which the guard may remove.
pub const MARK: &str = ".squall-run";

const SCRIPT: &str = include_str!("guard.sh");
const GATE: &str = r#"read -r go || exit 1; exec "$@" </dev/null"#;

/// The guard of one run. Dropping it without [`Guard::finish`] or [`Guard::keep`] makes it kill what is on
/// its list and remove the run's folder.
#[derive(Debug)]
pub struct Guard {
    process: Mutex<Process>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Closed at the end of the run; that is the guard's signal.
    pipe: Option<ChildStdin>,
}

/// A process that the guard watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did; with the id it names a process for good.
    pub start: u64,
}

impl Guard {
    /// Starts a guard for the run whose files are in `folder`, and marks the folder as the run's own.
    pub fn start(folder: &Path) -> Result<Self, ProviderError> {
        let mark = folder.join(MARK);
        fs::write(&mark, "").map_err(ProviderError::io(format!("write {}", mark.display())))?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "squall-guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(ProviderError::io("start the guard process /bin/sh"))?;
        let pipe = child.stdin.take();
        Ok(Self { process: Mutex::new(Process { child, pipe }), folder: folder.to_owned() })
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a process under the guard, in a process group of its own. What `command` says of program,
    /// arguments, environment, folder, output and errors is kept; its input is empty.
    pub fn spawn(&self, command: &Command) -> Result<(Child, Watched), ProviderError> {
        let mut child = behind_gate(command)?;
        let gate = child.stdin.take();
        let watched = match start_time(child.id()) {
            Some(start) => Watched { pid: child.id(), start },
            None => return Err(gate_failed(child, io::ErrorKind::NotFound.into())),
        };
        if let Err(error) = self.tell("add", watched) {
            return Err(gate_failed(child, error));
        }
        match gate.map_or(Ok(()), |mut gate| gate.write_all(b"go\n")) {
            Ok(()) => Ok((child, watched)),
            Err(error) => Err(gate_failed(child, error)),
        }
    }

    /// Takes a process that has ended off the list.
    pub fn forget(&self, watched: Watched) {
        // A guard that is gone has nothing to forget.
        let _ = self.tell("del", watched);
    }

    /// Ends the guard; everything it watched has ended and was tidied up.
    pub fn finish(&self) {
        self.end("done");
    }

    /// Ends the guard and leaves the processes and the folder as they are.
    pub fn keep(&self) {
        self.end("keep");
    }

    fn tell(&self, word: &str, watched: Watched) -> io::Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut process.pipe {
            Some(pipe) => pipe.write_all(format!("{word} {} {}\n", watched.pid, watched.start).as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn end(&self, word: &str) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut pipe) = process.pipe.take() {
            // If the guard is gone there is nobody to end.
            let _ = pipe.write_all(format!("{word}\n").as_bytes());
            drop(pipe);
            let _ = process.child.wait();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        if process.pipe.take().is_some() {
            let _ = process.child.wait();
        }
    }
}

/// Starts the gate in front of `command`.
fn behind_gate(command: &Command) -> Result<Child, ProviderError> {
    let mut gate = Command::new("/bin/sh");
    gate.args(["-c", GATE, "squall-gate"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => gate.env(name, value),
            None => gate.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        gate.current_dir(folder);
    }
    gate.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    gate.spawn().map_err(ProviderError::io(format!("start {}", command.get_program().display())))
}

fn gate_failed(mut child: Child, error: io::Error) -> ProviderError {
    let _ = child.kill();
    let _ = child.wait();
    ProviderError::io(format!("let process {} start", child.id()))(error)
}

/// A command that sends what a node prints to a file of its own.
pub(crate) fn redirect(program: &Path, arguments: Vec<OsString>, output: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"out=$1; shift; exec "$@" >>"$out" 2>&1"#, "squall-node"])
        .arg(output)
        .arg(program)
        .args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::process::is_alive;
    use std::{
        env,
        io::{BufRead, BufReader},
        thread::sleep,
        time::{Duration, Instant},
    };

    const ROLE: &str = "SQUALL_TEST_GUARDED_FOLDER";

    fn dummy() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000");
        command
    }

    fn gone_within(watched: Watched, within: Duration) -> bool {
        let end = Instant::now() + within;
        while is_alive(watched) {
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// Not a test by itself: the process that the next test kills. It is this test binary again.
    #[test]
    fn guarded_process() {
        let Some(folder) = env::var_os(ROLE) else { return };
        let guard = Guard::start(Path::new(&folder)).expect("the guard starts");
        let (_child, watched) = guard.spawn(&dummy()).expect("the node starts");
        println!("\nnode {} {}", watched.pid, watched.start);
        sleep(Duration::from_secs(600));
    }

    #[test]
    fn a_node_does_not_outlive_a_killed_parent() {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let mut parent = Command::new(env::current_exe().expect("this test binary"))
            .args(["--exact", "providers::guard::tests::guarded_process", "--nocapture"])
            .env(ROLE, &folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the parent starts");
        let lines = BufReader::new(parent.stdout.take().expect("its output")).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("node ")).expect("a node");
        let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>().expect("a number"));
        let pid = u32::try_from(words.next().expect("an id")).expect("an id");
        let watched = Watched { pid, start: words.next().expect("a start time") };
        assert!(is_alive(watched));

        parent.kill().expect("it can be killed");
        parent.wait().expect("it ends");
        assert!(gone_within(watched, Duration::from_secs(5)), "the node outlived its parent");
        let end = Instant::now() + Duration::from_secs(5);
        while folder.exists() && Instant::now() < end {
            sleep(Duration::from_millis(20));
        }
        assert!(!folder.exists(), "the run's folder was left behind");
    }

    #[test]
    fn a_dropped_guard_kills_what_is_on_its_list_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let guard = Guard::start(&folder).expect("the guard starts");
        let (mut doomed, on_list) = guard.spawn(&dummy()).expect("it starts");
        let (mut spared, off_list) = guard.spawn(&dummy()).expect("it starts");
        guard.forget(off_list);
        drop(guard);
        assert!(gone_within(on_list, Duration::from_secs(5)));
        assert!(is_alive(off_list));
        spared.kill().expect("it can be killed");
        spared.wait().expect("it ends");
        doomed.wait().expect("it has ended");
        assert!(!folder.exists());
    }

    #[test]
    fn a_process_id_that_was_given_out_again_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let mut other = dummy().process_group(0).spawn().expect("it starts");
        let guard = Guard::start(&folder).expect("the guard starts");
        let start = start_time(other.id()).expect("a start time");
        guard.tell("add", Watched { pid: other.id(), start: start + 1 }).expect("the guard listens");
        drop(guard);
        assert!(is_alive(Watched { pid: other.id(), start }));
        other.kill().expect("it can be killed");
        other.wait().expect("it ends");
    }

    #[test]
    fn keeping_leaves_processes_and_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let guard = Guard::start(folder.path()).expect("the guard starts");
        let (mut child, watched) = guard.spawn(&dummy()).expect("it starts");
        guard.keep();
        drop(guard);
        assert!(is_alive(watched));
        assert!(folder.path().exists());
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
}
