//! NATS' client library, after async-nats 0.51: a producer and a consumer as sans-IO state machines.
//!
//! Most anomalies that users see come from the client: what it does when an answer does not come, what it sends
//! again, what it believes after a timeout. So it is modelled like the servers, as a state machine that reacts to
//! events and touches nothing but its own node ([`Io`]).
//!
//! - `connection`: one connection to one server of the pool; reconnects for ever, in the library's order and with
//!   its delays. What is sent meanwhile waits and goes out later. Nothing that was under way fails with the
//!   connection: it runs into its own timeout, as in the library.
//! - `producer`: publishes within a window and waits for each ack. The library sends nothing again by itself.
//!   What sends again is the policy of the workload, shared with the adapter of the real client: with
//!   idempotence every record has a message id and is sent again under it, one record of a unit at a time, so
//!   that neither duplicates nor overtaking come of it; without, a record is sent again only as often as
//!   `retries` says, and without an id. How a send ends is the table in `outcome`.
//! - `consumer`: makes a group's durable consumers, pulls from all of them, hands records out and acknowledges
//!   them; or reads chosen units through consumers of its own.
//! - What the library does by default is data in `settings`.
//! - Every random decision is drawn by (site, entity, ordinal).
//!
//! Sources: async-nats 0.51.0 (`connector.rs`, `lib.rs`, `options.rs`, `jetstream/{context,consumer/pull}.rs`).

mod acks;
mod connection;
mod consumer;
mod deadlines;
mod given_up;
mod link;
mod outcome;
mod producer;
mod pulls;
mod settings;
#[cfg(test)]
mod tests;

use super::{Shared, protocol::Msg};
use crate::{
    io,
    kernel::{Digest, Event, mix},
    model::Call,
};
use consumer::Consumer;
use producer::Producer;
use settings::{ConsumerSettings, ProducerSettings};
use squall_bus::{ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, ProducerConfig};
use std::task::Poll;

/// What one of these clients may touch during one event: [`io::Io`] with their messages and timers.
pub trait Io: io::Io<Msg, Timer> {}
impl<T: io::Io<Msg, Timer> + ?Sized> Io for T {}

/// A client's timers. Those of a connection carry the number of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Time to connect.
    Dial(u32),
    /// A connection took too long to be set up.
    Setup(u32),
    /// Time to see whether the server is still there.
    Ping(u32),
    /// Something waited long enough.
    Due,
}

impl Digest for Timer {
    fn digest(&self) -> u64 {
        match self {
            Self::Dial(attempt) => mix(1, u64::from(*attempt)),
            Self::Setup(attempt) => mix(2, u64::from(*attempt)),
            Self::Ping(attempt) => mix(3, u64::from(*attempt)),
            Self::Due => 4,
        }
    }
}

/// One client of a NATS cluster.
#[derive(Clone, Debug)]
pub enum Client {
    /// A producer.
    Producer(Box<Producer>),
    /// A consumer.
    Consumer(Box<Consumer>),
}

impl Client {
    /// A producer with this configuration.
    ///
    /// # Errors
    ///
    /// What no NATS producer can honour: `Unsupported` or `Refused`, with the setting named.
    pub fn producer(config: ProducerConfig, shared: &Shared) -> Result<Self, Error> {
        let settings = ProducerSettings::new(config)?;
        Ok(Self::Producer(Box::new(Producer::new(settings, shared.servers))))
    }

    /// A consumer with this configuration. Its topics and its group must have been interned.
    ///
    /// # Errors
    ///
    /// What no NATS consumer can honour: `Refused`, with the setting named.
    pub fn consumer(config: ConsumerConfig, shared: &Shared) -> Result<Self, Error> {
        let settings = ConsumerSettings::new(config)?;
        Consumer::new(settings, shared).map(|consumer| Self::Consumer(Box::new(consumer)))
    }

    /// An event of the client's node.
    pub fn on(&mut self, event: Event<Msg, super::Timer>, io: &mut dyn Io, shared: &Shared) {
        let own = |timer| match timer {
            super::Timer::Client(timer) => Some(timer),
            super::Timer::Server(_) => None,
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

    /// Whether the producer takes one more record.
    ///
    /// # Errors
    ///
    /// The error that finished it; `Refused` for a consumer.
    pub fn has_room(&self) -> Result<bool, Error> {
        match self {
            Self::Producer(producer) => producer.has_room(),
            Self::Consumer(_) => Err(Error::new(
                ErrorClass::Refused,
                "WRONG_HANDLE",
                "a consumer does not take records to send",
            )),
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
    pub fn take_event(&mut self, _: &mut dyn Io) -> Option<ConsumerEvent> {
        match self {
            Self::Consumer(consumer) => consumer.take_event(),
            Self::Producer(_) => None,
        }
    }
}
