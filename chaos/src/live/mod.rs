//! A live local Kafka cluster as the runner sees it: a place where client processes run, and something that
//! can be broken.
//!
//! - Nodes are real processes ([`LocalKafka`]); every link between them, and from clients to them, goes
//!   through a proxy ([`crate::links`]). Client processes are tasks (`clients`).
//! - A role is resolved when the fault strikes, by asking the brokers past the proxies (`roles`); what it
//!   meant is in the answer.
//! - The clients of the harness itself carry the label [`Label::HARNESS`], which faults aimed at everyone spare.
//! - Faults may overlap: a node starts again, and a frozen one goes on, when the last fault that held it is
//!   healed (`nodes`).
//! - Elections are what two looks at the metadata differ in. One is called unclean when the new leader was
//!   not in sync at the look before and is alone in sync now.

mod clients;
mod faults;
mod nodes;
mod roles;

use crate::{
    error::ChaosError,
    kafka::Kafka,
    links::Links,
    protocol::{Label, Protocol},
};
use clients::Clients;
use faults::Faults;
use nodes::Nodes;
use squall_adapters::{
    kafka::{KafkaBus, KafkaConfig, capabilities},
    providers::{
        Progress,
        kafka::{KafkaOptions, LocalKafka},
    },
    timer::RealClock,
    wire::{MetadataUnit, WireAdmin},
};
use squall_bus::{
    Admin, BoxFuture, Bus, Capabilities, Capability, Clock, Cluster, Election, Error, ErrorClass, Fault,
    Main, Strike, StruckFault, Unit,
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::{Builder, Runtime};

/// What a live cluster can do besides what Kafka and its client can.
const BESIDES: [Capability; 4] =
    [Capability::LinkFaults, Capability::DropResponses, Capability::ProcessFaults, Capability::ClientFaults];

/// What a live cluster can do.
pub(crate) fn live_capabilities() -> Capabilities {
    capabilities(&BESIDES)
}

/// A live local cluster. Its nodes end when it is dropped or closed.
pub struct LiveKafka {
    inner: Arc<Inner>,
    capabilities: Capabilities,
    bus: Arc<KafkaBus>,
    /// Where client processes and the work of faults run; ended without waiting.
    runtime: Option<Runtime>,
}

struct Inner {
    nodes: Nodes,
    links: Arc<Links>,
    clients: Clients,
    clock: RealClock,
    admin: WireAdmin,
    faults: Faults,
    seen: Mutex<BTreeMap<Unit, MetadataUnit>>,
}

impl fmt::Debug for LiveKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveKafka({} nodes)", self.inner.nodes.count())
    }
}

impl LiveKafka {
    /// Starts a cluster. Blocks until it is ready.
    pub fn start(options: KafkaOptions, progress: Progress<'_>) -> Result<Self, ChaosError> {
        let prepared = LocalKafka::prepare(KafkaOptions { links: true, ..options }, progress)?;
        let protocol: Arc<dyn Protocol> = Arc::new(Kafka);
        let links = Arc::new(Links::bind(&prepared.links(), &protocol)?);
        let cluster = prepared.start(progress)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("squall-clients")
            .enable_all()
            .build()
            .map_err(|source| ChaosError::Runtime { source })?;
        let clock = RealClock::new();
        let admin = cluster.admin();
        let mut config = KafkaConfig::new(&cluster.bootstrap()).map_err(ChaosError::Bus)?;
        config.clock = clock.clone();
        let clients = Clients::new(config.clone(), Arc::clone(&links), runtime.handle().clone());
        config.admin = Arc::new(admin.clone());
        config.client_id = Arc::new(|name| Label::client_id(name, Label::HARNESS, 0));
        let inner = Inner {
            nodes: Nodes::new(cluster),
            links,
            clients,
            clock,
            admin,
            faults: Faults::default(),
            seen: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            capabilities: live_capabilities(),
            bus: Arc::new(KafkaBus::new(config)),
            runtime: Some(runtime),
        })
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

impl Drop for LiveKafka {
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

impl Cluster for LiveKafka {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.inner.clock.clone())
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(self.inner.admin.clone())
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::<KafkaBus>::clone(&self.bus)
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
        let survey = self.inner.admin.survey();
        Box::pin(async move {
            // Nobody answers: what happens now is seen at a later look.
            let Ok(now) = survey.await else { return Vec::new() };
            let time = self.inner.clock.now();
            let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *seen, now);
            let elections = seen.iter().filter_map(|(unit, now)| {
                let before = before.get(unit)?;
                let changed = (now.leader_epoch, now.leader) != (before.leader_epoch, before.leader);
                let unclean = !before.insync.contains(&now.leader) && now.insync == [now.leader];
                let leader = u32::try_from(now.leader).ok();
                changed.then(|| Election {
                    time,
                    unit: unit.clone(),
                    leader,
                    unclean: unclean && leader.is_some(),
                })
            });
            elections.collect()
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
