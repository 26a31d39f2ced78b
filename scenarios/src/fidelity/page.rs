//! The page of a bus: every situation with its rules, what real brokers did, what the model does, and where they differ.

use super::{
    Observed, SEEDS,
    compare::{everything, told, unavailable, unread},
    entries, modelled,
};
use std::{collections::BTreeSet, fmt::Write};

/// The page of a bus, as Markdown.
///
/// # Errors
/// With the reason, when a situation cannot be read or the model cannot run it.
pub fn page(bus: &str) -> Result<String, String> {
    let mut page = format!(
        "<!-- Written by `SQUALL_UPDATE=1 cargo test -p squall-scenarios --test fidelity`. Do not edit. -->\n\
         # What real brokers did, and what the model of {bus} does\n\n\
         Each situation is a scenario in `scenarios/fidelity/{bus}/`. What real brokers did is kept in `records/` there, and is made\n\
         anew by `squall fidelity --refresh`. The model is held against every record in every test run; classes left to\n\
         chance are those of which a single run says nothing. Times are the worst unavailability of a unit, and how long\n\
         a record that a consumer was handed had been acknowledged at most.\n\n\
         | situation | rules | real brokers | the model | deviation, and why |\n|---|---|---|---|---|\n"
    );
    let mut sources = BTreeSet::new();
    for entry in entries().iter().filter(|entry| entry.bus == bus) {
        let situation = entry.situation().map_err(|error| error.to_string())?;
        let record = entry.record().map_err(|error| error.to_string())?;
        let model = modelled(entry, &situation, SEEDS)?;
        let differing = everything(&situation, &record.runs, &model);
        let deviations: Vec<String> = situation
            .deviations
            .iter()
            .filter(|deviation| differing.iter().any(|difference| difference.class == deviation.class))
            .map(|deviation| format!("`{}`: {}", deviation.class, deviation.reason))
            .collect();
        let row = [
            format!("**{}**: {}", entry.name, situation.scenario.about),
            situation.rules.join(", "),
            cell(&record.runs),
            cell(&model),
            deviations.join("; "),
        ];
        let row = row.map(|cell| cell.replace('|', "\\|"));
        writeln!(page, "| {} |", row.join(" | ")).map_err(|error| error.to_string())?;
        sources.insert(format!("{}, {}: `{}`", record.version, record.date, record.command));
    }
    page.push_str("\nRecords:\n\n");
    for source in sources {
        writeln!(page, "- {source}").map_err(|error| error.to_string())?;
    }
    Ok(page)
}

/// Verdicts, times, and classes with in how many of the runs they were seen.
fn cell(runs: &[Observed]) -> String {
    let verdicts: BTreeSet<&str> = runs.iter().map(|run| run.verdict.word()).collect();
    let verdicts: Vec<&str> = verdicts.into_iter().collect();
    let classes: BTreeSet<&String> = runs.iter().flat_map(|run| &run.classes).collect();
    // That sends are acknowledged is no news.
    let classes: Vec<String> = classes
        .into_iter()
        .filter(|class| *class != "sends acked")
        .map(|class| {
            let seen = runs.iter().filter(|run| run.classes.contains(class)).count();
            if seen == runs.len() { class.clone() } else { format!("{class} ({seen} of {})", runs.len()) }
        })
        .collect();
    let mut cell = verdicts.join(" or ");
    if let Some(range) = unavailable(runs) {
        cell.push_str(&format!(", {}", told(Some(range))));
    }
    if let Some(range) = unread(runs) {
        cell.push_str(&format!(", unread {}", told(Some(range))));
    }
    if !classes.is_empty() {
        cell.push_str(&format!("; {}", classes.join(", ")));
    }
    cell
}
