//! The trace: a rolling hash of all kernel events and, on request, the events themselves.
//!
//! Two runs of one plan must have equal hashes, in every process, debug and release. When they do not, two
//! recorded traces tell the [first event that differs](first_difference).

use super::{NodeId, choices::mix};
use squall_bus::Time;
use std::fmt;

/// One recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// When.
    pub at: Time,
    /// Whose, if a node's.
    pub node: Option<NodeId>,
    /// The other end of the connection that it is about, if it is about one.
    pub peer: Option<NodeId>,
    /// Whether it is a message that arrived.
    pub message: bool,
    /// What, on one line.
    pub text: String,
    /// The rolling hash after it.
    pub hash: u64,
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{} {node} {}", self.at, self.text),
            None => write!(f, "{} - {}", self.at, self.text),
        }
    }
}

/// The rolling hash, and the events if they are recorded.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    record: Option<Vec<TraceEvent>>,
}

impl Trace {
    /// Records every event from now on.
    pub fn start_recording(&mut self) {
        self.record.get_or_insert_with(Vec::new);
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What was recorded.
    #[must_use]
    pub fn recorded(&self) -> &[TraceEvent] {
        self.record.as_deref().unwrap_or_default()
    }

    /// Takes what was recorded.
    pub fn take(&mut self) -> Vec<TraceEvent> {
        self.record.take().unwrap_or_default()
    }

    /// Something that the harness did, or that is about no connection.
    #[inline]
    pub(super) fn note(
        &mut self,
        at: Time,
        node: Option<NodeId>,
        kind: u64,
        digest: u64,
        text: impl FnOnce() -> String,
    ) {
        self.note_told(at, node, kind, digest, || Told { text: text(), ..Told::default() });
    }

    #[inline]
    pub(super) fn note_told(
        &mut self,
        at: Time,
        node: Option<NodeId>,
        kind: u64,
        digest: u64,
        told: impl FnOnce() -> Told,
    ) {
        let who = node.map_or(u64::MAX, |node| u64::from(node.0));
        self.hash = mix(mix(self.hash ^ at.0, who << 8 | kind), digest);
        self.events += 1;
        if let Some(record) = &mut self.record {
            let Told { peer, message, text } = told();
            record.push(TraceEvent { at, node, peer, message, text, hash: self.hash });
        }
    }
}

/// What a record tells beyond what is hashed.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) peer: Option<NodeId>,
    pub(super) message: bool,
    pub(super) text: String,
}

/// The first place where two traces of one plan part: its index, and the event of each that still has one.
#[must_use]
pub fn first_difference<'a>(
    a: &'a [TraceEvent],
    b: &'a [TraceEvent],
) -> Option<(usize, Option<&'a TraceEvent>, Option<&'a TraceEvent>)> {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    if shared == a.len() && shared == b.len() { None } else { Some((shared, a.get(shared), b.get(shared))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(texts: &[&str]) -> Vec<TraceEvent> {
        let mut trace = Trace::default();
        trace.start_recording();
        for (at, text) in texts.iter().enumerate() {
            trace.note(Time(at as u64), Some(NodeId(1)), 0, text.len() as u64, || (*text).to_owned());
        }
        trace.take()
    }

    #[test]
    fn finds_the_first_event_that_differs() {
        let (a, b) = (traced(&["x", "yy", "z"]), traced(&["x", "y", "z"]));
        let (index, left, right) = first_difference(&a, &b).expect("they differ");
        assert_eq!(index, 1);
        assert_eq!(left.map(ToString::to_string).as_deref(), Some("0.000000001s n1 yy"));
        assert_eq!(right.map(|event| event.text.as_str()), Some("y"));
        assert_eq!(first_difference(&a, &a), None);
        assert_eq!(first_difference(&a, &a[..2]).map(|(index, ..)| index), Some(2));
    }

    #[test]
    fn the_hash_depends_on_every_part() {
        let hash = |at, node, kind, digest| {
            let mut trace = Trace::default();
            trace.note(Time(at), node, kind, digest, String::new);
            trace.hash()
        };
        let base = hash(1, Some(NodeId(1)), 1, 1);
        for other in [
            hash(2, Some(NodeId(1)), 1, 1),
            hash(1, Some(NodeId(2)), 1, 1),
            hash(1, Some(NodeId(1)), 2, 1),
            hash(1, Some(NodeId(1)), 1, 2),
            hash(1, None, 1, 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
