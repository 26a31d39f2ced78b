//! What a node can touch while it handles an event: itself, and nothing else.

use super::{
    Boot, ConnId, Disk, DiskError, FileId, Mark, Model, NodeId, Site, Ticket, choices::Choices, world::Kernel,
};
use squall_bus::Time;
use std::time::Duration;

/// A node's view of the world during one event.
pub struct Ctx<'a, M: Model> {
    pub(super) kernel: &'a mut Kernel<M>,
    pub(super) node: NodeId,
    /// The node's monotonic clock, which stands still during an event.
    now: Time,
}

impl<'a, M: Model> Ctx<'a, M> {
    pub(super) fn new(kernel: &'a mut Kernel<M>, node: NodeId) -> Self {
        let now = kernel.clock(node).monotonic(kernel.now);
        Self { kernel, node, now }
    }

    /// The node whose event this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// This node's monotonic clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// This node's wall clock, offset included.
    #[must_use]
    pub fn wall(&self) -> Time {
        self.kernel.clock(self.node).wall(self.kernel.now)
    }

    /// The run's choices.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.kernel.choices
    }

    /// A uniform number from `low` to `high`, both included, chosen by (site, entity, ordinal).
    #[must_use]
    pub fn between(&self, site: Site, entity: u64, ordinal: u64, low: u64, high: u64) -> u64 {
        self.kernel.choices.between(site, entity, ordinal, low, high)
    }

    /// Opens a connection. [`Event::Connected`](super::Event::Connected) or
    /// [`Event::Closed`](super::Event::Closed) follows, or nothing if the way is cut. Messages may be sent at
    /// once.
    pub fn connect(&mut self, to: NodeId) -> ConnId {
        self.kernel.connect(self.node, to)
    }

    /// Sends on a connection of this node; in vain if its end is closed.
    pub fn send(&mut self, conn: ConnId, message: M::Msg) {
        self.kernel.send(self.node, conn, message);
    }

    /// Closes this node's end. What was sent still arrives; nothing more will be received.
    pub fn close(&mut self, conn: ConnId) {
        self.kernel.close(self.node, conn);
    }

    /// The node at the other end of a connection.
    #[must_use]
    pub fn peer(&self, conn: ConnId) -> NodeId {
        self.kernel.network.peer(conn, self.node)
    }

    /// The same moment at another node, for a model that looks after several at once.
    pub(crate) fn on_behalf_of(&mut self, node: NodeId) -> Ctx<'_, M> {
        Ctx::new(self.kernel, node)
    }

    /// Whether nothing stands between the two ends of a connection: both are open, both processes run and are idle,
    /// their clocks run as true time does, and the link between them is healthy both ways.
    #[must_use]
    pub(crate) fn is_at_peace(&self, conn: ConnId) -> bool {
        self.kernel.is_at_peace(conn)
    }

    /// How long a message travels over a healthy link, in the mean.
    #[must_use]
    pub(crate) fn flight(&self) -> Duration {
        self.kernel.network.flight()
    }

    /// Whether this node's end of a connection is open.
    #[must_use]
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.kernel.network.is_open(conn, self.node)
    }

    /// Fires a timer after `delay` of this node's clock. It dies with the process.
    pub fn timer(&mut self, delay: Duration, timer: M::Timer) -> Ticket {
        self.kernel.timer(self.node, delay, timer)
    }

    /// Cancels a timer that has not fired.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.kernel.queue.cancel(ticket);
    }

    /// This node's disk.
    #[must_use]
    pub fn disk(&mut self) -> &mut Disk {
        self.kernel.disk(self.node)
    }

    /// Asks for a sync of what this file holds now; [`Event::Synced`](super::Event::Synced) follows.
    pub fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        self.kernel.sync(self.node, file)
    }

    /// A run that comes here has reached this mark. No more than a bit is set.
    pub fn mark(&mut self, mark: Mark) {
        self.kernel.marks.add(mark);
    }

    /// This node is busy for `span` of true time: its next event waits until then.
    pub fn busy(&mut self, span: Duration) {
        self.kernel.busy(self.node, span);
    }

    /// The process ends in good order, now.
    pub fn exit(&mut self) {
        self.kernel.down(self.node, Boot::Clean);
    }

    /// Tells the world outside.
    pub fn emit(&mut self, output: M::Output) {
        self.kernel.outputs.push(output);
    }

    /// Tells the invariants that this changed.
    pub fn touch(&mut self, touched: M::Touch) {
        self.kernel.touched.push(touched);
    }
}
