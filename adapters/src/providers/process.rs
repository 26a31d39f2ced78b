//! A node's process: start, stop, kill, pause, resume, and whether it lives.
//!
//! - A node is one process in a process group of its own, started under a [`Guard`].
//! - Whether it lives is judged by `/proc/PID/stat`: a zombie does not live. Its own child is waited for as
//!   soon as it is seen to have ended, so that zombies do not gather.
//! - A signal is sent only to a child that has not been waited for, or to a process whose start time is the
//!   recorded one; so it can never reach a stranger that was given the same id.
//! - All methods block, the longest of them as long as their timeout says. Async callers use a blocking thread.

use super::{
    ProviderError,
    guard::{Guard, Watched},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(5);

/// A node's process. It can be started again after it ended, with the same data.
#[derive(Debug)]
pub struct NodeProcess {
    name: String,
    log: PathBuf,
    guard: Arc<Guard>,
    command: Mutex<Command>,
    life: Mutex<Option<Life>>,
}

#[derive(Debug)]
struct Life {
    child: Child,
    watched: Watched,
    paused: bool,
}

impl NodeProcess {
    /// A node that has not been started. `name` is for messages, `log` is the file that the command writes.
    #[must_use]
    pub fn new(name: impl Into<String>, command: Command, log: PathBuf, guard: Arc<Guard>) -> Self {
        Self { name: name.into(), log, guard, command: Mutex::new(command), life: Mutex::new(None) }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what the node says.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log, for a message; at most 2 KiB.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The process, if it lives.
    #[must_use]
    pub fn watched(&self) -> Option<Watched> {
        self.reap().as_ref().map(|life| life.watched)
    }

    /// Whether the process lives; a paused one does.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.watched().is_some()
    }

    /// Whether the process is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.reap().as_ref().is_some_and(|life| life.paused)
    }

    /// Starts the process; does nothing when it lives.
    pub fn start(&self) -> Result<(), ProviderError> {
        let mut life = self.reap();
        if life.is_none() {
            let command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
            let (child, watched) = self.guard.spawn(&command)?;
            *life = Some(Life { child, watched, paused: false });
        }
        Ok(())
    }

    /// Asks the process to end (SIGTERM) and waits for that. A paused process is resumed, so that it can
    /// obey. Returns how long it took.
    pub fn stop(&self, within: Duration) -> Result<Duration, ProviderError> {
        self.signal(Signal::TERM, "stop")?;
        self.signal(Signal::CONT, "stop")?;
        self.wait_end(within)
    }

    /// Ends the process at once (SIGKILL) and waits until it is gone; does nothing when it does not live.
    pub fn kill(&self) -> Result<(), ProviderError> {
        if self.is_alive() {
            self.signal(Signal::KILL, "kill")?;
        }
        self.wait_end(Duration::from_secs(10)).map(drop)
    }

    /// Freezes the process (SIGSTOP).
    pub fn pause(&self) -> Result<(), ProviderError> {
        self.signal(Signal::STOP, "pause")?;
        if let Some(life) = self.reap().as_mut() {
            life.paused = true;
        }
        Ok(())
    }

    /// Waits until a process that was told to freeze does nothing any more, or some time has gone by: one that
    /// waits for a disk freezes only after that.
    pub fn await_frozen(&self, within: Duration) {
        let end = Instant::now() + within;
        let is_busy =
            |watched: Watched| stat(watched.pid).is_some_and(|(state, _)| !matches!(state, 'T' | 'Z' | 'X'));
        while self.watched().is_some_and(is_busy) && Instant::now() < end {
            sleep(Duration::from_micros(200));
        }
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) -> Result<(), ProviderError> {
        self.signal(Signal::CONT, "resume")?;
        if let Some(life) = self.reap().as_mut() {
            life.paused = false;
        }
        Ok(())
    }

    /// Waits until the process has ended. Returns how long it took.
    pub fn wait_end(&self, within: Duration) -> Result<Duration, ProviderError> {
        let begin = Instant::now();
        while let Some(watched) = self.watched() {
            if begin.elapsed() > within {
                return Err(ProviderError::Stuck { pid: watched.pid, action: "end", within });
            }
            sleep(POLL);
        }
        Ok(begin.elapsed())
    }

    fn signal(&self, signal: Signal, action: &'static str) -> Result<(), ProviderError> {
        // The lock is held while the signal is sent: the child has not been waited for, the id is its own.
        let life = self.reap();
        let Some(life) = life.as_ref() else {
            return Err(ProviderError::State { node: self.name.clone(), action, state: "is not running" });
        };
        send(life.watched.pid, signal, action)
    }

    /// The life, after a child that has ended was waited for and forgotten.
    fn reap(&self) -> MutexGuard<'_, Option<Life>> {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = life.as_mut().is_some_and(|life| !matches!(life.child.try_wait(), Ok(None)));
        if ended && let Some(ended) = life.take() {
            self.guard.forget(ended.watched);
        }
        life
    }
}

fn send(pid: u32, signal: Signal, action: &'static str) -> Result<(), ProviderError> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = target.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
    sent.map_err(|errno| ProviderError::io(format!("{action} process {pid}"))(errno.into()))
}

/// When a process started, in clock ticks since the machine did; `None` if there is no such process.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// Whether this very process lives (a zombie does not).
#[must_use]
pub fn is_alive(watched: Watched) -> bool {
    stat(watched.pid).is_some_and(|(state, start)| start == watched.start && !matches!(state, 'Z' | 'X'))
}

/// Ends a process that some earlier command started: asks, waits, then kills. Does nothing when it is gone.
pub fn end_detached(watched: Watched, within: Duration) -> Result<(), ProviderError> {
    let begin = Instant::now();
    let mut sent = None;
    while is_alive(watched) {
        let elapsed = begin.elapsed();
        let signal = if elapsed < within { Signal::TERM } else { Signal::KILL };
        if sent != Some(signal) {
            send(watched.pid, signal, "end")?;
            send(watched.pid, Signal::CONT, "end")?;
            sent = Some(signal);
        }
        if elapsed > within + Duration::from_secs(10) {
            return Err(ProviderError::Stuck { pid: watched.pid, action: "end", within: elapsed });
        }
        sleep(POLL);
    }
    Ok(())
}

/// State (field 3) and start time (field 22). The name of the program, field 2, may hold blanks and
/// brackets; the last closing bracket ends it.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The last lines of a file on one line, at most 2 KiB; says so when there is nothing.
pub(crate) fn tail(path: &Path) -> String {
    const MOST: u64 = 2048;
    let mut bytes = Vec::new();
    if let Ok(mut file) = fs::File::open(path) {
        let from = file.metadata().map_or(0, |meta| meta.len().saturating_sub(MOST));
        let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "(empty)".to_owned() } else { lines[lines.len().saturating_sub(12)..].join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(script: &str) -> (NodeProcess, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let guard = Arc::new(Guard::start(&folder).expect("the guard starts"));
        let log = folder.join("log");
        let command =
            super::super::guard::redirect(Path::new("/bin/sh"), vec!["-c".into(), script.into()], &log);
        (NodeProcess::new("n1", command, log, guard), folder)
    }

    fn says(node: &NodeProcess, text: &str) {
        let end = Instant::now() + Duration::from_secs(5);
        while !node.log_tail().contains(text) {
            assert!(Instant::now() < end, "{text} is missing in {}", node.log_tail());
            sleep(POLL);
        }
    }

    #[test]
    fn stops_in_good_order_and_starts_again() {
        let (node, folder) = node("trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.01; done");
        assert!(!node.is_alive());
        node.start().expect("it starts");
        says(&node, "here");
        node.stop(Duration::from_secs(5)).expect("it stops");
        assert!(!node.is_alive());
        assert!(node.log_tail().ends_with("bye"), "{}", node.log_tail());
        node.start().expect("it starts again");
        says(&node, "bye | here");
        node.kill().expect("it can be killed");
        node.kill().expect("killing the dead is fine");
        assert!(!node.is_alive());
        drop(node);
        assert!(!folder.exists());
    }

    #[test]
    fn pauses_and_a_paused_one_can_be_stopped_or_killed() {
        let (node, _) = node("while :; do sleep 0.01; done");
        node.start().expect("it starts");
        node.pause().expect("it pauses");
        assert!(node.is_paused() && node.is_alive());
        node.resume().expect("it goes on");
        assert!(!node.is_paused());
        node.pause().expect("it pauses");
        node.stop(Duration::from_secs(5)).expect("it stops");
        node.start().expect("it starts again");
        node.pause().expect("it pauses");
        node.kill().expect("it can be killed");
    }

    #[test]
    fn says_what_it_cannot_do() {
        let (node, _) = node("exit 3");
        let error = node.pause().expect_err("nothing runs").to_string();
        assert_eq!(error, "node n1 cannot pause, because it is not running");
        node.start().expect("it starts");
        node.wait_end(Duration::from_secs(5)).expect("it ends by itself");
    }

    #[test]
    fn a_deaf_process_is_reported() {
        let (node, _) = node("trap '' TERM; echo here; while :; do sleep 0.01; done");
        node.start().expect("it starts");
        says(&node, "here");
        let error = node.stop(Duration::from_millis(50)).expect_err("it does not stop").to_string();
        assert!(error.contains("did not end within 50ms"), "{error}");
    }
}
