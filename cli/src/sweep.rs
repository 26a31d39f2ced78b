//! `squall sweep`: the library over many seeds, held against the table of expected outcomes.

use crate::{
    Failure,
    args::SweepArgs,
    guard::{self, Guarded},
    show::{Show, say},
};
use serde_json::{Value, json};
use squall_history::Verdict;
use squall_scenarios::{
    Target,
    guard::GuardError,
    sweep::{Group, Held, Sweep, Swept, rows},
};
use std::thread;

pub(crate) fn sweep(args: &SweepArgs) -> Result<u8, Failure> {
    let targets = if args.on.is_empty() { Target::defaults() } else { args.on.clone() };
    if let Some(real) = targets.iter().find(|target| !target.is_simulated()) {
        return Err(Failure::input(format!(
            "the target {real} cannot be swept: only simulated runs are repeatable; use `squall run`"
        )));
    }
    if args.seed.checked_add(args.seeds - 1).is_none() {
        let (seeds, first) = (args.seeds, args.seed);
        return Err(Failure::input(format!(
            "there are no {seeds} seeds from {first} on: give a smaller --seed"
        )));
    }
    let sweep = Sweep {
        rows: rows(&args.scenarios, &targets).map_err(Failure::input)?,
        first: args.seed,
        seeds: args.seeds,
        threads: args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
        keep: args.replay,
    };
    let show = Show::new(sweep.runs());
    let swept = sweep.run(&|progress| show.counted(progress.runs, progress.differ, "different"));
    show.finish();
    let replayed = replay(&swept)?;
    if args.json {
        say(format_args!("{}", swept_json(&swept, replayed)))?;
    } else {
        say(format_args!("{swept}"))?;
        if args.replay > 0 {
            say(format_args!(
                "{replayed} of {} runs went the same way in a fresh process",
                swept.kept.len()
            ))?;
        }
    }
    let all = replayed == swept.kept.len() as u64;
    let parted = if all { Verdict::Valid } else { Verdict::Broken };
    Ok(swept.verdict().0.worst(parted).exit_code())
}

/// How many of the kept runs go the same way in a fresh process; of one that does not it is told where it parts.
fn replay(swept: &Swept) -> Result<u64, Failure> {
    let show = Show::new(swept.kept.len() as u64);
    let mut same = 0;
    for (number, kept) in (1..).zip(&swept.kept) {
        let run = Guarded::plain(&kept.job);
        match guard::compare(&run, &kept.footprint) {
            Ok(None) => same += 1,
            Ok(Some(parted)) => eprintln!("guard: {}\n  run it again: {} --guard", parted, run.reproduce),
            Err(error @ GuardError::Fresh(_)) => return Err(Failure::broken(error)),
            Err(error) => return Err(Failure::input(error)),
        }
        show.counted(number, number - same, "different in a fresh process");
    }
    show.finish();
    Ok(same)
}

fn swept_json(swept: &Swept, replayed: u64) -> Value {
    let (verdict, reason) = swept.verdict();
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    json!({
        "rows": swept.rows,
        "first_seed": swept.first,
        "seeds": swept.seeds,
        "runs": swept.runs,
        "as_expected": swept.as_expected,
        "unsupported": swept.unsupported,
        "differ": swept.differ(),
        "threads": swept.threads,
        "elapsed_ms": millis(swept.elapsed),
        "virtual_ms": millis(swept.virtual_time),
        "verdict": verdict.word(),
        "reason": reason,
        "groups": swept.groups.iter().map(group_json).collect::<Vec<_>>(),
        "replayed": { "runs": swept.kept.len(), "equal": replayed },
    })
}

fn group_json(group: &Group) -> Value {
    json!({
        "scenario": group.scenario,
        "target": group.target.to_string(),
        "expected": group.expected,
        "differs": matches!(group.held, Held::Differs(_)),
        "what": group.what(),
        "fails": group.fails(),
        "verdict": group.verdict.word(),
        "runs": group.runs,
        "as_expected": group.as_expected,
        "seed": group.seed,
        "reason": group.reason,
        "reproduce": group.reproduce,
    })
}
