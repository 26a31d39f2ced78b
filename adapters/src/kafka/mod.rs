//! The bus over librdkafka.
//!
//! A [`KafkaBus`] is one client process' way into a cluster: it opens producers, consumers and administrators
//! and can end them all at once, as a crash would ([`KafkaBus::crash`]).
//!
//! - A producer's `send` enqueues and so fixes the order. Failed sends become `fail` or `unknown` as
//!   [`crate::wire::codes`] says; `unknown` is the answer whenever an attempt may have been appended.
//! - A consumer polls librdkafka only while its reader asks for a record (and a little ahead), so a reader
//!   that is stuck exceeds `max.poll.interval.ms` as it would with the client alone. See [`consumer`].
//! - Acks are prefixes: `ack` commits the position behind the delivery. There is no nack, term or extend.
//! - Keys are spread by `murmur2_random`, as Kafka's Java client does.
//! - A client of [`ClientProfile::Java`] is one of Kafka's own Java library, where the bus has a process of these
//!   ([`KafkaConfig::java`], [`java`]); elsewhere it is librdkafka's, as for every other profile.
//!
//! A crash, and dropping a consumer's last handle, end the client without telling anybody what it read or
//! sent. librdkafka itself sends a last LeaveGroup on the way out whenever it still reaches the coordinator;
//! whoever crashes a process has to cut its connections first, as `squall-chaos` does.

mod config;
pub mod consumer;
mod context;
pub mod java;
mod offload;
mod producer;

use crate::{
    handles::Process,
    timer::RealClock,
    wire::{WireAdmin, codes},
};
use consumer::KafkaConsumer;
use java::{JavaBus, JavaClients};
use producer::KafkaProducer;
use rdkafka::error::KafkaError;
use squall_bus::{
    AckModel, Admin, Bus, Capabilities, Capability, ClientProfile, Clock, Consumer, ConsumerConfig, Error,
    ErrorClass, Producer, ProducerConfig,
};
use std::{any::Any, collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// How a client process reaches a Kafka cluster.
#[derive(Clone)]
pub struct KafkaConfig {
    /// The brokers: `host:port,host:port`.
    pub bootstrap: String,
    /// Settings of librdkafka for every client (TLS, SASL, timeouts); they win over what the bus sets.
    pub settings: BTreeMap<String, String>,
    /// The clock of the run.
    pub clock: RealClock,
    /// The administrator.
    pub admin: Arc<dyn Admin>,
    /// Makes the client id from the client's name.
    pub client_id: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// The process with the run's clients of Kafka's own Java library, if it has any.
    pub java: Option<JavaClients>,
}

impl KafkaConfig {
    /// A cluster at these addresses, with defaults: client ids are the clients' names.
    pub fn new(bootstrap: &str) -> Result<Self, Error> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            settings: BTreeMap::new(),
            clock: RealClock::new(),
            admin: Arc::new(WireAdmin::discover(bootstrap)?),
            client_id: Arc::new(str::to_owned),
            java: None,
        })
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaConfig({})", self.bootstrap)
    }
}

/// One client process' way into a Kafka cluster.
#[derive(Debug)]
pub struct KafkaBus {
    config: KafkaConfig,
    capabilities: Capabilities,
    handles: Arc<Handles>,
    java: Option<JavaBus>,
}

/// What one process has open.
type Handles = Process<KafkaProducer, KafkaConsumer>;

impl KafkaBus {
    /// The way into this cluster.
    #[must_use]
    pub fn new(config: KafkaConfig) -> Self {
        let java = config.java.clone().map(JavaBus::new);
        Self { config, capabilities: capabilities(&[]), handles: Arc::default(), java }
    }

    /// Ends every client that this process opened, without ceremony: what was sent and not acknowledged stays
    /// without outcome, nothing is committed. Handles answer that they are closed.
    pub fn crash(&self) {
        self.handles.crash();
        if let Some(java) = &self.java {
            java.crash();
        }
    }

    /// Keeps the clients that are open from ending with their last handles, until this is dropped.
    #[must_use]
    pub fn hold(&self) -> Box<dyn Any + Send> {
        Box::new((self.handles.hold(), self.java.as_ref().map(JavaBus::hold)))
    }

    /// Ends every client in good order: what was sent gets its outcome if it comes within `patience`, groups
    /// are left.
    pub async fn stop(&self, patience: Duration) {
        self.handles.stop(&self.config.clock, patience).await;
        if let Some(java) = &self.java {
            java.stop(&self.config.clock, patience).await;
        }
    }

    /// The Java clients, for a client of this profile.
    fn java(&self, profile: ClientProfile) -> Option<&JavaBus> {
        self.java.as_ref().filter(|_| profile == ClientProfile::Java)
    }
}

/// What Kafka and its client can do, and these things besides.
#[must_use]
pub fn capabilities(besides: &[Capability]) -> Capabilities {
    Capabilities::new(AckModel::Prefix, true, &[&Capability::OF_LOGS, besides].concat())
}

impl Bus for KafkaBus {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.config.clock.clone())
    }

    fn producer(&self, config: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
        self.handles.check_alive()?;
        if let Some(java) = self.java(config.profile) {
            return java.producer(&self.config, &config);
        }
        let producer = Arc::new(KafkaProducer::open(&self.config, &config, Arc::clone(&self.handles))?);
        self.handles.producers.remember(&producer);
        Ok(producer)
    }

    fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
        self.handles.check_alive()?;
        if let Some(java) = self.java(config.profile) {
            return java.consumer(&self.config, &config);
        }
        let consumer = Arc::new(KafkaConsumer::open(&self.config, &config)?);
        self.handles.consumers.remember(&consumer);
        Ok(consumer)
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::clone(&self.config.admin)
    }
}

impl Handles {
    /// The live consumers of a group.
    fn members(&self, group: &str) -> Vec<Arc<KafkaConsumer>> {
        let mut members = self.consumers.live();
        members.retain(|consumer| consumer.group() == Some(group));
        members
    }
}

/// The number of a client's error, if it has one, and what it says.
fn number(error: &KafkaError) -> (Option<i32>, String) {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    (code.map(|code| code as i32), error.to_string())
}

/// The bus's error for a client's.
fn bus_error(error: &KafkaError) -> Error {
    match number(error) {
        (Some(number), says) => codes::error(number, says),
        (None, says) => Error::new(ErrorClass::Refused, "_INVALID_ARG", says),
    }
}
