//! The world: a model, the heap of its events, and what the harness may do to its nodes and links.

use super::{
    Boot, Choices, ConnId, Ctx, Digest, Disk, DiskError, Event, FileId, Invariant, LinkSpec, Message, Model,
    Network, NodeClock, NodeId, Queue, Ticket, Trace, Violation,
    network::{Packet, Way},
};
use squall_bus::Time;
use std::{collections::VecDeque, time::Duration};

/// Names an alarm of the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmId(pub u64);

/// What state a node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// The process runs.
    Running,
    /// The process is frozen; its machine answers connection attempts.
    Paused,
    /// No process; the machine refuses connections.
    Down,
    /// No power; the machine answers nothing.
    Off,
}

type NodeEvent<M> = Event<<M as Model>::Msg, <M as Model>::Timer>;

struct Node<M: Model> {
    label: String,
    life: Life,
    /// Counts processes, so that a dead one's timers do not reach the next.
    process: u32,
    next_boot: Boot,
    clock: NodeClock,
    disk: Disk,
    conns: Vec<ConnId>,
    inbox: VecDeque<(u32, NodeEvent<M>)>,
    busy_until: Time,
    drop_responses: u32,
    power_failures: u64,
}

enum Queued<M: Model> {
    Packet(ConnId, Way, Packet<M::Msg>),
    Release(ConnId, Way),
    Timer(NodeId, u32, M::Timer),
    Synced(NodeId, u32, FileId),
    Start(NodeId, u32),
    Stop(NodeId, u32),
    Unblock(NodeId),
    Alarm(AlarmId),
}

/// Everything but the model itself, so that a [`Ctx`] can lend it to the model.
pub(super) struct Kernel<M: Model> {
    pub(super) now: Time,
    pub(super) queue: Queue<QueuedBox<M>>,
    pub(super) network: Network<M::Msg>,
    pub(super) choices: Choices,
    pub(super) outputs: Vec<M::Output>,
    pub(super) touched: Vec<M::Touch>,
    nodes: Vec<Node<M>>,
    trace: Trace,
    fired: Vec<AlarmId>,
}

/// Keeps the enum private while the queue's type is visible to the kernel's own modules.
pub(super) struct QueuedBox<M: Model>(Queued<M>);

impl<M: Model> Kernel<M> {
    fn push(&mut self, at: Time, queued: Queued<M>) -> Ticket {
        self.queue.push(at, QueuedBox(queued))
    }

    pub(super) fn clock(&self, node: NodeId) -> &NodeClock {
        &self.nodes[node.index()].clock
    }

    pub(super) fn disk(&mut self, node: NodeId) -> &mut Disk {
        &mut self.nodes[node.index()].disk
    }

    pub(super) fn timer(&mut self, node: NodeId, delay: Duration, timer: M::Timer) -> Ticket {
        let owner = &self.nodes[node.index()];
        let at = self.now + owner.clock.true_span(delay);
        let process = owner.process;
        self.push(at, Queued::Timer(node, process, timer))
    }

    pub(super) fn sync(&mut self, node: NodeId, file: FileId) -> Result<(), DiskError> {
        let owner = &mut self.nodes[node.index()];
        let takes = owner.disk.begin_sync(file)?;
        let process = owner.process;
        self.push(self.now + takes, Queued::Synced(node, process, file));
        Ok(())
    }

    pub(super) fn busy(&mut self, node: NodeId, span: Duration) {
        let owner = &mut self.nodes[node.index()];
        owner.busy_until = owner.busy_until.max(self.now) + span;
    }

    pub(super) fn connect(&mut self, from: NodeId, to: NodeId) -> ConnId {
        let conn = self.network.open(from, to);
        self.nodes[from.index()].conns.push(conn);
        self.transmit(conn, 0, 64, Packet::Syn);
        conn
    }

    pub(super) fn send(&mut self, node: NodeId, conn: ConnId, message: M::Msg) {
        let Some(end) = self.network.end_of(conn, node) else { return };
        if !self.network.is_open(conn, node) {
            return;
        }
        let owner = &mut self.nodes[node.index()];
        if owner.drop_responses > 0 && message.acknowledges_write() {
            owner.drop_responses -= 1;
            // The request went through; its response is lost and both sides see the connection break.
            self.goodbye(conn, end as Way);
            self.goodbye(conn, 1 - end as Way);
            return;
        }
        let size = message.size();
        self.transmit(conn, end as Way, size, Packet::Data(message));
    }

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

    pub(super) fn close(&mut self, node: NodeId, conn: ConnId) {
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
    pub(super) fn down(&mut self, node: NodeId, next_boot: Boot) {
        let mut conns = self.nodes[node.index()].conns.clone();
        conns.sort_unstable();
        for conn in conns {
            self.close(node, conn);
        }
        self.end_process(node, Life::Down, next_boot);
        self.nodes[node.index()].disk.kill();
    }

    fn end_process(&mut self, node: NodeId, life: Life, next_boot: Boot) {
        let owner = &mut self.nodes[node.index()];
        owner.life = life;
        owner.process += 1;
        owner.next_boot = next_boot;
        owner.inbox.clear();
        owner.busy_until = Time::ZERO;
    }

    /// Takes an event to the node, or puts it into its inbox if it cannot take one now.
    fn admit(&mut self, node: NodeId, event: NodeEvent<M>) -> Option<NodeEvent<M>> {
        let owner = &mut self.nodes[node.index()];
        if owner.life == Life::Running && owner.inbox.is_empty() && owner.busy_until <= self.now {
            return Some(event);
        }
        if matches!(owner.life, Life::Running | Life::Paused) {
            owner.inbox.push_back((owner.process, event));
            if owner.life == Life::Running && owner.inbox.len() == 1 {
                let at = owner.busy_until;
                self.push(at, Queued::Unblock(node));
            }
        }
        None
    }

    /// A packet is at the end of its way: what its receiver sees of it, if anything.
    fn arrive(&mut self, conn: ConnId, way: Way, packet: Packet<M::Msg>) -> Option<(NodeId, NodeEvent<M>)> {
        let ends = self.network.ends(conn);
        let (sender, receiver) = (ends[usize::from(way)], ends[1 - usize::from(way)]);
        let blocked = self.network.is_link_blocked(sender.node, receiver.node)
            || self.nodes[receiver.node.index()].life == Life::Off;
        let packet = self.network.pass(conn, way, packet, blocked, self.now)?;
        let end = 1 - usize::from(way);
        let life = self.nodes[receiver.node.index()].life;
        let event = match packet {
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
            Packet::Data(message) if receiver.open => Event::Message(conn, message),
            // Nobody is there: the machine says so, unless the sender knows.
            Packet::Syn | Packet::SynAck | Packet::Data(_) => {
                self.goodbye(conn, 1 - way);
                return None;
            }
        };
        Some((receiver.node, event))
    }

    fn release_links(&mut self, from: NodeId, to: NodeId, at_once: bool) {
        for (at, conn, way) in self.network.releases(from, to, self.now, at_once) {
            self.push(at, Queued::Release(conn, way));
        }
    }
}

/// A model and everything around it.
pub struct World<M: Model> {
    kernel: Kernel<M>,
    model: M,
    invariants: Vec<Box<dyn Invariant<M>>>,
    check_fully: bool,
    violation: Option<Violation>,
}

impl<M: Model> World<M> {
    /// A world with no nodes yet.
    #[must_use]
    pub fn new(model: M, choices: Choices, links: LinkSpec) -> Self {
        let kernel = Kernel {
            now: Time::ZERO,
            queue: Queue::default(),
            network: Network::new(links),
            choices,
            outputs: Vec::new(),
            touched: Vec::new(),
            nodes: Vec::new(),
            trace: Trace::default(),
            fired: Vec::new(),
        };
        Self { kernel, model, invariants: Vec::new(), check_fully: false, violation: None }
    }

    /// Watches this invariant from now on.
    pub fn watch(&mut self, invariant: Box<dyn Invariant<M>>) {
        self.invariants.push(invariant);
    }

    /// Recomputes every invariant in full after every event. For tests of small runs.
    pub fn check_fully(&mut self) {
        self.check_fully = true;
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, to ask or change outside of any event. Changes made here are not in the hash.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// True time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.kernel.now
    }

    /// The time of the next event.
    pub fn next_time(&mut self) -> Option<Time> {
        self.kernel.queue.next_time()
    }

    /// Moves true time forward, at most to the next event's: the world outside saw time pass.
    pub fn advance_to(&mut self, now: Time) {
        let bound = self.next_time().unwrap_or(Time::MAX);
        self.kernel.now = self.kernel.now.max(now.min(bound));
    }

    /// The trace: hash, number of events, recorded events.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.kernel.trace
    }

    /// The trace, to record or take.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.kernel.trace
    }

    /// The run's choices.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.kernel.choices
    }

    /// What the model told the world outside since the last time.
    pub fn take_outputs(&mut self) -> std::vec::Drain<'_, M::Output> {
        self.kernel.outputs.drain(..)
    }

    /// Which alarms went off since the last time.
    pub fn take_alarms(&mut self) -> std::vec::Drain<'_, AlarmId> {
        self.kernel.fired.drain(..)
    }

    /// The first invariant that did not hold.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Adds a node, with its process down.
    pub fn add_node(&mut self, label: &str) -> NodeId {
        self.kernel.nodes.push(Node {
            label: label.to_owned(),
            life: Life::Down,
            process: 0,
            next_boot: Boot::Fresh,
            clock: NodeClock::default(),
            disk: Disk::default(),
            conns: Vec::new(),
            inbox: VecDeque::new(),
            busy_until: Time::ZERO,
            drop_responses: 0,
            power_failures: 0,
        });
        NodeId(self.kernel.nodes.len() as u32 - 1)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.kernel.nodes.len() as u32
    }

    /// A node's label.
    #[must_use]
    pub fn label(&self, node: NodeId) -> &str {
        &self.kernel.nodes[node.index()].label
    }

    /// A node's state.
    #[must_use]
    pub fn life(&self, node: NodeId) -> Life {
        self.kernel.nodes[node.index()].life
    }

    /// How many processes have ended on this node: another number, another process.
    #[must_use]
    pub fn process(&self, node: NodeId) -> u32 {
        self.kernel.nodes[node.index()].process
    }

    /// A node's clock, to set offset and drift.
    pub fn clock_mut(&mut self, node: NodeId) -> &mut NodeClock {
        &mut self.kernel.nodes[node.index()].clock
    }

    /// A node's clock.
    #[must_use]
    pub fn clock(&self, node: NodeId) -> &NodeClock {
        self.kernel.clock(node)
    }

    /// A node's disk, to make it slow, full, failing or rotten.
    pub fn disk_mut(&mut self, node: NodeId) -> &mut Disk {
        self.kernel.disk(node)
    }

    /// Starts a node's process after `delay` (a machine without power gets it back now).
    pub fn start(&mut self, node: NodeId, delay: Duration) {
        let owner = &mut self.kernel.nodes[node.index()];
        if !matches!(owner.life, Life::Down | Life::Off) {
            return;
        }
        let was_off = owner.life == Life::Off;
        owner.life = Life::Down;
        let process = owner.process;
        if was_off {
            for other in 0..self.nodes() {
                self.kernel.release_links(NodeId(other), node, false);
            }
        }
        self.kernel.push(self.kernel.now + delay, Queued::Start(node, process));
    }

    /// Asks a node's process to stop in good order. A frozen process does so when it is resumed.
    pub fn stop(&mut self, node: NodeId) {
        let process = self.kernel.nodes[node.index()].process;
        self.kernel.push(self.kernel.now, Queued::Stop(node, process));
    }

    /// Ends a node's process at once. Its machine closes the connections; its disk keeps the page cache.
    pub fn kill(&mut self, node: NodeId) {
        if matches!(self.life(node), Life::Running | Life::Paused) {
            self.note(Some(node), 20, 0, || "killed".to_owned());
            self.kernel.down(node, Boot::Killed);
        }
    }

    /// Takes a node's power. Nobody is told; what was not synced is gone.
    pub fn power_fail(&mut self, node: NodeId) {
        if self.life(node) == Life::Off {
            return;
        }
        self.note(Some(node), 21, 0, || "lost power".to_owned());
        let conns = std::mem::take(&mut self.kernel.nodes[node.index()].conns);
        for conn in conns {
            if let Some(end) = self.kernel.network.end_of(conn, node) {
                self.kernel.network.set_open(conn, end, false);
                self.kernel.network.drop_held(conn, end as Way);
            }
        }
        self.kernel.end_process(node, Life::Off, Boot::PowerLost);
        let choices = self.kernel.choices.clone();
        let owner = &mut self.kernel.nodes[node.index()];
        owner.disk.power_fail(&choices, node.0, owner.power_failures);
        owner.power_failures += 1;
    }

    /// Replaces a node's disk by an empty one; its process must be down.
    pub fn wipe(&mut self, node: NodeId) {
        self.note(Some(node), 22, 0, || "disk replaced".to_owned());
        let owner = &mut self.kernel.nodes[node.index()];
        owner.disk.wipe();
        owner.next_boot = Boot::Fresh;
    }

    /// Freezes a node's process.
    pub fn pause(&mut self, node: NodeId) {
        if self.life(node) == Life::Running {
            self.note(Some(node), 23, 0, || "paused".to_owned());
            self.kernel.nodes[node.index()].life = Life::Paused;
        }
    }

    /// Lets a frozen process go on: everything that came in meanwhile reaches it now, in order.
    pub fn resume(&mut self, node: NodeId) {
        if self.life(node) != Life::Paused {
            return;
        }
        self.note(Some(node), 24, 0, || "resumed".to_owned());
        let owner = &mut self.kernel.nodes[node.index()];
        owner.life = Life::Running;
        if !owner.inbox.is_empty() {
            let at = owner.busy_until.max(self.kernel.now);
            self.kernel.push(at, Queued::Unblock(node));
        }
    }

    /// Cuts the link from one node to another; cuts add up.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 25, u64::from(to.0), || format!("cut from {to}"));
        self.kernel.network.cut(from, to);
    }

    /// Takes one cut back. What waited gets through at its next retransmission.
    pub fn uncut(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 26, u64::from(to.0), || format!("joined to {to}"));
        if self.kernel.network.uncut(from, to) {
            self.kernel.release_links(from, to, false);
        }
    }

    /// Holds what goes from one node to another; holds add up.
    pub fn hold(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 27, u64::from(to.0), || format!("held towards {to}"));
        self.kernel.network.hold(from, to);
    }

    /// Takes one hold back. What waited gets through at once.
    pub fn unhold(&mut self, from: NodeId, to: NodeId) {
        self.note(Some(from), 28, u64::from(to.0), || format!("released towards {to}"));
        if self.kernel.network.unhold(from, to) {
            self.kernel.release_links(from, to, true);
        }
    }

    /// Makes a link slower by `more`; delays add up.
    pub fn delay(&mut self, from: NodeId, to: NodeId, more: Duration) {
        self.note(Some(from), 29, u64::from(to.0), || format!("delayed towards {to} by {more:?}"));
        self.kernel.network.delay(from, to, more);
    }

    /// Takes one delay back.
    pub fn undelay(&mut self, from: NodeId, to: NodeId, less: Duration) {
        self.note(Some(from), 30, u64::from(to.0), || format!("no longer delayed towards {to}"));
        self.kernel.network.undelay(from, to, less);
    }

    /// Drops the node's next `count` responses that acknowledge a write, and breaks their connections.
    /// Zero ends it.
    pub fn drop_responses(&mut self, node: NodeId, count: u32) {
        self.note(Some(node), 31, u64::from(count), || format!("will lose {count} responses"));
        self.kernel.nodes[node.index()].drop_responses = count;
    }

    /// Wakes the world outside at `at`: the alarm comes out of [`take_alarms`](Self::take_alarms).
    pub fn alarm(&mut self, at: Time, alarm: AlarmId) -> Ticket {
        self.kernel.push(at.max(self.kernel.now), Queued::Alarm(alarm))
    }

    /// Cancels an alarm.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.kernel.queue.cancel(ticket);
    }

    /// Hands a call from outside to a node, now. A node that does not run hears nothing.
    pub fn call(&mut self, node: NodeId, call: M::Call) {
        if self.life(node) != Life::Running {
            return;
        }
        self.kernel.trace.note(self.kernel.now, Some(node), 10, call.digest(), || format!("call {call:?}"));
        let mut ctx = Ctx { kernel: &mut self.kernel, node };
        self.model.call(node, call, &mut ctx);
        self.check();
    }

    /// Lets the world outside into the model as a node, without a call: to take what the node has ready. Not in
    /// the hash, since how often an executor asks is its own affair; what it causes is.
    pub fn enter<R>(&mut self, node: NodeId, ask: impl FnOnce(&mut M, &mut Ctx<'_, M>) -> R) -> R {
        let mut ctx = Ctx { kernel: &mut self.kernel, node };
        ask(&mut self.model, &mut ctx)
    }

    /// Processes the next event; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, QueuedBox(queued))) = self.kernel.queue.pop() else { return false };
        self.kernel.now = self.kernel.now.max(at);
        match queued {
            Queued::Packet(conn, way, packet) => self.packet(conn, way, packet),
            Queued::Release(conn, way) => self.release(conn, way),
            Queued::Timer(node, process, timer) => self.deliver(node, process, Event::Timer(timer)),
            Queued::Synced(node, process, file) => {
                if self.kernel.nodes[node.index()].process == process {
                    let result = self.kernel.disk(node).end_sync(file);
                    self.deliver(node, process, Event::Synced(file, result));
                }
            }
            Queued::Start(node, process) => self.boot(node, process),
            Queued::Stop(node, process) => self.deliver(node, process, Event::Stopping),
            Queued::Unblock(node) => self.unblock(node),
            Queued::Alarm(alarm) => {
                self.note(None, 11, alarm.0, || format!("alarm {}", alarm.0));
                self.kernel.fired.push(alarm);
            }
        }
        true
    }

    /// Recomputes every invariant over the whole state, as at the end of a run.
    pub fn check_all(&mut self) {
        for invariant in &self.invariants {
            if self.violation.is_none()
                && let Err(what) = invariant.full(&self.model)
            {
                self.violation = Some(Violation {
                    invariant: invariant.name(),
                    source: invariant.source(),
                    at: self.kernel.now,
                    what,
                });
            }
        }
    }

    fn note(&mut self, node: Option<NodeId>, kind: u64, digest: u64, text: impl FnOnce() -> String) {
        self.kernel.trace.note(self.kernel.now, node, kind, digest, text);
    }

    fn packet(&mut self, conn: ConnId, way: Way, packet: Packet<M::Msg>) {
        if let Some((node, event)) = self.kernel.arrive(conn, way, packet)
            && let Some(event) = self.kernel.admit(node, event)
        {
            self.dispatch(node, event);
        }
    }

    fn release(&mut self, conn: ConnId, way: Way) {
        let ends = self.kernel.network.ends(conn);
        let (from, to) = (ends[usize::from(way)].node, ends[1 - usize::from(way)].node);
        if self.kernel.network.is_link_blocked(from, to) || self.life(to) == Life::Off {
            return;
        }
        let held = self.kernel.network.take_held(conn, way);
        for packet in held {
            // Anew through `packet`, since a receiver may close or a fault may block between two of them.
            self.packet(conn, way, packet);
        }
    }

    fn deliver(&mut self, node: NodeId, process: u32, event: NodeEvent<M>) {
        if self.kernel.nodes[node.index()].process == process
            && let Some(event) = self.kernel.admit(node, event)
        {
            self.dispatch(node, event);
        }
    }

    fn boot(&mut self, node: NodeId, process: u32) {
        let owner = &mut self.kernel.nodes[node.index()];
        if owner.life != Life::Down || owner.process != process {
            return;
        }
        owner.life = Life::Running;
        let boot = std::mem::replace(&mut owner.next_boot, Boot::Killed);
        self.dispatch(node, Event::Started(boot));
    }

    fn unblock(&mut self, node: NodeId) {
        let owner = &mut self.kernel.nodes[node.index()];
        if owner.life != Life::Running {
            return;
        }
        if owner.busy_until > self.kernel.now {
            let at = owner.busy_until;
            self.kernel.push(at, Queued::Unblock(node));
            return;
        }
        let Some((process, event)) = owner.inbox.pop_front() else { return };
        let more = !owner.inbox.is_empty();
        if process == owner.process {
            self.dispatch(node, event);
        }
        if more {
            let at = self.kernel.nodes[node.index()].busy_until.max(self.kernel.now);
            self.kernel.push(at, Queued::Unblock(node));
        }
    }

    fn dispatch(&mut self, node: NodeId, event: NodeEvent<M>) {
        let (kind, digest) = summary(&event);
        self.kernel.trace.note(self.kernel.now, Some(node), kind, digest, || format!("{event:?}"));
        let mut ctx = Ctx { kernel: &mut self.kernel, node };
        self.model.on(node, event, &mut ctx);
        self.check();
    }

    fn check(&mut self) {
        if self.kernel.touched.is_empty() || self.violation.is_some() {
            self.kernel.touched.clear();
            return;
        }
        self.kernel.touched.sort_unstable();
        self.kernel.touched.dedup();
        for invariant in &mut self.invariants {
            let result = invariant.after(&self.model, &self.kernel.touched, self.kernel.now);
            let result =
                result.and_then(|()| if self.check_fully { invariant.full(&self.model) } else { Ok(()) });
            if let Err(what) = result {
                let (invariant, source) = (invariant.name(), invariant.source());
                self.violation = Some(Violation { invariant, source, at: self.kernel.now, what });
                break;
            }
        }
        self.kernel.touched.clear();
    }
}

fn summary<M: Message, T: Digest>(event: &Event<M, T>) -> (u64, u64) {
    match event {
        Event::Started(boot) => (0, *boot as u64),
        Event::Stopping => (1, 0),
        Event::Connected(conn) => (2, u64::from(conn.0)),
        Event::Accepted(conn, from) => (3, u64::from(conn.0) << 32 | u64::from(from.0)),
        Event::Message(conn, message) => (4, super::mix(u64::from(conn.0), message.digest())),
        Event::Closed(conn) => (5, u64::from(conn.0)),
        Event::Timer(timer) => (6, timer.digest()),
        Event::Synced(file, result) => (7, u64::from(file.0) << 8 | u64::from(result.is_err())),
    }
}
