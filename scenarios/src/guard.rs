//! The determinism guard for scenarios: a simulated run leaves a footprint, and a run of the same job in a fresh process
//! must leave the same.
//!
//! How a fresh process is started is for the caller to say; what it has to leave is [`footprint`].

use crate::{
    Job, Plan, Target,
    runner::RunError,
    runs::{How, simulate},
};
use squall_sim::guard::{Footprint, Parted};
use std::{fmt, sync::Arc};

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardError {
    /// Runs on this target do not repeat.
    NotSimulated(Target),
    /// The target cannot run the scenario.
    Unsupported(String),
    /// A fresh process left no footprint.
    Fresh(String),
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSimulated(target) => {
                write!(
                    f,
                    "runs on {target} do not repeat: only those on simulated targets (`sim:...`) can be guarded"
                )
            }
            Self::Unsupported(why) => f.write_str(why),
            Self::Fresh(why) => write!(f, "the run in a fresh process left no footprint: {why}"),
        }
    }
}

impl std::error::Error for GuardError {}

/// What a run of this job leaves, with the events behind this checkpoint.
///
/// # Errors
/// When its target is not simulated or cannot run the scenario.
pub fn footprint(job: &Job, record_from: Option<u64>) -> Result<Footprint, GuardError> {
    let Target::Sim(bus) = &job.target else { return Err(GuardError::NotSimulated(job.target.clone())) };
    let plan = Arc::new(Plan::new(Arc::clone(&job.scenario), job.seed));
    let run = simulate(bus, &plan, &(Arc::new(|_| {}) as _), How { record_from, ..How::default() });
    match run.ran {
        Err(RunError::Unsupported(why)) => Err(GuardError::Unsupported(why)),
        Err(RunError::Broken(_)) | Ok(_) => Ok(run.footprint),
    }
}

/// Compares a run of this job in this process with one in a fresh process, which `fresh` starts: it runs the same
/// job there and gives back its [`footprint`]. Answers the footprint here, and where the runs part if they do.
///
/// # Errors
/// When there is nothing to compare.
pub fn examine(
    job: &Job,
    fresh: impl FnMut(Option<u64>) -> Result<Footprint, GuardError>,
) -> Result<(Footprint, Option<Parted>), GuardError> {
    let first = footprint(job, None)?;
    let parted = examine_left(job, &first, fresh)?;
    Ok((first, parted))
}

/// Compares what a run of this job in this process left with a second one here and one in a fresh process.
///
/// # Errors
/// When there is nothing to compare.
pub fn examine_left(
    job: &Job,
    left: &Footprint,
    mut fresh: impl FnMut(Option<u64>) -> Result<Footprint, GuardError>,
) -> Result<Option<Parted>, GuardError> {
    squall_sim::guard::examine(left, &mut |from| footprint(job, from), &mut fresh)
}
