//! The log: a recorded trace for people. One event is one line: virtual time, node, whom it heard from, what.
//!
//! ```text
//!    4.120531207s  node-2       <- producer-1    Produce { ... }
//! ```
//!
//! Numbers of nodes become the names of nodes, times are written in seconds, and what is longer than
//! [`LONGEST`] characters is cut.

use super::TraceEvent;
use squall_bus::Time;
use std::fmt;

/// So many characters of an event are shown.
pub const LONGEST: usize = 240;

/// One event of a run, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, since the run began.
    pub at: Time,
    /// Whose event it is, if a node's.
    pub node: Option<String>,
    /// From whom it came, or with whom a connection was opened or closed.
    pub peer: Option<String>,
    /// Whether it is a message that arrived.
    pub message: bool,
    /// What happened.
    pub what: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_deref().unwrap_or("-");
        let (arrow, peer) = match &self.peer {
            Some(peer) => (if self.message { "<-" } else { "--" }, peer.as_str()),
            None => ("", ""),
        };
        write!(f, "{:>16}  {node:<12} {arrow:2} {peer:<12} {}", self.at.to_string(), self.what)
    }
}

/// The lines of these events, with the names of the nodes in the order of their numbers.
#[must_use]
pub fn log(events: &[TraceEvent], names: &[String]) -> Vec<LogLine> {
    let name = |node: super::NodeId| names.get(node.index()).cloned().unwrap_or_else(|| node.to_string());
    let line = |event: &TraceEvent| LogLine {
        at: event.at,
        node: event.node.map(name),
        peer: event.peer.map(name),
        message: event.message,
        what: shortened(&named(&event.text, names)),
    };
    events.iter().map(line).collect()
}

/// The text of an event with `NodeId(2)` as the name of that node and `Time(1500)` in seconds.
fn named(text: &str, names: &[String]) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('(') {
        let word = &rest[..open];
        let inside = &rest[open + 1..];
        let number = inside.find(')').and_then(|close| Some((inside[..close].parse::<u64>().ok()?, close)));
        let replaced = number.and_then(|(number, close)| {
            if let Some(before) = word.strip_suffix("NodeId") {
                let name = usize::try_from(number).ok().and_then(|index| names.get(index))?;
                Some((before, name.clone(), close))
            } else {
                word.strip_suffix("Time").map(|before| (before, Time(number).to_string(), close))
            }
        });
        match replaced {
            Some((before, name, close)) => {
                told.push_str(before);
                told.push_str(&name);
                rest = &inside[close + 1..];
            }
            None => {
                told.push_str(&rest[..=open]);
                rest = inside;
            }
        }
    }
    told.push_str(rest);
    told
}

fn shortened(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().nth(LONGEST).is_none() {
        return clean.collect();
    }
    clean.take(LONGEST - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::NodeId;

    fn event(text: &str, peer: Option<NodeId>) -> TraceEvent {
        TraceEvent {
            at: Time(4_120_531_207),
            node: Some(NodeId(1)),
            peer,
            message: peer.is_some(),
            text: text.to_owned(),
            hash: 0,
        }
    }

    #[test]
    fn numbers_become_names() {
        let names: Vec<String> = ["node-1", "node-2", "producer-1"].map(str::to_owned).into();
        let lines = log(
            &[
                event("Fetch { from: NodeId(0), (ConnId(3)), at: Some(Time(1500000000)) }", Some(NodeId(2))),
                event(&"x".repeat(1_000), None),
                event("NodeId(77) (NodeId(", None),
            ],
            &names,
        );
        assert_eq!(
            lines[0].to_string(),
            "    4.120531207s  node-2       <- producer-1   Fetch { from: node-1, (ConnId(3)), at: Some(1.500000000s) }"
        );
        assert_eq!(lines[1].what.chars().count(), LONGEST);
        assert_eq!(lines[2].what, "NodeId(77) (NodeId(", "nobody has this number");
    }
}
