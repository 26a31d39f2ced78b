//! A live local cluster as the runner sees it: a place where client processes run, and something that can be
//! broken.
//!
//! - Nodes are real processes of a provider; every link between them, and from clients to them, goes through a
//!   proxy ([`crate::links`]). Client processes are tasks (`clients`).
//! - What differs from broker to broker is small and stands in `broker`, `kafka` and `nats`.
//! - A role is resolved when the fault strikes, by asking the brokers past the proxies (`roles`); what it
//!   meant is in the answer.
//! - Faults aimed at everyone spare the clients of the harness itself.
//! - Faults may overlap: a node starts again, and a frozen one goes on, when the last fault that held it is
//!   healed (`nodes`).
//! - Elections are what two looks at the cluster differ in (`elections`).

mod broker;
mod clients;
mod elections;
mod faults;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "nats")]
pub(crate) mod nats;
mod nodes;
mod roles;

use crate::{error::ChaosError, links::Links};
use broker::{Broker, Look, ProcessBus, Started};
use clients::Clients;
use faults::Faults;
use nodes::Nodes;
use squall_adapters::{providers::Progress, timer::RealClock};
use squall_bus::{
    Admin, BoxFuture, Bus, Capabilities, Clock, Cluster, Election, Error, ErrorClass, Fault, Main, Strike,
    StruckFault,
};
use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::{Builder, Runtime};

/// A live local cluster. Its nodes end when it is dropped or closed.
pub struct LiveCluster {
    inner: Arc<Inner>,
    capabilities: Capabilities,
    bus: Arc<dyn ProcessBus>,
    /// Where client processes and the work of faults run; ended without waiting.
    runtime: Option<Runtime>,
}

struct Inner {
    nodes: Nodes,
    links: Arc<Links>,
    clients: Clients,
    clock: RealClock,
    broker: Arc<dyn Broker>,
    faults: Faults,
    seen: Mutex<Look>,
}

impl fmt::Debug for LiveCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveCluster({} nodes)", self.inner.nodes.count())
    }
}

impl LiveCluster {
    /// Starts a cluster of Kafka. Blocks until it is ready.
    #[cfg(feature = "kafka")]
    pub fn kafka(
        options: squall_adapters::providers::kafka::KafkaOptions,
        progress: Progress<'_>,
    ) -> Result<Self, ChaosError> {
        let (started, links) = kafka::start(options, progress)?;
        Self::new(started, links)
    }

    /// Starts a cluster of NATS. Blocks until it is ready.
    #[cfg(feature = "nats")]
    pub fn nats(
        options: squall_adapters::providers::nats::NatsOptions,
        progress: Progress<'_>,
    ) -> Result<Self, ChaosError> {
        let (started, links) = nats::start(options, progress)?;
        Self::new(started, links)
    }

    fn new(started: Started, links: Arc<Links>) -> Result<Self, ChaosError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("squall-clients")
            .enable_all()
            .build()
            .map_err(|source| ChaosError::Runtime { source })?;
        let Started { running, broker, capabilities, clock, bus } = started;
        let clients = Clients::new(Arc::clone(&broker), Arc::clone(&links), runtime.handle().clone());
        let inner = Inner {
            nodes: Nodes::new(running),
            links,
            clients,
            clock,
            broker,
            faults: Faults::default(),
            seen: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), capabilities, bus, runtime: Some(runtime) })
    }

    /// The links, for faults that no plan speaks of.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.inner.links
    }

    /// Ends the client processes and the nodes, and removes their data. Answers when they are gone.
    pub async fn close(&self) {
        self.bus.crash();
        self.inner.clients.end_all();
        self.inner.links.heal_all();
        let inner = Arc::clone(&self.inner);
        let _ = self
            .on_runtime(async move {
                blocking(move || {
                    inner.nodes.shut_down();
                    Ok(())
                })
                .await
            })
            .await;
    }

    /// Runs `work` on the cluster's own runtime, whatever the caller runs on.
    fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let Some(runtime) = &self.runtime else { return Box::pin(async { Err(Error::closed()) }) };
        let task = runtime.spawn(work);
        Box::pin(async { task.await.unwrap_or_else(|_| Err(Error::closed())) })
    }
}

impl Drop for LiveCluster {
    fn drop(&mut self) {
        self.inner.clients.end_all();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs what blocks on a thread of the runtime that is made for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChaosError> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Error::new(ErrorClass::Refused, "CHAOS", error.to_string())),
        Err(_) => Err(Error::closed()),
    }
}

impl Cluster for LiveCluster {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.inner.clock.clone())
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.inner.broker.admin()
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::<dyn ProcessBus>::clone(&self.bus)
    }

    fn start(&self, name: &str, main: Main) {
        self.inner.clients.start(name, main);
    }

    fn running(&self, name: &str) -> bool {
        self.inner.clients.running(name)
    }

    fn end(&self, name: &str) {
        self.inner.clients.end(name);
    }

    fn strike<'a>(&'a self, fault: &'a Fault) -> BoxFuture<'a, Result<Strike, Error>> {
        let (inner, fault) = (Arc::clone(&self.inner), fault.clone());
        self.on_runtime(async move { faults::strike(&inner, &fault).await })
    }

    fn heal<'a>(&'a self, fault: &'a StruckFault) -> BoxFuture<'a, Result<(), Error>> {
        let (inner, id) = (Arc::clone(&self.inner), fault.id);
        self.on_runtime(async move { faults::heal(&inner, id).await })
    }

    fn elections(&self) -> BoxFuture<'_, Vec<Election>> {
        let look = self.inner.broker.look();
        Box::pin(async move {
            // Nobody answers: what happens now is seen at a later look.
            let Ok(now) = look.await else { return Vec::new() };
            let time = self.inner.clock.now();
            let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            elections::between(&mut seen, now, time)
        })
    }

    fn heal_all(&self) -> BoxFuture<'_, Result<(), Error>> {
        let inner = Arc::clone(&self.inner);
        self.on_runtime(async move {
            let healed = faults::heal_all(&inner).await;
            inner.links.heal_all_but_refusals();
            healed
        })
    }
}
