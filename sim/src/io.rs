//! What a client's state machine may touch: its node's clock, choices, connections and timers.
//!
//! A trait over the client's messages and timers, so that the same machines run in the whole model of a cluster and,
//! in tests, against servers that a test plays by hand. A model's timer is made of the client's.

use crate::{
    kernel::{Choices, ConnId, Ctx, Mark, Model, NodeId, Ticket},
    model::Output,
};
use squall_bus::Time;
use std::time::Duration;

/// A client's view of the world during one event.
pub trait Io<Msg, Timer> {
    /// The client's own node.
    fn node(&self) -> NodeId;
    /// The node's monotonic clock.
    fn now(&self) -> Time;
    /// The node's wall clock.
    fn wall(&self) -> Time;
    /// The run's choices.
    fn choices(&self) -> &Choices;
    /// Opens a connection to a server.
    fn connect(&mut self, to: NodeId) -> ConnId;
    /// Sends on a connection.
    fn send(&mut self, conn: ConnId, message: Msg);
    /// Closes a connection.
    fn close(&mut self, conn: ConnId);
    /// Fires a timer after a delay.
    fn timer(&mut self, delay: Duration, timer: Timer) -> Ticket;
    /// Cancels a timer.
    fn cancel(&mut self, ticket: Ticket);
    /// Tells the world outside.
    fn emit(&mut self, output: Output);
    /// A run that comes here has reached this mark; a broker played by hand does not care.
    fn mark(&mut self, _mark: Mark) {}
    /// Ends the process in good order.
    fn exit(&mut self);
}

impl<M, Timer> Io<M::Msg, Timer> for Ctx<'_, M>
where
    M: Model<Output = Output>,
    Timer: Into<M::Timer>,
{
    fn node(&self) -> NodeId {
        Ctx::node(self)
    }

    fn now(&self) -> Time {
        Ctx::now(self)
    }

    fn wall(&self) -> Time {
        Ctx::wall(self)
    }

    fn choices(&self) -> &Choices {
        Ctx::choices(self)
    }

    fn connect(&mut self, to: NodeId) -> ConnId {
        Ctx::connect(self, to)
    }

    fn send(&mut self, conn: ConnId, message: M::Msg) {
        Ctx::send(self, conn, message);
    }

    fn close(&mut self, conn: ConnId) {
        Ctx::close(self, conn);
    }

    fn timer(&mut self, delay: Duration, timer: Timer) -> Ticket {
        Ctx::timer(self, delay, timer.into())
    }

    fn cancel(&mut self, ticket: Ticket) {
        Ctx::cancel(self, ticket);
    }

    fn emit(&mut self, output: Output) {
        Ctx::emit(self, output);
    }

    fn mark(&mut self, mark: Mark) {
        Ctx::mark(self, mark);
    }

    fn exit(&mut self) {
        Ctx::exit(self);
    }
}
