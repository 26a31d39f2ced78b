//! The world: a model, the heap of its events, and what the harness may do to its nodes and links.
//!
//! | file | what it has |
//! |---|---|
//! | here | the world as it is driven: calls, alarms, one event after the other, the invariants after each |
//! | `machines` | nodes, processes, connections, and what is under way to them |
//! | `faults` | what the harness does to nodes and links |
//! | `healing` | the moment when it has healed them, and what must have come true a while after it |

mod faults;
mod healing;
mod machines;

pub(super) use machines::Kernel;

use super::{
    Boot, Choices, ConnId, Ctx, Digest, Disk, Event, Invariant, LinkSpec, Marks, Message, Model, Network,
    NodeClock, NodeId, Queue, Ticket, Trace, Violation,
    network::{Packet, Way},
    trace::Told,
};
use healing::Dues;
use machines::{Node, NodeEvent, Queued, QueuedBox};
use squall_bus::Time;
use std::{cmp::Ordering, collections::VecDeque, fmt};

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

/// A model and everything around it.
pub struct World<M: Model> {
    kernel: Kernel<M>,
    model: M,
    /// With the kinds of changes that concern each.
    invariants: Vec<(u8, Box<dyn Invariant<M>>)>,
    check_fully: bool,
    violation: Option<Violation>,
    /// What is to be asked of invariants a while after everything was healed.
    dues: Dues<M>,
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
            marks: Marks::default(),
            fired: Vec::new(),
        };
        Self {
            kernel,
            model,
            invariants: Vec::new(),
            check_fully: false,
            violation: None,
            dues: Dues::default(),
        }
    }

    /// Watches this invariant from now on.
    pub fn watch(&mut self, invariant: Box<dyn Invariant<M>>) {
        match invariant.kinds() {
            0 => self.dues.hopes.push(invariant),
            kinds => self.invariants.push((kinds, invariant)),
        }
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

    /// Which marks were reached so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.kernel.marks
    }

    /// The run's choices.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.kernel.choices
    }

    /// Whether there is neither an output nor an alarm to take.
    #[must_use]
    #[inline]
    pub fn has_told_nothing(&self) -> bool {
        self.kernel.outputs.is_empty() && self.kernel.fired.is_empty()
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
            starting: false,
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

    /// The labels of all nodes, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.kernel.nodes.iter().map(|node| node.label.clone()).collect()
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
        self.rouse();
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
        let digest = call.digest();
        self.call_by(node, call, digest, |call| format!("{call:?}"), M::call);
    }

    /// The same with a call that comes in parts: its digest, what a person is told of it, and how the model takes it.
    #[inline]
    pub fn call_by<C>(
        &mut self,
        node: NodeId,
        call: C,
        digest: u64,
        told: impl FnOnce(&C) -> String,
        take: impl FnOnce(&mut M, NodeId, C, &mut Ctx<'_, M>),
    ) {
        if self.life(node) != Life::Running {
            return;
        }
        self.kernel.trace.note(self.kernel.now, Some(node), 10, digest, || format!("call {}", told(&call)));
        let mut ctx = Ctx::new(&mut self.kernel, node);
        take(&mut self.model, node, call, &mut ctx);
        self.check();
    }

    /// Lets the world outside into the model as a node, without a call: to take what the node has ready. Not in
    /// the hash, since how often an executor asks is its own affair; what it causes is.
    pub fn enter<R>(&mut self, node: NodeId, ask: impl FnOnce(&mut M, &mut Ctx<'_, M>) -> R) -> R {
        let mut ctx = Ctx::new(&mut self.kernel, node);
        ask(&mut self.model, &mut ctx)
    }

    /// Processes the next event; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, QueuedBox(queued))) = self.kernel.queue.pop() else { return false };
        if at > self.dues.next {
            self.ask_dues(at);
        }
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
            Queued::Start(node) => self.boot(node),
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
        for (_, invariant) in &self.invariants {
            if self.violation.is_none()
                && let Err(what) = invariant.full(&self.model)
            {
                self.violation = Some(violated(&**invariant, self.kernel.now, what));
            }
        }
    }

    fn note(&mut self, node: Option<NodeId>, kind: u64, digest: u64, text: impl FnOnce() -> String) {
        self.kernel.trace.note(self.kernel.now, node, kind, digest, text);
    }

    /// A packet is at the end of its way. Mostly it is a message, nothing stands in its way, and its receiver is idle.
    #[inline]
    fn packet(&mut self, conn: ConnId, way: Way, packet: Packet<M::Msg>) {
        match packet {
            Packet::Data(message) if let Some(node) = self.kernel.idle_receiver(conn, way) => {
                self.dispatch(node, Event::Message(conn, message));
            }
            packet => self.packet_with_care(conn, way, packet),
        }
    }

    fn packet_with_care(&mut self, conn: ConnId, way: Way, packet: Packet<M::Msg>) {
        if self.kernel.is_stuck(conn, way) {
            self.kernel.network.put_on_hold(conn, way, packet, self.kernel.now);
        } else if let Some((node, event)) = self.kernel.arrive(conn, way, packet) {
            self.admit(node, event);
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
        if self.kernel.nodes[node.index()].process == process {
            self.admit(node, event);
        }
    }

    /// Takes an event to the node, or puts it into its inbox if it cannot take one now.
    #[inline]
    fn admit(&mut self, node: NodeId, event: NodeEvent<M>) {
        if self.kernel.is_ready(node) {
            self.dispatch(node, event);
        } else {
            self.kernel.put_off(node, event);
        }
    }

    /// Lets a process that is starting run.
    fn boot(&mut self, node: NodeId) {
        let owner = &mut self.kernel.nodes[node.index()];
        if !std::mem::take(&mut owner.starting) {
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
        let Kernel { trace, network, now, .. } = &mut self.kernel;
        trace.note_told(*now, Some(node), kind, digest, || told(&event, node, network));
        let mut ctx = Ctx::new(&mut self.kernel, node);
        self.model.on(node, event, &mut ctx);
        self.check();
    }

    #[inline]
    fn check(&mut self) {
        if !self.kernel.touched.is_empty() {
            self.check_touched();
        }
    }

    fn check_touched(&mut self) {
        if self.violation.is_none() {
            in_order(&mut self.kernel.touched);
            let Self { kernel: Kernel { touched, .. }, model, .. } = self;
            let happened = touched.iter().fold(0, |kinds, touched| kinds | model.kind(touched));
            self.check_concerned(happened);
        }
        self.kernel.touched.clear();
    }

    /// Asks the invariants that changes of these kinds concern, up to the first that does not hold.
    fn check_concerned(&mut self, happened: u8) {
        if self.check_fully {
            return self.check_each_fully(happened);
        }
        let Self { kernel: Kernel { touched, now, .. }, model, invariants, violation, .. } = self;
        for (kinds, invariant) in invariants {
            if *kinds & happened != 0
                && let Err(what) = invariant.after(model, touched, *now)
            {
                *violation = Some(violated(&**invariant, *now, what));
                break;
            }
        }
    }

    /// Asks each invariant in turn, of what changed and then of everything: the first in order is the one that is named.
    fn check_each_fully(&mut self, happened: u8) {
        let Self { kernel: Kernel { touched, now, .. }, model, invariants, violation, .. } = self;
        for (kinds, invariant) in invariants {
            let concerned = *kinds & happened != 0;
            let changes = if concerned { invariant.after(model, touched, *now) } else { Ok(()) };
            if let Err(what) = changes.and_then(|()| invariant.full(model)) {
                *violation = Some(violated(&**invariant, *now, what));
                break;
            }
        }
    }
}

fn violated<M: Model>(invariant: &dyn Invariant<M>, at: Time, what: String) -> Violation {
    Violation { invariant: invariant.name(), source: invariant.source(), at, what }
}

/// Sorts what was touched, each once. Mostly it is one thing, or one thing twice.
fn in_order<T: Ord>(touched: &mut Vec<T>) {
    match &mut touched[..] {
        [] | [_] => {}
        [a, b] => match (*a).cmp(b) {
            Ordering::Less => {}
            Ordering::Equal => touched.truncate(1),
            Ordering::Greater => std::mem::swap(a, b),
        },
        _ => {
            touched.sort_unstable();
            touched.dedup();
        }
    }
}

/// What a person is told of an event.
fn told<M: Message, T: fmt::Debug>(event: &Event<M, T>, node: NodeId, network: &Network<M>) -> Told {
    let with = |conn: &ConnId, message: bool, text: String| {
        let peer = network.ends(*conn).iter().map(|end| end.node).find(|end| *end != node);
        Told { peer, message, text }
    };
    let alone = |text: String| Told { text, ..Told::default() };
    match event {
        Event::Started(boot) => alone(format!("started: {boot:?}")),
        Event::Stopping => alone("stopping".to_owned()),
        Event::Connected(conn) => with(conn, false, "connected".to_owned()),
        Event::Accepted(conn, _) => with(conn, false, "connection accepted".to_owned()),
        Event::Message(conn, message) => with(conn, true, format!("{message:?}")),
        Event::Closed(conn) => with(conn, false, "connection closed".to_owned()),
        Event::Timer(timer) => alone(format!("timer {timer:?}")),
        Event::Synced(file, Ok(())) => alone(format!("synced {file:?}")),
        Event::Synced(file, Err(error)) => alone(format!("could not sync {file:?}: {error:?}")),
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
