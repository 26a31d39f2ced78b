//! Judging histories that are there already: `squall check`.
//!
//! A history names the guarantees that it is judged by in its head: how the clients were set up, and what was
//! expected beyond that. [`Guarantees`] replace some of them; what they leave out stays as the head says. What came
//! of it has the shape of a run's report, so that everything that shows runs shows it.

mod guarantees;

pub use guarantees::{Guarantees, GuaranteesError};

use crate::{format::or_list, runs::quoted};
use squall_history::{
    History, Kind,
    events::{FaultHealed, FaultResolved, Finished, Judged, RunEvent, Started},
    history::Observation,
    import::jepsen::{self, ImportError},
    jsonl::{self, ReadError},
    verdict::judge_without,
};
use squall_reports::Run;
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    time::Instant,
};

/// The kind of anomaly with this id.
///
/// # Errors
/// When there is none: a sentence that names the one that may be meant.
pub fn kind(id: &str) -> Result<Kind, String> {
    Kind::ALL.iter().copied().find(|kind| kind.id() == id).ok_or_else(|| {
        let ids = Kind::ALL.iter().map(|kind| kind.id());
        format!("there is no such anomaly; {}", or_list(id, ids, "there are"))
    })
}

/// How to judge.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// What replaces the guarantees of the head.
    pub guarantees: Guarantees,
    /// Kinds of anomalies that are not looked for.
    pub ignore: Vec<Kind>,
    /// Whose format the files have, if not Squall's own.
    pub import: Option<Import>,
    /// The words of the command, without the file: they stand in the command that does it again.
    pub words: Vec<String>,
}

/// Whose histories can be read besides Squall's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Jepsen's Kafka and list-append workloads: EDN, or JSON Lines.
    Jepsen,
}

/// Why a file could not be judged: a sentence with the file, the line and what is wrong there.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file cannot be opened.
    #[error("{file}: cannot open the file: {source}", file = file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a history, or a damaged one.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is not a history of the other format, or a damaged one.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The guarantees do not fit.
    #[error(transparent)]
    Guarantees(#[from] GuaranteesError),
}

impl CheckError {
    /// The line that is wrong, from 1, where there is one.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Read(error) => Some(error.line),
            Self::Import(error) => Some(error.line),
            Self::Open { .. } | Self::Guarantees(_) => None,
        }
    }
}

impl Check {
    /// Reads a history in Squall's format and judges it.
    ///
    /// # Errors
    /// When the file cannot be read, or the guarantees do not fit.
    pub fn file(&self, file: &Path) -> Result<Run, CheckError> {
        let opened = File::open(file).map_err(|source| CheckError::Open { file: file.to_owned(), source })?;
        let name = file.display().to_string();
        let history = match self.import {
            None => jsonl::read(BufReader::with_capacity(1 << 16, opened), &name)?,
            Some(Import::Jepsen) => jepsen::read(opened, &name)?.history,
        };
        self.history(file, history)
    }

    /// Judges a history that was read from this file.
    ///
    /// # Errors
    /// When the guarantees do not fit.
    pub fn history(&self, file: &Path, mut history: History) -> Result<Run, CheckError> {
        let began = Instant::now();
        self.guarantees.replace(&mut history.meta)?;
        let report = judge_without(&history, &self.ignore);
        let mut run = Run::new(self.started(file, &history));
        run.file = Some(file.display().to_string());
        faults(&history).for_each(|event| run.on(event));
        let (verdict, reason) = (report.verdict, report.reason.clone());
        run.on(RunEvent::Verdict(Judged { verdict, reason }));
        run.on(RunEvent::Finished(Finished {
            report,
            time: history.end(),
            real_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            hash: None,
            latency: None,
        }));
        Ok(run)
    }

    fn started(&self, file: &Path, history: &History) -> Started {
        let meta = &history.meta;
        let mut reproduce = format!("squall check {}", quoted(&file.display().to_string()));
        for word in &self.words {
            reproduce.push(' ');
            reproduce.push_str(&quoted(word));
        }
        Started {
            scenario: meta.scenario.clone(),
            about: String::new(),
            target: meta.target.clone(),
            seed: meta.seed,
            reproduce,
            options: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

/// The faults of a history, as a run tells of them.
fn faults(history: &History) -> impl Iterator<Item = RunEvent> + '_ {
    history.notes().iter().filter_map(|(event, note)| {
        let time = history.time(*event);
        match note {
            Observation::Fault(struck) => Some(RunEvent::FaultResolved(FaultResolved {
                id: struck.id,
                verb: struck.verb.clone(),
                role: struck.role.clone(),
                hit: struck.hit.clone(),
                time,
            })),
            Observation::Heal { id } => Some(RunEvent::FaultHealed(FaultHealed { id: *id, time })),
            _ => None,
        }
    })
}
