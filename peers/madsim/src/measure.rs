//! Interleaved runs of both sides, and the table of their medians.

use crate::{
    arguments::{Arguments, SIDES},
    work::{Records, Work},
};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{
    env,
    process::{Command, Stdio},
    time::Duration,
};

/// Messages of one seed.
const SEED_MESSAGES: u64 = 100;

/// One row of the table.
struct Row {
    name: &'static str,
    /// What is counted.
    unit: &'static str,
    /// Messages that are sent before each flush.
    batch: u64,
    /// The rival's rate times this is asked of Squall.
    asked: Option<f64>,
}

const ROWS: [Row; 5] = [
    Row { name: "one by one", unit: "messages", batch: 1, asked: Some(2.0) },
    Row { name: "batches of 100", unit: "messages", batch: 100, asked: None },
    Row { name: "batches of 10,000", unit: "messages", batch: 10_000, asked: Some(2.0) },
    Row { name: "seeds, one by one", unit: "seeds", batch: 1, asked: Some(0.7) },
    Row { name: "seeds, pipelined", unit: "seeds", batch: SEED_MESSAGES, asked: Some(2.0) },
];

impl Row {
    /// How many units of what is counted a run is.
    fn units(&self, arguments: &Arguments) -> u64 {
        if self.unit == "seeds" { arguments.seeds } else { arguments.messages }
    }

    /// What is done in a run.
    fn works(&self, arguments: &Arguments, records: &'static Records) -> Vec<Work> {
        let (seeds, messages) =
            if self.unit == "seeds" { (arguments.seeds, SEED_MESSAGES) } else { (1, arguments.messages) };
        (1..=seeds).map(|seed| Work { seed, messages, batch: self.batch, records }).collect()
    }
}

/// Measures and prints row by row.
///
/// # Errors
/// A sentence, when a row has no such name or a process of a run fails.
pub fn print(arguments: &Arguments) -> Result<(), String> {
    println!(
        "medians of {} processes of each, {} messages or {} seeds of {SEED_MESSAGES} messages in a run",
        arguments.runs, arguments.messages, arguments.seeds
    );
    println!("{:<20}{:>22}{:>22}{:>10}{:>10}", "", "madsim-rdkafka", "Squall", "ratio", "asked");
    for row in rows(arguments)? {
        let [rival, squall] = interleave(arguments, row)?;
        let ratios = rival.iter().zip(&squall).map(|(rival, squall)| rival / squall).collect();
        let asked = row.asked.map(|asked| format!("{asked:.2}")).unwrap_or_default();
        let ratio = format!("{:.2}", median(ratios));
        let [rival, squall] = [rival, squall].map(|times| rate(times, row.units(arguments), row.unit));
        println!("{:<20}{rival:>22}{squall:>22}{ratio:>10}{asked:>10}", row.name);
    }
    Ok(())
}

/// Runs the wanted rows of one side here: once that does not count, and once of which the seconds are printed.
///
/// # Errors
/// A sentence, when a row has no such name.
pub fn once(arguments: &Arguments, side: fn(Work)) -> Result<(), String> {
    // For as long as the program runs.
    let records: &Records = Box::leak(Box::new(Records::new(arguments.messages.max(SEED_MESSAGES))));
    for row in rows(arguments)? {
        let works = row.works(arguments, records);
        works.iter().copied().for_each(side);
        let began = Stopwatch::start();
        works.iter().copied().for_each(side);
        println!("{}", began.stop().as_secs_f64());
    }
    Ok(())
}

/// The row of this name, or those whose name has this in it.
fn rows(arguments: &Arguments) -> Result<Vec<&'static Row>, String> {
    let named: Vec<&Row> = ROWS.iter().filter(|row| row.name == arguments.row).collect();
    let like = ROWS.iter().filter(|row| row.name.contains(&arguments.row));
    let rows = if named.is_empty() { like.collect() } else { named };
    if rows.is_empty() {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no row's name has \"{}\" in it: {}", arguments.row, names.join("; ")));
    }
    Ok(rows)
}

/// Seconds of each run of each side. Each has a process of its own: what one side leaves behind in the allocator and
/// the caches changes the other's time by up to three times.
fn interleave(arguments: &Arguments, row: &Row) -> Result<[Vec<f64>; 2], String> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..arguments.runs {
        for (side, times) in SIDES.iter().zip(&mut times) {
            times.push(seconds(arguments, row, side)?);
        }
    }
    Ok(times)
}

/// Seconds of one run of this side in a process of its own.
fn seconds(arguments: &Arguments, row: &Row, side: &str) -> Result<f64, String> {
    let failed = |what: String| format!("a process for the row \"{}\" of {side} {what}", row.name);
    let program = env::current_exe().map_err(|error| failed(format!("cannot be started: {error}")))?;
    let (messages, seeds) = (arguments.messages.to_string(), arguments.seeds.to_string());
    let output = Command::new(program)
        .args(["--once", side, "--row", row.name, "--messages", &messages, "--seeds", &seeds])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds = text.trim().parse().ok().filter(|_| output.status.success());
    seconds.ok_or_else(|| failed(format!("ended with {} and printed {:?}", output.status, text.trim())))
}

fn rate(times: Vec<f64>, units: u64, unit: &str) -> String {
    format!("{} {unit}/s", thousands(units as f64 / median(times)))
}

/// The one in the middle; the later of two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A whole number with a comma before every three digits from the end.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Processor time of this thread.
struct Stopwatch(Timespec);

impl Stopwatch {
    fn start() -> Self {
        Self(clock_gettime(ClockId::ThreadCPUTime))
    }

    fn stop(self) -> Duration {
        let Self(began) = self;
        let passed = clock_gettime(ClockId::ThreadCPUTime) - began;
        passed.try_into().unwrap_or_default()
    }
}
