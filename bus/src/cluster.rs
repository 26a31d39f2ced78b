//! A target as the runner sees it: a place where client processes run, and something that can be broken.

use crate::{Admin, BoxFuture, Bus, Capabilities, Clock, Error, Fault, Time, Unit};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long the clients of a process that is asked to stop may take their leave: what asked it to ends it then.
pub const LEAVING_PATIENCE: Duration = Duration::from_secs(10);

/// Which life of a client process this is, from 0: a crash ends one, a restart begins the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u32);

/// The body of a client process: called once for each incarnation, with a bus whose handles die with it.
pub type Main = Arc<dyn Fn(Arc<dyn Bus>, Incarnation) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fault that has struck: what its role meant at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StruckFault {
    /// The fault's number in the plan.
    pub id: u32,
    /// The nodes it hit, from 1; empty when it hit a client.
    pub nodes: Vec<u32>,
    /// The client it hit.
    pub client: Option<String>,
}

/// What came of striking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It hit.
    Hit(StruckFault),
    /// Nobody had the role at that moment (a unit without a leader); nothing was broken.
    Nobody,
}

/// A unit got another leader, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// When; on real targets, when it was seen.
    pub time: Time,
    /// The unit.
    pub unit: Unit,
    /// The node that leads from now on, if one does.
    pub leader: Option<u32>,
    /// The new leader was not in sync: what it lacked is gone.
    pub unclean: bool,
}

/// When a node's disk has what the node acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fsync {
    /// As the bus does unless told otherwise: some time later. A loss of power forgets acknowledged records.
    #[default]
    Lazy,
    /// Before the ack, on every node that has a copy.
    Always,
}

/// How a cluster shall be that is started for a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterSpec {
    /// How many nodes.
    pub nodes: u32,
    /// When their disks have what they acknowledged.
    pub fsync: Fsync,
    /// Whether nodes are to lose their power: real ones then need disks of their own.
    pub loses_power: bool,
    /// Whether some of its clients have the profile [`ClientProfile::Java`](crate::ClientProfile::Java): a real cluster
    /// then makes that library ready too.
    pub java_clients: bool,
    /// Which version of the bus, by the name of its profile; the newest one unless said.
    pub profile: Option<String>,
    /// The brokers' configuration, by the bus's own names.
    pub config: BTreeMap<String, String>,
    /// A bug that its model is to have, by id. Real brokers have their own.
    pub bug: Option<String>,
}

impl ClusterSpec {
    /// So many nodes, as the bus sets them up by itself.
    #[must_use]
    pub const fn of(nodes: u32) -> Self {
        Self {
            nodes,
            fsync: Fsync::Lazy,
            loses_power: false,
            java_clients: false,
            profile: None,
            config: BTreeMap::new(),
            bug: None,
        }
    }
}

/// A cluster under test with its client processes. The simulator and the drivers of real clusters implement
/// it; the runner is written once over it.
pub trait Cluster: Send + Sync + 'static {
    /// What the bus and its faults can do.
    fn capabilities(&self) -> &Capabilities;
    /// The harness' own clock: true time in the simulator.
    fn clock(&self) -> Arc<dyn Clock>;
    /// The harness' own administrator, which no fault on a client touches.
    fn admin(&self) -> Arc<dyn Admin>;
    /// A bus for the harness itself (the final drain), which no fault on a client touches.
    fn bus(&self) -> Arc<dyn Bus>;
    /// Starts the client process `name`. It runs until its main returns, or a fault ends it; healing such a
    /// fault calls main again.
    fn start(&self, name: &str, main: Main);
    /// Whether the process' latest incarnation still runs, is paused, or will be started again.
    fn running(&self, name: &str) -> bool;
    /// Ends the process for good, without ceremony.
    fn end(&self, name: &str);
    /// Strikes: resolves the role now and breaks it. Answers when the fault is in force. A client process that is
    /// restarted or stopped takes its leave first, and has [`LEAVING_PATIENCE`] for it.
    fn strike<'a>(&'a self, fault: &'a Fault) -> BoxFuture<'a, Result<Strike, Error>>;
    /// Heals one fault. Answers when the repair is under way; recovery takes its own time.
    fn heal<'a>(&'a self, fault: &'a StruckFault) -> BoxFuture<'a, Result<(), Error>>;
    /// The elections since the last call, in order. The simulator knows them all; a real target shows those
    /// that a look at its metadata reveals.
    fn elections(&self) -> BoxFuture<'_, Vec<Election>>;
    /// Heals everything that is still broken, whatever broke it.
    fn heal_all(&self) -> BoxFuture<'_, Result<(), Error>>;
}
