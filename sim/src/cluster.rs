//! A simulated cluster with its client processes: what the runner, or a test of the user's, runs against.

use crate::{
    bus::{ClientNodes, SimAdmin, SimBus, SimClock},
    guard::Footprint,
    kernel::{Choices, Invariant, Life, LinkSpec, LogLine, Marks, NodeId, TraceEvent, World, log},
    model::{BusModel, Call, Note},
    nemesis,
    runtime::{self, Broken, Control, Options, Proc, ProcWarning, Spawner, ambient::Ambient},
    shared::Shared,
};
use squall_bus::{
    Admin, BoxFuture, Bus, Capabilities, Clock, Cluster, Election, Error, ErrorClass, Fault, FaultKind,
    Incarnation, LEAVING_PATIENCE, Main, Pending, Role, Strike, StruckFault,
};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

/// How often a stopping broker is looked at.
const STOPPING_LOOK: Duration = Duration::from_millis(10);
/// How long a broker may take to stop. One that is frozen stops when it goes on.
const STOPPING_PATIENCE: Duration = Duration::from_secs(600);

/// A simulated cluster of one seed.
pub struct Simulation<M: BusModel> {
    cluster: Arc<SimCluster<M>>,
}

impl<M: BusModel> Simulation<M> {
    /// Builds the cluster: the model's servers as nodes 1 to n, booting at time zero.
    pub fn new(model: M, choices: Choices, links: LinkSpec, invariants: Vec<Box<dyn Invariant<M>>>) -> Self {
        let capabilities = model.capabilities().clone();
        let servers = model.servers();
        let mut world = World::new(model, choices, links);
        for number in 1..=servers {
            let node = world.add_node(&format!("node-{number}"));
            world.start(node);
        }
        for invariant in invariants {
            world.watch(invariant);
        }
        let cluster = SimCluster {
            shared: Shared::new(world),
            control: Control::new(),
            capabilities,
            processes: Mutex::new(BTreeMap::new()),
            harness: ClientNodes::default(),
        };
        Self { cluster: Arc::new(cluster) }
    }

    /// Records every kernel event from now on, for [`trace`](Self::trace).
    pub fn record_trace(&self) {
        self.cluster.shared.lock().world.trace_mut().start_recording();
    }

    /// The cluster, as the runner sees it.
    #[must_use]
    pub fn cluster(&self) -> Arc<SimCluster<M>> {
        Arc::clone(&self.cluster)
    }

    /// Runs `main` and everything that it starts until it is done, in virtual time. Once.
    pub fn run<T, F>(
        &self,
        options: Options,
        main: impl FnOnce(Arc<SimCluster<M>>) -> F + Send + 'static,
    ) -> Result<T, Broken>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let cluster = Arc::clone(&self.cluster);
        let engine = Arc::new(self.cluster.shared.clone());
        let seed = {
            let mut state = self.cluster.shared.lock();
            if let Some(checkpoint) = options.record_from {
                state.world.trace_mut().record_from(checkpoint);
            }
            state.world.choices().seed()
        };
        let control = Arc::clone(&self.cluster.control);
        let result = runtime::run(engine, control, seed, options, move || Box::pin(main(cluster)))?;
        let mut state = self.cluster.shared.lock();
        state.world.check_all();
        match state.world.violation() {
            Some(violation) => Err(Broken::Invariant(violation.clone())),
            None => Ok(result),
        }
    }

    /// The rolling hash of all kernel events so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.cluster.shared.lock().world.trace().hash()
    }

    /// How many kernel events there were so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.cluster.shared.lock().world.trace().events()
    }

    /// The recorded events; empty unless [recorded](Self::record_trace).
    #[must_use]
    pub fn trace(&self) -> Vec<TraceEvent> {
        self.cluster.shared.lock().world.trace_mut().take()
    }

    /// The recorded events with names, one a line; empty unless [recorded](Self::record_trace).
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        let mut state = self.cluster.shared.lock();
        let names = state.world.labels();
        log(&state.world.trace_mut().take(), &names)
    }

    /// What the run left, to be compared with that of another run of the same plan.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.cluster.shared.lock().world.trace(), self.ambient())
    }

    /// What the run took from its surroundings, once it is over.
    #[must_use]
    pub fn ambient(&self) -> Ambient {
        self.cluster.control.ambient()
    }

    /// What was drawn, where choices are recorded.
    #[must_use]
    pub fn choices(&self) -> Choices {
        self.cluster.shared.lock().world.choices().clone()
    }

    /// The model's resolved rules.
    #[must_use]
    pub fn rules(&self) -> String {
        self.cluster.shared.lock().world.model().rules()
    }

    /// Which marks were reached so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.cluster.shared.lock().world.marks()
    }

    /// Handles that outlived their process' crash.
    #[must_use]
    pub fn warnings(&self) -> Vec<ProcWarning> {
        self.cluster.warnings()
    }
}

impl<M: BusModel> Drop for Simulation<M> {
    /// Processes hold buses and buses hold the world: let go of the processes, so that all of it is freed.
    fn drop(&mut self) {
        self.cluster.processes().clear();
    }
}

struct Process {
    proc: Proc,
    main: Option<Main>,
    nodes: ClientNodes,
    /// Ended by a fault whose healing starts it again.
    restarts: bool,
}

/// The cluster side of a [`Simulation`].
pub struct SimCluster<M: BusModel> {
    shared: Shared<M>,
    control: Arc<Control>,
    capabilities: Capabilities,
    processes: Mutex<BTreeMap<String, Process>>,
    harness: ClientNodes,
}

impl<M: BusModel> SimCluster<M> {
    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles that outlived their process' crash and are still held: those of tasks are let go of when the run ends.
    #[must_use]
    pub fn warnings(&self) -> Vec<ProcWarning> {
        self.processes().values().flat_map(|process| process.proc.warnings()).collect()
    }

    /// The process of this name; begun, without a main, if there is none.
    pub fn proc(&self, name: &str) -> Proc {
        let mut processes = self.processes();
        let process = processes.entry(name.to_owned()).or_insert_with(|| Process {
            proc: Proc::new(name, Arc::clone(&self.control), spawner()),
            main: None,
            nodes: ClientNodes::default(),
            restarts: false,
        });
        process.proc.clone()
    }

    /// The bus of a process' present incarnation.
    pub fn bus_of(&self, proc: &Proc) -> Arc<dyn Bus> {
        let nodes =
            self.processes().get(proc.name()).map(|process| Arc::clone(&process.nodes)).unwrap_or_default();
        Arc::new(SimBus::new(self.shared.clone(), proc.name(), Some(proc.life()), nodes))
    }

    fn launch(&self, name: &str) {
        let Some((proc, Some(main))) =
            self.processes().get(name).map(|process| (process.proc.clone(), process.main.clone()))
        else {
            return;
        };
        let bus = self.bus_of(&proc);
        let incarnation = Incarnation(proc.incarnation());
        proc.spawn(async move { main(bus, incarnation).await });
    }

    fn client_nodes(&self, name: &str) -> Vec<NodeId> {
        let processes = self.processes();
        processes.get(name).map_or_else(Vec::new, |process| {
            process.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    fn is_frozen(&self, nodes: &[NodeId]) -> bool {
        let state = self.shared.lock();
        nodes.iter().any(|node| state.world.life(*node) == Life::Paused)
    }

    async fn strike_client(&self, fault: &Fault, name: &str) -> Strike {
        let Some(proc) = self.processes().get(name).map(|process| process.proc.clone()) else {
            return Strike::Nobody;
        };
        let mut goodbyes = Vec::new();
        let targets = self.client_nodes(name);
        // One that is frozen cannot take its leave; who asked it to ends it.
        let asks = matches!(fault.kind, FaultKind::Stop | FaultKind::Restart);
        let leaves = asks && !self.is_frozen(&targets);
        match fault.kind {
            FaultKind::Pause => proc.pause(),
            FaultKind::Stop | FaultKind::Restart if leaves => {
                // In good order: its clients take their leave before its tasks end.
                self.shared.act(|state| {
                    for node in &targets {
                        let (op, goodbye) = state.begin_close();
                        state.world.call(*node, Call::Close(op));
                        goodbyes.push(goodbye);
                    }
                });
                proc.leave();
                self.forget(name);
            }
            FaultKind::Kill | FaultKind::PowerFail | FaultKind::Stop | FaultKind::Restart => {
                proc.crash();
                self.forget(name);
            }
            _ => {}
        }
        self.shared.act(|state| {
            if asks && !leaves {
                targets.iter().for_each(|node| state.world.kill(*node));
            }
            let mut nemesis = std::mem::take(&mut state.nemesis);
            nemesis.strike(
                &mut state.world,
                fault,
                if asks { Vec::new() } else { targets.clone() },
                Some(name.to_owned()),
            );
            state.nemesis = nemesis;
            state.world.broken();
        });
        if leaves {
            self.left(&targets, goodbyes).await;
        }
        Strike::Hit(StruckFault { id: fault.id, nodes: Vec::new(), client: Some(name.to_owned()) })
    }

    /// Waits until clients have taken their leave, and ends what is left of them when they take too long.
    async fn left(&self, clients: &[NodeId], mut goodbyes: Vec<Pending<()>>) {
        let mut patience = self.clock().sleep(LEAVING_PATIENCE);
        poll_fn(|cx| {
            goodbyes.retain_mut(|goodbye| Pin::new(goodbye).poll(cx).is_pending());
            if goodbyes.is_empty() { Poll::Ready(()) } else { patience.as_mut().poll(cx) }
        })
        .await;
        self.shared.act(|state| clients.iter().for_each(|client| state.world.kill(*client)));
    }

    /// The process' incarnation has ended; healing will begin the next.
    fn forget(&self, name: &str) {
        if let Some(process) = self.processes().get_mut(name) {
            process.restarts = true;
            process.nodes = ClientNodes::default();
        }
    }

    fn strike_brokers(&self, fault: &Fault) -> Strike {
        self.shared.act(|state| {
            let targets = nemesis::resolve(&state.world, fault);
            if targets.is_empty() {
                return Strike::Nobody;
            }
            let nodes = targets.iter().map(|node| node.0 + 1).collect();
            let mut nemesis = std::mem::take(&mut state.nemesis);
            nemesis.strike(&mut state.world, fault, targets, None);
            state.nemesis = nemesis;
            state.world.broken();
            Strike::Hit(StruckFault { id: fault.id, nodes, client: None })
        })
    }

    /// Waits until the brokers that this fault asked to stop have stopped.
    async fn stopped(&self, fault: u32) -> Result<(), Error> {
        let clock = self.clock();
        let deadline = clock.now() + STOPPING_PATIENCE;
        loop {
            let stopped = {
                let state = self.shared.lock();
                state.nemesis.has_stopped(&state.world, fault)
            };
            if stopped {
                return Ok(());
            }
            if clock.now() >= deadline {
                let message = format!("a node that was asked to stop still runs after {STOPPING_PATIENCE:?}");
                return Err(Error::new(ErrorClass::Retriable, "STOPPING", message));
            }
            clock.sleep(STOPPING_LOOK).await;
        }
    }

    async fn mend(&self, fault: u32) -> Result<(), Error> {
        self.stopped(fault).await?;
        let client = self.shared.act(|state| {
            let mut nemesis = std::mem::take(&mut state.nemesis);
            let client = nemesis.heal(&mut state.world, fault);
            state.nemesis = nemesis;
            if state.nemesis.is_idle() {
                state.world.healed();
            }
            client
        });
        let Some((name, kind)) = client else { return Ok(()) };
        let proc = self.processes().get(&name).map(|process| process.proc.clone());
        let Some(proc) = proc else { return Ok(()) };
        match kind {
            FaultKind::Pause => proc.resume(),
            FaultKind::Kill | FaultKind::PowerFail | FaultKind::Stop | FaultKind::Restart => {
                if let Some(process) = self.processes().get_mut(&name) {
                    process.restarts = false;
                }
                proc.restart();
                self.launch(&name);
            }
            _ => {}
        }
        Ok(())
    }
}

fn spawner() -> Spawner {
    Arc::new(|task| {
        tokio::spawn(task);
    })
}

impl<M: BusModel> Cluster for SimCluster<M> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SimClock { shared: self.shared.clone(), life: None })
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(SimAdmin(self.shared.clone()))
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(SimBus::new(self.shared.clone(), "harness", None, Arc::clone(&self.harness)))
    }

    fn start(&self, name: &str, main: Main) {
        let _ = self.proc(name);
        if let Some(process) = self.processes().get_mut(name) {
            process.main = Some(main);
        }
        self.launch(name);
    }

    fn running(&self, name: &str) -> bool {
        self.processes().get(name).is_some_and(|process| process.restarts || process.proc.is_running())
    }

    fn end(&self, name: &str) {
        let Some(process) = self.processes().get(name).map(|process| process.proc.clone()) else { return };
        let nodes = self.client_nodes(name);
        process.crash();
        self.shared.act(|state| nodes.iter().for_each(|node| state.world.kill(*node)));
        if let Some(process) = self.processes().get_mut(name) {
            process.restarts = false;
            process.main = None;
        }
    }

    fn strike<'a>(&'a self, fault: &'a Fault) -> BoxFuture<'a, Result<Strike, Error>> {
        Box::pin(async move {
            let needs = fault.kind.needs(&fault.role);
            if !self.capabilities.has(needs) {
                return Err(Error::unsupported(needs));
            }
            if let (Role::Client(name), FaultKind::DropResponses(_)) = (&fault.role, fault.kind) {
                let message = format!(
                    "responses are dropped at a broker, not at client {name}: aim at a leader or node"
                );
                return Err(Error::new(ErrorClass::Refused, "UNSUPPORTED", message));
            }
            let strike = match &fault.role {
                Role::Client(name) => self.strike_client(fault, name).await,
                _ => self.strike_brokers(fault),
            };
            if fault.kind == FaultKind::Restart && strike != Strike::Nobody {
                self.mend(fault.id).await?;
            }
            Ok(strike)
        })
    }

    fn heal<'a>(&'a self, fault: &'a StruckFault) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.mend(fault.id))
    }

    fn elections(&self) -> BoxFuture<'_, Vec<Election>> {
        let election = |(time, note)| match note {
            Note::Leader { unit, leader, epoch: _, unclean } => {
                Some(Election { time, unit, leader, unclean })
            }
            Note::Insync { .. } | Note::Controller { .. } | Note::Rebalanced { .. } => None,
        };
        let elections = self.shared.lock().take_notes().into_iter().filter_map(election).collect();
        Box::pin(std::future::ready(elections))
    }

    fn heal_all(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let in_force = self.shared.lock().nemesis.in_force();
            for fault in in_force {
                self.mend(fault).await?;
            }
            Ok(())
        })
    }
}
