//! `squall shrink`, and what `squall run` does about its first failure.

use crate::{
    Failure,
    args::{ShrinkArgs, overrides},
    show::{Show, say},
};
use serde_json::json;
use squall_scenarios::{
    Capsule, Job, capsule, library,
    replay::command,
    runner::Sink,
    shrink::{Shrunk, shrink},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) fn run(args: &ShrinkArgs) -> Result<u8, Failure> {
    let capsule = if args.what.ends_with(capsule::EXTENSION) {
        Capsule::load(Path::new(&args.what)).map_err(Failure::input)?
    } else {
        failing(args)?
    };
    let shrunk = shrunk(&capsule).map_err(Failure::input)?;
    let path = write(&shrunk.capsule, &args.out)?;
    let replay = command(&path.display().to_string());
    if args.json {
        let object = json!({
            "capsule": path, "reproduce": replay,
            "before": shrunk.before, "after": shrunk.after, "runs": shrunk.runs, "complete": shrunk.complete,
            "expected": shrunk.capsule.expected,
            "schedule": shrunk.capsule.plan().faults().iter().map(capsule::schedule_line).collect::<Vec<_>>(),
        });
        say(format_args!("{object}"))?;
    } else {
        say(format_args!("{shrunk}"))?;
        say(format_args!("capsule: {}", path.display()))?;
        say(format_args!("replay: {replay}"))?;
    }
    Ok(shrunk.capsule.expected.verdict.exit_code())
}

/// The capsule of the scenario's run, which has to fail.
fn failing(args: &ShrinkArgs) -> Result<Capsule, Failure> {
    let overrides = overrides(&args.set, args.bug.as_deref())?;
    let scenario = Arc::new(library::open(&args.what, &overrides).map_err(Failure::input)?);
    let job = Job { scenario, named: args.what.clone(), overrides, target: args.on.clone(), seed: args.seed };
    if !job.target.is_simulated() {
        return Err(Failure::input(format!(
            "only simulated runs shrink, and {} is not simulated: give --on sim:{}",
            job.target,
            job.target.bus()
        )));
    }
    let nobody: Sink = Arc::new(|_| {});
    let outcome = job.run(&nobody, &|_| {});
    Capsule::of(&job, &outcome).map_err(Failure::input)
}

/// Shrinks, and shows how far it is.
fn shrunk(capsule: &Capsule) -> Result<Shrunk, String> {
    let show = Show::new(1);
    show.note(&format!("shrinking {} on {}, seed {}", capsule.scenario.name, capsule.target.0, capsule.seed));
    let result = shrink(capsule, &mut |progress| {
        show.step(&format!(
            "shrinking: {} ({} runs so far); now {}",
            progress.pass, progress.runs, progress.size
        ));
    });
    show.finish();
    result.map_err(|error| error.to_string())
}

/// Keeps a failure in a folder, shrunk if wanted: the story, and the command that replays it.
pub(crate) fn keep(capsule: &Capsule, shrinks: bool, folder: &Path) -> Result<String, Failure> {
    let shrunk = if shrinks { Some(shrunk(capsule).map_err(Failure::broken)?) } else { None };
    let path = write(shrunk.as_ref().map_or(capsule, |shrunk| &shrunk.capsule), folder)?;
    let story = shrunk.map(|shrunk| format!("{shrunk}\n")).unwrap_or_default();
    Ok(format!("{story}replay: {}", command(&path.display().to_string())))
}

/// Writes a capsule into a folder under its own name.
fn write(capsule: &Capsule, folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join(capsule.file_name());
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, capsule.to_yaml()));
    match written {
        Ok(()) => Ok(path),
        Err(error) => {
            Err(Failure::input(format!("the capsule {} cannot be written: {error}", path.display())))
        }
    }
}
