//! `squall explore`.
//!
//! Each target is explored on all cores, one after the other; a budget of time is shared among them.

use crate::{
    Failure,
    args::{ExploreArgs, overrides},
    guard::{self, Guarded},
    run::default_targets,
    show::say,
    shrink,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use squall_history::Verdict;
use squall_scenarios::{
    Capsule, Target,
    explore::{Exploration, Group, Limit, Preset, Progress, Summary, Tally},
    library,
    runner::Sink,
};
use std::{
    collections::BTreeSet,
    io::{IsTerminal, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How long is explored when nothing is said.
const BUDGET: Duration = Duration::from_secs(60);
/// How often a plain line tells of the progress, in seconds.
const LINE_EVERY: u64 = 5;

pub(crate) fn explore(args: &ExploreArgs) -> Result<u8, Failure> {
    let overrides = overrides(&args.set, args.bug.as_deref())?;
    let scenario = Arc::new(library::open(&args.scenario, &overrides).map_err(Failure::input)?);
    let (named, targets) = (!args.on.is_empty(), targets(args));
    let mut summaries = Vec::new();
    let mut refused = Vec::new();
    let explorations: Vec<Exploration> = targets
        .into_iter()
        .map(|target| Exploration {
            scenario: Arc::clone(&scenario),
            named: args.scenario.clone(),
            overrides: overrides.clone(),
            target,
            preset: preset(args),
            first: args.seed.unwrap_or(1),
            limit: Limit::Seeds(1),
            keep_going: args.keep_going,
            threads: args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
        })
        .filter(|exploration| match exploration.refusal() {
            Some(refusal) => {
                refused.push((exploration.target.clone(), refusal));
                false
            }
            None => true,
        })
        .collect();
    // A target that was not asked for may lack something; one that was named may not.
    if let (true, Some((_, refusal))) | (_, Some((_, refusal))) = (named, refused.first())
        && (named || explorations.is_empty())
    {
        return Err(Failure::input(refusal));
    }
    for (target, refusal) in &refused {
        eprintln!("{target} is left out: {refusal}");
    }
    let limit = limit(args, explorations.len());
    let mut guarded = Verdict::Valid;
    for exploration in explorations {
        let exploration = Exploration { limit, ..exploration };
        let show = Show::new(&exploration);
        let summary = exploration.sweep(&|progress| show.progress(progress));
        show.finish();
        if !args.json {
            if !summaries.is_empty() {
                say(format_args!(""))?;
            }
            say(format_args!("{summary}"))?;
        }
        keep(args, &summary)?;
        if let Some(every) = args.guard {
            guarded = guarded.worst(guard(&exploration, &summary, every)?);
        }
        summaries.push(summary);
    }
    if args.json {
        let explored: Vec<Value> = summaries.iter().map(summary_json).collect();
        say(format_args!("{}", json!({ "scenario": scenario.name, "explored": explored })))?;
    }
    let verdicts = summaries.iter().map(|summary| summary.verdict().0);
    Ok(verdicts.fold(guarded, Verdict::worst).exit_code())
}

/// Keeps the first failure of each kind as a capsule: the least of it that still fails, unless told not to. What is said
/// of it goes to standard error where standard output is one JSON object.
fn keep(args: &ExploreArgs, summary: &Summary) -> Result<(), Failure> {
    let nobody: Sink = Arc::new(|_| {});
    for Group { first, .. } in &summary.groups {
        let outcome = first.job.run(&nobody, &|_| {});
        // What could not be run has nothing to keep.
        let Ok(capsule) = Capsule::of(&first.job, &outcome) else { continue };
        let capsule = Capsule { origin: first.reproduce.clone(), ..capsule };
        let story = shrink::keep(&capsule, !args.no_shrink, &args.out)?;
        if args.json {
            eprintln!("{story}");
        } else {
            say(format_args!("\n{story}"))?;
        }
    }
    Ok(())
}

/// Compares the first failure of each kind and every so-manieth seed with themselves in fresh processes.
fn guard(exploration: &Exploration, summary: &Summary, every: u64) -> Result<Verdict, Failure> {
    // Seeds are handed out one after the other, and those that are handed out are run.
    let places = (0..summary.seeds()).filter(|place| place % every == 0);
    let mut seeds: BTreeSet<u64> = places.map(|place| summary.first + place).collect();
    seeds.extend(summary.groups.iter().map(|group| group.first.job.seed));
    guard::guard(seeds.into_iter().map(|seed| Guarded::explored(exploration, seed)))
}

fn targets(args: &ExploreArgs) -> Vec<Target> {
    if args.on.is_empty() { default_targets(args.bug.as_deref()) } else { args.on.clone() }
}

const fn preset(args: &ExploreArgs) -> Preset {
    match (args.lite, args.storm) {
        (true, _) => Preset::Lite,
        (_, true) => Preset::Storm,
        _ => Preset::Swarm,
    }
}

/// A seed that is named alone is run alone.
fn limit(args: &ExploreArgs, targets: usize) -> Limit {
    let shared = |budget: Duration| Limit::Time(budget / u32::try_from(targets.max(1)).unwrap_or(1));
    match (args.seeds, args.budget, args.seed) {
        (Some(seeds), ..) => Limit::Seeds(seeds),
        (None, Some(budget), _) => shared(budget.get()),
        (None, None, Some(_)) => Limit::Seeds(1),
        (None, None, None) => shared(BUDGET),
    }
}

/// Live progress, on standard error.
struct Show {
    target: Target,
    bar: Option<ProgressBar>,
    told: AtomicU64,
}

impl Show {
    fn new(exploration: &Exploration) -> Self {
        let length = match exploration.limit {
            Limit::Seeds(seeds) => Some(seeds),
            Limit::Time(_) => None,
        };
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
            let template = if length.is_some() {
                "{bar:32} {pos}/{len} seeds, {msg}"
            } else {
                "{spinner} {pos} seeds, {msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { target: exploration.target.clone(), bar, told: AtomicU64::new(0) }
    }

    fn progress(&self, progress: &Progress) {
        let line = line(&self.target, progress);
        match &self.bar {
            Some(bar) => {
                bar.set_position(progress.seeds);
                bar.set_message(line);
            }
            None => {
                let turn = progress.elapsed.as_secs() / LINE_EVERY;
                if self.told.fetch_max(turn, Ordering::Relaxed) < turn {
                    eprintln!("{} seeds, {line}", progress.seeds);
                }
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(target: &Target, progress: &Progress) -> String {
    let millis = progress.elapsed.as_millis().max(1);
    let a_second = u128::from(progress.seeds) * 10_000 / millis;
    let mut line = format!("{}.{}/s on {target}, {} failed", a_second / 10, a_second % 10, progress.failures);
    let kinds: Vec<String> =
        progress.kinds.iter().map(|(kind, seeds)| format!("{kind} in {seeds}")).collect();
    if !kinds.is_empty() {
        line.push_str(&format!(" ({})", kinds.join(", ")));
    }
    line.push_str(&format!(", {} of {} marks", progress.marks, progress.marks_in_all));
    line
}

fn summary_json(summary: &Summary) -> Value {
    let (verdict, reason) = summary.verdict();
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let marks: Vec<Value> = summary
        .marks
        .iter()
        .map(|(mark, seeds)| {
            json!({ "name": mark.name(), "seeds": seeds, "required": summary.required.contains(mark) })
        })
        .collect();
    let allowed: Vec<Value> = summary
        .allowed
        .iter()
        .map(|(kind, seeds)| json!({ "kind": kind.id(), "within": seeds.within, "beyond": seeds.beyond }))
        .collect();
    json!({
        "target": summary.target.to_string(),
        "preset": summary.preset.to_string(),
        "first_seed": summary.first,
        "seeds": summary.seeds(),
        "threads": summary.threads,
        "elapsed_ms": millis(summary.elapsed),
        "virtual_ms": millis(summary.virtual_time),
        "within": tally_json(summary.within),
        "beyond": tally_json(summary.beyond),
        "verdict": verdict.word(),
        "reason": reason,
        "failures": summary.groups.iter().map(group_json).collect::<Vec<_>>(),
        "allowed": allowed,
        "marks": marks,
    })
}

fn tally_json(tally: Tally) -> Value {
    json!({
        "seeds": tally.seeds(), "valid": tally.valid, "invalid": tally.invalid,
        "unknown": tally.unknown, "broken": tally.broken,
    })
}

fn group_json(group: &Group) -> Value {
    let first = &group.first;
    let anomaly = first.anomaly();
    json!({
        "verdict": group.verdict.word(),
        "kind": group.kind.map(squall_history::Kind::id),
        "what": group.what,
        "seeds": group.seeds,
        "seed": first.job.seed,
        "class": first.class,
        "reason": first.report.reason,
        "story": anomaly.map(squall_history::Anomaly::story),
        "reproduce": first.reproduce,
        "scenario": *first.job.scenario,
    })
}
