//! `squall run --guard`: each simulated run once more here, and in fresh processes of this command.

use crate::{
    Failure,
    args::{FootprintArgs, overrides},
    show::say,
};
use squall_history::Verdict;
use squall_scenarios::{
    Job,
    guard::{self, GuardError},
    library,
};
use squall_sim::guard::Footprint;
use std::{env, process::Command, sync::Arc};

/// Prints the footprint of one run, for the process that asked for it.
pub(crate) fn footprint(args: &FootprintArgs) -> Result<u8, Failure> {
    let overrides = overrides(&args.set)?;
    let scenario = Arc::new(library::open(&args.scenario, &overrides).map_err(Failure::input)?);
    let job =
        Job { scenario, named: args.scenario.clone(), overrides, target: args.on.clone(), seed: args.seed };
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

/// Compares each job with itself in a fresh process, and tells on standard error.
pub(crate) fn guard(jobs: &[Job]) -> Result<Verdict, Failure> {
    let mut verdict = Verdict::Valid;
    for job in jobs {
        let name = format!("{}, seed {}", job.target, job.seed);
        match guard::examine(job, |from| fresh(job, from)) {
            Ok((left, None)) => eprintln!(
                "guard: {name}: a fresh process went the same way, {} events, hash of events {:016x}",
                left.events, left.hash
            ),
            Ok((_, Some(parted))) => {
                eprintln!("guard: {name}: {parted}\n  run it again: {} --guard", job.reproduce());
                verdict = verdict.worst(Verdict::Broken);
            }
            // What the target cannot do is the verdict of the run itself.
            Err(GuardError::Unsupported(why)) => eprintln!("guard: {name}: nothing to compare: {why}"),
            Err(error) => return Err(Failure::broken(format!("guard: {name}: {error}"))),
        }
    }
    Ok(verdict)
}

/// The same job in a fresh process.
fn fresh(job: &Job, from: Option<u64>) -> Result<Footprint, GuardError> {
    let failed = |why: &dyn std::fmt::Display| GuardError::Fresh(why.to_string());
    let mut command = Command::new(env::current_exe().map_err(|error| failed(&error))?);
    command.args(["footprint", &job.named, "--on", &job.target.to_string(), "--seed", &job.seed.to_string()]);
    for over in &job.overrides {
        command.args(["--set", over.text()]);
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
