//! The nodes and what holds them: a node is down while a fault keeps it down, and frozen while a fault keeps it
//! frozen; faults may overlap. All of this blocks.

use crate::error::ChaosError;
use squall_adapters::providers::{ProviderError, process::NodeProcess, running::Running};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long a node may take to stop in good order before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    /// Not running.
    Down,
    /// Frozen.
    Frozen,
}

/// How a node is brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At once.
    Kill,
    /// In good order.
    Stop,
}

pub(super) struct Nodes {
    running: Mutex<Option<Running>>,
    own_disks: bool,
    processes: Vec<Arc<NodeProcess>>,
    holds: Mutex<BTreeMap<(u32, Hold), BTreeSet<u32>>>,
}

impl Nodes {
    pub(super) fn new(running: Running) -> Self {
        let processes = running.nodes().to_vec();
        let own_disks = running.has_own_disks();
        Self { running: Mutex::new(Some(running)), own_disks, processes, holds: Mutex::default() }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.processes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn have_own_disks(&self) -> bool {
        self.own_disks
    }

    pub(super) fn is_alive(&self, node: u32) -> bool {
        self.process(node).is_some_and(|process| process.is_alive())
    }

    fn process(&self, node: u32) -> Option<&Arc<NodeProcess>> {
        self.processes.get(usize::try_from(node).ok()?.checked_sub(1)?)
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<(u32, Hold), BTreeSet<u32>>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings nodes down and keeps them there for a fault.
    pub(super) fn bring_down(&self, fault: u32, nodes: &[u32], way: Way) -> Result<(), ChaosError> {
        for node in nodes {
            self.holds().entry((*node, Hold::Down)).or_default().insert(fault);
        }
        self.each(nodes, |process| end(process, way))
    }

    /// Takes the power from nodes, all at once, and keeps them down for a fault.
    pub(super) fn cut_power(&self, fault: u32, nodes: &[u32]) -> Result<(), ChaosError> {
        for node in nodes {
            self.holds().entry((*node, Hold::Down)).or_default().insert(fault);
        }
        match &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(running) => Ok(running.cut_power(nodes)?),
            // The cluster is being ended.
            None => Ok(()),
        }
    }

    /// Stops nodes and starts them again at once, unless a fault keeps them down.
    pub(super) fn restart(&self, nodes: &[u32]) -> Result<(), ChaosError> {
        self.each(nodes, |process| end(process, Way::Stop))?;
        nodes.iter().try_for_each(|node| self.start_if_free(*node))
    }

    /// Freezes nodes and keeps them so for a fault.
    pub(super) fn freeze(&self, fault: u32, nodes: &[u32]) -> Result<(), ChaosError> {
        for node in nodes {
            self.holds().entry((*node, Hold::Frozen)).or_default().insert(fault);
        }
        self.each(nodes, |process| if process.is_alive() { process.pause() } else { Ok(()) })
    }

    /// A fault lets go of nodes; each starts or goes on if no other holds it.
    pub(super) fn release(&self, fault: u32, nodes: &[u32], hold: Hold) -> Result<(), ChaosError> {
        for node in nodes {
            if let Some(faults) = self.holds().get_mut(&(*node, hold)) {
                faults.remove(&fault);
            }
            match hold {
                Hold::Down => self.start_if_free(*node)?,
                Hold::Frozen => self.thaw_if_free(*node)?,
            }
        }
        Ok(())
    }

    fn is_held(&self, node: u32, hold: Hold) -> bool {
        self.holds().get(&(node, hold)).is_some_and(|faults| !faults.is_empty())
    }

    fn start_if_free(&self, node: u32) -> Result<(), ChaosError> {
        let Some(process) = self.process(node) else { return Ok(()) };
        if !self.is_held(node, Hold::Down) {
            process.start()?;
            if self.is_held(node, Hold::Frozen) {
                process.pause()?;
            }
        }
        Ok(())
    }

    fn thaw_if_free(&self, node: u32) -> Result<(), ChaosError> {
        match self.process(node) {
            Some(process) if !self.is_held(node, Hold::Frozen) && process.is_alive() => Ok(process.resume()?),
            _ => Ok(()),
        }
    }

    /// Does something to several nodes at the same time.
    fn each(
        &self,
        nodes: &[u32],
        work: impl Fn(&NodeProcess) -> Result<(), ProviderError> + Sync,
    ) -> Result<(), ChaosError> {
        let work = &work;
        thread::scope(|scope| {
            let processes = nodes.iter().filter_map(|node| self.process(*node));
            let working: Vec<_> = processes.map(|process| scope.spawn(move || work(process))).collect();
            working.into_iter().try_for_each(|done| Ok(done.join().unwrap_or(Ok(()))?))
        })
    }

    /// Ends all nodes for good and removes their data.
    pub(super) fn shut_down(&self) {
        drop(self.running.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn end(process: &NodeProcess, way: Way) -> Result<(), ProviderError> {
    if way == Way::Stop && process.is_alive() {
        match process.stop(PATIENCE) {
            Err(ProviderError::Stuck { .. }) => {}
            stopped => return stopped.map(drop),
        }
    }
    process.kill()
}
