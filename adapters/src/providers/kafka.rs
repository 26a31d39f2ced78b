//! `local:kafka`: a cluster of real Kafka processes on loopback.
//!
//! - [`LocalKafka::prepare`] finds Java and the jars, reserves ports and plans the links. Then whoever wants
//!   to break links binds a proxy for each [`Link`] of [`Prepared::links`], and [`Prepared::start`] formats
//!   the nodes and starts them. [`LocalKafka::start`] is both, with nodes that talk directly.
//! - Every node is broker and controller, and listens on three ports of 127.0.0.1: for clients, for its peers,
//!   and for the quorum.
//! - The cluster is ready when each node names all of them as live brokers and knows the controller: a port
//!   that answers is not enough. Then the internal topic of the groups is made.
//! - The data is in a temporary folder that is removed at the end. Nodes end with the [`LocalKafka`], and
//!   also when this process is killed (see [`super::guard`]).
//! - One cluster at a time: `prepare` waits for its turn on this machine (`turn`).
//! - [`LocalKafka::detach`] lets the nodes live on, for [`super::state`].

use super::{
    Progress, ProviderError, cache_folder,
    disks::Disks,
    jars::{self, Java},
    java_program,
    kafka_files::{NodeFiles, cluster_id},
    link::{Link, LinkKind},
    once::last_lines,
    ports::Ports,
    running::{Planned, Running},
    state::State,
    turn::Turn,
};
use crate::wire::{Connection, WireAdmin, WireError};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

/// The largest cluster that a block of ports can hold.
const MOST_NODES: u32 = 7;

/// How a local cluster shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// How many nodes, 1 to 7; each is broker and controller.
    pub nodes: u32,
    /// The largest heap of a node, in MiB; at least 128.
    pub heap_mib: u32,
    /// Whether every link goes through an address where a proxy can listen.
    pub links: bool,
    /// Whether every node has a disk of its own, which can lose its power; [`super::disks::lacking`] tells whether
    /// that can be.
    pub own_disks: bool,
    /// Whether there are to be clients of Kafka's own Java library too, which then has to be able to run here
    /// ([`super::java_program::lacking`]). Whoever opens the clients starts their process.
    pub java_clients: bool,
    /// Further settings of the brokers, by Kafka's own names; they win over the provider's.
    pub settings: BTreeMap<String, String>,
    /// How long the cluster may take to become ready.
    pub ready_within: Duration,
    /// The cache folder, if not the one of [`cache_folder`].
    pub cache: Option<PathBuf>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            heap_mib: 256,
            links: false,
            own_disks: false,
            java_clients: false,
            settings: BTreeMap::new(),
            ready_within: Duration::from_secs(60),
            cache: None,
        }
    }
}

impl KafkaOptions {
    fn check(&self) -> Result<(), ProviderError> {
        let wrong =
            |option, value: u32, why| Err(ProviderError::Option { option, value: value.to_string(), why });
        if !(1..=MOST_NODES).contains(&self.nodes) {
            return wrong("nodes", self.nodes, "a local cluster has 1 to 7 nodes");
        }
        if self.heap_mib < 128 {
            return wrong("heap_mib", self.heap_mib, "a node needs a heap of at least 128 MiB");
        }
        Ok(())
    }
}

/// Where the nodes listen, and where they say that they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Node i is at i - 1.
    pub nodes: Vec<NodeAddresses>,
}

/// Where one node listens, and at which addresses others look for it if links go through proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddresses {
    /// Its listener for clients.
    pub client: SocketAddr,
    /// Its listener for the other brokers.
    pub peer: SocketAddr,
    /// Its listener for the quorum.
    pub controller: SocketAddr,
    /// Where clients look for it.
    pub client_link: Option<SocketAddr>,
    /// Where brokers look for it: node i at 127.0.i.j with this port.
    pub peer_link: Option<SocketAddr>,
    /// Where members of the quorum look for it: node i at 127.0.i.j with this port.
    pub controller_link: Option<SocketAddr>,
}

impl Addresses {
    /// Addresses for so many nodes on ports that `port` hands out.
    pub(super) fn plan(
        nodes: u32,
        linked: bool,
        mut port: impl FnMut() -> Result<u16, ProviderError>,
    ) -> Result<Self, ProviderError> {
        let mut local = || Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port()?)));
        // The addresses of the links to one node differ from those to another, so one port is enough.
        let (peer_link, controller_link) =
            if linked { (Some(local()?), Some(local()?)) } else { (None, None) };
        let plan = (0..nodes).map(|_| {
            let (client, peer, controller) = (local()?, local()?, local()?);
            let client_link = if linked { Some(local()?) } else { None };
            Ok(NodeAddresses { client, peer, controller, client_link, peer_link, controller_link })
        });
        Ok(Self { nodes: plan.collect::<Result<_, _>>()? })
    }

    /// Where clients reach the cluster: `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let at = |node: &NodeAddresses| node.client_link.unwrap_or(node.client).to_string();
        self.nodes.iter().map(at).collect::<Vec<_>>().join(",")
    }

    /// The listeners for clients themselves, past every proxy; node i's is at i - 1.
    #[must_use]
    pub fn direct(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.client).collect()
    }

    /// Every directed link: from clients to each node, and from each node to each (also to itself) for
    /// brokers and for the quorum. Empty when links do not go through proxies.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (to, at) in (1..).zip(&self.nodes) {
            let mut link = |from, kind, listen: Option<SocketAddr>, forward| {
                links.extend(listen.map(|listen| Link { from, to, kind, listen, forward }));
            };
            link(None, LinkKind::Client, at.client_link, at.client);
            for from in 1..=u8::try_from(self.nodes.len()).unwrap_or(u8::MAX) {
                let host = Ipv4Addr::new(127, 0, from, u8::try_from(to).unwrap_or(u8::MAX));
                let listen = |link: SocketAddr| SocketAddr::from((host, link.port()));
                link(Some(from.into()), LinkKind::Peer, at.peer_link.map(listen), at.peer);
                link(Some(from.into()), LinkKind::Controller, at.controller_link.map(listen), at.controller);
            }
        }
        links
    }
}

/// A cluster whose ports are reserved and whose nodes are not started.
#[derive(Debug)]
pub struct Prepared {
    options: KafkaOptions,
    java: Java,
    jars: PathBuf,
    ports: Ports,
    addresses: Addresses,
    turn: Turn,
}

impl Prepared {
    /// Where the nodes will listen.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The links for which proxies have to listen before the nodes start.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.addresses.links()
    }

    /// Formats the nodes, starts them and waits until the cluster is ready.
    pub fn start(self, progress: Progress<'_>) -> Result<LocalKafka, ProviderError> {
        progress(&format!("starting {} nodes of Apache Kafka {}", self.options.nodes, jars::KAFKA_VERSION));
        let (folder, guard) = Running::folder_of_a_run("squall-kafka-")?;
        let files: Vec<NodeFiles> =
            (1..=self.options.nodes).map(|node| NodeFiles::new(&folder, node)).collect();
        for (node, files) in (1..).zip(&files) {
            files.write(node, &self.addresses, &self.options)?;
        }
        let data: Vec<_> = files.iter().map(NodeFiles::data).collect();
        let disks = self.options.own_disks.then(|| Disks::make(&folder, &data, &guard)).transpose()?;
        self.format(&files, disks.as_ref())?;
        let plan = |files: &NodeFiles| Planned {
            command: files.server(&self.java, &self.jars, &self.options),
            log: files.log(),
        };
        let planned = files.iter().map(plan).collect();
        let running = Running::start(planned, folder, guard, disks, (self.ports, self.turn))?;
        let cluster = LocalKafka { addresses: self.addresses, running };
        cluster.await_ready(self.options.ready_within)?;
        cluster.warm_up(self.options.ready_within)?;
        Ok(cluster)
    }

    /// Formats the storage of all nodes at the same time.
    fn format(&self, files: &[NodeFiles], disks: Option<&Disks>) -> Result<(), ProviderError> {
        let cluster = cluster_id();
        let mut running = Vec::new();
        for files in files {
            let command = files.format(&self.java, &self.jars, &cluster);
            let inside = disks.map(|disks| disks.inside(&command));
            let mut command = inside.unwrap_or(command);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            running.push(command.spawn().map_err(ProviderError::io("run kafka.tools.StorageTool"))?);
        }
        for (node, child) in (1..).zip(running) {
            let output = child.wait_with_output();
            let output = output.map_err(ProviderError::io("wait for kafka.tools.StorageTool"))?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                let output = last_lines(&String::from_utf8_lossy(&said));
                return Err(ProviderError::Format { node, output });
            }
        }
        Ok(())
    }
}

/// A running local cluster. Its nodes end when it is dropped.
#[derive(Debug)]
pub struct LocalKafka {
    addresses: Addresses,
    running: Running,
}

impl LocalKafka {
    /// Finds Java and the jars (fetching them the first time), and reserves ports.
    pub fn prepare(options: KafkaOptions, progress: Progress<'_>) -> Result<Prepared, ProviderError> {
        options.check()?;
        let cache = options.cache.clone().map_or_else(cache_folder, Ok)?;
        let java = Java::find()?;
        if options.java_clients {
            java_program::compiler(&java)?;
        }
        let jars = jars::ensure(&cache, progress)?;
        let turn = Turn::wait(&cache, progress)?;
        let mut ports = Ports::reserve(&cache)?;
        let addresses = Addresses::plan(options.nodes, options.links, || ports.take())?;
        Ok(Prepared { options, java, jars, ports, addresses, turn })
    }

    /// Starts a cluster whose nodes talk directly.
    pub fn start(options: KafkaOptions, progress: Progress<'_>) -> Result<Self, ProviderError> {
        Self::prepare(KafkaOptions { links: false, ..options }, progress)?.start(progress)
    }

    /// Where the nodes listen.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where clients reach the cluster: `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.addresses.bootstrap()
    }

    /// The nodes' processes, and the run's folder with a folder for each node: its configuration, its logs and its data.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The processes alone; they end with what this returns.
    #[must_use]
    pub fn into_running(self) -> Running {
        self.running
    }

    /// An administrator that passes by every proxy.
    #[must_use]
    pub fn admin(&self) -> WireAdmin {
        WireAdmin::direct(&self.addresses.direct())
    }

    /// Waits until every node names all nodes as live brokers and knows the controller.
    pub fn await_ready(&self, within: Duration) -> Result<(), ProviderError> {
        let (nodes, brokers) = (&self.addresses.nodes, self.addresses.nodes.len());
        let output = |node: u32| Some(NodeFiles::new(self.running.folder(), node).output());
        self.running.await_ready(within, |index| is_ready(nodes[index].client, brokers), output)
    }

    /// Has the brokers make the internal topic of the groups, which they do when somebody first asks for a
    /// group: so the first group of a run does not wait for it.
    fn warm_up(&self, within: Duration) -> Result<(), ProviderError> {
        let end = Instant::now() + within;
        let (at, node) = (self.addresses.nodes[0].client, &self.running.nodes()[0]);
        let ask = || Connection::open(at, Duration::from_secs(5))?.find_coordinator("squall-warm-up");
        while let Err(error) = ask() {
            if Instant::now() > end {
                let (log, tail) = (node.log().to_owned(), node.log_tail());
                return Err(ProviderError::NotReady { within, missing: error.to_string(), log, tail });
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Lets the nodes live on without this process, and describes them for [`State`].
    pub fn detach(self) -> Result<State, ProviderError> {
        let addresses = self.addresses.direct();
        self.running.detach("kafka", &addresses)
    }
}

/// Whether a node names so many live brokers and knows the controller; else what is missing.
fn is_ready(node: SocketAddr, brokers: usize) -> Result<(), String> {
    let ask = || {
        let mut connection = Connection::open(node, Duration::from_secs(5))?;
        Ok((connection.metadata(&[])?.brokers.len(), connection.describe_quorum()?.leader))
    };
    match ask() {
        Ok((found, _)) if found < brokers => Err(format!("it names {found} of {brokers} brokers")),
        Ok((_, -1)) => Err("it knows no controller".to_owned()),
        Ok(_) => Ok(()),
        Err(error @ (WireError::Io { .. } | WireError::Broker { .. } | WireError::Malformed)) => {
            Err(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_every_directed_link_once() {
        let mut next = 20_000;
        let addresses = Addresses::plan(3, true, || {
            next += 1;
            Ok(next)
        })
        .expect("there are ports");
        let links = addresses.links();
        assert_eq!(links.len(), 3 + 9 + 9);
        let mut listens: Vec<_> = links.iter().map(|link| link.listen).collect();
        listens.sort_unstable();
        listens.dedup();
        assert_eq!(listens.len(), links.len());
        assert!(links.iter().all(|link| link.listen.ip().is_loopback() && link.forward.ip().is_loopback()));
    }

    #[test]
    fn options_that_cannot_work_are_refused_with_the_reason() {
        let options = KafkaOptions { nodes: 9, ..KafkaOptions::default() };
        let error = LocalKafka::prepare(options, &|_| ()).expect_err("too many").to_string();
        assert_eq!(error, "the option nodes is 9, but a local cluster has 1 to 7 nodes");
    }
}
