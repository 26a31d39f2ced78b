//! Circles among transactions from their definition: all edges, those of time between every two operations, and ways
//! walked from each until one is a simple circle.

use super::{Key, naive};
use crate::{
    History,
    checks::Case,
    cycles::Dependency::{self, Process, Realtime, Rw, Wr, Ww},
    guarantees::TxnOrder,
    history::{DeliverRow, Observation, OpId, PollRow, ProcessId, Status, UnitId},
};
use std::collections::BTreeSet;

/// A transaction, or an operation by itself, by its invocation.
struct Node {
    invoke: OpId,
    process: ProcessId,
    end: Option<u32>,
}

type Edge = (usize, usize, Dependency);

/// Which circles are meant: the first edge, the others, and what one edge must be.
#[derive(Clone, Copy)]
struct Meant {
    first: &'static [Dependency],
    rest: &'static [Dependency],
    needs: &'static [Dependency],
}

const READS: Meant = Meant { first: &[Wr], rest: &[Wr], needs: &[] };
const WRITES: Meant = Meant { first: &[Ww], rest: &[Ww], needs: &[] };
const MIXED: Meant = Meant { first: &[Wr], rest: &[Ww, Wr], needs: &[] };
const WRITES_PROCESS: Meant = Meant { first: &[Process], rest: &[Ww, Process], needs: &[] };
const MIXED_PROCESS: Meant = Meant { first: &[Process], rest: &[Ww, Wr, Process], needs: &[Wr] };
const WRITES_TIME: Meant = Meant { first: &[Realtime], rest: &[Ww, Process, Realtime], needs: &[] };
const MIXED_TIME: Meant = Meant { first: &[Realtime], rest: &[Ww, Wr, Process, Realtime], needs: &[Wr] };
const UNSEEN: Meant = Meant { first: &[Rw], rest: &[Ww, Wr], needs: &[] };
const UNSEEN_TWICE: Meant = Meant { first: &[Rw], rest: &[Ww, Wr, Rw], needs: &[] };
const UNSEEN_TIME: Meant = Meant { first: &[Rw], rest: &[Ww, Wr, Process, Realtime], needs: &[] };
const UNSEEN_TWICE_TIME: Meant = Meant { first: &[Rw], rest: &[Ww, Wr, Rw, Process, Realtime], needs: &[] };

pub(super) fn g0(history: &History) -> Vec<Key> {
    keys(history, &[(WRITES, &[], Case::Plain)])
}

pub(super) fn g0_process(history: &History) -> Vec<Key> {
    keys(history, &[(WRITES_PROCESS, &[WRITES], Case::Plain)])
}

pub(super) fn g0_realtime(history: &History) -> Vec<Key> {
    keys(history, &[(WRITES_TIME, &[WRITES, WRITES_PROCESS], Case::Plain)])
}

pub(super) fn g1c(history: &History) -> Vec<Key> {
    keys(history, &[(READS, &[], Case::ReadsOnly), (MIXED, &[READS], Case::Plain)])
}

pub(super) fn g1c_process(history: &History) -> Vec<Key> {
    keys(history, &[(MIXED_PROCESS, &[READS, MIXED], Case::Plain)])
}

pub(super) fn g1c_realtime(history: &History) -> Vec<Key> {
    keys(history, &[(MIXED_TIME, &[READS, MIXED, MIXED_PROCESS], Case::Plain)])
}

/// All circles that do not need what was not seen, with and without time.
const SEEN: [Meant; 3] = [READS, WRITES, MIXED];
const TIMED: [Meant; 9] =
    [READS, WRITES, MIXED, WRITES_PROCESS, MIXED_PROCESS, WRITES_TIME, MIXED_TIME, UNSEEN, UNSEEN_TWICE];

pub(super) fn g_single(history: &History) -> Vec<Key> {
    keys(history, &[(UNSEEN, &SEEN, Case::Plain), (UNSEEN_TIME, &TIMED, Case::InTime)])
}

pub(super) fn g2(history: &History) -> Vec<Key> {
    let seen = [READS, WRITES, MIXED, UNSEEN];
    let mut timed = TIMED.to_vec();
    timed.push(UNSEEN_TIME);
    keys(history, &[(UNSEEN_TWICE, &seen, Case::Plain), (UNSEEN_TWICE_TIME, &timed, Case::InTime)])
}

/// A key for each component that has a circle of one kind and none of a weaker one. A weaker circle is made of the same
/// edges or fewer, so it lies in one component as a whole.
fn keys(history: &History, kinds: &[(Meant, &[Meant], Case)]) -> Vec<Key> {
    let ordered = history.meta.configuration.txn_order != TxnOrder::Any;
    if history.txns().is_empty() && !ordered {
        return Vec::new();
    }
    let nodes = nodes(history);
    let edges = edges(history, &nodes);
    let mut keys = Vec::new();
    for (meant, weaker, case) in kinds {
        let mut parts = BTreeSet::new();
        for circle in circles(nodes.len(), &edges, *meant) {
            parts.insert(component(nodes.len(), &edges, *meant, circle[0]));
        }
        let weak: Vec<usize> =
            weaker.iter().flat_map(|one| circles(nodes.len(), &edges, *one)).flatten().collect();
        for _ in parts.iter().filter(|part| !weak.iter().any(|node| part.contains(node))) {
            keys.push(Key { unit: None, position: None, send: None, case: *case });
        }
    }
    keys
}

fn nodes(history: &History) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut add = |invoke, process, status, completion: Option<u32>| {
        let end = completion.filter(|_| status == Status::Ok);
        nodes.push(Node { invoke, process, end });
    };
    for txn in history.txns() {
        if naive::txn_outcome(history, txn.invoke) == Status::Ok {
            add(txn.invoke, txn.process, txn.status, txn.completion());
        }
    }
    for send in history.sends().iter().filter(|send| send.txn().is_none()) {
        let outcome = naive::outcome(history, send);
        if outcome == Status::Ok || (outcome == Status::Unknown && naive::seen(history, send)) {
            add(send.invoke, send.process, send.status, send.completion());
        }
    }
    for poll in history.polls().iter().filter(|poll| poll.txn().is_none() && poll.status == Status::Ok) {
        add(poll.invoke, poll.process, poll.status, poll.completion());
    }
    nodes
}

fn edges(history: &History, nodes: &[Node]) -> BTreeSet<Edge> {
    let node = |invoke: OpId| nodes.iter().position(|node| node.invoke == invoke);
    let writer = |value: u64| {
        let (_, send) = naive::writer(history, value)?;
        let outcome = naive::outcome(history, send);
        let there = outcome == Status::Ok || (outcome == Status::Unknown && naive::seen(history, send));
        node(send.txn().unwrap_or(send.invoke)).filter(|_| there)
    };
    let mut edges = BTreeSet::new();
    for unit in naive::units(history) {
        let order = order(history, unit, &writer);
        for pair in order.windows(2) {
            edges.insert((pair[0].1, pair[1].1, Ww));
        }
    }
    for poll in history.polls().iter().filter(|poll| poll.status == Status::Ok) {
        let Some(reader) = node(poll.txn().unwrap_or(poll.invoke)) else { continue };
        let reads = || history.delivers().iter().filter(|read| read.poll() == Some(poll.invoke));
        for writer in reads().filter_map(DeliverRow::value).filter_map(&writer) {
            edges.insert((writer, reader, Wr));
        }
        if let Some(unit) = read_whole(history, poll.process, poll.completion().unwrap_or(0)) {
            let next = reads().count() as u64;
            let there: Vec<u64> = naive::places(history, unit)
                .into_iter()
                .filter(|(position, _)| *position == next)
                .filter_map(|(_, value)| value)
                .collect();
            if let ([value], 1) =
                (&there[..], naive::places(history, unit).iter().filter(|(at, _)| *at == next).count())
            {
                edges.extend(writer(*value).map(|writer| (reader, writer, Rw)));
            }
        }
    }
    for (a, one) in nodes.iter().enumerate() {
        for (b, other) in nodes.iter().enumerate() {
            if one.end.is_some_and(|end| end < other.invoke.0) {
                edges.insert((a, b, Realtime));
                if one.process == other.process {
                    edges.insert((a, b, Process));
                }
            }
        }
    }
    edges.retain(|(from, to, _)| from != to);
    edges
}

/// The writers of a unit's records in the order of their places; contested places and repeats have no say.
fn order(history: &History, unit: UnitId, writer: &dyn Fn(u64) -> Option<usize>) -> Vec<(u64, usize)> {
    let places = naive::places(history, unit);
    let alone = |at: u64| places.iter().filter(|(position, _)| *position == at).count() == 1;
    let first = |value: u64, at: u64| {
        naive::writer(history, value)
            .is_some_and(|(_, send)| naive::first_place(history, send) == Some((unit, at)))
    };
    let known = places.iter().filter_map(|(position, value)| Some((*position, (*value)?)));
    known
        .filter(|(position, value)| alone(*position) && first(*value, *position))
        .filter_map(|(position, value)| Some((position, writer(value)?)))
        .collect()
}

/// The definition of `internal`: what each read of a committed transaction must hold.
pub(super) fn internal(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    if !history.meta.configuration.whole_reads {
        return found;
    }
    let polls = history.polls().iter().filter(|poll| poll.status == Status::Ok);
    for poll in polls {
        let committed = |op| history.txns().iter().any(|txn| txn.invoke == op && txn.status == Status::Ok);
        let Some(txn) = poll.txn().filter(|txn| committed(*txn)) else { continue };
        let unit_of = |poll: &PollRow| read_whole(history, poll.process, poll.completion()?);
        let Some(unit) = unit_of(poll) else { continue };
        let list = |poll: &PollRow| -> Vec<Option<u64>> {
            let of = |read: &&DeliverRow| read.poll() == Some(poll.invoke) && read.unit == unit;
            history.delivers().iter().filter(of).map(DeliverRow::value).collect()
        };
        let mut before = history.polls().iter().filter(|other| {
            (other.txn(), other.status) == (Some(txn), Status::Ok)
                && other.invoke < poll.invoke
                && unit_of(other) == Some(unit)
        });
        let before = before.next_back();
        let sent: Vec<Option<u64>> = (0u32..)
            .zip(history.sends())
            .filter(|(row, send)| {
                send.txn() == Some(txn)
                    && naive::unit_of(history, *row) == Some(unit)
                    && send.invoke < poll.invoke
                    && before.is_none_or(|before| send.invoke > before.invoke)
            })
            .map(|(_, send)| Some(send.value))
            .collect();
        let list_now = list(poll);
        let right = match before {
            Some(before) => list_now == [list(before), sent].concat(),
            None => list_now.ends_with(&sent),
        };
        if !right {
            found.push(Key { unit: Some(unit), position: None, send: None, case: Case::Plain });
        }
    }
    found
}

/// The unit that a poll read as a whole: where its process went to the beginning last.
fn read_whole(history: &History, process: ProcessId, end: u32) -> Option<UnitId> {
    let whole = history.meta.configuration.whole_reads;
    let own = history
        .notes()
        .iter()
        .rev()
        .filter(|(event, _)| whole && *event < end && history.process_of(*event) == process);
    own.filter_map(|(_, note)| match note {
        Observation::Sought { unit, to: 0 } => Some(*unit),
        _ => None,
    })
    .next()
}

/// For each first edge a simple circle of a kind, if there is one, as its nodes. Not all of them: where time orders
/// everything they are as many as there are sets of operations.
fn circles(nodes: usize, edges: &BTreeSet<Edge>, meant: Meant) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for first in edges.iter().filter(|edge| meant.first.contains(&edge.2)) {
        if component(nodes, edges, meant, first.0).contains(&first.1) {
            let met = meant.needs.is_empty() || meant.needs.contains(&first.2);
            found.extend(walk(edges, meant, &mut vec![first.0, first.1], met));
        }
    }
    found
}

fn walk(edges: &BTreeSet<Edge>, meant: Meant, way: &mut Vec<usize>, met: bool) -> Option<Vec<usize>> {
    let (start, at) = (way[0], way[way.len() - 1]);
    for (_, to, dependency) in edges.iter().filter(|edge| edge.0 == at && meant.rest.contains(&edge.2)) {
        let met = met || meant.needs.contains(dependency);
        if *to == start && met {
            return Some(way.clone());
        } else if !way.contains(to) {
            way.push(*to);
            if let Some(circle) = walk(edges, meant, way, met) {
                return Some(circle);
            }
            way.pop();
        }
    }
    None
}

/// The nodes that a node reaches and that reach it, by the edges of a kind.
fn component(nodes: usize, edges: &BTreeSet<Edge>, meant: Meant, of: usize) -> BTreeSet<usize> {
    let kind = |edge: &&Edge| meant.first.contains(&edge.2) || meant.rest.contains(&edge.2);
    let reach = |backwards: bool| {
        let mut seen = BTreeSet::from([of]);
        for _ in 0..nodes {
            for (from, to, _) in edges.iter().filter(kind) {
                let (from, to) = if backwards { (to, from) } else { (from, to) };
                if seen.contains(from) {
                    seen.insert(*to);
                }
            }
        }
        seen
    };
    reach(false).intersection(&reach(true)).copied().collect()
}
