//! Interleaved runs of both sides, and the table of their medians.

use crate::{
    arguments::{Arguments, SIDES},
    work::{Records, Work},
};
use std::{
    fs,
    time::{Duration, Instant},
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
    /// What is done, and how many units of what is counted that is.
    fn works(&self, arguments: &Arguments, records: &'static Records) -> (Vec<Work>, u64) {
        let batch = self.batch;
        if self.unit == "seeds" {
            let work = |seed| Work { seed, messages: SEED_MESSAGES, batch, records };
            ((1..=arguments.seeds).map(work).collect(), arguments.seeds)
        } else {
            (vec![Work { seed: 1, messages: arguments.messages, batch, records }], arguments.messages)
        }
    }
}

/// Measures and prints row by row.
pub fn print(arguments: &Arguments, rival: fn(Work), squall: fn(Work)) {
    println!(
        "medians of {} runs of each, {} messages or {} seeds of {SEED_MESSAGES} messages in a run",
        arguments.runs, arguments.messages, arguments.seeds
    );
    println!("{:<20}{:>20}{:>20}{:>10}{:>10}", "", "madsim-rdkafka", "Squall", "ratio", "asked");
    // For as long as the program runs.
    let records: &Records = Box::leak(Box::new(Records::new(arguments.messages.max(SEED_MESSAGES))));
    for row in ROWS.iter().filter(|row| row.name.contains(&arguments.row)) {
        let (works, units) = row.works(arguments, records);
        let [rival, squall] = interleave(arguments, &works, [rival, squall]);
        let ratios = rival.iter().zip(&squall).map(|(rival, squall)| rival / squall).collect();
        let asked = row.asked.map(|asked| format!("{asked:.2}")).unwrap_or_default();
        let ratio = median(ratios).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let [rival, squall] = [rival, squall].map(|times| rate(times, units, row.unit));
        println!("{:<20}{rival:>20}{squall:>20}{ratio:>10}{asked:>10}", row.name);
    }
}

/// Seconds of each run of each side that is wanted, after one of each that does not count.
fn interleave(arguments: &Arguments, works: &[Work], sides: [fn(Work); 2]) -> [Vec<f64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for run in 0..=arguments.runs {
        for ((side, name), times) in sides.iter().zip(SIDES).zip(&mut times) {
            if arguments.wants(name) {
                let began = Stopwatch::start();
                works.iter().copied().for_each(side);
                let took = began.stop();
                if run > 0 {
                    times.push(took.as_secs_f64());
                }
            }
        }
    }
    times
}

fn rate(times: Vec<f64>, units: u64, unit: &str) -> String {
    median(times).map(|time| format!("{} {unit}/s", thousands(units as f64 / time))).unwrap_or_default()
}

/// The one in the middle; the later of two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
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

/// Processor time of this thread, or where the system does not say, the time that passes.
struct Stopwatch {
    passed: Instant,
    processor: Option<Duration>,
}

impl Stopwatch {
    fn start() -> Self {
        Self { passed: Instant::now(), processor: processor() }
    }

    fn stop(self) -> Duration {
        match (self.processor, processor()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.passed.elapsed(),
        }
    }
}

/// How long this thread has run: the first number in Linux' `schedstat`, in ns.
fn processor() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
