//! Brokers that stay up between commands.
//!
//! `brokers up` starts a cluster, lets it live on and writes what it is to `local-kafka.json` (by the name of the
//! bus) in the cache folder. Later commands read that: [`State::load`], [`State::alive`], [`State::down`].
//! Processes are named by id and start time, so that nobody else's process is ever taken for one of the cluster.
//! A cluster whose processes have all ended (a reboot) counts as down.

use super::{
    ProviderError,
    guard::{MARK, Watched},
    process::{end_detached, is_alive},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How long a node may take to end in good order.
const PATIENCE: Duration = Duration::from_secs(15);

/// A cluster that lives without the process that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The name of the bus: `kafka`.
    pub bus: String,
    /// The nodes, in order of their numbers.
    pub nodes: Vec<StateNode>,
    /// The run's folder, with the data.
    pub folder: PathBuf,
}

/// A node of such a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateNode {
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Its log.
    pub log: PathBuf,
}

impl StateNode {
    fn watched(&self) -> Watched {
        Watched { pid: self.pid, start: self.start }
    }

    /// Whether its process lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        is_alive(self.watched())
    }
}

impl State {
    /// The file that describes a cluster of this bus.
    #[must_use]
    pub fn path(cache: &Path, bus: &str) -> PathBuf {
        cache.join(format!("local-{bus}.json"))
    }

    /// The cluster of this bus that an earlier command left up, if there is one: at least one of its processes
    /// lives.
    pub fn load(cache: &Path, bus: &str) -> Result<Option<Self>, ProviderError> {
        let path = Self::path(cache, bus);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProviderError::io(format!("read {}", path.display()))(error)),
        };
        let state: Self = serde_json::from_str(&text)
            .map_err(|error| ProviderError::BadState { state: path, reason: error.to_string() })?;
        Ok((state.alive() > 0).then_some(state))
    }

    /// Refuses when a cluster of this bus is up already; to be asked before one is started.
    pub fn check_none(cache: &Path, bus: &str) -> Result<(), ProviderError> {
        match Self::load(cache, bus)? {
            Some(_) => Err(ProviderError::AlreadyUp { state: Self::path(cache, bus) }),
            None => Ok(()),
        }
    }

    /// Writes the file.
    pub fn save(&self, cache: &Path) -> Result<(), ProviderError> {
        let path = Self::path(cache, &self.bus);
        let draft = path.with_extension("part");
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| fs::write(&draft, text)).and_then(|()| fs::rename(&draft, &path));
        written.map_err(ProviderError::io(format!("write {}", path.display())))
    }

    /// How many of the nodes live.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_alive()).count()
    }

    /// Where clients reach the cluster: `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(|node| node.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Ends the nodes, removes their data and the file.
    pub fn down(&self, cache: &Path) -> Result<(), ProviderError> {
        thread::scope(|scope| {
            let ending: Vec<_> = self
                .nodes
                .iter()
                .map(|node| scope.spawn(|| end_detached(node.watched(), PATIENCE)))
                .collect();
            ending.into_iter().try_for_each(|ended| ended.join().unwrap_or(Ok(())))
        })?;
        if self.folder.join(MARK).is_file() {
            let removed = fs::remove_dir_all(&self.folder);
            removed.map_err(ProviderError::io(format!("remove {}", self.folder.display())))?;
        }
        let path = Self::path(cache, &self.bus);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ProviderError::io(format!("remove {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{guard::Guard, process::start_time};
    use std::process::Command;

    fn node(pid: u32, start: u64) -> StateNode {
        StateNode { pid, start, address: ([127, 0, 0, 1], 20_000).into(), log: PathBuf::from("/log") }
    }

    #[test]
    fn a_kept_cluster_is_found_and_ended_by_a_later_command() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = tempfile::tempdir().expect("a folder").keep();
        let guard = Guard::start(&folder).expect("the guard starts");
        let mut command = Command::new("sleep");
        let (mut child, watched) = guard.spawn(command.arg("1000")).expect("it starts");
        guard.keep();
        let state = State {
            bus: "kafka".to_owned(),
            nodes: vec![node(watched.pid, watched.start)],
            folder: folder.clone(),
        };
        State::check_none(cache.path(), "kafka").expect("nothing is up");
        state.save(cache.path()).expect("it is written");

        assert!(State::check_none(cache.path(), "kafka").is_err());
        let found = State::load(cache.path(), "kafka").expect("it is read").expect("it is up");
        assert_eq!(found, state);
        assert_eq!(State::load(cache.path(), "nats").expect("it is read"), None, "another bus");
        found.down(cache.path()).expect("it ends");
        child.wait().expect("it has ended");
        assert!(!folder.exists());
        assert_eq!(State::load(cache.path(), "kafka").expect("it is read"), None);
    }

    #[test]
    fn somebody_elses_process_is_not_a_node() {
        let cache = tempfile::tempdir().expect("a folder");
        let own = std::process::id();
        let other = node(own, start_time(own).expect("it lives") + 1);
        let state = State { bus: "kafka".to_owned(), nodes: vec![other], folder: PathBuf::from("/nowhere") };
        state.save(cache.path()).expect("it is written");
        assert_eq!(State::load(cache.path(), "kafka").expect("it is read"), None);
        state.down(cache.path()).expect("there is nothing to end");
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_named() {
        let cache = tempfile::tempdir().expect("a folder");
        fs::write(State::path(cache.path(), "kafka"), "{}").expect("it is written");
        let error = State::load(cache.path(), "kafka").expect_err("no state").to_string();
        assert!(error.contains("cannot be understood") && error.contains("missing field"), "{error}");
    }
}
