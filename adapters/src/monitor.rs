//! What the nodes of a NATS cluster tell of themselves: `/jsz` of their monitoring ports.
//!
//! - A question goes to every node at once, each over a connection of its own on a thread of its own. Nodes that
//!   do not answer within [`Monitor::LOOK`] are left out when others do; only when none answers within
//!   [`Monitor::PATIENCE`] the question fails.
//! - Every node tells what it takes for the leader of the meta group, of each stream and of each consumer; a node
//!   that was cut off knows old ones. What most of those that answer say counts; of equally many, whom its leader
//!   itself confirms most recently.
//! - Nodes are called `n1`, `n2`, ... and count from 1.

use serde::Deserialize;
use squall_bus::{BoxFuture, Error, ErrorClass, Pending, lowering::PARTITIONS};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// The most bytes of an answer.
const LARGEST: u64 = 64 << 20;

/// Why a node's answer is missing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The node cannot be reached, or was silent too long.
    #[error("the node at {node} did not answer: {source}")]
    Io {
        /// The address of its monitoring port.
        node: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the node at {node} answered what cannot be understood: {reason}")]
    Malformed {
        /// The address of its monitoring port.
        node: SocketAddr,
        /// What is wrong.
        reason: String,
    },
}

impl From<MonitorError> for Error {
    fn from(error: MonitorError) -> Self {
        Self::new(ErrorClass::Retriable, "MONITOR", error.to_string())
    }
}

/// What one node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// The meta group, if the node is in a cluster.
    #[serde(rename = "meta_cluster")]
    pub meta: Option<Meta>,
    #[serde(default, rename = "account_details")]
    accounts: Vec<Account>,
}

/// The meta group as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Meta {
    /// The leader; empty when the node knows none.
    #[serde(default)]
    pub leader: String,
    /// How many members there are.
    #[serde(default, rename = "cluster_size")]
    pub size: u32,
    /// The other members.
    #[serde(default)]
    pub replicas: Vec<Peer>,
}

/// Another member of a group as one node sees it; only the leader sees it right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Whether it is up to date.
    #[serde(default)]
    pub current: bool,
    /// Whether it is gone.
    #[serde(default)]
    pub offline: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Account {
    #[serde(default, rename = "stream_detail")]
    streams: Vec<Stream>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Stream {
    name: String,
    #[serde(default)]
    cluster: Group,
    #[serde(default)]
    config: Config,
    #[serde(default, rename = "consumer_detail")]
    consumers: Vec<Consumer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Config {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Consumer {
    name: String,
    #[serde(default)]
    cluster: Group,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Group {
    #[serde(default)]
    leader: String,
    #[serde(default)]
    leader_since: String,
    #[serde(default)]
    replicas: Vec<Peer>,
}

/// The leader and the copies of a stream, as most of the nodes that answer see them. Nodes count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The leader, if there is one.
    pub leader: Option<u32>,
    /// Since when it leads, as it says itself: a time of RFC 3339. A node that was elected again has another one.
    pub since: String,
    /// The nodes that hold a copy.
    pub replicas: Vec<u32>,
    /// Those of them that the leader calls up to date, itself among them.
    pub insync: Vec<u32>,
    /// The stream's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Copies {
    /// How many partitions the stream's topic has, if it is one of ours.
    #[must_use]
    pub fn partitions(&self) -> Option<u32> {
        self.metadata.get(PARTITIONS)?.parse().ok()
    }
}

/// What the nodes tell, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey(Vec<(u32, Report)>);

impl Survey {
    /// The leader of the meta group, if there is one.
    #[must_use]
    pub fn controller(&self) -> Option<u32> {
        let said = self.0.iter().filter_map(|(node, report)| {
            let meta = report.meta.as_ref()?;
            Some((*node, node_of(&meta.leader), ""))
        });
        elected(said)
    }

    /// Every stream.
    #[must_use]
    pub fn streams(&self) -> BTreeMap<String, Copies> {
        let mut said: BTreeMap<&str, Vec<(u32, &Stream)>> = BTreeMap::new();
        for (node, stream) in self.details() {
            said.entry(&stream.name).or_default().push((node, stream));
        }
        said.into_iter().map(|(name, said)| (name.to_owned(), copies(&said))).collect()
    }

    /// The leader of a consumer, if there is one.
    #[must_use]
    pub fn consumer_leader(&self, stream: &str, consumer: &str) -> Option<u32> {
        let streams = self.details().filter(|(_, detail)| detail.name == stream);
        let said = streams.flat_map(|(node, detail)| {
            let found = detail.consumers.iter().filter(|found| found.name == consumer);
            found.map(move |found| (node, node_of(&found.cluster.leader), &*found.cluster.leader_since))
        });
        elected(said)
    }

    /// The names of the consumers of every stream, by the stream's name.
    #[must_use]
    pub fn consumers(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self
            .details()
            .flat_map(|(_, stream)| stream.consumers.iter().map(|consumer| (&*stream.name, &*consumer.name)))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn details(&self) -> impl Iterator<Item = (u32, &Stream)> {
        self.0.iter().flat_map(|(node, report)| {
            report.accounts.iter().flat_map(|account| &account.streams).map(|stream| (*node, stream))
        })
    }
}

/// `n2` is 2.
fn node_of(name: &str) -> Option<u32> {
    name.strip_prefix('n')?.parse().ok()
}

/// Whom most name; of equally many, who says itself that it has led since the latest time. What is said: the node
/// that says it, whom it names, since when.
fn elected<'a>(said: impl Iterator<Item = (u32, Option<u32>, &'a str)>) -> Option<u32> {
    let mut votes: BTreeMap<u32, (usize, &str)> = BTreeMap::new();
    for (node, leader, since) in said {
        let Some(leader) = leader else { continue };
        let vote = votes.entry(leader).or_default();
        vote.0 += 1;
        if node == leader {
            vote.1 = vote.1.max(since);
        }
    }
    votes.into_iter().max_by_key(|(_, vote)| *vote).map(|(leader, _)| leader)
}

fn copies(streams: &[(u32, &Stream)]) -> Copies {
    let metadata = streams.first().map(|(_, stream)| stream.config.metadata.clone()).unwrap_or_default();
    let said: Vec<(u32, &Group)> = streams.iter().map(|(node, stream)| (*node, &stream.cluster)).collect();
    let leader =
        elected(said.iter().map(|(node, group)| (*node, node_of(&group.leader), &*group.leader_since)));
    let own = said.iter().find(|(node, _)| Some(*node) == leader).map(|(_, group)| *group);
    // Whoever holds a copy names the others; so one answer is enough to know them all.
    let mut replicas: Vec<u32> = said
        .iter()
        .flat_map(|(node, group)| group.replicas.iter().filter_map(|peer| node_of(&peer.name)).chain([*node]))
        .collect();
    replicas.sort_unstable();
    replicas.dedup();
    let current = |node: &u32| {
        let peers = own.into_iter().flat_map(|group| &group.replicas);
        Some(*node) == leader
            || peers
                .into_iter()
                .any(|peer| node_of(&peer.name) == Some(*node) && peer.current && !peer.offline)
    };
    let insync = if own.is_some() { replicas.iter().copied().filter(current).collect() } else { Vec::new() };
    let since = own.map(|group| group.leader_since.clone()).unwrap_or_default();
    Copies { leader, since, replicas, insync, metadata }
}

/// Asks the nodes of a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor(Arc<Vec<SocketAddr>>);

impl Monitor {
    /// How long one node may take to answer, when none answers sooner.
    pub const PATIENCE: Duration = Duration::from_secs(3);
    /// How long a node may take to answer when another one does: a fault strikes in time although nodes are frozen.
    pub const LOOK: Duration = Duration::from_millis(700);

    /// Asks node i at the i-th of these addresses.
    #[must_use]
    pub fn new(nodes: &[SocketAddr]) -> Self {
        Self(Arc::new(nodes.to_vec()))
    }

    /// What the nodes that answer tell; at least one.
    pub fn survey(&self) -> BoxFuture<'static, Result<Survey, Error>> {
        let nodes = Arc::clone(&self.0);
        let (completer, pending) = Pending::pair();
        let work = move || {
            let survey = ask_all(&nodes, Self::LOOK).or_else(|_| ask_all(&nodes, Self::PATIENCE));
            if let Some(waker) = completer.complete(survey.map_err(Error::from)) {
                waker.wake();
            }
        };
        match thread::Builder::new().name("squall-monitor".to_owned()).spawn(work) {
            Ok(_) => Box::pin(pending),
            Err(error) => {
                let says = format!("a thread that asks the nodes could not be started: {error}");
                Box::pin(Pending::done(Err(Error::new(ErrorClass::Retriable, "MONITOR", says))))
            }
        }
    }
}

fn ask_all(nodes: &[SocketAddr], patience: Duration) -> Result<Survey, MonitorError> {
    let answers: Vec<(u32, Result<Report, MonitorError>)> = thread::scope(|scope| {
        let asked: Vec<_> = (1..)
            .zip(nodes)
            .map(|(number, &node)| (number, scope.spawn(move || ask(node, patience))))
            .collect();
        let joined = asked.into_iter().filter_map(|(number, thread)| Some((number, thread.join().ok()?)));
        joined.collect()
    });
    let (mut reports, mut failed) = (Vec::new(), None);
    for (number, answer) in answers {
        match answer {
            Ok(report) => reports.push((number, report)),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if reports.is_empty() => Err(error),
        _ => Ok(Survey(reports)),
    }
}

/// What the node with this monitoring port tells. `patience` bounds each wait for it.
pub fn ask(node: SocketAddr, patience: Duration) -> Result<Report, MonitorError> {
    let body = get(node, "/jsz?accounts=true&streams=true&consumers=true&config=true", patience)?;
    serde_json::from_slice(&body).map_err(|error| MonitorError::Malformed { node, reason: error.to_string() })
}

/// The body of an answer. HTTP/1.0, so that it ends where the connection does and comes in one piece.
fn get(node: SocketAddr, path: &str, patience: Duration) -> Result<Vec<u8>, MonitorError> {
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&node, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {node}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LARGEST).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer: Vec<u8> = exchange().map_err(|source| MonitorError::Io { node, source })?;
    let malformed = |reason: &str| MonitorError::Malformed { node, reason: reason.to_owned() };
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| malformed("the answer ends within its head"))?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(malformed(status));
    }
    Ok(answer[end + 4..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn group(leader: &str, since: &str, replicas: &[(&str, bool)]) -> Group {
        let peer = |(name, current): &(&str, bool)| Peer {
            name: (*name).to_owned(),
            current: *current,
            offline: false,
        };
        Group {
            leader: leader.to_owned(),
            leader_since: since.to_owned(),
            replicas: replicas.iter().map(peer).collect(),
        }
    }

    fn survey(said: &[(u32, Group)]) -> Survey {
        let report = |(node, cluster): &(u32, Group)| {
            let consumers = vec![Consumer { name: "g+0".to_owned(), cluster: cluster.clone() }];
            let stream = Stream {
                name: "orders".to_owned(),
                cluster: cluster.clone(),
                config: Config::default(),
                consumers,
            };
            let meta = Some(Meta { leader: cluster.leader.clone(), size: 3, replicas: Vec::new() });
            (*node, Report { meta, accounts: vec![Account { streams: vec![stream] }] })
        };
        Survey(said.iter().map(report).collect())
    }

    #[test]
    fn a_node_that_was_cut_off_is_outvoted() {
        let survey = survey(&[
            (1, group("n1", "2026-01-01", &[("n2", true), ("n3", true)])),
            (2, group("n2", "2026-01-02", &[("n1", false), ("n3", true)])),
            (3, group("n2", "", &[("n1", false), ("n2", true)])),
        ]);
        let orders = &survey.streams()["orders"];
        assert_eq!(
            (orders.leader, &*orders.replicas, &*orders.insync),
            (Some(2), &[1, 2, 3][..], &[2, 3][..])
        );
        assert_eq!(survey.consumer_leader("orders", "g+0"), Some(2));
        assert_eq!(survey.controller(), Some(2));
        assert_eq!(survey.consumers(), [("orders", "g+0")]);
    }

    #[test]
    fn of_two_that_call_themselves_leaders_the_later_one_is() {
        let survey = survey(&[
            (1, group("n1", "2026-01-03", &[("n2", true)])),
            (2, group("n2", "2026-01-02", &[("n1", true)])),
        ]);
        assert_eq!(survey.streams()["orders"].leader, Some(1));
    }

    #[test]
    fn nobody_leads_when_nobody_is_named_and_who_is_behind_is_not_in_sync() {
        let nobody = survey(&[(2, group("", "", &[("n1", true)])), (3, group("", "", &[("n1", true)]))]);
        assert_eq!((nobody.controller(), nobody.streams()["orders"].leader), (None, None));
        assert!(nobody.streams()["orders"].insync.is_empty());
        let behind = survey(&[(1, group("n1", "t", &[("n2", false), ("n3", true)]))]);
        assert_eq!(behind.streams()["orders"].insync, [1, 3]);
    }

    #[test]
    fn answers_are_read_and_others_are_told() {
        let serve = |answer: &'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let at = listener.local_addr().expect("its address");
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a question");
                let mut question = [0; 512];
                let _ = stream.read(&mut question).expect("a question");
                stream.write_all(answer.as_bytes()).expect("an answer");
            });
            ask(at, Duration::from_secs(5))
        };
        let report =
            serve("HTTP/1.0 200 OK\r\nX: y\r\n\r\n{\"meta_cluster\":{\"leader\":\"n2\",\"cluster_size\":3}}");
        let meta = report.expect("an answer").meta.expect("a cluster");
        assert_eq!((&*meta.leader, meta.size), ("n2", 3));
        let error = serve("HTTP/1.0 404 Not Found\r\n\r\n").expect_err("no answer").to_string();
        assert!(error.ends_with("HTTP/1.0 404 Not Found"), "{error}");
        assert!(serve("HTTP/1.0 200 OK\r\n\r\n{").is_err());
        assert!(ask(SocketAddr::from(([127, 0, 0, 1], 1)), Duration::from_secs(1)).is_err());
    }
}
