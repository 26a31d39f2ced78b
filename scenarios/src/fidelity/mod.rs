//! Fidelity: the models held against what real brokers did.
//!
//! - A [`Situation`] is a scenario and the rules of the model that it exercises: a file in `fidelity/<bus>/`.
//! - It is run on real brokers (`squall fidelity --refresh`); what they did is kept as a [`Record`], a file in
//!   `fidelity/<bus>/records/`: version, date, command, and for each run what can be compared ([`Observed`]).
//! - The model runs it with [`SEEDS`] and must have shown the same ([`differences`]): the real broker is the judge. A
//!   difference is a bug of the model, or stands in the situation as a deviation with its reason; a deviation that is no
//!   longer seen is a difference too.
//! - [`page`] is all of that as one table.
//!
//! What is compared is in [`observed`](Observed); how, in [`differences`].

mod compare;
mod keys;
mod observed;
mod page;
mod readers;
mod record;
mod situation;

pub use compare::{Difference, differences, strays};
pub use observed::Observed;
pub use page::page;
pub use record::Record;
pub use situation::{Deviation, Entry, Situation, entries, find};

use crate::{Job, Target, runner::Sink};
use std::{ops::RangeInclusive, sync::Arc};

/// The seeds that the model runs each situation with.
pub const SEEDS: RangeInclusive<u64> = 1..=3;

/// The seeds that it runs those of a day with: one run on real brokers is held against these, and what is drawn in it
/// (who leads, who coordinates, who is the active controller, how long a client backs off) is found among many only.
pub const SEEDS_OF_A_DAY: RangeInclusive<u64> = 1..=40;

/// Runs a situation once; `note` gets a line now and then while a target is made ready. What was observed, or why the
/// target could not run it.
///
/// # Errors
/// With the reason, when the run was not carried out.
pub fn observe(
    situation: &Situation,
    target: &Target,
    seed: u64,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Observed, String> {
    let job = Job {
        scenario: Arc::new(situation.scenario.clone()),
        named: situation.scenario.name.clone(),
        overrides: Vec::new(),
        target: target.clone(),
        seed,
    };
    let nobody: Sink = Arc::new(|_| {});
    let outcome = job.run(&nobody, note);
    let report = outcome.finished.report;
    match outcome.history {
        Some(history) => Ok(Observed::of(seed, &history, &report)),
        None => Err(format!("{}: {}", report.verdict, report.reason)),
    }
}

/// Runs a situation on its model, with every one of these seeds: [`SEEDS`] for the record, [`SEEDS_OF_A_DAY`] for one
/// more run on real brokers.
///
/// # Errors
/// With the reason, when a run was not carried out.
pub fn modelled(
    entry: &Entry,
    situation: &Situation,
    seeds: RangeInclusive<u64>,
) -> Result<Vec<Observed>, String> {
    let target = Target::Sim(entry.bus.to_owned());
    seeds.map(|seed| observe(situation, &target, seed, &|_| {})).collect()
}
