//! The nodes of a local cluster, whatever they are: they end when this is dropped.

use super::{
    ProviderError,
    disks::Disks,
    guard::{Guard, Watched},
    ports::Ports,
    process::{NodeProcess, tail},
    state::{State, StateNode},
    turn::Turn,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// How long nodes may take to freeze before their power goes.
const FROZEN: Duration = Duration::from_secs(1);

/// A node that is to be started.
pub(super) struct Planned {
    /// Runs it.
    pub(super) command: Command,
    /// The file that holds what it says.
    pub(super) log: PathBuf,
}

/// The nodes of a local cluster. They end at once when it is dropped, and their data is removed.
#[derive(Debug)]
pub struct Running {
    nodes: Vec<Arc<NodeProcess>>,
    disks: Option<Disks>,
    guard: Arc<Guard>,
    folder: PathBuf,
    kept: bool,
    _ports: Ports,
    _turn: Turn,
}

impl Running {
    /// A temporary folder for a run, with the guard that removes it.
    pub(super) fn folder_of_a_run(prefix: &str) -> Result<(PathBuf, Arc<Guard>), ProviderError> {
        let run = tempfile::Builder::new().prefix(prefix).tempdir();
        let run = run.map_err(ProviderError::io("make a temporary folder"))?;
        let guard = Guard::start(run.path())?;
        // From here on the guard removes the folder.
        Ok((run.keep(), Arc::new(guard)))
    }

    /// Starts the nodes; the first is number 1. If they have disks of their own, what is there already is there
    /// for good.
    pub(super) fn start(
        planned: Vec<Planned>,
        folder: PathBuf,
        guard: Arc<Guard>,
        disks: Option<Disks>,
        (ports, turn): (Ports, Turn),
    ) -> Result<Self, ProviderError> {
        if let Some(disks) = &disks {
            (0..planned.len()).try_for_each(|node| disks.sync(node))?;
        }
        let node = |(number, planned): (u32, Planned)| {
            let inside = disks.as_ref().map(|disks| disks.inside(&planned.command));
            NodeProcess::new(
                number.to_string(),
                inside.unwrap_or(planned.command),
                planned.log,
                Arc::clone(&guard),
            )
        };
        let nodes: Vec<_> = (1..).zip(planned).map(node).map(Arc::new).collect();
        let running = Self { nodes, disks, guard, folder, kept: false, _ports: ports, _turn: turn };
        running.nodes.iter().try_for_each(|node| node.start())?;
        Ok(running)
    }

    /// The nodes, in order of their numbers.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<NodeProcess>] {
        &self.nodes
    }

    /// The process of a node, from 1.
    #[must_use]
    pub fn node(&self, node: u32) -> Option<&Arc<NodeProcess>> {
        self.nodes.get(usize::try_from(node).ok()?.checked_sub(1)?)
    }

    /// How many nodes the cluster has.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The run's folder, with a folder for each node: its configuration, its logs and its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether every node has a disk of its own, which can lose its power.
    #[must_use]
    pub fn has_own_disks(&self) -> bool {
        self.disks.is_some()
    }

    /// Takes the power from nodes, all at the same moment: what they had written and not synced is gone, unless the
    /// kernel had put it on their disks by itself. They do not run afterwards, and their disks are what they find
    /// when they start again.
    pub fn cut_power(&self, nodes: &[u32]) -> Result<(), ProviderError> {
        let Some(disks) = &self.disks else {
            let node = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let action = "lose its power alone";
            return Err(ProviderError::State { node, action, state: "shares a disk with others" });
        };
        let processes: Vec<_> = nodes.iter().filter_map(|node| self.node(*node)).collect();
        let places: Vec<_> =
            nodes.iter().filter_map(|node| usize::try_from(*node).ok()?.checked_sub(1)).collect();
        // First they freeze, one a few microseconds after the other: from here on none acknowledges anything, nor
        // does one tell others that its disk fails, as no machine does that loses its power.
        processes.iter().filter(|node| node.is_alive()).try_for_each(|node| node.pause())?;
        processes.iter().for_each(|node| node.await_frozen(FROZEN));
        places.iter().try_for_each(|place| disks.cut(*place))?;
        thread::scope(|scope| {
            let kills: Vec<_> = processes.iter().map(|node| scope.spawn(|| node.kill())).collect();
            kills.into_iter().try_for_each(|kill| kill.join().unwrap_or(Ok(())))
        })?;
        places.iter().try_for_each(|place| disks.remount(*place))
    }

    /// Waits until every node is ready. `missing` tells what a node still lacks; it gets the node's index, from 0.
    /// `output` is a file with more of what the node says, by its number.
    pub(super) fn await_ready(
        &self,
        within: Duration,
        missing: impl Fn(usize) -> Result<(), String>,
        output: impl Fn(u32) -> Option<PathBuf>,
    ) -> Result<(), ProviderError> {
        let end = Instant::now() + within;
        for (index, (number, node)) in (1..).zip(&self.nodes).enumerate() {
            while let Err(missing) = missing(index) {
                let tail = || {
                    let output = output(number).map(|output| tail(&output)).unwrap_or_default();
                    format!("{} {output}", node.log_tail()).trim().to_owned()
                };
                let log = node.log().to_owned();
                if !node.is_alive() {
                    return Err(ProviderError::Died { node: number, log, tail: tail() });
                }
                if Instant::now() > end {
                    let missing = format!("node {number}: {missing}");
                    return Err(ProviderError::NotReady { within, missing, log, tail: tail() });
                }
                sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Lets the nodes live on without this process, and describes them; `addresses` is where clients reach each.
    pub(super) fn detach(mut self, bus: &str, addresses: &[SocketAddr]) -> Result<State, ProviderError> {
        let node = |(node, address): (&Arc<NodeProcess>, &SocketAddr)| {
            let gone = || ProviderError::State {
                node: node.name().to_owned(),
                action: "live on",
                state: "is not running",
            };
            let Watched { pid, start } = node.watched().ok_or_else(gone)?;
            Ok(StateNode { pid, start, address: *address, log: node.log().to_owned() })
        };
        let nodes = self.nodes.iter().zip(addresses).map(node).collect::<Result<_, _>>()?;
        self.kept = true;
        // Disks of their own stay mounted for as long as the nodes run.
        self.disks.as_ref().map_or(Ok(()), Disks::let_go)?;
        self.guard.keep();
        Ok(State { bus: bus.to_owned(), nodes, folder: self.folder.clone() })
    }
}

impl Drop for Running {
    /// Ends the nodes at once and removes the data: nobody will read it again.
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let clean = thread::scope(|scope| {
            let kills: Vec<_> = self.nodes.iter().map(|node| scope.spawn(|| node.kill())).collect();
            kills.into_iter().all(|kill| matches!(kill.join(), Ok(Ok(()))))
        });
        let clean = clean && self.disks.as_ref().is_none_or(|disks| disks.let_go().is_ok());
        // What could not be ended or removed here is left to the guard: it acts when it is dropped.
        if clean && fs::remove_dir_all(&self.folder).is_ok() {
            self.guard.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{disks, guard::redirect};

    /// A cluster of shells that write to their disks: `synced` is synced, `written` is not.
    fn cluster(nodes: u32) -> (Running, tempfile::TempDir) {
        const SCRIPT: &str =
            "echo x >>synced && sync synced . && echo x >>written && echo begun >&2; exec sleep 1000";
        let cache = tempfile::tempdir().expect("a folder");
        let (folder, guard) = Running::folder_of_a_run("squall-running-").expect("a folder");
        let data: Vec<_> = (1..=nodes).map(|node| folder.join(format!("node-{node}"))).collect();
        let disks = Disks::make(&folder, &data, &guard).expect("disks");
        let planned = (1..).zip(&data).map(|(node, data)| {
            let log = folder.join(format!("{node}.log"));
            let mut command = redirect(Path::new("/bin/sh"), vec!["-c".into(), SCRIPT.into()], &log);
            command.current_dir(data);
            Planned { command, log }
        });
        let (planned, ports) = (planned.collect(), Ports::reserve(cache.path()).expect("ports"));
        let turn = Turn::wait(cache.path(), &|_| ()).expect("its turn");
        let running = Running::start(planned, folder, guard, Some(disks), (ports, turn)).expect("they start");
        (1..=nodes).for_each(|node| begun(&running, node, 1));
        (running, cache)
    }

    /// Waits until a node has written for the so many-th time.
    fn begun(running: &Running, node: u32, times: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        let log = running.node(node).expect("a node").log();
        while fs::read_to_string(log).unwrap_or_default().matches("begun").count() < times {
            assert!(Instant::now() < end, "node {node} did not begin");
            sleep(Duration::from_millis(10));
        }
    }

    /// How often a node's disk has what was synced, and what was only written.
    fn found(running: &Running, node: u32) -> (usize, usize) {
        let mut look = Command::new("/bin/sh");
        look.args(["-c", "cat synced; echo; cat written 2>/dev/null; :"]);
        look.current_dir(running.folder().join(format!("node-{node}")));
        let disks = running.disks.as_ref().expect("disks of their own");
        let output = disks.inside(&look).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (synced, written) = text.split_once("\n\n").unwrap_or((text.trim(), ""));
        (synced.matches('x').count(), written.matches('x').count())
    }

    fn skipped() -> bool {
        let why = disks::lacking();
        why.inspect(|why| eprintln!("SKIPPED: nodes cannot have disks of their own here: {why}")).is_some()
    }

    #[test]
    fn who_loses_its_power_loses_what_was_not_synced() {
        if skipped() {
            return;
        }
        let (running, _cache) = cluster(3);
        running.cut_power(&[1, 3]).expect("their power is cut");
        let alive: Vec<_> = running.nodes().iter().map(|node| node.is_alive()).collect();
        assert_eq!(alive, [false, true, false]);
        assert_eq!([found(&running, 1), found(&running, 2), found(&running, 3)], [(1, 0), (1, 1), (1, 0)]);
        // It starts again with what it finds, and may lose its power again.
        running.node(1).expect("a node").start().expect("it starts");
        begun(&running, 1, 2);
        assert_eq!(found(&running, 1), (2, 1));
        running.cut_power(&[1, 2, 3]).expect("their power is cut, also that of those who are down");
        assert_eq!([found(&running, 1), found(&running, 2), found(&running, 3)], [(2, 0), (1, 0), (1, 0)]);
    }

    #[test]
    fn what_a_killed_node_wrote_outlives_it_until_its_power_goes() {
        if skipped() {
            return;
        }
        let (running, _cache) = cluster(2);
        running.nodes().iter().for_each(|node| node.kill().expect("it ends"));
        assert_eq!([found(&running, 1), found(&running, 2)], [(1, 1), (1, 1)]);
        running.cut_power(&[1]).expect("its power is cut");
        assert_eq!([found(&running, 1), found(&running, 2)], [(1, 0), (1, 1)]);
        // A frozen one too.
        let second = running.node(2).expect("a node");
        second.start().expect("it starts");
        begun(&running, 2, 2);
        second.pause().expect("it freezes");
        running.cut_power(&[2]).expect("its power is cut");
        assert_eq!(found(&running, 2), (2, 0));
    }

    #[test]
    fn nodes_that_share_a_disk_have_no_power_to_cut() {
        let cache = tempfile::tempdir().expect("a folder");
        let (folder, guard) = Running::folder_of_a_run("squall-running-").expect("a folder");
        let (ports, turn) = (Ports::reserve(cache.path()), Turn::wait(cache.path(), &|_| ()));
        let held = (ports.expect("ports"), turn.expect("its turn"));
        let running = Running::start(Vec::new(), folder, guard, None, held).expect("nobody starts");
        let error = running.cut_power(&[1]).expect_err("there is none").to_string();
        assert_eq!(error, "node 1 cannot lose its power alone, because it shares a disk with others");
    }
}
