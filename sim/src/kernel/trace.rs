//! The trace: a rolling hash of all kernel events and, on request, the events themselves.
//!
//! Two runs of one plan must have equal hashes, in every process, debug and release. When they do not, two
//! recorded traces tell the [first event that differs](first_difference). Every [`CHECKPOINT`] events the hash so far is
//! kept, so that two runs without records tell between which two checkpoints that event is.

use super::{NodeId, choices::mix};
use squall_bus::Time;
use std::{fmt, ops::Range};

/// So many events are between two checkpoints.
pub const CHECKPOINT: u64 = 1_024;

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
    checkpoints: Vec<u64>,
    record: Option<Vec<TraceEvent>>,
    /// Only these events are recorded, counted from 0; all without it.
    window: Option<Range<u64>>,
}

impl Trace {
    /// Records every event from now on.
    pub fn start_recording(&mut self) {
        self.record.get_or_insert_with(Vec::new);
    }

    /// Records the events that lead from this checkpoint, counted from 0, to the next.
    pub fn record_from(&mut self, checkpoint: u64) {
        let begin = checkpoint.saturating_mul(CHECKPOINT);
        self.window = Some(begin..begin.saturating_add(CHECKPOINT));
        self.start_recording();
    }

    /// The hash after every [`CHECKPOINT`] events.
    #[must_use]
    pub fn checkpoints(&self) -> &[u64] {
        &self.checkpoints
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

    /// Which event was recorded first, counted from 0.
    #[must_use]
    pub fn recorded_from(&self) -> u64 {
        self.window.as_ref().map_or(0, |window| window.start)
    }

    /// Takes what was recorded.
    pub fn take(&mut self) -> Vec<TraceEvent> {
        self.record.take().unwrap_or_default()
    }

    /// Something that the harness did, or that is about no connection.
    #[inline]
    pub(crate) fn note(
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
        if self.events.is_multiple_of(CHECKPOINT) {
            self.checkpoints.push(self.hash);
        }
        if let Some(record) = &mut self.record
            && self.window.as_ref().is_none_or(|window| window.contains(&(self.events - 1)))
        {
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
    fn a_window_holds_the_events_behind_its_checkpoint() {
        let mut trace = Trace::default();
        trace.record_from(1);
        for at in 0..3 * CHECKPOINT {
            trace.note(Time(at), None, 0, at, String::new);
        }
        let times: Vec<u64> = trace.recorded().iter().map(|event| event.at.0).collect();
        assert_eq!(times, (CHECKPOINT..2 * CHECKPOINT).collect::<Vec<_>>());
        assert_eq!(trace.checkpoints().len(), 3);
        assert_eq!(trace.recorded().last().map(|event| event.hash), Some(trace.checkpoints()[1]));
        assert_eq!(trace.checkpoints()[2], trace.hash());
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
