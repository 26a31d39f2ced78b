//! Kafka's client libraries: a librdkafka-like and a Java-like producer and consumer.
//!
//! Most anomalies that users see come from the client library: what it retries, in which order, what it believes
//! after a timeout. So the libraries are modelled like the brokers, as sans-IO state machines that react to
//! events and touch nothing but their own node ([`Io`]).
//!
//! - One client is one node with connections of its own, one for each broker and one for the coordinator of its
//!   group. Every broker is a bootstrap server.
//! - What a library does by default, and what it does differently from the other, is data in `defaults`; a
//!   configuration changes the numbers that users can change. State machines ask those fields and never which
//!   library this is.
//! - `producer`: records gather per partition, leave in batches within a window, are retried with back-off until
//!   their time is up; idempotent ones with sequence numbers. How a send ends (ok, fail, unknown) is the table in
//!   `outcome`.
//! - `consumer`: reads chosen units, or takes part in a group, a classic one (`group`) or one of the consumer
//!   protocol (`epochs`); fetches ahead, commits by hand or on its own; tells assigned, revoked, lost and reset in
//!   order with the records.
//! - Every random decision is drawn by (site, entity, ordinal): a record's by its content and attempt, a
//!   client's own by its node and a count of its own.
//!
//! Sources: librdkafka 2.12 (CONFIGURATION.md and source), Apache Kafka 4.x clients, and measurements of both on
//! a Kafka 4.3.0 cluster.

mod batch;
mod beats;
mod connections;
mod consumer;
mod dealing;
mod defaults;
mod deliveries;
mod doors;
mod epochs;
mod fetcher;
mod filter;
mod group;
mod handover;
mod metadata;
mod net;
mod offsets;
mod outcome;
mod partitioner;
mod produced;
mod producer;
mod settings;
#[cfg(test)]
mod tests;
mod txn;
mod validation;

use super::{
    Shared,
    protocol::{CommittedOffset, GroupIx, MemberEpoch, Msg},
};
use crate::{
    io,
    kernel::{Digest, Event, NodeId, mix},
    model::{Call, OpId, Output},
};
use consumer::Consumer;
use producer::Producer;
use settings::{ConsumerSettings, ProducerSettings};
use squall_bus::{
    ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Outcome, ProducerConfig, Record,
};
use std::task::Poll;

/// What one of these clients may touch during one event: [`io::Io`] with their messages and timers.
pub trait Io: io::Io<Msg, Timer> {}
impl<T: io::Io<Msg, Timer> + ?Sized> Io for T {}

/// A client's timers. Slots name connections, queues a producer's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A connection's back-off is over.
    Reconnect(u32),
    /// A connection took too long to be set up.
    Setup(u32),
    /// Time to look for requests that waited too long.
    Requests(u32),
    /// Time to think about metadata.
    Metadata,
    /// A producer's partition has something to send.
    Queue(u32),
    /// A producer looks for records whose time is up.
    Deliveries,
    /// An idempotent producer asks for its id.
    ProducerId,
    /// A consumer's connection may fetch again.
    Fetch,
    /// A group member's next step.
    Group,
    /// A group member's sign of life.
    Heartbeat,
    /// A consumer commits on its own.
    AutoCommit,
    /// A consumer looks at how long its caller has been away.
    Poll,
    /// A consumer looks at its pending commits.
    Commits,
    /// A caller did not take an event for a while.
    Grace(u32),
    /// A close took too long.
    Close,
    /// A producer looks at its transactions.
    Transaction,
}

impl Digest for Timer {
    fn digest(&self) -> u64 {
        let (kind, which) = match self {
            Self::Reconnect(slot) => (1, *slot),
            Self::Setup(slot) => (2, *slot),
            Self::Requests(slot) => (3, *slot),
            Self::Metadata => (4, 0),
            Self::Queue(queue) => (5, *queue),
            Self::Deliveries => (6, 0),
            Self::ProducerId => (7, 0),
            Self::Fetch => (8, 0),
            Self::Group => (9, 0),
            Self::Heartbeat => (10, 0),
            Self::AutoCommit => (11, 0),
            Self::Poll => (12, 0),
            Self::Commits => (13, 0),
            Self::Grace(barrier) => (14, *barrier),
            Self::Close => (15, 0),
            Self::Transaction => (16, 0),
        };
        mix(kind, u64::from(which))
    }
}

/// One client of a Kafka cluster.
#[derive(Clone, Debug)]
pub enum Client {
    /// A producer.
    Producer(Box<Producer>),
    /// A consumer.
    Consumer(Box<Consumer>),
}

impl Client {
    /// A producer with this configuration. Its transactional id must have been interned.
    ///
    /// # Errors
    ///
    /// What no Kafka producer can honour: `Refused`, with the setting named.
    pub fn producer(config: ProducerConfig, shared: &Shared) -> Result<Self, Error> {
        let settings = ProducerSettings::new(config, shared)?;
        Ok(Self::Producer(Box::new(Producer::new(settings, shared))))
    }

    /// A consumer with this configuration. Its topics and its group must have been interned.
    ///
    /// # Errors
    ///
    /// What no Kafka consumer can honour: `Refused`, with the setting named.
    pub fn consumer(config: ConsumerConfig, shared: &Shared) -> Result<Self, Error> {
        let settings = ConsumerSettings::new(config)?;
        Consumer::new(settings, shared).map(|consumer| Self::Consumer(Box::new(consumer)))
    }

    /// An event of the client's node.
    pub fn on(&mut self, event: Event<Msg, super::Timer>, io: &mut dyn Io, shared: &Shared) {
        let event = match event {
            // Most events are responses, and they are large: straight to what was asked.
            Event::Message(conn, Msg::Response(response)) => {
                return match self {
                    Self::Producer(producer) => producer.responded(conn, response, io, shared),
                    Self::Consumer(consumer) => consumer.responded(conn, response, io, shared),
                };
            }
            event => event,
        };
        let own = |timer| match timer {
            super::Timer::Client(timer) => Some(timer),
            _ => None,
        };
        let Some(event) = event.filter_map_timer(own) else { return };
        match self {
            Self::Producer(producer) => producer.on(event, io, shared),
            Self::Consumer(consumer) => consumer.on(event, io, shared),
        }
    }

    /// A call of the service.
    pub fn call(&mut self, call: Call, io: &mut dyn Io, shared: &Shared) {
        match self {
            Self::Producer(producer) => producer.call(call, io, shared),
            Self::Consumer(consumer) => consumer.call(call, io, shared),
        }
    }

    /// A record of the service's.
    pub fn send(&mut self, op: OpId, record: Record, io: &mut dyn Io, shared: &Shared) {
        match self {
            Self::Producer(producer) => producer.send(op, record, io, shared),
            Self::Consumer(consumer) => consumer.call(Call::Send(op, record), io, shared),
        }
    }

    /// Puts a group's positions into the transaction that is open. Answered by [`Output::Done`].
    pub(super) fn send_positions(
        &mut self,
        op: OpId,
        group: GroupIx,
        member: Option<MemberEpoch>,
        offsets: Vec<CommittedOffset>,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        match self {
            Self::Producer(producer) => producer.send_positions(op, group, member, offsets, io, shared),
            Self::Consumer(_) => {
                let error = Error::new(ErrorClass::Refused, "_STATE", "a consumer has no transactions");
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
        }
    }

    /// The membership of a consumer of this group, as it is now (KIP-447).
    pub(super) fn membership(&self, group: GroupIx) -> Option<MemberEpoch> {
        match self {
            Self::Consumer(consumer) => consumer.membership(group),
            Self::Producer(_) => None,
        }
    }

    /// Whether the producer takes one more record.
    ///
    /// # Errors
    ///
    /// The error that finished it; `Refused` for a consumer.
    pub fn has_room(&self) -> Result<bool, Error> {
        match self {
            Self::Producer(producer) => producer.has_room(),
            Self::Consumer(_) => {
                Err(Error::new(ErrorClass::Refused, "_STATE", "a consumer does not take records to send"))
            }
        }
    }

    /// The next record that the consumer hands out.
    pub fn take_record(&mut self, io: &mut dyn Io, shared: &Shared) -> Poll<Result<Delivery, Error>> {
        match self {
            Self::Consumer(consumer) => consumer.take_record(io, shared),
            Self::Producer(_) => Poll::Pending,
        }
    }

    /// The next event that the consumer hands out.
    pub fn take_event(&mut self, io: &mut dyn Io) -> Option<ConsumerEvent> {
        match self {
            Self::Consumer(consumer) => consumer.take_event(io),
            Self::Producer(_) => None,
        }
    }
}

/// A client's node as the entity of choices of its own.
fn own(node: NodeId) -> u64 {
    mix(0x636c_6965_6e74, u64::from(node.0))
}
