//! Squall's simulated Kafka beside madsim-rdkafka's, in one run.
//!
//! | row | what is measured | asked of Squall |
//! |---|---|---|
//! | `one by one` | messages, each sent, flushed and acknowledged before the next | 2 times the rival |
//! | `batches of 100` | messages, a hundred sent before each flush | |
//! | `batches of 10,000` | messages, ten thousand sent before each flush | 2 times |
//! | `seeds, one by one` | whole runs of 100 messages: a new cluster, produce, consume, all of it dropped | 0.7 times |
//! | `seeds, pipelined` | the same with one flush | 2 times |
//!
//! The records are the same (keys of 8 bytes, values of 100), and in each run a consumer reads all of them while they
//! are produced. What is behind is not: the rival has one broker without copies, groups, keys or retries; Squall's has
//! three with three copies, a group, an idempotent producer with acks from all, and all invariants on. Each side has its
//! own latencies of the network, which cost no time that passes here.
//!
//! Runs of the two sides alternate, each in a process of its own and after one that does not count. A rate is the
//! median over the runs, in seconds of processor time of the one thread that a run has: it never waits, so this is the
//! time that passes where nobody else wants the processor. A ratio is the median of the ratios of neighbours.
//!
//! ```text
//! cd peers/madsim && cargo run --release
//! cd peers/madsim && cargo run --release -- --row 'one by one' --once squall --messages 100000
//! ```

#[cfg(not(madsim))]
compile_error!(
    "madsim simulates only with --cfg madsim: run cargo in peers/madsim, whose .cargo/config.toml says so, and without RUSTFLAGS"
);

mod arguments;
mod measure;
#[cfg(madsim)]
mod rival;
#[cfg(madsim)]
mod squall;
mod work;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    let arguments = match arguments::Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let measured = match arguments.once.as_deref() {
        Some("madsim") => measure::once(&arguments, rival::run),
        Some(_) => measure::once(&arguments, squall::run),
        None => measure::print(&arguments),
    };
    if let Err(message) = measured {
        eprintln!("{message}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
