//! The files that a node of a local Kafka cluster is started with, and the command that starts it.
//!
//! Links: each node's Java has a name table of its own (`jdk.net.hosts.file`) in which `bJ` is what node I
//! shall take for node J. With a link plan that is `127.0.I.J`, where a proxy for the link I to J listens;
//! so every directed pair of nodes has a connection of its own to break, and nothing can bypass it.

use super::{ProviderError, guard::redirect, jars::Java, kafka::Addresses, kafka::KafkaOptions};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::Command,
};

/// The files of one node.
#[derive(Clone, Debug)]
pub(super) struct NodeFiles {
    /// The node's folder.
    pub(super) folder: PathBuf,
}

impl NodeFiles {
    /// The files of node `node` in the run's folder.
    pub(super) fn new(run: &Path, node: u32) -> Self {
        Self { folder: run.join(format!("node-{node}")) }
    }

    /// Where the node keeps its records.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the node writes warnings.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Where what the node prints goes.
    pub(super) fn output(&self) -> PathBuf {
        self.folder.join("output.log")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("node.properties")
    }

    /// Writes the node's configuration.
    pub(super) fn write(
        &self,
        node: u32,
        addresses: &Addresses,
        options: &KafkaOptions,
    ) -> Result<(), ProviderError> {
        let made = fs::create_dir_all(&self.folder);
        made.map_err(ProviderError::io(format!("make the folder {}", self.folder.display())))?;
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(ProviderError::io(format!("write {}", path.display())))
        };
        write("node.properties", properties(node, addresses, options, &self.data()))?;
        write("hosts", hosts(node, addresses))?;
        write("log4j2.xml", log4j2(&self.log()))
    }

    /// The command that runs the node.
    pub(super) fn server(&self, java: &Java, jars: &Path, options: &KafkaOptions) -> Command {
        let mut arguments = self.java_flags(options);
        arguments.extend(class_path(jars));
        arguments.extend(["kafka.Kafka".into(), self.properties().into()]);
        let mut command = redirect(java.program(), arguments, &self.output());
        command.current_dir(&self.folder);
        command
    }

    /// The command that formats the node's storage.
    pub(super) fn format(&self, java: &Java, jars: &Path, cluster: &str) -> Command {
        let mut command = Command::new(java.program());
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.arg(self.log4j_flag()).args(class_path(jars));
        command.args(["kafka.tools.StorageTool", "format", "-t", cluster, "-c"]).arg(self.properties());
        command.current_dir(&self.folder);
        command
    }

    fn java_flags(&self, options: &KafkaOptions) -> Vec<OsString> {
        let mut hosts = OsString::from("-Djdk.net.hosts.file=");
        hosts.push(self.folder.join("hosts"));
        vec![
            format!("-Xmx{}m", options.heap_mib).into(),
            format!("-Xms{}m", options.heap_mib / 2).into(),
            "-XX:+UseSerialGC".into(),
            "-XX:TieredStopAtLevel=1".into(),
            "-XX:+ExitOnOutOfMemoryError".into(),
            "-Djava.awt.headless=true".into(),
            hosts,
            self.log4j_flag(),
        ]
    }

    fn log4j_flag(&self) -> OsString {
        let mut flag = OsString::from("-Dlog4j2.configurationFile=");
        flag.push(self.folder.join("log4j2.xml"));
        flag
    }
}

/// The class path: every jar of the folder.
pub(super) fn class_path(jars: &Path) -> [OsString; 2] {
    ["-cp".into(), jars.join("*").into()]
}

fn properties(node: u32, addresses: &Addresses, options: &KafkaOptions, data: &Path) -> String {
    let at = &addresses.nodes[node as usize - 1];
    let voters: Vec<String> = (1..)
        .zip(&addresses.nodes)
        .map(|(voter, at)| format!("{voter}@b{voter}:{}", at.controller_link.unwrap_or(at.controller).port()))
        .collect();
    let replicas = options.nodes.min(3);
    let min_insync = replicas.div_ceil(2);
    let mut settings: BTreeMap<String, String> = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        ("log.dirs", data.display().to_string()),
        ("listeners", format!("CLIENT://{},PEER://{},CONTROLLER://{}", at.client, at.peer, at.controller)),
        (
            "advertised.listeners",
            format!(
                "CLIENT://{},PEER://b{node}:{},CONTROLLER://b{node}:{}",
                at.client_link.unwrap_or(at.client),
                at.peer_link.unwrap_or(at.peer).port(),
                at.controller_link.unwrap_or(at.controller).port()
            ),
        ),
        ("listener.security.protocol.map", "CLIENT:PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("inter.broker.listener.name", "PEER".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.voters", voters.join(",")),
        ("auto.create.topics.enable", "false".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("offsets.topic.num.partitions", "8".to_owned()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", replicas.to_string()),
        ("transaction.state.log.min.isr", min_insync.to_string()),
        ("share.coordinator.state.topic.num.partitions", "2".to_owned()),
        ("share.coordinator.state.topic.replication.factor", replicas.to_string()),
        ("share.coordinator.state.topic.min.isr", min_insync.to_string()),
        ("default.replication.factor", replicas.to_string()),
        ("min.insync.replicas", min_insync.to_string()),
        ("num.network.threads", "2".to_owned()),
        ("num.io.threads", "4".to_owned()),
        ("log.cleaner.dedupe.buffer.size", "20000000".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    settings.extend(options.settings.clone());
    settings.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\").replace('\n', "\\n"));
        text
    })
}

fn hosts(node: u32, addresses: &Addresses) -> String {
    let mut text = "127.0.0.1 localhost\n".to_owned();
    for (other, at) in (1..).zip(&addresses.nodes) {
        let address = match at.peer_link {
            Some(_) => format!("127.0.{node}.{other}"),
            None => "127.0.0.1".to_owned(),
        };
        let _ = writeln!(text, "{address} b{other}");
    }
    text
}

/// A configuration of log4j that writes warnings to this file.
pub(super) fn log4j2(log: &Path) -> String {
    let log = log.display().to_string().replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        "<Configuration status=\"ERROR\">\n  <Appenders>\n    <File name=\"log\" fileName=\"{log}\" \
         immediateFlush=\"true\">\n      <PatternLayout pattern=\"%d{{ISO8601}} %p %c{{1}}: %m%n\"/>\n    \
         </File>\n  </Appenders>\n  <Loggers>\n    <Root level=\"WARN\"><AppenderRef ref=\"log\"/></Root>\n  \
         </Loggers>\n</Configuration>\n"
    )
}

/// A new name for a cluster: 16 random bytes in Kafka's base64, which must not begin with a dash.
pub(super) fn cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    let mut bits = half() << 64 | half();
    // 22 digits of 6 bits hold 128 bits and 4 zeros at the end.
    let mut digits = [b'A'; 22];
    digits[21] = DIGITS[(bits as usize & 3) << 4];
    bits >>= 2;
    for digit in digits[..21].iter_mut().rev() {
        *digit = DIGITS[bits as usize & 63];
        bits >>= 6;
    }
    if digits[0] == b'-' {
        digits[0] = b'A';
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(linked: bool) -> Addresses {
        let mut next = 20_000;
        Addresses::plan(2, linked, || {
            next += 1;
            Ok(next)
        })
        .expect("there are ports")
    }

    #[test]
    fn without_links_nodes_talk_directly() {
        let addresses = addresses(false);
        assert_eq!(hosts(1, &addresses), "127.0.0.1 localhost\n127.0.0.1 b1\n127.0.0.1 b2\n");
        let options = KafkaOptions { nodes: 2, ..KafkaOptions::default() };
        let text = properties(2, &addresses, &options, Path::new("/data"));
        let at = &addresses.nodes[1];
        assert!(text.contains(&format!(
            "advertised.listeners=CLIENT://{},PEER://b2:{},",
            at.client,
            at.peer.port()
        )));
        assert!(text.contains("offsets.topic.replication.factor=2\n"));
    }

    #[test]
    fn with_links_every_pair_has_an_address_of_its_own() {
        let addresses = addresses(true);
        assert_eq!(hosts(2, &addresses), "127.0.0.1 localhost\n127.0.2.1 b1\n127.0.2.2 b2\n");
        let at = &addresses.nodes[0];
        let (peer, controller) = (at.peer_link.expect("linked"), at.controller_link.expect("linked"));
        let text = properties(1, &addresses, &KafkaOptions::default(), Path::new("/data"));
        assert!(text.contains(&format!("PEER://b1:{},CONTROLLER://b1:{}", peer.port(), controller.port())));
        assert!(text.contains(&format!("controller.quorum.voters=1@b1:{}", controller.port())));
    }

    #[test]
    fn settings_win_over_the_defaults() {
        let mut options = KafkaOptions::default();
        options.settings.insert("offsets.topic.num.partitions".to_owned(), "50".to_owned());
        let text = properties(1, &addresses(false), &options, Path::new("/data"));
        assert!(text.contains("offsets.topic.num.partitions=50\n"));
        assert_eq!(text.matches("offsets.topic.num.partitions").count(), 1);
    }

    #[test]
    fn cluster_ids_look_like_kafkas() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| cluster_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 22 && !id.starts_with('-')));
        assert!(ids.iter().all(|id| "AQgw".contains(&id[21..])));
    }
}
