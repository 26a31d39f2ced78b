//! Links and connections.
//!
//! A **link** is directed, from one node to another, with a latency and perhaps a bandwidth. It can be cut
//! (nothing passes; healing shows at the next retransmission, as TCP backs off: 200 ms, doubling, at most
//! 120 s), held (nothing passes; released at once) or delayed. A **connection** is TCP-like: what is sent
//! arrives once and in order, or the connection breaks. What meets a cut link waits at the sender; there is
//! never a hole. A machine without power is a machine behind cut links.

use super::{
    Message, NodeId,
    choices::{Choices, Site, mix},
};
use squall_bus::Time;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

const LATENCY: Site = Site::new("network.latency");
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);
const LAST_RETRANSMISSION: Duration = Duration::from_secs(120);

/// A connection. Dense, from 0; never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// What a healthy link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkSpec {
    /// The least time a message takes.
    pub latency_min: Duration,
    /// The most.
    pub latency_max: Duration,
    /// Bytes a second, if limited.
    pub bandwidth: Option<u64>,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            latency_min: Duration::from_micros(50),
            latency_max: Duration::from_micros(250),
            bandwidth: None,
        }
    }
}

/// What is wrong with a link; several faults may overlap on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Link {
    cuts: u32,
    holds: u32,
    delay: Duration,
    busy_until: Time,
}

impl Link {
    fn is_blocked(&self) -> bool {
        self.cuts > 0 || self.holds > 0
    }
}

#[derive(Debug)]
pub(super) enum Packet<M> {
    Syn,
    SynAck,
    Data(M),
    Fin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) node: NodeId,
    pub(super) open: bool,
}

#[derive(Debug)]
struct Direction<M> {
    sent: u64,
    /// What its draws have in common.
    draws: u64,
    /// Nothing arrives before what was sent earlier.
    clear_at: Time,
    held: VecDeque<Packet<M>>,
    held_since: Time,
    /// The other end knows, or will, that this end is gone.
    said_goodbye: bool,
}

impl<M> Direction<M> {
    fn new(draws: u64) -> Self {
        Self {
            sent: 0,
            draws,
            clear_at: Time::ZERO,
            held: VecDeque::new(),
            held_since: Time::ZERO,
            said_goodbye: false,
        }
    }
}

#[derive(Debug)]
struct Conn<M> {
    ends: [End; 2],
    entity: u64,
    directions: [Direction<M>; 2],
}

/// Which way: 0 from the node that opened the connection, 1 to it.
pub(super) type Way = u8;

/// Links by their ends. Every message asks for its link twice: in what state it is when it leaves and when it arrives.
#[derive(Debug, Default)]
struct Links(Vec<Vec<Link>>);

impl Links {
    /// Whether any link is or was other than healthy.
    fn were_touched(&self) -> bool {
        !self.0.is_empty()
    }

    /// A link; a healthy one until it was asked for with [`at`](Self::at).
    fn get(&self, from: NodeId, to: NodeId) -> Link {
        self.0.get(from.index()).and_then(|links| links.get(to.index())).copied().unwrap_or_default()
    }

    /// A link, to change it.
    fn at(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        if from.index() >= self.0.len() {
            self.0.resize_with(from.index() + 1, Vec::new);
        }
        let links = &mut self.0[from.index()];
        if to.index() >= links.len() {
            links.resize(to.index() + 1, Link::default());
        }
        &mut links[to.index()]
    }
}

/// All links and connections.
#[derive(Debug)]
pub struct Network<M> {
    /// The least and the most that a message takes, in ns.
    latency: (u64, u64),
    /// Bytes a second, if limited.
    bandwidth: Option<u64>,
    links: Links,
    opened: BTreeMap<(NodeId, NodeId), u64>,
    conns: Vec<Conn<M>>,
}

impl<M: Message> Network<M> {
    pub(super) fn new(spec: LinkSpec) -> Self {
        Self {
            latency: (spec.latency_min.as_nanos() as u64, spec.latency_max.as_nanos() as u64),
            bandwidth: spec.bandwidth,
            links: Links::default(),
            opened: BTreeMap::new(),
            conns: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, from: NodeId, to: NodeId, choices: &Choices) -> ConnId {
        let number = self.opened.entry((from, to)).or_default();
        *number += 1;
        let entity = mix(u64::from(from.0) << 32 | u64::from(to.0), *number);
        self.conns.push(Conn {
            ends: [End { node: from, open: true }, End { node: to, open: false }],
            entity,
            directions: [0, 1].map(|way| Direction::new(choices.stream(LATENCY, entity ^ way))),
        });
        ConnId(self.conns.len() as u32 - 1)
    }

    pub(super) fn ends(&self, conn: ConnId) -> [End; 2] {
        self.conns[conn.0 as usize].ends
    }

    pub(super) fn set_open(&mut self, conn: ConnId, end: usize, open: bool) {
        self.conns[conn.0 as usize].ends[end].open = open;
    }

    /// Which end of the connection this node is, if it is one.
    pub(super) fn end_of(&self, conn: ConnId, node: NodeId) -> Option<usize> {
        self.conns.get(conn.0 as usize)?.ends.iter().position(|end| end.node == node)
    }

    /// Which end of the connection this node is, if it is one and that is open.
    #[inline]
    pub(super) fn open_end_of(&self, conn: ConnId, node: NodeId) -> Option<usize> {
        let ends = &self.conns.get(conn.0 as usize)?.ends;
        ends.iter().position(|end| end.node == node).filter(|end| ends[*end].open)
    }

    /// Who is at the end of this way, if its end is open, nothing is held before it and the link is not blocked.
    #[inline]
    pub(super) fn open_receiver(&self, conn: ConnId, way: Way) -> Option<NodeId> {
        let conn = &self.conns[conn.0 as usize];
        let (sender, receiver) = (conn.ends[usize::from(way)], conn.ends[1 - usize::from(way)]);
        let held = !conn.directions[usize::from(way)].held.is_empty();
        let blocked = || self.links.were_touched() && self.is_link_blocked(sender.node, receiver.node);
        (receiver.open && !held && !blocked()).then_some(receiver.node)
    }

    /// Whether both ends of a connection are open, nothing is held and its link is healthy both ways.
    pub(super) fn is_healthy(&self, conn: ConnId) -> bool {
        let conn = &self.conns[conn.0 as usize];
        let [a, b] = conn.ends;
        let healthy = |from, to| {
            let Link { cuts, holds, delay, .. } = self.links.get(from, to);
            cuts == 0 && holds == 0 && delay.is_zero()
        };
        self.bandwidth.is_none()
            && (a.open && b.open)
            && conn.directions.iter().all(|direction| direction.held.is_empty())
            && healthy(a.node, b.node)
            && healthy(b.node, a.node)
    }

    /// How long a message travels over a healthy link, in the mean.
    pub(super) const fn flight(&self) -> Duration {
        Duration::from_nanos(u64::midpoint(self.latency.0, self.latency.1))
    }

    /// The node at the other end.
    #[must_use]
    pub fn peer(&self, conn: ConnId, node: NodeId) -> NodeId {
        let ends = &self.conns[conn.0 as usize].ends;
        if ends[0].node == node { ends[1].node } else { ends[0].node }
    }

    /// Whether this node's end of the connection is open.
    #[must_use]
    pub fn is_open(&self, conn: ConnId, node: NodeId) -> bool {
        self.end_of(conn, node).is_some_and(|end| self.conns[conn.0 as usize].ends[end].open)
    }

    /// Whether links have a bandwidth, so that the size of a packet matters.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    /// When a packet sent now arrives. Draws the link's latency by (link, connection, message number).
    pub(super) fn arrival(
        &mut self,
        conn: ConnId,
        way: Way,
        size: u32,
        now: Time,
        choices: &Choices,
    ) -> Time {
        let conn = &mut self.conns[conn.0 as usize];
        let (from, to) = (conn.ends[usize::from(way)].node, conn.ends[1 - usize::from(way)].node);
        let direction = &mut conn.directions[usize::from(way)];
        direction.sent += 1;
        let (least, most) = self.latency;
        let draw = (LATENCY, conn.entity ^ u64::from(way), direction.sent);
        let latency = choices.between_from(direction.draws, draw, least, most);
        let mut leaves = now;
        if let Some(bandwidth) = self.bandwidth {
            let link = self.links.at(from, to);
            let takes = u64::from(size).saturating_mul(1_000_000_000) / bandwidth.max(1);
            leaves = leaves.max(link.busy_until) + Duration::from_nanos(takes);
            link.busy_until = leaves;
        }
        let mut arrives = Time(leaves.0.saturating_add(latency));
        if self.links.were_touched() {
            arrives += self.links.get(from, to).delay;
        }
        direction.clear_at = direction.clear_at.max(arrives);
        direction.clear_at
    }

    /// Whether the other end knows that the sender of this way is gone; says so from now on.
    pub(super) fn say_goodbye(&mut self, conn: ConnId, way: Way) -> bool {
        std::mem::replace(&mut self.conns[conn.0 as usize].directions[usize::from(way)].said_goodbye, true)
    }

    pub(super) fn is_link_blocked(&self, from: NodeId, to: NodeId) -> bool {
        self.links.get(from, to).is_blocked()
    }

    /// Whether others wait on this way.
    pub(super) fn is_held(&self, conn: ConnId, way: Way) -> bool {
        !self.conns[conn.0 as usize].directions[usize::from(way)].held.is_empty()
    }

    /// A packet at the end of its way has to wait, behind others or before a blocked link.
    pub(super) fn put_on_hold(&mut self, conn: ConnId, way: Way, packet: Packet<M>, now: Time) {
        let direction = &mut self.conns[conn.0 as usize].directions[usize::from(way)];
        if direction.held.is_empty() {
            direction.held_since = now;
        }
        direction.held.push_back(packet);
    }

    /// When each connection that waits before this link, no longer blocked, gets its packets through.
    pub(super) fn releases(
        &self,
        from: NodeId,
        to: NodeId,
        now: Time,
        at_once: bool,
    ) -> Vec<(Time, ConnId, Way)> {
        let mut releases = Vec::new();
        for (number, conn) in self.conns.iter().enumerate() {
            for way in 0..2_u8 {
                let direction = &conn.directions[usize::from(way)];
                let here =
                    conn.ends[usize::from(way)].node == from && conn.ends[1 - usize::from(way)].node == to;
                if here && !direction.held.is_empty() {
                    let at = if at_once { now } else { next_retransmission(direction.held_since, now) };
                    releases.push((at, ConnId(number as u32), way));
                }
            }
        }
        releases
    }

    /// Takes what waits, if the way is free now.
    pub(super) fn take_held(&mut self, conn: ConnId, way: Way) -> VecDeque<Packet<M>> {
        let direction = &mut self.conns[conn.0 as usize].directions[usize::from(way)];
        std::mem::take(&mut direction.held)
    }

    /// Forgets what a machine that lost its power had not got through.
    pub(super) fn drop_held(&mut self, conn: ConnId, way: Way) {
        self.conns[conn.0 as usize].directions[usize::from(way)].held.clear();
    }

    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.links.at(from, to).cuts += 1;
    }

    pub(super) fn uncut(&mut self, from: NodeId, to: NodeId) -> bool {
        let link = self.links.at(from, to);
        link.cuts = link.cuts.saturating_sub(1);
        !link.is_blocked()
    }

    pub(super) fn hold(&mut self, from: NodeId, to: NodeId) {
        self.links.at(from, to).holds += 1;
    }

    pub(super) fn unhold(&mut self, from: NodeId, to: NodeId) -> bool {
        let link = self.links.at(from, to);
        link.holds = link.holds.saturating_sub(1);
        !link.is_blocked()
    }

    pub(super) fn delay(&mut self, from: NodeId, to: NodeId, more: Duration) {
        self.links.at(from, to).delay += more;
    }

    pub(super) fn undelay(&mut self, from: NodeId, to: NodeId, less: Duration) {
        let link = self.links.at(from, to);
        link.delay = link.delay.saturating_sub(less);
    }
}

/// The first retransmission at or after `now` of what was first sent at `since`.
fn next_retransmission(since: Time, now: Time) -> Time {
    let mut gap = FIRST_RETRANSMISSION;
    let mut at = since + gap;
    while at < now {
        gap = (gap * 2).min(LAST_RETRANSMISSION);
        at += gap;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmissions_back_off() {
        let since = Time::from_millis(1_000);
        for (now, at) in [(1_000, 1_200), (1_201, 1_600), (1_700, 2_400), (46_000, 52_000)] {
            assert_eq!(next_retransmission(since, Time::from_millis(now)), Time::from_millis(at));
        }
    }
}
