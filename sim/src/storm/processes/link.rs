//! A link to a process that runs seeds: started, ordered, heard, ended.
//!
//! Whatever happens to the process is an error in words, with the last line that it wrote to standard error: it does not
//! start, it ends before it comes to the storm or with a seed under way, it says nothing for too long. A process that
//! lost its link finds the end of its standard input and ends, so none outlives the one that started it for longer than
//! a seed.

use super::{MARK, Order, Place, READY, Run, Test, VARIABLE};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// How long the last words of a process that has ended may be on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// A process that waits for orders. Dropped, it is ended at once.
pub(super) struct Link {
    child: Child,
    /// Lines for its standard input, which is closed when this is dropped. Who sends them does not wait for the process.
    orders: Option<mpsc::Sender<String>>,
    said: mpsc::Receiver<String>,
    words: Words,
    patience: Option<Duration>,
}

/// What a process writes to standard error.
struct Words {
    last: Arc<Mutex<String>>,
    /// Hung up when there is no more.
    over: mpsc::Receiver<()>,
}

impl Link {
    /// Starts a process for this storm of the test, tells it what the storms before answered, and waits until it has come
    /// there. It may be silent for so long at a time.
    pub(super) fn start(
        test: &Test,
        storm: &Place,
        before: &str,
        patience: Option<Duration>,
    ) -> Result<Self, String> {
        let mut child = Command::new(&test.binary)
            .args([&*test.name, "--exact", "--nocapture", "--include-ignored"])
            .env(VARIABLE, storm.0.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", test.binary.display()))?;
        let (sender, said) = mpsc::channel();
        each_line(child.stdout.take(), move |line| match line.strip_prefix(MARK) {
            Some(said) => sender.send(said.to_owned()).is_ok(),
            None => true,
        });
        let words = Words::of(child.stderr.take());
        let orders = child.stdin.take().map(writer);
        let mut link = Self { child, orders, said, words, patience };
        link.tell(before.to_owned());
        match link.hear() {
            Ok(word) if word == READY => Ok(link),
            Ok(word) => Err(format!("the test {} says `{word}`", test.name)),
            Err(why) => Err(format!("the test {} {why} before it came to this storm", test.name)),
        }
    }

    /// Has one seed run.
    pub(super) fn run(&mut self, order: Order) -> Result<Run, String> {
        let line = serde_json::to_string(&order).map_err(|error| error.to_string())?;
        self.tell(line);
        let answer = self.hear()?;
        serde_json::from_str(&answer).map_err(|error| format!("answered what is no run: {error}"))
    }

    /// There are no more orders: waits until the process has ended by itself.
    pub(super) fn dismiss(mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }

    /// A process that can hear no more says no more either, which [`hear`](Self::hear) tells.
    fn tell(&self, line: String) {
        self.orders.iter().for_each(|orders| drop(orders.send(line.clone())));
    }

    fn hear(&mut self) -> Result<String, String> {
        let Some(patience) = self.patience else { return self.said.recv().map_err(|_| self.ended()) };
        match self.said.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                Err(format!("said nothing for {patience:?} and was ended"))
            }
        }
    }

    /// How the process ended.
    fn ended(&mut self) -> String {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        match self.words.last() {
            None => format!("ended with {status}"),
            Some(words) => format!("ended with {status} (`{words}`)"),
        }
    }
}

impl Words {
    fn of(stderr: Option<ChildStderr>) -> Self {
        let (last, (going_on, over)) = (Arc::<Mutex<String>>::default(), mpsc::channel());
        let kept = Arc::clone(&last);
        each_line(stderr, move |line| {
            let _ = &going_on;
            if !line.trim().is_empty() {
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
            true
        });
        Self { last, over }
    }

    /// The last line of a process that has ended.
    fn last(&self) -> Option<String> {
        let _ = self.over.recv_timeout(ON_THEIR_WAY);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Some(last.trim().to_owned()).filter(|last| !last.is_empty())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It has ended already, or nobody needs it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes lines on a thread of their own, until there are no more or nobody reads them.
fn writer(mut to: ChildStdin) -> mpsc::Sender<String> {
    let (sender, lines) = mpsc::channel::<String>();
    thread::spawn(move || lines.iter().map_while(|line| writeln!(to, "{line}").ok()).for_each(drop));
    sender
}

/// Reads lines on a thread of their own until there are no more or nobody wants them.
fn each_line(from: Option<impl Read + Send + 'static>, mut act: impl FnMut(String) -> bool + Send + 'static) {
    let Some(from) = from else { return };
    thread::spawn(move || {
        let lines = BufReader::new(from).split(b'\n').map_while(Result::ok);
        for line in lines {
            if !act(String::from_utf8_lossy(&line).into_owned()) {
                break;
            }
        }
    });
}
