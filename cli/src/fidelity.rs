//! `squall fidelity`: the models held against what real brokers did; with `--refresh` real brokers do it again first.
//!
//! A record is written as soon as its situation was run, so that a refresh that is broken off keeps what it has.

use crate::{
    Failure,
    args::FidelityArgs,
    show::{Show, say},
};
use serde_json::{Value, json};
use squall_adapters::providers;
use squall_history::Verdict;
use squall_scenarios::{
    Target,
    fidelity::{self, Difference, Entry, Observed, Record, Situation},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A situation, held.
struct Held {
    entry: &'static Entry,
    situation: Situation,
    record: Record,
    model: Vec<Observed>,
    differences: Vec<Difference>,
}

pub(crate) fn run(args: &FidelityArgs) -> Result<u8, Failure> {
    let entries: Vec<&'static Entry> = if args.situations.is_empty() {
        fidelity::entries().iter().collect()
    } else {
        let named = args.situations.iter().map(|name| fidelity::find(name));
        named.collect::<Result<_, _>>().map_err(Failure::input)?
    };
    if args.refresh && !args.records.join("fidelity").is_dir() {
        return Err(Failure::input(format!(
            "there is no folder {}/fidelity to keep the records in: run this in the root of Squall's sources, or name the folder with --records",
            args.records.display()
        )));
    }
    let (mut held, mut different) = (Vec::new(), 0);
    for (place, entry) in entries.iter().enumerate() {
        let situation = entry.situation().map_err(Failure::broken)?;
        let record = if args.refresh {
            refreshed(args, entry, &situation, &format!("{} of {}", place + 1, entries.len()))?
        } else {
            entry.record().map_err(Failure::broken)?
        };
        let one = hold(entry, situation, record)?;
        different += usize::from(!one.differences.is_empty());
        if !args.json {
            tell(&one)?;
        }
        held.push(one);
    }
    if args.json {
        let rows: Vec<Value> = held.iter().map(object).collect();
        say(format_args!("{}", json!({ "situations": rows, "different": different })))?;
    } else {
        say(format_args!("{} of {} situations are the same", held.len() - different, held.len()))?;
    }
    let verdict = if different == 0 { Verdict::Valid } else { Verdict::Invalid };
    Ok(verdict.exit_code())
}

fn hold(entry: &'static Entry, situation: Situation, record: Record) -> Result<Held, Failure> {
    let model = fidelity::modelled(entry, &situation, fidelity::SEEDS)
        .map_err(|reason| Failure::broken(format!("the model could not run {}: {reason}", entry.name)))?;
    let differences = fidelity::differences(&situation, &record.runs, &model);
    Ok(Held { entry, situation, record, model, differences })
}

/// Runs a situation on real brokers, and writes what they did.
fn refreshed(
    args: &FidelityArgs,
    entry: &Entry,
    situation: &Situation,
    place: &str,
) -> Result<Record, Failure> {
    let target: Target = format!("local:{}", entry.bus).parse().map_err(Failure::input)?;
    let show = Show::new(1);
    let mut runs = Vec::new();
    for seed in 1..=args.runs {
        show.note(&format!("{} on {target} ({place}), run {seed} of {}", entry.name, args.runs));
        let observed = fidelity::observe(situation, &target, seed, &|line| show.step(line));
        runs.push(observed.map_err(|reason| {
            Failure::broken(format!("{} could not be run on {target}: {reason}", entry.name))
        })?);
    }
    show.finish();
    let record = Record {
        version: version(entry, situation),
        date: time::OffsetDateTime::now_utc().date().to_string(),
        command: format!("squall fidelity {} --refresh --runs {}", entry.name, args.runs),
        runs,
    };
    write(&args.records.join(entry.record_file()), &record)?;
    Ok(record)
}

/// What ran.
fn version(entry: &Entry, situation: &Situation) -> String {
    let mut version = providers::version(entry.bus);
    if situation.scenario.has_java_clients() {
        version.push_str(", Java client ");
        version.push_str(providers::jars::KAFKA_VERSION);
    }
    version
}

fn write(file: &Path, record: &Record) -> Result<(), Failure> {
    let text = record.to_yaml().map_err(Failure::broken)?;
    // Never half a record.
    let part: PathBuf = file.with_extension("part");
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, file));
    written.map_err(|error| Failure::input(format!("{} cannot be written: {error}", file.display())))
}

fn tell(held: &Held) -> Result<(), Failure> {
    let Held { entry, situation, differences, .. } = held;
    let word = if differences.is_empty() { "the same" } else { "different" };
    say(format_args!("{}: {word} ({})", entry.name, situation.rules.join(", ")))?;
    for difference in differences {
        say(format_args!("  {difference}"))?;
    }
    for deviation in &situation.deviations {
        say(format_args!("  known: {}: {}", deviation.class, deviation.reason))?;
    }
    Ok(())
}

fn object(held: &Held) -> Value {
    let Held { entry, situation, record, model, differences } = held;
    let difference =
        |found: &Difference| json!({ "class": found.class, "real": found.real, "model": found.model });
    json!({
        "bus": entry.bus,
        "situation": entry.name,
        "rules": situation.rules,
        "version": record.version,
        "date": record.date,
        "real": record.runs,
        "model": model,
        "differences": differences.iter().map(difference).collect::<Vec<_>>(),
        "deviations": situation.deviations.iter()
            .map(|known| json!({ "class": known.class, "reason": known.reason }))
            .collect::<Vec<_>>(),
    })
}
