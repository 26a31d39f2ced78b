//! The machines of a world: nodes with their processes, disks and connections, and the heap of what is under way to
//! them.
//!
//! - An event reaches a node at once if its process runs and is idle. Otherwise it waits in the node's inbox, in order,
//!   for as long as the process lives; a process that is not there gets none.
//! - A packet to a process that is not there, or to a connection that it closed, is answered by its machine, unless
//!   that has no power.

use super::{AlarmId, Life};
use crate::kernel::{
    Boot, Choices, ConnId, Disk, DiskError, Event, FileId, Mark, Marks, Message, Model, Network, NodeClock,
    NodeId, Queue, Ticket, Trace,
    network::{Packet, Way},
};
use squall_bus::Time;
use std::{collections::VecDeque, time::Duration};

pub(super) type NodeEvent<M> = Event<<M as Model>::Msg, <M as Model>::Timer>;

pub(super) struct Node<M: Model> {
    pub(super) label: String,
    pub(super) life: Life,
    /// Counts processes, so that a dead one's timers do not reach the next.
    pub(super) process: u32,
    /// The process starts in this instant.
    pub(super) starting: bool,
    pub(super) next_boot: Boot,
    pub(super) clock: NodeClock,
    pub(super) disk: Disk,
    pub(super) conns: Vec<ConnId>,
    pub(super) inbox: VecDeque<(u32, NodeEvent<M>)>,
    pub(super) busy_until: Time,
    pub(super) drop_responses: u32,
    pub(super) power_failures: u64,
}

pub(super) enum Queued<M: Model> {
    Packet(ConnId, Way, Packet<M::Msg>),
    Release(ConnId, Way),
    Timer(NodeId, u32, M::Timer),
    Synced(NodeId, u32, FileId),
    Start(NodeId),
    Stop(NodeId, u32),
    Unblock(NodeId),
    Alarm(AlarmId),
}

/// Everything but the model itself, so that a [`Ctx`] can lend it to the model.
pub(in crate::kernel) struct Kernel<M: Model> {
    pub(in crate::kernel) now: Time,
    pub(in crate::kernel) queue: Queue<QueuedBox<M>>,
    pub(in crate::kernel) network: Network<M::Msg>,
    pub(in crate::kernel) choices: Choices,
    pub(in crate::kernel) outputs: Vec<M::Output>,
    pub(in crate::kernel) touched: Vec<M::Touch>,
    pub(super) nodes: Vec<Node<M>>,
    pub(super) trace: Trace,
    pub(in crate::kernel) marks: Marks,
    pub(super) fired: Vec<AlarmId>,
}

/// Keeps the enum private while the queue's type is visible to the kernel's own modules.
pub(in crate::kernel) struct QueuedBox<M: Model>(pub(super) Queued<M>);

impl<M: Model> Kernel<M> {
    pub(super) fn push(&mut self, at: Time, queued: Queued<M>) -> Ticket {
        self.queue.push(at, QueuedBox(queued))
    }

    pub(in crate::kernel) fn clock(&self, node: NodeId) -> &NodeClock {
        &self.nodes[node.index()].clock
    }

    pub(in crate::kernel) fn disk(&mut self, node: NodeId) -> &mut Disk {
        &mut self.nodes[node.index()].disk
    }

    pub(in crate::kernel) fn timer(&mut self, node: NodeId, delay: Duration, timer: M::Timer) -> Ticket {
        let owner = &self.nodes[node.index()];
        let at = self.now + owner.clock.true_span(delay);
        let process = owner.process;
        self.push(at, Queued::Timer(node, process, timer))
    }

    pub(in crate::kernel) fn sync(&mut self, node: NodeId, file: FileId) -> Result<(), DiskError> {
        let owner = &mut self.nodes[node.index()];
        let takes = owner.disk.begin_sync(file)?;
        let process = owner.process;
        self.push(self.now + takes, Queued::Synced(node, process, file));
        Ok(())
    }

    pub(in crate::kernel) fn busy(&mut self, node: NodeId, span: Duration) {
        let owner = &mut self.nodes[node.index()];
        owner.busy_until = owner.busy_until.max(self.now) + span;
    }

    pub(in crate::kernel) fn connect(&mut self, from: NodeId, to: NodeId) -> ConnId {
        let conn = self.network.open(from, to, &self.choices);
        self.nodes[from.index()].conns.push(conn);
        self.transmit(conn, 0, 64, Packet::Syn);
        conn
    }

    pub(in crate::kernel) fn send(&mut self, node: NodeId, conn: ConnId, message: M::Msg) {
        let Some(end) = self.network.open_end_of(conn, node) else { return };
        let owner = &mut self.nodes[node.index()];
        if owner.drop_responses > 0 && message.acknowledges_write() {
            owner.drop_responses -= 1;
            self.marks.add(Mark::ResponseLost);
            // The request went through; its response is lost and both sides see the connection break.
            self.goodbye(conn, end as Way);
            self.goodbye(conn, 1 - end as Way);
            return;
        }
        let size = if self.network.is_limited() { message.size() } else { 0 };
        self.transmit(conn, end as Way, size, Packet::Data(message));
    }

    // Wherever it stands: a packet is moved once less.
    #[inline(always)]
    fn transmit(&mut self, conn: ConnId, way: Way, size: u32, packet: Packet<M::Msg>) {
        let at = self.network.arrival(conn, way, size, self.now, &self.choices);
        self.push(at, Queued::Packet(conn, way, packet));
    }

    /// Tells the end that this way leads to that the other is gone; once.
    fn goodbye(&mut self, conn: ConnId, way: Way) {
        if !self.network.say_goodbye(conn, way) {
            self.transmit(conn, way, 64, Packet::Fin);
        }
    }

    pub(in crate::kernel) fn close(&mut self, node: NodeId, conn: ConnId) {
        let Some(end) = self.network.end_of(conn, node) else { return };
        if self.network.is_open(conn, node) {
            self.forget(node, conn, end);
            self.goodbye(conn, end as Way);
        }
    }

    fn forget(&mut self, node: NodeId, conn: ConnId, end: usize) {
        self.network.set_open(conn, end, false);
        let conns = &mut self.nodes[node.index()].conns;
        if let Some(place) = conns.iter().position(|c| *c == conn) {
            conns.swap_remove(place);
        }
    }

    /// The process is gone; its machine closes what it had open.
    pub(in crate::kernel) fn down(&mut self, node: NodeId, next_boot: Boot) {
        let mut conns = self.nodes[node.index()].conns.clone();
        conns.sort_unstable();
        for conn in conns {
            self.close(node, conn);
        }
        self.end_process(node, Life::Down, next_boot);
        self.nodes[node.index()].disk.kill();
    }

    pub(super) fn end_process(&mut self, node: NodeId, life: Life, next_boot: Boot) {
        let owner = &mut self.nodes[node.index()];
        owner.life = life;
        owner.process += 1;
        owner.next_boot = next_boot;
        owner.inbox.clear();
        owner.busy_until = Time::ZERO;
    }

    /// Whether the node can take an event now.
    pub(super) fn is_ready(&self, node: NodeId) -> bool {
        let owner = &self.nodes[node.index()];
        owner.life == Life::Running && owner.inbox.is_empty() && owner.busy_until <= self.now
    }

    /// Puts an event into the inbox of a node that cannot take it now. A process that is not there gets none.
    pub(super) fn put_off(&mut self, node: NodeId, event: NodeEvent<M>) {
        let owner = &mut self.nodes[node.index()];
        if matches!(owner.life, Life::Running | Life::Paused) {
            owner.inbox.push_back((owner.process, event));
            if owner.life == Life::Running && owner.inbox.len() == 1 {
                let at = owner.busy_until;
                self.push(at, Queued::Unblock(node));
            }
        }
    }

    /// Who receives a message at the end of its way at once: nothing is held, the connection is open, the process idle.
    #[inline]
    pub(super) fn idle_receiver(&self, conn: ConnId, way: Way) -> Option<NodeId> {
        self.network.open_receiver(conn, way).filter(|node| self.is_ready(*node))
    }

    /// Whether nothing stands between the two ends of a connection.
    pub(in crate::kernel) fn is_at_peace(&self, conn: ConnId) -> bool {
        let idle = |node| self.is_ready(node) && self.clock(node).is_true();
        self.network.is_healthy(conn) && self.network.ends(conn).iter().all(|end| idle(end.node))
    }

    /// Whether a packet at the end of its way has to wait.
    pub(super) fn is_stuck(&self, conn: ConnId, way: Way) -> bool {
        let ends = self.network.ends(conn);
        let (sender, receiver) = (ends[usize::from(way)].node, ends[1 - usize::from(way)].node);
        self.network.is_held(conn, way)
            || self.network.is_link_blocked(sender, receiver)
            || self.nodes[receiver.index()].life == Life::Off
    }

    /// A packet has arrived: what its receiver sees of it, if anything.
    pub(super) fn arrive(
        &mut self,
        conn: ConnId,
        way: Way,
        packet: Packet<M::Msg>,
    ) -> Option<(NodeId, NodeEvent<M>)> {
        let ends = self.network.ends(conn);
        let (sender, receiver) = (ends[usize::from(way)], ends[1 - usize::from(way)]);
        let end = 1 - usize::from(way);
        let life = self.nodes[receiver.node.index()].life;
        let event = match packet {
            Packet::Data(message) if receiver.open => Event::Message(conn, message),
            Packet::Syn if matches!(life, Life::Running | Life::Paused) => {
                self.network.set_open(conn, end, true);
                self.nodes[receiver.node.index()].conns.push(conn);
                self.transmit(conn, 1 - way, 64, Packet::SynAck);
                Event::Accepted(conn, sender.node)
            }
            Packet::Fin => {
                if !receiver.open {
                    return None;
                }
                self.forget(receiver.node, conn, end);
                Event::Closed(conn)
            }
            Packet::SynAck if receiver.open => Event::Connected(conn),
            // Nobody is there: the machine says so, unless the sender knows.
            Packet::Syn | Packet::SynAck | Packet::Data(_) => {
                self.goodbye(conn, 1 - way);
                return None;
            }
        };
        Some((receiver.node, event))
    }

    pub(super) fn release_links(&mut self, from: NodeId, to: NodeId, at_once: bool) {
        for (at, conn, way) in self.network.releases(from, to, self.now, at_once) {
            self.push(at, Queued::Release(conn, way));
        }
    }
}
