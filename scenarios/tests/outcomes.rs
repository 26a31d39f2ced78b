//! The table of expected outcomes, held true on the simulated targets.

use squall_scenarios::{
    Target,
    sweep::{Sweep, rows},
};
use std::{num::NonZero, thread};

/// So many seeds of each scenario; more are a command (`squall sweep --seeds 200`).
const SEEDS: u64 = 3;

#[test]
fn the_library_does_on_simulated_targets_what_its_table_says() {
    // What runs real brokers is not in every build.
    let rows = rows(&[], &Target::defaults()).expect("the table");
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let swept = Sweep { rows, first: 1, seeds: SEEDS, threads, keep: 0 }.run(&|_| {});
    assert!(swept.runs > 100, "{swept}");
    // With these seeds every row shows what it is there for.
    assert!(swept.groups.is_empty(), "not as the table says:\n{swept}");
}
