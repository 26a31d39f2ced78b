//! `squall replay`.

use crate::{Failure, args::ReplayArgs, show::say};
use serde_json::json;
use squall_history::Verdict;
use squall_scenarios::{
    Capsule,
    replay::{Replayed, command, replay},
};
use std::fs;

pub(crate) fn run(args: &ReplayArgs) -> Result<u8, Failure> {
    if args.html.is_some() && args.files.len() > 1 {
        return Err(Failure::input("--html draws one run: give one capsule"));
    }
    let (mut worst, mut objects) = (Verdict::Valid, Vec::new());
    for file in &args.files {
        let capsule = Capsule::load(file).map_err(Failure::input)?;
        let name = file.display().to_string();
        let replayed = replay(&capsule, &name, args.trace || args.html.is_some());
        if let Some(html) = &args.html {
            let written = fs::write(html, replayed.timeline());
            written
                .map_err(|error| Failure::input(format!("{} cannot be written: {error}", html.display())))?;
        }
        if args.json {
            objects.push(object(&name, &capsule, &replayed));
        } else {
            tell(&name, &capsule, &replayed, args)?;
        }
        worst = worst.worst(replayed.comparison.verdict);
    }
    if args.json {
        say(format_args!("{}", json!({ "capsules": objects })))?;
    }
    Ok(worst.exit_code())
}

fn tell(name: &str, capsule: &Capsule, replayed: &Replayed, args: &ReplayArgs) -> Result<(), Failure> {
    if args.trace {
        for line in &replayed.log {
            say(format_args!("{line}"))?;
        }
    }
    say(format_args!("{name}: {}", replayed.comparison))?;
    let report = &replayed.outcome.finished.report;
    say(format_args!("  {}: {}", report.verdict, report.reason))?;
    if let Some(found) =
        report.anomalies.iter().find(|anomaly| Some(anomaly.kind) == capsule.expected.anomaly)
    {
        for line in found.story().lines() {
            say(format_args!("  {line}"))?;
        }
    }
    if let Some(html) = &args.html {
        say(format_args!("timeline: {}", html.display()))?;
    }
    Ok(())
}

fn object(name: &str, capsule: &Capsule, replayed: &Replayed) -> serde_json::Value {
    let finished = &replayed.outcome.finished;
    json!({
        "file": name,
        "scenario": capsule.scenario.name, "target": capsule.target.0.to_string(), "seed": capsule.seed,
        "comparison": replayed.comparison,
        "reason": finished.report.reason,
        "anomalies": finished.report.anomalies,
        "real_ms": finished.real_ms,
        "reproduce": command(name),
        "trace": replayed.log.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
