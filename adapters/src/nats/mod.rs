//! The bus over async-nats, with topics and groups lowered to streams and consumers as
//! [`squall_bus::lowering`] says.
//!
//! A [`NatsBus`] is one client process' way into a cluster: it opens producers, consumers and administrators
//! and can end them all at once, as a crash would ([`NatsBus::crash`]). Its clients live on a thread of its own.
//!
//! - Every producer and consumer has a connection of its own, under its own name.
//! - What became of a failed publish is in [`codes`]: `unknown` is the answer whenever an attempt may have been
//!   stored. async-nats itself does not try again; what the adapter does about that is told by [`producer`].
//! - Acks are individual. `nack`, `term` and `extend` are JetStream's own. See [`consumer`].
//!
//! A crash, and dropping a consumer's last handle, end the client without telling anybody what it read or sent.

pub mod admin;
pub mod codes;
mod connection;
pub mod consumer;
mod given_up;
pub mod producer;
mod pull;

use crate::{handles::Process, timer::RealClock};
use connection::Worker;
use consumer::NatsConsumer;
use producer::NatsProducer;
use squall_bus::{
    AckModel, Admin, Bus, Capabilities, Capability, Clock, Consumer, ConsumerConfig, Error, Producer,
    ProducerConfig,
    lowering::{DEDUP_WINDOW, Lowering},
};
use std::{any::Any, fmt, sync::Arc, time::Duration};

/// How a client process reaches a NATS cluster.
#[derive(Clone)]
pub struct NatsConfig {
    /// The servers: `host:port,host:port`.
    pub bootstrap: String,
    /// Whether clients also use servers that these ones tell them of.
    pub discover: bool,
    /// The clock of the run.
    pub clock: RealClock,
    /// The administrator.
    pub admin: Arc<dyn Admin>,
    /// How long a delivery of a group waits for its ack before it is made again; `None` for the server's default,
    /// which is 30 s.
    pub ack_wait: Option<Duration>,
    /// Makes the name of a connection from the client's name.
    pub client_id: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

impl NatsConfig {
    /// A cluster at these addresses, with defaults: connections are called what the clients are.
    #[must_use]
    pub fn new(bootstrap: &str, admin: Arc<dyn Admin>) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            discover: true,
            clock: RealClock::new(),
            admin,
            ack_wait: None,
            client_id: Arc::new(str::to_owned),
        }
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsConfig({})", self.bootstrap)
    }
}

/// One client process' way into a NATS cluster.
#[derive(Debug)]
pub struct NatsBus {
    config: NatsConfig,
    capabilities: Capabilities,
    handles: Process<NatsProducer, NatsConsumer>,
    worker: Worker,
}

impl NatsBus {
    /// The way into this cluster.
    #[must_use]
    pub fn new(config: NatsConfig) -> Self {
        Self {
            config,
            capabilities: capabilities(&[]),
            handles: Process::default(),
            worker: Worker::start("squall-nats"),
        }
    }

    /// Ends every client that this process opened, without ceremony: what was sent and not acknowledged stays
    /// without outcome, nothing is acknowledged. Handles answer that they are closed.
    pub fn crash(&self) {
        self.handles.crash();
        self.worker.end();
    }

    /// Keeps the clients that are open from ending with their last handles, until this is dropped.
    #[must_use]
    pub fn hold(&self) -> Box<dyn Any + Send> {
        Box::new(self.handles.hold())
    }

    /// Ends every client in good order: what was sent gets its outcome if it comes within `patience`, what was
    /// fetched ahead is handed back.
    pub async fn stop(&self, patience: Duration) {
        self.handles.stop(&self.config.clock, patience).await;
        self.worker.end();
    }
}

/// What JetStream and its client can do, and these things besides.
#[must_use]
pub fn capabilities(besides: &[Capability]) -> Capabilities {
    let own = [Capability::Idempotence, Capability::AckNone, Capability::Redelivery];
    let mut capabilities = Capabilities::new(AckModel::Individual, false, &[&own, besides].concat());
    capabilities.dedup_window = Some(DEDUP_WINDOW);
    capabilities.lowering = Lowering::Streams;
    capabilities
}

impl Bus for NatsBus {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.config.clock.clone())
    }

    fn producer(&self, config: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
        self.handles.check_alive()?;
        let producer = Arc::new(NatsProducer::open(&self.config, &config, &self.worker)?);
        self.handles.producers.remember(&producer);
        Ok(producer)
    }

    fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
        self.handles.check_alive()?;
        let consumer = Arc::new(NatsConsumer::open(&self.config, &config, &self.worker)?);
        self.handles.consumers.remember(&consumer);
        Ok(consumer)
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::clone(&self.config.admin)
    }
}
