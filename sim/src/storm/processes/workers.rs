//! Worker processes: the seeds of a storm spread over several.
//!
//! A worker takes one seed at a time and is given the next when it has answered, so none waits for a slow one. What a
//! seed does depends on nothing else, so the runs are those that one process would have had, in the order of their seeds.
//!
//! A worker that ends with a seed under way, or is silent for too long, leaves a `broken` run with the cause, and
//! another worker takes its place. Silent is a worker for too long when it says nothing for [`PATIENCE`] times the
//! patience of the watchdog, which watches over the runs inside of it and is much faster; where runs have no watchdog,
//! workers have all the time in the world. What no worker could be started for is left to this process, with a note.

use super::{Link, Order, Place, Run, Test};
use std::{
    collections::BTreeMap,
    env,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The environment variable that says over how many processes a storm is spread that does not say so itself.
pub const WORKERS_VARIABLE: &str = "SQUALL_WORKERS";
/// So many times a watchdog's patience is that with a worker.
pub(super) const PATIENCE: u32 = 30;

/// What came of seeds that were spread.
#[derive(Debug)]
pub(in crate::storm) struct Spread {
    /// Those that were run.
    pub(in crate::storm) runs: BTreeMap<u64, Run>,
    /// Those that were not.
    pub(in crate::storm) left: Range<u64>,
    /// Why not, if so, in sentences.
    pub(in crate::storm) notes: Vec<String>,
}

impl Spread {
    /// Of seeds that none is to run but this process.
    pub(in crate::storm) fn none(seeds: Range<u64>) -> Self {
        Self { runs: BTreeMap::new(), left: seeds, notes: Vec::new() }
    }
}

/// How many processes the environment asks for: 1 unless it says something.
pub(in crate::storm) fn from_environment() -> Result<usize, String> {
    let Ok(text) = env::var(WORKERS_VARIABLE) else { return Ok(1) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!("{WORKERS_VARIABLE}=`{text}` is no number of processes: give a whole number from 1 on")
    })
}

impl Place {
    /// Runs these seeds in so many processes.
    pub(in crate::storm) fn spread(
        &self,
        seeds: Range<u64>,
        workers: usize,
        watchdog: Option<Duration>,
    ) -> Spread {
        let Some(test) = Test::this() else {
            let why = "the seeds ran in this process alone: worker processes run a test that cargo built, by its name";
            return Spread { notes: vec![why.to_owned()], ..Spread::none(seeds) };
        };
        let (before, patience) = (Self::before(), watchdog.map(|patience| patience * PATIENCE));
        let start = || Link::start(&test, self, &before, patience);
        let desk = Mutex::new(Spread::none(seeds));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| work(&desk, &start));
            }
        });
        desk.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has one seed after the other run by a worker, and by another one when it fails.
fn work(desk: &Mutex<Spread>, start: &(dyn Fn() -> Result<Link, String> + Sync)) {
    let desk = || -> MutexGuard<'_, Spread> { desk.lock().unwrap_or_else(PoisonError::into_inner) };
    let mut worker: Option<Link> = None;
    while !desk().left.is_empty() {
        let mut link = match worker.take().map_or_else(start, Ok) {
            Ok(link) => link,
            Err(why) => {
                let note =
                    format!("seeds ran in this process that no worker process could be started for: {why}");
                let mut desk = desk();
                if !desk.notes.contains(&note) {
                    desk.notes.push(note);
                }
                return;
            }
        };
        let Some(seed) = desk().left.next() else {
            worker = Some(link);
            break;
        };
        let run = match link.run(Order { seed, record_from: None }) {
            Ok(run) => {
                worker = Some(link);
                run
            }
            Err(why) => Run::lost(seed, format!("the worker process that ran this seed {why}")),
        };
        desk().runs.insert(seed, run);
    }
    worker.into_iter().for_each(Link::dismiss);
}
