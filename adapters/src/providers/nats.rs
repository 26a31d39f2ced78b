//! `local:nats`: a cluster of real NATS processes with JetStream on loopback.
//!
//! - [`LocalNats::prepare`] finds the server, reserves ports and plans the links. Then whoever wants to break
//!   links binds a proxy for each [`Link`] of [`Prepared::links`], and [`Prepared::start`] starts the nodes.
//!   [`LocalNats::start`] is both, with nodes that talk directly.
//! - Every node listens on three ports of 127.0.0.1: for clients, for routes, and for questions about itself
//!   ([`crate::monitor`]).
//! - The cluster is ready when every node names the leader of the meta group and a group of all nodes, and the
//!   leader sees all of them up to date: a node calls itself healthy before that.
//! - The data is in a temporary folder that is removed at the end; a node that starts again finds its own. Nodes
//!   end with the [`LocalNats`], and also when this process is killed (see [`super::guard`]).
//! - [`LocalNats::detach`] lets the nodes live on, for [`super::state`].

use super::{
    Progress, ProviderError, cache_folder,
    disks::Disks,
    link::{Link, LinkKind},
    nats_files::{NodeFiles, name},
    nats_server::NatsServer,
    ports::Ports,
    running::{Planned, Running},
    state::State,
    turn::Turn,
};
use crate::monitor::{self, Monitor};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The largest cluster that a block of ports can hold.
const MOST_NODES: u32 = 7;
/// How long one node may take to answer while the cluster starts.
const ANSWER: Duration = Duration::from_secs(2);

/// How a local cluster shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// How many nodes, 1 to 7; one node is no cluster and replicates nothing.
    pub nodes: u32,
    /// Whether every link goes through an address where a proxy can listen.
    pub links: bool,
    /// Whether every node has a disk of its own, which can lose its power; [`super::disks::lacking`] tells whether
    /// that can be.
    pub own_disks: bool,
    /// Further settings of the servers, by NATS' own names; they win over the provider's. Values are written as
    /// they are.
    pub settings: BTreeMap<String, String>,
    /// Further settings of the servers' `jetstream` block: `sync_interval`.
    pub jetstream: BTreeMap<String, String>,
    /// How long the cluster may take to become ready.
    pub ready_within: Duration,
    /// The cache folder, if not the one of [`cache_folder`].
    pub cache: Option<PathBuf>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            links: false,
            own_disks: false,
            settings: BTreeMap::new(),
            jetstream: BTreeMap::new(),
            ready_within: Duration::from_secs(60),
            cache: None,
        }
    }
}

/// Where the nodes listen, and where they say that they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Node i is at i - 1.
    pub nodes: Vec<NodeAddresses>,
    /// The port at which nodes look for each other if links go through proxies: node i for node j at 127.0.i.j.
    pub peer_link: Option<u16>,
}

/// Where one node listens, and where clients look for it if links go through proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddresses {
    /// Its listener for clients.
    pub client: SocketAddr,
    /// Its listener for routes.
    pub peer: SocketAddr,
    /// Its listener for questions about itself.
    pub monitor: SocketAddr,
    /// Where clients look for it.
    pub client_link: Option<SocketAddr>,
}

impl Addresses {
    /// Addresses for so many nodes on ports that `port` hands out.
    pub(super) fn plan(
        nodes: u32,
        linked: bool,
        mut port: impl FnMut() -> Result<u16, ProviderError>,
    ) -> Result<Self, ProviderError> {
        // The addresses of the links to one node differ from those to another, so one port is enough.
        let peer_link = if linked { Some(port()?) } else { None };
        let mut local = || Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port()?)));
        let plan = (0..nodes).map(|_| {
            let (client, peer, monitor) = (local()?, local()?, local()?);
            let client_link = if linked { Some(local()?) } else { None };
            Ok(NodeAddresses { client, peer, monitor, client_link })
        });
        Ok(Self { nodes: plan.collect::<Result<_, _>>()?, peer_link })
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

    /// The listeners for questions about the nodes; node i's is at i - 1.
    #[must_use]
    pub fn monitors(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.monitor).collect()
    }

    /// Where a node looks for each of the others.
    pub(super) fn routes(&self, node: u32) -> Vec<SocketAddr> {
        let others = (1..).zip(&self.nodes).filter(|(other, _)| *other != node);
        others.map(|(other, at)| self.route(node, other).unwrap_or(at.peer)).collect()
    }

    /// Where a proxy for the routes that `from` opens to `to` listens.
    fn route(&self, from: u32, to: u32) -> Option<SocketAddr> {
        let octet = |node| u8::try_from(node).unwrap_or(u8::MAX);
        self.peer_link.map(|port| SocketAddr::from((Ipv4Addr::new(127, 0, octet(from), octet(to)), port)))
    }

    /// Every directed link: from clients to each node, and from each node to each other. Empty when links do not
    /// go through proxies.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (to, at) in (1..).zip(&self.nodes) {
            let mut link = |from, kind, listen: Option<SocketAddr>, forward| {
                links.extend(listen.map(|listen| Link { from, to, kind, listen, forward }));
            };
            link(None, LinkKind::Client, at.client_link, at.client);
            for (from, _) in (1..).zip(&self.nodes).filter(|(from, _)| *from != to) {
                link(Some(from), LinkKind::Peer, self.route(from, to), at.peer);
            }
        }
        links
    }
}

/// A cluster whose ports are reserved and whose nodes are not started.
#[derive(Debug)]
pub struct Prepared {
    options: NatsOptions,
    server: NatsServer,
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

    /// Starts the nodes and waits until the cluster is ready.
    pub fn start(self, progress: Progress<'_>) -> Result<LocalNats, ProviderError> {
        progress(&format!("starting {} nodes of NATS {}", self.options.nodes, self.server.version()));
        let (folder, guard) = Running::folder_of_a_run("squall-nats-")?;
        let files: Vec<NodeFiles> =
            (1..=self.options.nodes).map(|node| NodeFiles::new(&folder, node)).collect();
        for (node, files) in (1..).zip(&files) {
            files.write(node, &self.addresses, &self.options)?;
        }
        let data: Vec<_> = files.iter().map(NodeFiles::data).collect();
        let disks = self.options.own_disks.then(|| Disks::make(&folder, &data, &guard)).transpose()?;
        let plan = |files: &NodeFiles| Planned { command: files.server(&self.server), log: files.log() };
        let planned = files.iter().map(plan).collect();
        let running = Running::start(planned, folder, guard, disks, (self.ports, self.turn))?;
        let cluster = LocalNats { addresses: self.addresses, running };
        cluster.await_ready(self.options.ready_within)?;
        Ok(cluster)
    }
}

/// A running local cluster. Its nodes end when it is dropped.
#[derive(Debug)]
pub struct LocalNats {
    addresses: Addresses,
    running: Running,
}

impl LocalNats {
    /// Finds the server (fetching it the first time), and reserves ports.
    pub fn prepare(options: NatsOptions, progress: Progress<'_>) -> Result<Prepared, ProviderError> {
        if !(1..=MOST_NODES).contains(&options.nodes) {
            let (value, why) = (options.nodes.to_string(), "a local cluster has 1 to 7 nodes");
            return Err(ProviderError::Option { option: "nodes", value, why });
        }
        let cache = options.cache.clone().map_or_else(cache_folder, Ok)?;
        let server = NatsServer::ensure(&cache, progress)?;
        let turn = Turn::wait(&cache, progress)?;
        let mut ports = Ports::reserve(&cache)?;
        let addresses = Addresses::plan(options.nodes, options.links, || ports.take())?;
        Ok(Prepared { options, server, ports, addresses, turn })
    }

    /// Starts a cluster whose nodes talk directly.
    pub fn start(options: NatsOptions, progress: Progress<'_>) -> Result<Self, ProviderError> {
        Self::prepare(NatsOptions { links: false, ..options }, progress)?.start(progress)
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

    /// What the nodes tell of themselves, past every proxy.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(&self.addresses.monitors())
    }

    /// Waits until every node is ready.
    pub fn await_ready(&self, within: Duration) -> Result<(), ProviderError> {
        let (nodes, size) = (&self.addresses.nodes, self.running.size());
        let ready = |index: usize| is_ready(nodes[index].monitor, index, size);
        self.running.await_ready(within, ready, |_| None)
    }

    /// Lets the nodes live on without this process, and describes them for [`State`].
    pub fn detach(self) -> Result<State, ProviderError> {
        let addresses = self.addresses.direct();
        self.running.detach("nats", &addresses)
    }
}

/// Whether a node is one of a meta group of so many that has a leader; else what is missing.
fn is_ready(at: SocketAddr, index: usize, size: u32) -> Result<(), String> {
    let own = name(u32::try_from(index + 1).unwrap_or(u32::MAX));
    let report = monitor::ask(at, ANSWER).map_err(|error| error.to_string())?;
    if size == 1 {
        return Ok(());
    }
    let Some(meta) = report.meta else { return Err("it knows no meta group".to_owned()) };
    if meta.leader.is_empty() {
        return Err("it knows no leader of the meta group".to_owned());
    }
    if meta.size != size {
        return Err(format!("it names {} of {size} members of the meta group", meta.size));
    }
    let behind = |peer: &&monitor::Peer| !peer.current || peer.offline;
    match meta.replicas.iter().find(behind) {
        Some(peer) if meta.leader == own => Err(format!("{} is not up to date", peer.name)),
        _ => Ok(()),
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
        assert_eq!(links.len(), 3 + 6);
        let mut listens: Vec<_> = links.iter().map(|link| link.listen).collect();
        listens.sort_unstable();
        listens.dedup();
        assert_eq!(listens.len(), links.len());
        assert!(links.iter().all(|link| link.listen.ip().is_loopback() && link.forward.ip().is_loopback()));
        let routes = addresses.routes(2);
        let planned: Vec<_> =
            links.iter().filter(|link| link.from == Some(2)).map(|link| link.listen).collect();
        assert_eq!(routes, planned);
    }

    #[test]
    fn options_that_cannot_work_are_refused_with_the_reason() {
        let options = NatsOptions { nodes: 9, ..NatsOptions::default() };
        let error = LocalNats::prepare(options, &|_| ()).expect_err("too many").to_string();
        assert_eq!(error, "the option nodes is 9, but a local cluster has 1 to 7 nodes");
    }
}
