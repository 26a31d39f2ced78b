//! The folder of a command's output: `squall-out/`.
//!
//! | file | what | when |
//! |---|---|---|
//! | `events.jsonl` | one line for each run event and measurement | as it happens, each line at once |
//! | `report.html`, `result.json`, `junit.xml`, `report.txt` | the reports | whole, by renaming a finished file |
//!
//! A reader never sees half a report, and a command that is killed leaves all events so far: [`Folder::read`]
//! folds them again, and a line that was cut off at the very end is not an error.

use crate::{Exporter, Html, Json, Junit, Measured, ReportError, Run, Runs, Text};
use serde::{Deserialize, Serialize};
use squall_history::RunEvent;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

const EVENTS: &str = "events.jsonl";

/// A folder that reports are written to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    events: File,
}

/// A line of `events.jsonl`: exactly one of the two stands in it.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Which run, from 0.
    run: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<RunEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
}

impl Folder {
    /// Opens a folder for a new command, and makes it if need be. The events of an earlier command are replaced;
    /// its reports stay until new ones are written.
    ///
    /// # Errors
    /// When the folder or its file of events cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| ReportError::Write { path: path.clone(), source })?;
        let events = path.join(EVENTS);
        let events = File::create(&events).map_err(|source| ReportError::Write { path: events, source })?;
        Ok(Self { path, events })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an event of the run with this number, from 0.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn event(&mut self, run: u32, event: &RunEvent) -> Result<(), ReportError> {
        self.keep(&Line { run, event: Some(event.clone()), measured: None })
    }

    /// Keeps what was measured in a run.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn measured(&mut self, run: u32, measured: &Measured) -> Result<(), ReportError> {
        self.keep(&Line { run, event: None, measured: Some(measured.clone()) })
    }

    /// Writes all reports. Each replaces its predecessor as a whole, or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reports(&self, runs: &Runs) -> Result<(), ReportError> {
        let exporters: [&dyn Exporter; 4] = [&Json, &Junit, &Html, &Text { color: false }];
        exporters.into_iter().try_for_each(|exporter| self.report(exporter, runs))
    }

    /// Folds the events of a folder again.
    ///
    /// # Errors
    /// When there are none, or a line other than the last is not one.
    pub fn read(path: &Path) -> Result<Runs, ReportError> {
        let path = path.join(EVENTS);
        let text =
            fs::read_to_string(&path).map_err(|source| ReportError::Read { path: path.clone(), source })?;
        let whole = text.ends_with('\n');
        let count = text.lines().count();
        let mut runs: BTreeMap<u32, Run> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(line) => take(&mut runs, line),
                Err(_) if index + 1 == count && !whole => {}
                Err(source) => return Err(ReportError::Line { path, line: index + 1, source }),
            }
        }
        let started = runs.values().next().map(|run| run.started.clone()).ok_or_else(|| {
            ReportError::Read { path, source: io::Error::new(io::ErrorKind::UnexpectedEof, "no run began") }
        })?;
        Ok(Runs { scenario: started.scenario, about: started.about, runs: runs.into_values().collect() })
    }

    fn keep(&mut self, line: &Line) -> Result<(), ReportError> {
        let write = |file: &mut File| -> io::Result<()> {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            file.write_all(&bytes)
        };
        write(&mut self.events).map_err(|source| ReportError::Write { path: self.path.join(EVENTS), source })
    }

    fn report(&self, exporter: &dyn Exporter, runs: &Runs) -> Result<(), ReportError> {
        let text = exporter.export(runs)?;
        let path = self.path.join(exporter.file_name());
        replace(&self.path, &path, &text).map_err(|source| ReportError::Write { path, source })
    }
}

fn take(runs: &mut BTreeMap<u32, Run>, line: Line) {
    match (line.event, runs.get_mut(&line.run)) {
        (Some(RunEvent::Started(started)), None) => {
            runs.insert(line.run, Run::new(started));
        }
        (Some(event), Some(run)) => run.on(event),
        (None, Some(run)) => run.measured = line.measured.or(run.measured.take()),
        (_, None) => {}
    }
}

/// Writes beside the target, syncs, renames: after a crash the old file or the new one is there.
fn replace(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".squall-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    readable_by_all(file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Temporary files are private; a report is for everybody that may see the folder.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}
