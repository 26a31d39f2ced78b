//! Clients of Kafka's own Java library, for `profile: java` on real brokers: what librdkafka cannot do (transactions of
//! version 2) or does otherwise (its defaults, how it follows its group) is seen with the real thing.
//!
//! [`JavaClients`] is a process that holds all Java clients of a run: `Clients.java`, compiled as it starts
//! ([`crate::providers::java_program`]). One talks to it in lines (`lines`): a verb, the client's handle, the number of
//! the call, and the rest.
//!
//! | to a producer | the rest | | to a consumer | the rest |
//! |---|---|---|---|---|
//! | `producer` | settings, `name=value` | | `consumer` | `topic:T` or `place:T/P/O` of each, settings |
//! | `send` | topic, partition, key, value, and a name and a value of each header | | `poll` | |
//! | `init`, `begin`, `commit`, `abort` | | | `commit`, `seek` | `T/P/O` of each |
//! | `positions` | group, handle of a consumer in it, `T/P/O` of each | | `heard`, `close` | |
//! | `end` | | | `end` | |
//!
//! | answer | says |
//! |---|---|
//! | `done` | the call, and of a send its partition and offset |
//! | `failed` | the call, `before` if nothing was sent to a broker, else `after`; the error's number in the protocol or 0, its class in Java, whether it is `retriable`, a sentence |
//! | `record` | topic, partition, offset, key, value, headers |
//! | `polled` | behind the records of a poll that found some: nobody polls until told to |
//! | `assigned`, `revoked`, `lost` | `T/P/O` of each, with the committed place |
//! | `error`, `finished` | an error that nobody asked for; the consumer cannot go on after it |
//!
//! - Each client has a thread, as Java's consumer wants it; what it is told it does one after the other.
//! - A consumer polls only while its reader, or before the first record its listener, waits: a reader that is busy is not
//!   polled for, as in the loop that Java's users write. A revocation waits for the listener's last word
//!   (`LAST_WORD` of librdkafka's consumer).
//! - A process that crashes ends its clients without a word to their group; its connections have to be cut, as with
//!   librdkafka. While it is frozen its clients' threads run on, with nobody to talk to.
//! - `Reset` is told when a position goes back; Java tells of none.

mod consumer;
mod errors;
mod lines;
mod link;
mod producer;
mod settings;

pub use link::JavaClients;

use super::KafkaConfig;
use crate::handles::Process;
use consumer::JavaConsumer;
use producer::JavaProducer;
use squall_bus::{Clock, Consumer, ConsumerConfig, Error, Producer, ProducerConfig};
use std::{any::Any, sync::Arc, time::Duration};

/// The Java clients of one process.
#[derive(Debug)]
pub(super) struct JavaBus {
    clients: JavaClients,
    handles: Arc<Handles>,
}

/// What one process has open.
type Handles = Process<JavaProducer, JavaConsumer>;

impl JavaBus {
    pub(super) fn new(clients: JavaClients) -> Self {
        Self { clients, handles: Arc::default() }
    }

    pub(super) fn producer(
        &self,
        bus: &KafkaConfig,
        config: &ProducerConfig,
    ) -> Result<Arc<dyn Producer>, Error> {
        self.handles.check_alive()?;
        let opened = JavaProducer::open(self.clients.link(), bus, config, Arc::clone(&self.handles))?;
        let producer = Arc::new(opened);
        self.handles.producers.remember(&producer);
        Ok(producer)
    }

    pub(super) fn consumer(
        &self,
        bus: &KafkaConfig,
        config: &ConsumerConfig,
    ) -> Result<Arc<dyn Consumer>, Error> {
        self.handles.check_alive()?;
        let consumer = Arc::new(JavaConsumer::open(self.clients.link(), bus, config)?);
        self.handles.consumers.remember(&consumer);
        Ok(consumer)
    }

    pub(super) fn hold(&self) -> impl Any + Send {
        self.handles.hold()
    }

    pub(super) fn crash(&self) {
        self.handles.crash();
    }

    pub(super) async fn stop(&self, clock: &dyn Clock, patience: Duration) {
        self.handles.stop(clock, patience).await;
    }
}
