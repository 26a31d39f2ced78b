//! Progress: a bar on a terminal, plain lines elsewhere. All of it goes to standard error.

use crate::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use squall_history::{RunEvent, events::Stage};
use squall_reports::progress_line;
use std::{
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
    time::Duration,
};

/// Shows how far a command is.
pub(crate) struct Show {
    bar: Option<ProgressBar>,
    /// A sweep tells of runs, a single run of its own events.
    sweep: Option<u64>,
}

/// How many plain lines a sweep prints at most.
const SWEEP_LINES: u64 = 10;

impl Show {
    /// For so many runs.
    pub(crate) fn new(runs: u64) -> Self {
        let sweep = (runs > SWEEP_LINES).then_some(runs);
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(sweep, ProgressDrawTarget::stderr());
            let template = if sweep.is_some() {
                "{bar:32} {pos}/{len} seeds, {per_sec}, {msg}"
            } else {
                "{spinner} {msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, sweep }
    }

    /// A target is being made ready.
    pub(crate) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_owned()),
            None => eprintln!("{line}"),
        }
    }

    /// A step of many: for a terminal alone.
    pub(crate) fn step(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.to_owned());
        }
    }

    /// An event of the run called `name`.
    pub(crate) fn event(&self, name: &str, event: &RunEvent) {
        if self.sweep.is_some() {
            return;
        }
        // Every second of a workload is too much for plain lines.
        if let (None, RunEvent::Progress(progress)) = (&self.bar, event)
            && progress.stage == Stage::Working
            && progress.time.as_millis() / 1_000 % 10 != 0
        {
            return;
        }
        let Some(line) = progress_line(name, event) else { return };
        match (&self.bar, event) {
            (Some(bar), RunEvent::Progress(_)) => bar.set_message(line),
            (Some(bar), _) => bar.println(line),
            (None, _) => eprintln!("{line}"),
        }
    }

    /// A run of a sweep is over.
    pub(crate) fn ran(&self, done: u64, not_valid: u64) {
        self.counted(done, not_valid, "not valid");
    }

    /// So many runs of a sweep are done, and so many of them are `odd`.
    pub(crate) fn counted(&self, done: u64, some: u64, odd: &str) {
        let Some(runs) = self.sweep else { return };
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(format!("{some} {odd}"));
            }
            None if done.is_multiple_of(runs.div_ceil(SWEEP_LINES)) || done == runs => {
                eprintln!("{done} of {runs} runs, {some} {odd}");
            }
            None => {}
        }
    }

    /// The command is over.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line to standard output. A reader that has gone away wants no more; any other trouble is told.
pub(crate) fn say(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    match writeln!(stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::broken(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// An error as it is printed. Those of scenario files come rendered; others get a plain head.
pub(crate) fn as_error(error: &str) -> String {
    if error.starts_with("error") { error.to_owned() } else { format!("error: {error}") }
}
