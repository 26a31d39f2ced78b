//! The client libraries: one state machine for each producer and each consumer.
//!
//! A [`Client`] sits on a node of its own. [`Kafka`] hands it that node's events and the calls of the
//! service, with the [`Ctx`] of the node and what every state machine may know ([`Shared`]). A client's timers
//! travel as [`super::Timer::Client`]. It opens its own connections (`ctx.connect`; the brokers are nodes 0 to
//! `shared.brokers - 1`, all of them bootstrap servers), sends [`Msg::Request`] and receives
//! [`Msg::Response`] in order per connection.

use super::{Kafka, Shared, Timer as KafkaTimer, protocol::Msg};
use crate::{
    kernel::{Ctx, Digest, Event, NodeId},
    model::Call,
};
use squall_bus::{ConsumerConfig, ConsumerEvent, Delivery, Error, ProducerConfig};

/// A client's timer.
#[derive(Clone, Copy, Debug)]
pub enum Timer {}

impl Digest for Timer {
    fn digest(&self) -> u64 {
        match *self {}
    }
}

/// A producer or a consumer.
#[derive(Debug)]
pub struct Client {}

impl Client {
    /// A producer's state machine for this node, which boots next.
    pub fn producer(_node: NodeId, _config: ProducerConfig, _shared: &Shared) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// A consumer's state machine for this node, which boots next.
    pub fn consumer(_node: NodeId, _config: ConsumerConfig, _shared: &Shared) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// An event of its node.
    pub fn on(&mut self, _event: Event<Msg, KafkaTimer>, _ctx: &mut Ctx<'_, Kafka>, _shared: &Shared) {}

    /// A call of the service.
    pub fn call(&mut self, _call: Call, _ctx: &mut Ctx<'_, Kafka>, _shared: &Shared) {}

    /// Whether the producer takes one more record.
    pub fn has_room(&self) -> Result<bool, Error> {
        Err(Error::closed())
    }

    /// Takes the next record that the consumer hands out.
    pub fn take_record(&mut self, _ctx: &mut Ctx<'_, Kafka>, _shared: &Shared) -> Option<Result<Delivery, Error>> {
        None
    }

    /// Takes the next event that the consumer hands out.
    pub fn take_event(&mut self, _ctx: &mut Ctx<'_, Kafka>, _shared: &Shared) -> Option<ConsumerEvent> {
        None
    }
}
