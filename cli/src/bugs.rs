//! `squall bugs`: the bugs that models can have, and the proof that each is found.

use crate::{Failure, args::BugsArgs, show::say};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use squall_scenarios::bugs::{Calm, Found, Ground, Hunt, select};
use squall_sim::bugs::Bug;
use std::{
    io::{IsTerminal, stderr},
    thread,
    time::Duration,
};

pub(crate) fn bugs(args: &BugsArgs) -> Result<u8, Failure> {
    let bugs = select(&args.ids).map_err(Failure::input)?;
    if args.verify { verify(args, &bugs) } else { list(args, &bugs) }
}

/// Every bug with who had it, and the command that shows it.
fn list(args: &BugsArgs, bugs: &[Bug]) -> Result<u8, Failure> {
    if args.json {
        let row = |bug: &Bug| {
            json!({
                "id": bug.id, "bus": bug.bus, "source": bug.source, "about": bug.about,
                "scenario": bug.scenario, "anomaly": bug.anomaly, "run": command(bug),
            })
        };
        let object = json!({ "bugs": bugs.iter().map(row).collect::<Vec<_>>() });
        say(format_args!("{object}"))?;
        return Ok(0);
    }
    let width = bugs.iter().map(|bug| bug.id.len()).max().unwrap_or(0);
    for bug in bugs {
        say(format_args!("{:width$}  {}: {}", bug.id, bug.anomaly, bug.about))?;
        say(format_args!("{:width$}  {}", "", bug.source))?;
        say(format_args!("{:width$}  {}", "", command(bug)))?;
    }
    Ok(0)
}

/// The command that runs the scenario of a bug with it.
fn command(bug: &Bug) -> String {
    format!("squall run {} --bug {} --seeds 100", bug.scenario, bug.id)
}

/// Looks for each bug.
fn verify(args: &BugsArgs, bugs: &[Bug]) -> Result<u8, Failure> {
    let ground = if args.storm { Ground::Storm } else { Ground::Directed };
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let progress = Progress::new(bugs.len());
    let calm = Calm::default();
    let mut all = Vec::with_capacity(bugs.len());
    for bug in bugs {
        progress.looks_for(bug);
        let hunt = Hunt { bug: *bug, seeds: args.seeds, clean: Hunt::CLEAN, ground, threads };
        let found = hunt.run(&calm).map_err(Failure::broken)?;
        progress.looked(&sentence(&found));
        all.push(found);
    }
    progress.finish();
    if args.json {
        let object = json!({ "bugs": all });
        say(format_args!("{object}"))?;
    } else {
        let width = all.iter().map(|found| found.id.len()).max().unwrap_or(0);
        for found in &all {
            say(format_args!("{:width$}  {}", found.id, sentence(found)))?;
        }
        say(format_args!("{}", total(&all)))?;
    }
    Ok(u8::from(!ground.is_proof(&all)))
}

/// What came of one hunt: `lost_write at seed 3 of fast-double-failover; clean without the bug`.
fn sentence(found: &Found) -> String {
    let scenario = found.scenario.unwrap_or("the storms");
    let shown = match found.seeds_needed {
        Some(seed) => format!("{} at seed {seed} of {scenario}", found.anomaly),
        None => format!("no {} in {} seeds of {scenario}", found.anomaly, found.seeds_tried),
    };
    match found.false_alarms {
        0 => format!("{shown}; clean without the bug"),
        1 => format!("{shown}; 1 seed is invalid without the bug"),
        more => format!("{shown}; {more} seeds are invalid without the bug"),
    }
}

/// What came of all: `2 of 3 bugs are found, and nothing without them`.
fn total(all: &[Found]) -> String {
    let found = all.iter().filter(|hunt| hunt.found).count();
    let alarms = all.iter().filter(|hunt| hunt.false_alarms > 0).count();
    let shown = format!("{found} of {} bugs are found", all.len());
    match alarms {
        0 => format!("{shown}, and nothing without them"),
        alarms => format!("{shown}; without {alarms} of them seeds are invalid, too"),
    }
}

/// A bar on a terminal, a line for each bug elsewhere; to standard error.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(bugs: usize) -> Self {
        Self(stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(bugs as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} bugs, {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    fn looks_for(&self, bug: &Bug) {
        if let Some(bar) = &self.0 {
            bar.set_message(bug.id);
        }
    }

    fn looked(&self, sentence: &str) {
        match &self.0 {
            Some(bar) => bar.inc(1),
            None => eprintln!("{sentence}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_sim::bugs;

    fn hunt(found: bool, false_alarms: u64) -> Found {
        let bug = bugs::all()[0];
        Found {
            id: bug.id,
            source: bug.source,
            scenario: Some(bug.scenario),
            anomaly: squall_history::Kind::LostWrite,
            found,
            seeds_needed: found.then_some(1),
            seeds_tried: 1,
            false_alarms,
        }
    }

    /// A false alarm counts whether its bug is found or not.
    #[test]
    fn nothing_is_found_without_the_bugs_only_if_nothing_is() {
        let quiet = [hunt(true, 0), hunt(false, 0)];
        assert_eq!(total(&quiet), "1 of 2 bugs are found, and nothing without them");
        let alarmed = [hunt(true, 2), hunt(false, 1), hunt(true, 0)];
        assert_eq!(total(&alarmed), "2 of 3 bugs are found; without 2 of them seeds are invalid, too");
    }
}
