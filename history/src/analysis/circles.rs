//! The graph of dependencies among transactions, and the circles in it.
//!
//! **Nodes** are the transactions that were committed, as far as anybody can prove, and the successful sends and polls
//! outside of transactions, each on its own.
//!
//! **Edges.** `ww`: of two records that stand next to each other in a unit's log, counting committed ones only, the
//! writer of the first one came before the writer of the second. The order of a unit is that of positions, from acks
//! and from reads; a place with two values and the second place of a record have no say. `wr`: a writer came
//! before every successful reader of its record. `process` and `realtime`: what was over before the other began, by
//! the same process or by anybody. What a poll of a log did not see has no say, for it is not a read of it all.
//!
//! The circles are searched once, for all checks of them, and not at all where there are no transactions and no order
//! is promised: single operations without the order of time have no circles, for each writes to one unit only.

use super::{Analysis, Fate};
use crate::{
    cycles::{
        Budget, CycleEdge, Dependencies, Dependency, Explain, Finding, Links, Moment, Pattern, find,
        link_time,
    },
    guarantees::TxnOrder,
    history::{Observation, OpId, PollRow, ProcessId, Status, UnitId},
};
use std::collections::BTreeMap;

/// Which circles a pattern is about, by its number in [`PATTERNS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Circle {
    /// Reads only.
    Reads,
    /// Writes only.
    Writes,
    /// Writes, and at least one read.
    Mixed,
    /// Writes, and the order of a process.
    WritesProcess,
    /// Writes, a read, and the order of a process.
    MixedProcess,
    /// Writes, and the order of real time.
    WritesRealtime,
    /// Writes, a read, and the order of real time.
    MixedRealtime,
    /// Writes, reads, and one record that was not seen.
    Unseen,
    /// Writes, reads, and several records that were not seen.
    UnseenTwice,
    /// Writes, reads, one record that was not seen, and the order of real time.
    UnseenRealtime,
    /// Writes, reads, several records that were not seen, and the order of real time.
    UnseenTwiceRealtime,
}

const NONE: Dependencies = Dependencies::NONE;
const WW: Dependencies = Dependencies::of(&[Dependency::Ww]);
const WR: Dependencies = Dependencies::of(&[Dependency::Wr]);
const RW: Dependencies = Dependencies::of(&[Dependency::Rw]);
const PROCESS: Dependencies = Dependencies::of(&[Dependency::Process]);
const REALTIME: Dependencies = Dependencies::of(&[Dependency::Realtime]);
const TIME: Dependencies = PROCESS.or(REALTIME);

/// A weaker circle says all that a stronger one of the same component would.
const PATTERNS: [Pattern; 11] = [
    Pattern { first: WR, rest: WR, needs: NONE, implied_by: 0 },
    Pattern { first: WW, rest: WW, needs: NONE, implied_by: 0 },
    Pattern { first: WR, rest: WW.or(WR), needs: NONE, implied_by: implied(&[Circle::Reads]) },
    Pattern { first: PROCESS, rest: WW.or(PROCESS), needs: NONE, implied_by: implied(&[Circle::Writes]) },
    Pattern {
        first: PROCESS,
        rest: WW.or(WR).or(PROCESS),
        needs: WR,
        implied_by: implied(&[Circle::Reads, Circle::Mixed]),
    },
    Pattern {
        first: REALTIME,
        rest: WW.or(TIME),
        needs: NONE,
        implied_by: implied(&[Circle::Writes, Circle::WritesProcess]),
    },
    Pattern {
        first: REALTIME,
        rest: WW.or(WR).or(TIME),
        needs: WR,
        implied_by: implied(&[Circle::Reads, Circle::Mixed, Circle::MixedProcess]),
    },
    Pattern { first: RW, rest: WW.or(WR), needs: NONE, implied_by: SEEN },
    Pattern { first: RW, rest: WW.or(WR).or(RW), needs: NONE, implied_by: SEEN | implied(&[Circle::Unseen]) },
    Pattern { first: RW, rest: WW.or(WR).or(TIME), needs: NONE, implied_by: TIMED },
    Pattern {
        first: RW,
        rest: WW.or(WR).or(RW).or(TIME),
        needs: NONE,
        implied_by: TIMED | implied(&[Circle::UnseenRealtime]),
    },
];

/// Circles without what was not seen, and without time.
const SEEN: u32 = implied(&[Circle::Reads, Circle::Writes, Circle::Mixed]);

/// All circles that are weaker than those of what was not seen, with time.
const TIMED: u32 = SEEN
    | implied(&[Circle::WritesProcess, Circle::MixedProcess, Circle::WritesRealtime, Circle::MixedRealtime])
    | implied(&[Circle::Unseen, Circle::UnseenTwice]);

const fn implied(by: &[Circle]) -> u32 {
    let (mut bits, mut i) = (0, 0);
    while i < by.len() {
        bits |= 1 << by[i] as usize;
        i += 1;
    }
    bits
}

/// What a node is, by its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Txn(u32),
    Send(u32),
    Poll(u32),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Circles {
    pub(crate) findings: Vec<Finding>,
    nodes: Vec<Node>,
    /// The rows of the two sends of a `ww` edge.
    writes: Vec<(u32, u32)>,
    /// The rows of the poll and of the send that it did not see, of an `rw` edge.
    unseen: Vec<(u32, u32)>,
}

impl Circles {
    pub(crate) fn of(analysis: &Analysis<'_>) -> Self {
        let history = analysis.history;
        if history.txns().is_empty() && history.meta.configuration.txn_order == TxnOrder::Any {
            return Self::default();
        }
        let (nodes, numbers) = number(analysis);
        let mut links = Links::new(nodes.len());
        let writes = link_writes(analysis, &numbers, &mut links);
        link_reads(analysis, &numbers, &mut links);
        let whole = history.meta.configuration.whole_reads;
        let unseen = if whole { link_unseen(analysis, &numbers, &mut links) } else { Vec::new() };
        link_times(analysis, &nodes, &mut links);
        let findings = find(&links.build(), &PATTERNS, Budget::default());
        Self { findings, nodes, writes, unseen }
    }

    /// The numbers of the findings of one kind of circle.
    pub(crate) fn numbers(&self, circle: Circle) -> impl Iterator<Item = u32> + '_ {
        let is = move |finding: &Finding| match finding {
            Finding::Cycle { pattern, .. } | Finding::Undecided { pattern, .. } => {
                *pattern == circle as usize
            }
        };
        (0u32..).zip(&self.findings).filter(move |(_, finding)| is(finding)).map(|(number, _)| number)
    }

    pub(crate) fn node(&self, number: u32) -> Node {
        self.nodes[number as usize]
    }

    /// The rows of the poll and of the send that it did not see, of an `rw` edge.
    pub(crate) fn unseen_of(&self, edge: &CycleEdge) -> (u32, u32) {
        self.unseen[edge.reason as usize]
    }

    /// The rows of the two sends of a `ww` edge.
    pub(crate) fn writes_of(&self, edge: &CycleEdge) -> (u32, u32) {
        self.writes[edge.reason as usize]
    }
}

/// Links whole reads to the writers of the records right behind what they saw. Returns the rows of poll and send.
fn link_unseen(analysis: &Analysis<'_>, numbers: &Numbers, links: &mut Links) -> Vec<(u32, u32)> {
    let history = analysis.history;
    let units = analysis.whole_reads();
    let mut lengths = vec![0u64; history.polls().len()];
    for read in history.delivers() {
        if let Some(poll) = read.poll() {
            lengths[history.poll_row(poll) as usize] += 1;
        }
    }
    let mut unseen = Vec::new();
    for (poll, row) in history.polls().iter().zip(0u32..) {
        let (Some(reader), Some(unit)) = (numbers.polls[row as usize], units[row as usize]) else { continue };
        if poll.completion().is_none() {
            continue;
        }
        let next = lengths[row as usize];
        let [place] = analysis.units[unit.index()].between(next, next + 1) else { continue };
        let Some(send) = place.send() else { continue };
        if let Some(writer) = numbers.sends[send as usize] {
            links.link(reader, writer, Dependency::Rw, unseen.len() as u32);
            unseen.push((row, send));
        }
    }
    unseen
}

impl Analysis<'_> {
    /// The unit that each poll read, by the poll's row, where polls read whole units: the one at whose beginning its
    /// process went to read last.
    pub(crate) fn whole_reads(&self) -> Vec<Option<UnitId>> {
        let history = self.history;
        let mut sought: BTreeMap<ProcessId, Vec<(u32, UnitId)>> = BTreeMap::new();
        for (event, note) in history.notes() {
            if let Observation::Sought { unit, to: 0 } = note {
                sought.entry(history.process_of(*event)).or_default().push((*event, *unit));
            }
        }
        let unit = |poll: &PollRow| {
            let (list, end) = (sought.get(&poll.process)?, poll.completion()?);
            let last = list.partition_point(|(event, _)| *event < end).checked_sub(1)?;
            Some(list[last].1)
        };
        history.polls().iter().map(unit).collect()
    }
}

/// The numbers of the nodes that sends and polls belong to, by their rows.
struct Numbers {
    sends: Vec<Option<u32>>,
    polls: Vec<Option<u32>>,
}

fn number(analysis: &Analysis<'_>) -> (Vec<Node>, Numbers) {
    let history = analysis.history;
    let mut nodes = Vec::new();
    let mut add = |node: Node| {
        nodes.push(node);
        (nodes.len() - 1) as u32
    };
    let txns: Vec<Option<u32>> = (0u32..)
        .zip(&analysis.txn_fates)
        .map(|(row, fate)| (*fate == Fate::Happened).then(|| add(Node::Txn(row))))
        .collect();
    let of_txn = |txn: OpId| txns[history.txn_row(txn) as usize];
    let there = |row: usize| match analysis.fates[row] {
        Fate::Happened => true,
        Fate::Unknown => analysis.seen[row],
        Fate::Failed => false,
    };
    let sends = (history.sends().iter().zip(0u32..))
        .map(|(send, row)| match send.txn() {
            _ if !there(row as usize) => None,
            Some(txn) => of_txn(txn),
            None => Some(add(Node::Send(row))),
        })
        .collect();
    let polls = (history.polls().iter().zip(0u32..))
        .map(|(poll, row)| match poll.txn() {
            _ if poll.status != Status::Ok => None,
            Some(txn) => of_txn(txn),
            None => Some(add(Node::Poll(row))),
        })
        .collect();
    (nodes, Numbers { sends, polls })
}

/// Links the writers of records that stand next to each other. Returns the rows of the sends of each edge.
fn link_writes(analysis: &Analysis<'_>, numbers: &Numbers, links: &mut Links) -> Vec<(u32, u32)> {
    let mut writes = Vec::new();
    for (unit, log) in analysis.logs() {
        let mut last: Option<(u32, u32)> = None;
        for (index, place) in log.places.iter().enumerate() {
            let Some(row) = place.send() else { continue };
            let beside = |other: Option<usize>| {
                other
                    .and_then(|other| log.places.get(other))
                    .is_some_and(|one| one.position == place.position)
            };
            let contested = beside(index.checked_sub(1)) || beside(Some(index + 1));
            let again = analysis.first_place[row as usize] != Some((unit, index as u32));
            let Some(node) = numbers.sends[row as usize].filter(|_| !contested && !again) else { continue };
            if let Some((before, before_row)) = last.replace((node, row)) {
                links.link(before, node, Dependency::Ww, writes.len() as u32);
                writes.push((before_row, row));
            }
        }
    }
    writes
}

fn link_reads(analysis: &Analysis<'_>, numbers: &Numbers, links: &mut Links) {
    let history = analysis.history;
    for (read, row) in history.delivers().iter().zip(0u32..) {
        let reader = read.poll().and_then(|poll| numbers.polls[history.poll_row(poll) as usize]);
        let writer = read.value().and_then(|value| analysis.writer(value));
        let writer = writer.and_then(|writer| numbers.sends[writer as usize]);
        if let Some((writer, reader)) = writer.zip(reader) {
            links.link(writer, reader, Dependency::Wr, row);
        }
    }
}

fn link_times(analysis: &Analysis<'_>, nodes: &[Node], links: &mut Links) {
    let mut moments: Vec<(u32, Moment)> = Vec::new();
    for (node, number) in nodes.iter().zip(0u32..) {
        let (begin, end) = analysis.span(*node);
        moments.push((begin, Moment::Begin(number)));
        moments.extend(end.map(|end| (end, Moment::End(number))));
    }
    moments.sort_unstable_by_key(|(event, _)| *event);
    let mut processes: BTreeMap<u32, Vec<Moment>> = BTreeMap::new();
    for (event, moment) in &moments {
        let process = analysis.history.process_of(*event).index() as u32;
        processes.entry(process).or_default().push(*moment);
    }
    for own in processes.into_values() {
        link_time(links, Dependency::Process, own);
    }
    link_time(links, Dependency::Realtime, moments.into_iter().map(|(_, moment)| moment));
}

impl Analysis<'_> {
    /// The events at which a node begins and, if it was told that it happened, ends.
    pub(crate) fn span(&self, node: Node) -> (u32, Option<u32>) {
        let history = self.history;
        let (invoke, status, completion) = match node {
            Node::Txn(row) => {
                let txn = &history.txns()[row as usize];
                (txn.invoke, txn.status, txn.completion())
            }
            Node::Send(row) => {
                let send = self.send(row);
                (send.invoke, send.status, send.completion())
            }
            Node::Poll(row) => {
                let poll = &history.polls()[row as usize];
                (poll.invoke, poll.status, poll.completion())
            }
        };
        (invoke.0, completion.filter(|_| status == Status::Ok))
    }
}

/// Names nodes and edges by what the history says of them.
impl Explain for Analysis<'_> {
    fn name(&self, node: u32) -> String {
        let node = self.circles().node(node);
        let begin = self.span(node).0;
        let (who, quoted) = (self.who(begin), self.history.quoted(begin));
        match node {
            Node::Txn(_) => format!("{who}'s transaction ({quoted})"),
            Node::Send(row) => format!("{who}'s send of record {} ({quoted})", self.send(row).value),
            Node::Poll(_) => format!("{who}'s poll ({quoted})"),
        }
    }

    fn because(&self, edge: &CycleEdge) -> String {
        let circles = self.circles();
        match edge.dependency {
            Dependency::Ww => {
                let (before, row) = circles.writes_of(edge);
                let at = |row: u32| {
                    let (unit, index) = self.first_place[row as usize]?;
                    Some((unit, self.units[unit.index()].places[index as usize].position))
                };
                let unit = at(before).map(|(unit, _)| self.unit(unit)).unwrap_or_default();
                let place = |row| at(row).map(|(_, position)| position).unwrap_or_default();
                format!(
                    "in {unit} record {} of the former stands at position {}, before record {} of the latter at {}",
                    self.send(before).value,
                    place(before),
                    self.send(row).value,
                    place(row)
                )
            }
            Dependency::Rw => {
                let (poll, row) = circles.unseen_of(edge);
                let end = self.history.polls()[poll as usize].completion().unwrap_or_default();
                let value = self.send(row).value;
                format!("the former did not see record {value} of the latter when it read {}", self.when(end))
            }
            Dependency::Wr => {
                let read = &self.history.delivers()[edge.reason as usize];
                let value = read.value().unwrap_or_default();
                format!("the latter read record {value} of the former {}", self.when(read.event))
            }
            Dependency::Process | Dependency::Realtime => {
                let (from, to) = (self.span(circles.node(edge.from)), self.span(circles.node(edge.to)));
                let whose = match edge.dependency {
                    Dependency::Process => format!("{} had ended the former", self.who(from.0)),
                    _ => "the former was over".to_owned(),
                };
                format!(
                    "{whose} {} before the latter began {}",
                    self.when(from.1.unwrap_or(from.0)),
                    self.when(to.0)
                )
            }
        }
    }
}
