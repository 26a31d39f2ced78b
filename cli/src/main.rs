//! The `squall` command: parse arguments, call a library, print.
//!
//! Exit codes: 0 valid, 1 invalid, 2 usage, bad input or an unsupported target, 3 unknown, 4 broken.

mod args;
mod brokers;
mod bugs;
mod check;
mod explain;
mod explore;
mod fidelity;
mod guard;
mod list;
mod replay;
mod run;
mod show;
mod shrink;
mod sweep;

use args::{Args, Command};
use clap::Parser;
use mimalloc::MiMalloc;
use std::{fmt, process::ExitCode};

/// A simulated run makes and drops many small things, and this is the fastest to do so.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why a command could not do what it was asked to.
enum Failure {
    /// The user's input: exit code 2.
    Input(String),
    /// The harness or the machine: exit code 4.
    Broken(String),
}

impl Failure {
    fn input(error: impl fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    fn broken(error: impl fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.command {
        Command::Run(args) => run::run(args),
        Command::Explore(args) => explore::explore(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::List(args) => list::list(args),
        Command::Explain(args) => explain::explain(args),
        Command::Shrink(args) => shrink::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Check(args) => check::check(args),
        Command::Bugs(args) => bugs::bugs(args),
        Command::Brokers(args) => brokers::brokers(args),
        Command::Fidelity(args) => fidelity::run(args),
        Command::Footprint(args) => guard::footprint(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Input(error)) => {
            eprintln!("{}", show::as_error(&error));
            ExitCode::from(2)
        }
        Err(Failure::Broken(error)) => {
            eprintln!("{}", show::as_error(&error));
            ExitCode::from(4)
        }
    }
}
