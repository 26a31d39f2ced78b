//! The arguments.

use clap::{Parser, Subcommand};
use squall_adapters::providers::BUSES;
use squall_history::Kind;
use squall_scenarios::{Override, Target, explore::Preset, format::scalar::Period};
use std::path::PathBuf;

/// Deterministic simulation and tests for event buses: one scenario, on a simulated cluster and on real brokers.
#[derive(Parser)]
#[command(
    name = "squall",
    version,
    after_help = "Exit codes: 0 valid, 1 invalid, 2 usage, bad input or an unsupported target, 3 unknown, 4 broken."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a scenario and judge what its clients saw.
    Run(RunArgs),
    /// Run a scenario under a swarm of draws, seed after seed on all cores, until one fails.
    Explore(ExploreArgs),
    /// Run the library seed after seed on all cores, and hold each run against the table of expected outcomes.
    #[command(
        after_help = "Exit codes: 0 when no run differs from the table and every row shows what it is there for, else that of the worst run (1 invalid, 3 unknown, 4 broken, or parted in a fresh process), 2 usage."
    )]
    Sweep(SweepArgs),
    /// List the scenarios of the library, the marks, or the brokers' settings.
    List(ListArgs),
    /// Print what a seed makes of a scenario: every fault with its time, the first records, what is promised.
    Explain(ExplainArgs),
    /// Make the least that still fails of a run that fails, and keep it as a capsule.
    Shrink(ShrinkArgs),
    /// Run capsules again, and say whether they still apply.
    #[command(
        after_help = "A capsule is a run that failed. Exit codes are those of `squall run`: 1 when a run is still invalid, 0 when all are valid now, 2 when a file is no capsule, 4 when a run is broken."
    )]
    Replay(ReplayArgs),
    /// Judge histories that are there already, without running anything.
    Check(CheckArgs),
    /// List the bugs that brokers and clients had, or prove that each is found.
    #[command(
        after_help = "Exit codes of --verify: 0 when every bug is found and nothing without it, 1 when not, 2 usage."
    )]
    Bugs(BugsArgs),
    /// Start, stop or look at a cluster of real brokers on loopback that stays up between commands.
    Brokers(BrokersArgs),
    /// Hold the models against what real brokers did in known situations.
    Fidelity(FidelityArgs),
    /// Print the footprint of one simulated run: what `--guard` asks of a fresh process.
    #[command(hide = true)]
    Footprint(FootprintArgs),
}

#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// A scenario of the library (`squall list`), or the path of a scenario file.
    pub(crate) scenario: String,
    /// Where to run; may be given several times. Without it, every simulated bus.
    #[arg(long = "on", value_name = "TARGET", value_parser = target)]
    pub(crate) on: Vec<Target>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds, counting up from the first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) seeds: u64,
    /// Override any key of the scenario, as in workload.producers.acks=1; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Let the model have this bug (`squall bugs`); invariants are off, the history alone is judged.
    #[arg(long, value_name = "ID")]
    pub(crate) bug: Option<String>,
    /// Run each simulated seed again, here and in fresh processes: all must go the same way, event by event.
    #[arg(long)]
    pub(crate) guard: bool,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the first simulated failure as it is, instead of the least of it that still fails.
    #[arg(long)]
    pub(crate) no_shrink: bool,
    /// Where the reports go.
    #[arg(long, value_name = "FOLDER", default_value = "squall-out")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ShrinkArgs {
    /// A scenario of the library, the path of a scenario file, or the path of a capsule (`NAME.capsule.yaml`).
    pub(crate) what: String,
    /// On which simulated target the scenario fails.
    #[arg(long = "on", value_name = "TARGET", default_value = "sim:kafka", value_parser = target)]
    pub(crate) on: Target,
    /// With which seed it fails.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Override any key of the scenario; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Let the model have this bug (`squall bugs`); invariants are off, the history alone is judged.
    #[arg(long, value_name = "ID")]
    pub(crate) bug: Option<String>,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the capsule goes.
    #[arg(long, value_name = "FOLDER", default_value = "squall-out")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ReplayArgs {
    /// The capsules.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print every event of the cluster, one a line: virtual time, node, whom it heard from, what.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Draw messages, faults and roles on one axis into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct FidelityArgs {
    /// The situations. Without any, all.
    #[arg(value_name = "SITUATION")]
    pub(crate) situations: Vec<String>,
    /// Run them on real brokers on loopback first, and keep what these did as the new records.
    #[arg(long)]
    pub(crate) refresh: bool,
    /// How often each is run on real brokers.
    #[arg(long, default_value_t = 2, requires = "refresh", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) runs: u64,
    /// The folder of the sources that has the records, under `fidelity`.
    #[arg(long, value_name = "FOLDER", default_value = "scenarios", requires = "refresh")]
    pub(crate) records: PathBuf,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct FootprintArgs {
    /// A scenario of the library (`squall list`), or the path of a scenario file.
    pub(crate) scenario: String,
    /// On which simulated bus.
    #[arg(long = "on", value_name = "TARGET", value_parser = target)]
    pub(crate) on: Target,
    /// The seed.
    #[arg(long)]
    pub(crate) seed: u64,
    /// Override any key of the scenario; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Of what the seed draws in an exploration under this preset.
    #[arg(long, value_name = "PRESET")]
    pub(crate) explore: Option<Preset>,
    /// With the events behind this checkpoint, counted from 0.
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) record_from: Option<u64>,
}

#[derive(clap::Args)]
pub(crate) struct ExploreArgs {
    /// A scenario of the library (`squall list`), or the path of a scenario file.
    pub(crate) scenario: String,
    /// Which simulated bus to explore; may be given several times. Without it, every one that can run the scenario.
    #[arg(long = "on", value_name = "TARGET", value_parser = target)]
    pub(crate) on: Vec<Target>,
    /// The first seed; alone, the only one. 1 unless said.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many seeds on each target, counting up from the first.
    #[arg(long, conflicts_with = "budget", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) seeds: Option<u64>,
    /// For how long, on all targets together. 60s unless seeds are given.
    #[arg(long, value_name = "DURATION", value_parser = period)]
    pub(crate) budget: Option<Period>,
    /// Draw little: short runs within the fault budget.
    #[arg(long, conflicts_with = "storm")]
    pub(crate) lite: bool,
    /// Draw much: nearly all families of faults, close together, mostly beyond the fault budget.
    #[arg(long)]
    pub(crate) storm: bool,
    /// Go on after a failure, and show one of each kind.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// On how many threads. As many as there are cores unless said; what is found does not depend on it.
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Override any key of the scenario, as in workload.producers.acks=1; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Let the model have this bug (`squall bugs`); invariants are off, the history alone is judged.
    #[arg(long, value_name = "ID")]
    pub(crate) bug: Option<String>,
    /// Run the first failure of each kind and every Nth seed again, here and in fresh processes: all must go the same
    /// way, event by event. Every 20th unless said.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "20",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) guard: Option<u64>,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the first failure of each kind as it is, instead of the least of it that still fails.
    #[arg(long)]
    pub(crate) no_shrink: bool,
    /// Where capsules of failures go.
    #[arg(long, value_name = "FOLDER", default_value = "squall-out")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct SweepArgs {
    /// Only these scenarios of the library (`squall list`).
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// On which simulated bus; may be given several times. Without it, on every one.
    #[arg(long = "on", value_name = "TARGET", value_parser = target)]
    pub(crate) on: Vec<Target>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds of each scenario on each target, counting up from the first; one where the table says unsupported.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: u64,
    /// Compare so many of the runs, spread over scenarios and seeds, with runs in fresh processes: all must go the same
    /// way, event by event.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) replay: u64,
    /// On how many threads. As many as there are cores unless said; what is found does not depend on it.
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// List the marks instead: the rare situations that a sweep counts and a scenario may require.
    #[arg(long)]
    pub(crate) marks: bool,
    /// List instead what a scenario may say about the brokers of each bus: profiles, and settings with their defaults.
    #[arg(long, conflicts_with = "marks")]
    pub(crate) settings: bool,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct ExplainArgs {
    /// A scenario of the library (`squall list`), or the path of a scenario file.
    pub(crate) scenario: String,
    /// For which target, or bus.
    #[arg(long = "on", value_name = "TARGET", default_value = "sim:kafka", value_parser = target_or_bus)]
    pub(crate) on: Target,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Override any key of the scenario; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Let the model have this bug (`squall bugs`); invariants are off, the history alone is judged.
    #[arg(long, value_name = "ID")]
    pub(crate) bug: Option<String>,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The histories: JSON Lines as in FORMAT.md.
    #[arg(required_unless_present = "list", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A YAML file with the maps `configuration` and `expect`: they replace what the heads of the histories say.
    #[arg(long, value_name = "FILE")]
    pub(crate) guarantees: Option<PathBuf>,
    /// One guarantee, as in acks=1 or expect.delivery=at-least-once; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) guarantee: Vec<String>,
    /// Judge as if nobody had looked for this kind of anomaly; may be given several times.
    #[arg(long, value_name = "KIND", value_parser = squall_scenarios::check::kind)]
    pub(crate) ignore: Vec<Kind>,
    /// The files are histories of another tool: of Jepsen's Kafka or list-append workload, EDN or JSON Lines.
    #[arg(long, value_name = "TOOL", value_parser = ["jepsen"])]
    pub(crate) import: Option<String>,
    /// Print every check with its rule and source instead.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the reports go; without it none are written.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct BugsArgs {
    /// Only these bugs.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Run the scenario of each bug with it, seed after seed, until its anomaly is found, and the same seeds without it.
    #[arg(long)]
    pub(crate) verify: bool,
    /// How many seeds at most for each bug.
    #[arg(long, requires = "verify", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: u64,
    /// Look for them in what seeds draw from storms, by turns, instead of in the scenario of each.
    #[arg(long, requires = "verify")]
    pub(crate) storm: bool,
    /// On how many threads. As many as there are cores unless said; what is found does not depend on it.
    #[arg(long, requires = "verify", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct BrokersArgs {
    #[command(subcommand)]
    pub(crate) command: BrokersCommand,
}

#[derive(Subcommand)]
pub(crate) enum BrokersCommand {
    /// Start a cluster and leave it up.
    Up {
        /// Of which bus.
        #[arg(long, value_name = "BUS", default_value = BUSES[0], value_parser = BUSES)]
        bus: String,
        /// How many nodes.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
        nodes: u32,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// End the clusters and remove their data.
    Down {
        /// Only the cluster of this bus.
        #[arg(long, value_name = "BUS", value_parser = BUSES)]
        bus: Option<String>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Say which clusters are up, and where. Exit code 3 if none is.
    Status {
        /// Only the cluster of this bus.
        #[arg(long, value_name = "BUS", value_parser = BUSES)]
        bus: Option<String>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("write a number from 1 to 1024".to_owned()),
    }
}

fn period(text: &str) -> Result<Period, String> {
    text.parse().map_err(|error: squall_scenarios::format::scalar::ScalarError| {
        format!("{}; {}", error.message, error.help)
    })
}

fn target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error: squall_scenarios::target::TargetError| error.to_string())
}

fn target_or_bus(text: &str) -> Result<Target, String> {
    Target::or_bus(text).map_err(|error| error.to_string())
}

/// The `--set` arguments, and what `--bug` sets.
pub(crate) fn overrides(set: &[String], bug: Option<&str>) -> Result<Vec<Override>, crate::Failure> {
    let set = set.iter().map(|text| text.parse());
    set.chain(bug.map(Override::of_bug)).map(|over| over.map_err(crate::Failure::input)).collect()
}
