//! The files that a node of a local NATS cluster is started with, and the command that starts it.
//!
//! Links: each node's `routes` name the other nodes at addresses of its own, `127.0.I.J` for node J as node I
//! takes it, where a proxy for the link I to J listens. What a node gossips about itself to other nodes is an
//! address where nobody listens, so nothing can bypass the proxies; clients are told the proxies too.

use super::{
    ProviderError,
    guard::redirect,
    nats::{Addresses, NatsOptions},
    nats_server::NatsServer,
};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The name of the cluster.
const CLUSTER: &str = "squall";
/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// The files of one node.
#[derive(Clone, Debug)]
pub(super) struct NodeFiles {
    folder: PathBuf,
}

impl NodeFiles {
    /// The files of node `node` in the run's folder.
    pub(super) fn new(run: &Path, node: u32) -> Self {
        Self { folder: run.join(format!("node-{node}")) }
    }

    /// Where the node writes what it says.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Where the node keeps its records.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("nats.conf")
    }

    /// Writes the node's configuration.
    pub(super) fn write(
        &self,
        node: u32,
        addresses: &Addresses,
        options: &NatsOptions,
    ) -> Result<(), ProviderError> {
        let made = fs::create_dir_all(&self.folder);
        made.map_err(ProviderError::io(format!("make the folder {}", self.folder.display())))?;
        let path = self.config();
        let text = config(node, addresses, options, &self.data());
        fs::write(&path, text).map_err(ProviderError::io(format!("write {}", path.display())))
    }

    /// The command that runs the node.
    pub(super) fn server(&self, server: &NatsServer) -> Command {
        let mut command = redirect(server.program(), vec!["-c".into(), self.config().into()], &self.log());
        command.current_dir(&self.folder);
        command
    }
}

/// The name of a node, as it calls itself: `n1`.
pub(super) fn name(node: u32) -> String {
    format!("n{node}")
}

fn config(node: u32, addresses: &Addresses, options: &NatsOptions, data: &Path) -> String {
    let at = &addresses.nodes[node as usize - 1];
    let mut settings: BTreeMap<String, String> = [
        ("server_name", name(node)),
        ("listen", format!("\"{}\"", at.client)),
        ("http", format!("\"{}\"", at.monitor)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(link) = at.client_link {
        settings.insert("client_advertise".to_owned(), format!("\"{link}\""));
    }
    settings.extend(options.settings.clone());
    let mut store = BTreeMap::from([("store_dir".to_owned(), quoted(&data.display().to_string()))]);
    store.extend(options.jetstream.clone());
    let mut text = String::new();
    lines(&mut text, "", &settings);
    text.push_str("jetstream {\n");
    lines(&mut text, "  ", &store);
    text.push_str("}\n");
    if addresses.nodes.len() > 1 {
        let routes: Vec<String> =
            addresses.routes(node).iter().map(|route| format!("\"nats://{route}\"")).collect();
        let _ = writeln!(text, "cluster {{\n  name: {CLUSTER}\n  listen: \"{}\"", at.peer);
        if addresses.peer_link.is_some() {
            let _ = writeln!(text, "  advertise: \"{NOWHERE}\"");
        }
        let _ = writeln!(text, "  routes: [{}]\n}}", routes.join(", "));
    }
    text
}

fn lines(text: &mut String, indent: &str, settings: &BTreeMap<String, String>) {
    for (name, value) in settings {
        let _ = writeln!(text, "{indent}{name}: {value}");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(nodes: u32, linked: bool) -> Addresses {
        let mut next = 20_000;
        Addresses::plan(nodes, linked, || {
            next += 1;
            Ok(next)
        })
        .expect("there are ports")
    }

    #[test]
    fn without_links_nodes_talk_directly() {
        let text = config(2, &addresses(2, false), &NatsOptions::default(), Path::new("/data \"x\""));
        assert_eq!(
            text,
            "http: \"127.0.0.1:20006\"\nlisten: \"127.0.0.1:20004\"\nserver_name: n2\n\
             jetstream {\n  store_dir: \"/data \\\"x\\\"\"\n}\n\
             cluster {\n  name: squall\n  listen: \"127.0.0.1:20005\"\n  routes: [\"nats://127.0.0.1:20002\"]\n}\n"
        );
    }

    #[test]
    fn with_links_every_pair_has_an_address_of_its_own_and_gossip_leads_nowhere() {
        let text = config(2, &addresses(3, true), &NatsOptions::default(), Path::new("/data"));
        assert!(text.contains("routes: [\"nats://127.0.2.1:20001\", \"nats://127.0.2.3:20001\"]"), "{text}");
        assert!(text.contains("advertise: \"127.0.0.1:1\"\n"), "{text}");
        assert!(text.contains("client_advertise: \"127.0.0.1:20009\"\n"), "{text}");
    }

    #[test]
    fn settings_win_over_the_defaults_and_one_node_is_no_cluster() {
        let mut options = NatsOptions::default();
        options.settings.insert("server_name".to_owned(), "other".to_owned());
        options.jetstream.insert("sync_interval".to_owned(), "always".to_owned());
        let text = config(1, &addresses(1, true), &options, Path::new("/data"));
        assert!(text.contains("server_name: other\n") && !text.contains("n1"), "{text}");
        assert!(text.contains("  sync_interval: always\n") && !text.contains("cluster"), "{text}");
    }
}
