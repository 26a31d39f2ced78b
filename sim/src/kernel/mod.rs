//! The kernel: one thread, one heap of `(time in ns, sequence, event)`, and everything that a node can touch.
//!
//! - Time jumps to the next event; idle time is free.
//! - A [`Model`] is the set of all sans-IO state machines of one cluster. The kernel calls [`Model::on`] with a
//!   node's event and a [`Ctx`], which gives that node's own clock, its choices, its connections, timers and
//!   disk, and nothing else.
//! - Every nondeterministic choice is a pure function of (seed, site, entity, ordinal): [`Choices`].
//! - [`Network`]: directed links with latency, bandwidth, cut, hold and response loss; a connection is a TCP
//!   stream: in order, or broken, never a hole.
//! - [`Disk`]: per node and file what was written and what was synced; kill keeps the page cache, a power
//!   failure drops what was not synced.
//! - [`NodeClock`]: offset and drift per node; only the kernel knows true time.
//! - [`Trace`]: a rolling hash of all kernel events; when two runs differ, the first event that differs.
//! - [`Mark`]: a rare situation that a run passed through, for sweeps to count; it changes nothing.
//! - [`log()`]: a recorded trace for people, with names.
//! - [`Invariant`]: what must hold after every event, told only what the event changed.
//!
//! Nothing in here reads a wall clock, starts a thread, hashes an address or draws a float.

mod choices;
mod clock;
mod ctx;
mod disk;
mod invariant;
mod log;
mod marks;
mod network;
mod queue;
mod trace;
mod world;

pub use choices::{Choice, Choices, Site, mix};
pub use clock::NodeClock;
pub use ctx::Ctx;
pub use disk::{Disk, DiskError, FileId, Recovered};
pub use invariant::{Invariant, Violation};
pub use log::{LONGEST, LogLine, log};
pub use marks::{Mark, Marks};
pub use network::{ConnId, LinkSpec, Network};
pub use queue::{Queue, Ticket};
pub use trace::{CHECKPOINT, Trace, TraceEvent, first_difference};
pub use world::{AlarmId, Life, World};

#[cfg(test)]
mod tests;

use std::fmt;

/// A node: a machine with one process on it, broker or client. Dense, from 0, in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The node as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// What goes into the rolling hash of events. Cheap: a few words, no allocation.
pub trait Digest {
    /// A summary that differs when the event differs in a way that matters.
    fn digest(&self) -> u64;
}

/// What travels over a connection.
pub trait Message: Digest + fmt::Debug {
    /// Bytes on the wire, for bandwidth.
    fn size(&self) -> u32;
    /// Whether this message tells a client that its write went through; response loss aims at these.
    fn acknowledges_write(&self) -> bool;
}

/// How a node came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// For the first time, with empty disks.
    Fresh,
    /// After it stopped in good order.
    Clean,
    /// After a kill: the page cache survived, memory did not.
    Killed,
    /// After a loss of power: what was not synced is gone; ask the disk for each file.
    PowerLost,
}

/// What reaches a node.
#[derive(Debug)]
pub enum Event<M, T> {
    /// The process starts. Whatever is not on disk is to be forgotten now.
    Started(Boot),
    /// The process is asked to stop in good order; it calls [`Ctx::exit`] when it has.
    Stopping,
    /// A connection that this node opened is established.
    Connected(ConnId),
    /// Another node opened a connection to this one.
    Accepted(ConnId, NodeId),
    /// A message arrived.
    Message(ConnId, M),
    /// The other side closed the connection, refused it, or is gone and its machine said so.
    Closed(ConnId),
    /// A timer of this node fired.
    Timer(T),
    /// A sync that this node asked for is done, or failed.
    Synced(FileId, Result<(), DiskError>),
}

impl<M, T> Event<M, T> {
    /// The same event, its timer as `of` has it; `None` for a timer that `of` has nothing for.
    #[must_use]
    pub fn filter_map_timer<U>(self, of: impl FnOnce(T) -> Option<U>) -> Option<Event<M, U>> {
        Some(match self {
            Self::Timer(timer) => Event::Timer(of(timer)?),
            Self::Started(boot) => Event::Started(boot),
            Self::Stopping => Event::Stopping,
            Self::Connected(conn) => Event::Connected(conn),
            Self::Accepted(conn, node) => Event::Accepted(conn, node),
            Self::Message(conn, message) => Event::Message(conn, message),
            Self::Closed(conn) => Event::Closed(conn),
            Self::Synced(file, result) => Event::Synced(file, result),
        })
    }
}

/// All state machines of one cluster.
pub trait Model: Sized {
    /// What travels over connections.
    type Msg: Message + Send;
    /// What a timer carries back.
    type Timer: Copy + fmt::Debug + Digest + Send;
    /// What the world outside asks of a node (a client's calls).
    type Call: fmt::Debug + Digest + Send;
    /// What the model tells the world outside (completions, elections).
    type Output: Send;
    /// What an event changed, for the invariants.
    type Touch: Copy + Ord + Send;

    /// Of which kinds a change is, as bits, so that invariants are told of the kinds that concern them only.
    fn kind(&self, _: &Self::Touch) -> u8 {
        u8::MAX
    }

    /// A node's event.
    fn on(&mut self, node: NodeId, event: Event<Self::Msg, Self::Timer>, ctx: &mut Ctx<'_, Self>);
    /// A call from outside to a node.
    fn call(&mut self, node: NodeId, call: Self::Call, ctx: &mut Ctx<'_, Self>);
    /// The harness is about to strike somewhere. No node may learn of it, but a model that let something go on without
    /// events, because nothing could come between, has it go on by events from now on.
    fn rouse(&mut self, _: &mut Ctx<'_, Self>) {}
}
