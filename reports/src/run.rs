//! The fold: run events to a [`Run`], runs to [`Runs`].

use crate::Measured;
use squall_bus::Time;
use squall_history::{
    Anomaly, RunEvent, Verdict,
    events::{FaultResolved, Finished, Judged, Plan, Progress, Started},
    verdict::Counts,
};

/// A fault as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultLog {
    /// When it struck and whom it hit.
    pub struck: FaultResolved,
    /// When its repair was under way; `None` for faults that are over at once, and in runs that ended early.
    pub healed: Option<Time>,
}

/// One run, as far as its events tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its head.
    pub started: Started,
    /// Its plan, once made.
    pub plan: Option<Plan>,
    /// How far it was when it last said so.
    pub progress: Option<Progress>,
    /// The faults, in the order in which they struck.
    pub faults: Vec<FaultLog>,
    /// The file that its history was read from, if it did not run just now.
    pub file: Option<String>,
    /// What the load engine measured.
    pub measured: Option<Measured>,
    found: Vec<Anomaly>,
    judged: Option<Judged>,
    finished: Option<Finished>,
}

impl Run {
    /// A run that has just begun.
    #[must_use]
    pub fn new(started: Started) -> Self {
        Self {
            started,
            plan: None,
            progress: None,
            faults: Vec::new(),
            file: None,
            measured: None,
            found: Vec::new(),
            judged: None,
            finished: None,
        }
    }

    /// The run that these events tell of; `None` unless the first is its start.
    pub fn fold(events: impl IntoIterator<Item = RunEvent>) -> Option<Self> {
        let mut events = events.into_iter();
        let RunEvent::Started(started) = events.next()? else { return None };
        let mut run = Self::new(started);
        events.for_each(|event| run.on(event));
        Some(run)
    }

    /// Takes the next event.
    pub fn on(&mut self, event: RunEvent) {
        match event {
            RunEvent::Started(started) => self.started = started,
            RunEvent::Plan(plan) => self.plan = Some(plan),
            RunEvent::Progress(progress) => self.progress = Some(progress),
            RunEvent::FaultResolved(struck) => self.faults.push(FaultLog { struck, healed: None }),
            RunEvent::FaultHealed(healed) => {
                let open = |fault: &&mut FaultLog| fault.struck.id == healed.id && fault.healed.is_none();
                if let Some(fault) = self.faults.iter_mut().find(open) {
                    fault.healed = Some(healed.time);
                }
            }
            RunEvent::Anomaly(anomaly) => self.found.push(anomaly),
            RunEvent::Verdict(judged) => self.judged = Some(judged),
            RunEvent::Finished(finished) => self.finished = Some(finished),
        }
    }

    /// The verdict; `broken` for a run that ended before it was judged.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (&self.finished, &self.judged) {
            (Some(finished), _) => finished.report.verdict,
            (None, Some(judged)) => judged.verdict,
            (None, None) => Verdict::Broken,
        }
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn reason(&self) -> &str {
        match (&self.finished, &self.judged) {
            (Some(finished), _) => &finished.report.reason,
            (None, Some(judged)) => &judged.reason,
            (None, None) => "the run ended before it was judged",
        }
    }

    /// What was found, forbidden first.
    #[must_use]
    pub fn anomalies(&self) -> &[Anomaly] {
        self.finished.as_ref().map_or(&self.found, |finished| &finished.report.anomalies)
    }

    /// What was counted; for a run that did not finish, what it last said.
    #[must_use]
    pub fn counts(&self) -> Counts {
        match (&self.finished, &self.progress) {
            (Some(finished), _) => finished.report.counts.clone(),
            (None, Some(progress)) => Counts {
                sent: progress.sent,
                acked: progress.acked,
                failed: progress.failed,
                unknown: progress.unknown,
                delivered: progress.delivered,
                ..Counts::default()
            },
            (None, None) => Counts::default(),
        }
    }

    /// The hash of everything that happened; `None` on real targets, and unless the run finished.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        self.finished.as_ref().and_then(|finished| finished.hash.as_deref())
    }

    /// When it ended, in its own time, and how many real milliseconds it took; `None` unless it finished.
    #[must_use]
    pub fn ended(&self) -> Option<(Time, u64)> {
        self.finished.as_ref().map(|finished| (finished.time, finished.real_ms))
    }

    /// Unavailability of the worst unit in whole milliseconds; `None` where it has no meaning.
    #[must_use]
    pub fn unavailable_ms(&self) -> Option<u64> {
        let unavailable = self.finished.as_ref()?.report.counts.unavailable?;
        Some(u64::try_from(unavailable.as_millis()).unwrap_or(u64::MAX))
    }

    /// `sim:kafka, seed 1`; of a history that was read, the file.
    pub(crate) fn name(&self) -> String {
        if let Some(file) = &self.file {
            return file.clone();
        }
        format!("{}, seed {}", self.started.target, self.started.seed)
    }
}

/// The runs of one scenario, in the order in which they began.
#[derive(Clone, Debug, PartialEq)]
pub struct Runs {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about; may be empty.
    pub about: String,
    /// The runs.
    pub runs: Vec<Run>,
}

impl Runs {
    /// No runs yet of this scenario.
    #[must_use]
    pub fn new(scenario: &str, about: &str) -> Self {
        Self { scenario: scenario.to_owned(), about: about.to_owned(), runs: Vec::new() }
    }

    /// The worst verdict, in the order of exit codes; `broken` without any run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.runs.iter().map(Run::verdict).reduce(Verdict::worst).unwrap_or(Verdict::Broken)
    }

    /// The first run with the worst verdict.
    pub(crate) fn worst(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.verdict() == self.verdict())
    }

    /// `3 runs: 2 valid, 1 invalid`; for one run its name alone.
    pub(crate) fn tally(&self) -> String {
        if let [run] = &*self.runs {
            return run.name();
        }
        let all = [Verdict::Valid, Verdict::Invalid, Verdict::Unknown, Verdict::Unsupported, Verdict::Broken];
        let parts: Vec<String> = all
            .into_iter()
            .map(|verdict| (verdict, self.runs.iter().filter(|run| run.verdict() == verdict).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        format!("{} runs: {}", self.runs.len(), parts.join(", "))
    }
}
