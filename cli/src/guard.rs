//! `squall run --guard` and `squall explore --guard`: simulated runs once more here, and in fresh processes of this command.

use crate::{
    Failure,
    args::{FootprintArgs, overrides},
    show::say,
};
use squall_history::Verdict;
use squall_scenarios::{
    Job,
    explore::{Exploration, Limit, Preset},
    guard::{self, GuardError},
    library,
};
use squall_sim::guard::{Footprint, Parted};
use std::{env, process::Command, sync::Arc};

/// A run that is to go the same way in every process.
pub(crate) struct Guarded {
    /// It, as it was run.
    pub(crate) job: Job,
    /// Its scenario is what the seed draws under this preset.
    pub(crate) explored: Option<Preset>,
    /// The command that runs it again.
    pub(crate) reproduce: String,
}

impl Guarded {
    /// A run of a scenario as it is.
    pub(crate) fn plain(job: &Job) -> Self {
        Self { job: job.clone(), explored: None, reproduce: job.reproduce() }
    }

    /// A seed of an exploration.
    pub(crate) fn explored(exploration: &Exploration, seed: u64) -> Self {
        let (job, _) = exploration.job(seed);
        Self { job, explored: Some(exploration.preset), reproduce: exploration.reproduce(seed) }
    }
}

/// Prints the footprint of one run, for the process that asked for it.
pub(crate) fn footprint(args: &FootprintArgs) -> Result<u8, Failure> {
    let overrides = overrides(&args.set, None)?;
    let scenario = Arc::new(library::open(&args.scenario, &overrides).map_err(Failure::input)?);
    let (named, target, seed) = (args.scenario.clone(), args.on.clone(), args.seed);
    let job = match args.explore {
        None => Job { scenario, named, overrides, target, seed },
        Some(preset) => {
            let (first, limit, keep_going, threads) = (seed, Limit::Seeds(1), false, 1);
            let exploration =
                Exploration { scenario, named, overrides, target, preset, first, limit, keep_going, threads };
            exploration.job(seed).0
        }
    };
    let footprint = guard::footprint(&job, args.record_from).map_err(Failure::input)?;
    say(format_args!("{}", footprint.to_string().trim_end()))?;
    Ok(Verdict::Valid.exit_code())
}

/// Only simulated runs repeat; the others are refused before anything is run.
pub(crate) fn refuse_real(jobs: &[Job]) -> Result<(), Failure> {
    match jobs.iter().find(|job| !job.target.is_simulated()) {
        Some(job) => Err(Failure::input(GuardError::NotSimulated(job.target.clone()))),
        None => Ok(()),
    }
}

/// Compares each run with itself in a fresh process, and tells on standard error.
pub(crate) fn guard(runs: impl Iterator<Item = Guarded>) -> Result<Verdict, Failure> {
    let mut verdict = Verdict::Valid;
    for run in runs {
        let job = &run.job;
        let name = format!("{}, seed {}", job.target, job.seed);
        match guard::examine(job, |from| fresh(&run, from)) {
            Ok((left, None)) => eprintln!(
                "guard: {name}: a fresh process went the same way, {} events, hash of events {:016x}",
                left.events, left.hash
            ),
            Ok((_, Some(parted))) => {
                eprintln!("guard: {name}: {parted}\n  run it again: {} --guard", run.reproduce);
                verdict = verdict.worst(Verdict::Broken);
            }
            // What the target cannot do is the verdict of the run itself.
            Err(GuardError::Unsupported(why)) => eprintln!("guard: {name}: nothing to compare: {why}"),
            Err(error) => return Err(Failure::broken(format!("guard: {name}: {error}"))),
        }
    }
    Ok(verdict)
}

/// Where a run that left this parts from one in a fresh process, if it does.
pub(crate) fn compare(run: &Guarded, left: &Footprint) -> Result<Option<Parted>, GuardError> {
    guard::examine_left(&run.job, left, |from| fresh(run, from))
}

/// The same run in a fresh process.
fn fresh(Guarded { job, explored, .. }: &Guarded, from: Option<u64>) -> Result<Footprint, GuardError> {
    let failed = |why: &dyn std::fmt::Display| GuardError::Fresh(why.to_string());
    let mut command = Command::new(env::current_exe().map_err(|error| failed(&error))?);
    command.args(["footprint", &job.named, "--on", &job.target.to_string(), "--seed", &job.seed.to_string()]);
    for over in &job.overrides {
        command.args(["--set", over.text()]);
    }
    if let Some(preset) = explored {
        command.args(["--explore", &preset.to_string()]);
    }
    if let Some(from) = from {
        command.args(["--record-from", &from.to_string()]);
    }
    let output = command.output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8_lossy(&output.stdout).parse().map_err(|error| failed(&error))
}
