//! Client processes: tasks that can be crashed, frozen and started again.
//!
//! - A process' clients call themselves `name@process.life`, so the proxies know its connections.
//! - A crash first refuses the connections of that life for good, then drops the task, and the clients when that is
//!   done: so nothing that a client library does on its way out (leaving a group, sending what waits) reaches a
//!   broker. A main that returns ends its process the same way: what it wanted to close it closed.
//! - A stop drops the task and then ends the clients in good order.
//! - The clients outlive the task, since a main that tries again whatever it is told would never wait for anything
//!   once they answered that they are closed, and what never waits cannot be dropped.
//! - A pause stops polling the main and holds the process' connections in both directions. The client library's own
//!   threads run on: timers inside the client go by, as they do not in a frozen process.
//! - Tasks that a main spawned besides are not dropped with it; their handles answer that they are closed.

use super::broker::{Broker, ProcessBus};
use crate::{
    links::{Heal, Links},
    rules::{Aim, FaultId, LinkFault},
};
use squall_adapters::providers::link::{Link, LinkKind};
use squall_bus::{BoxFuture, Bus, Incarnation, LEAVING_PATIENCE, Main};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::timeout};

/// Whether a link is one that clients use.
pub(super) fn is_for_clients(link: &Link) -> bool {
    link.kind == LinkKind::Client
}

#[derive(Clone)]
pub(super) struct Clients(Arc<Shared>);

struct Shared {
    broker: Arc<dyn Broker>,
    links: Arc<Links>,
    runtime: Handle,
    processes: Mutex<BTreeMap<String, Process>>,
}

struct Process {
    main: Main,
    lives: u32,
    life: Option<Life>,
    /// The faults that keep it down.
    down: BTreeSet<u32>,
    /// The faults that keep it frozen, with what each holds its connections by.
    frozen: BTreeMap<u32, FaultId>,
    ended: bool,
}

struct Life {
    number: u32,
    task: AbortHandle,
    /// Says so when the task is dropped, or has returned.
    over: watch::Receiver<bool>,
    bus: Arc<dyn ProcessBus>,
    gate: Arc<Gate>,
}

impl Life {
    /// Drops the task, and answers when that is done.
    async fn dropped(&mut self) {
        self.task.abort();
        // Who would say so is gone only with the runtime, and the task with it.
        let _ = self.over.wait_for(|over| *over).await;
    }
}

/// Holds a main back.
#[derive(Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, closed: bool) {
        let mut gate = self.lock();
        gate.0 = closed;
        let waker = if closed { None } else { gate.1.take() };
        drop(gate);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut gate = self.lock();
        if gate.0 {
            gate.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    async fn hold(self: Arc<Self>, mut main: BoxFuture<'static, ()>) {
        poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(()) => main.as_mut().poll(cx),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }
}

impl Clients {
    pub(super) fn new(broker: Arc<dyn Broker>, links: Arc<Links>, runtime: Handle) -> Self {
        Self(Arc::new(Shared { broker, links, runtime, processes: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.0.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process; one of this name that there was is ended.
    pub(super) fn start(&self, name: &str, main: Main) {
        self.end(name);
        let mut processes = self.lock();
        let lives = processes.get(name).map_or(0, |process| process.lives);
        let (down, frozen) = (BTreeSet::new(), BTreeMap::new());
        let mut process = Process { main, lives, life: None, down, frozen, ended: false };
        self.launch(name, &mut process);
        processes.insert(name.to_owned(), process);
    }

    fn launch(&self, name: &str, process: &mut Process) {
        let number = process.lives;
        process.lives += 1;
        let bus = self.0.broker.bus(name, number);
        let gate = Arc::new(Gate::default());
        gate.set(!process.frozen.is_empty());
        let (given, making) = (Arc::<dyn ProcessBus>::clone(&bus), Arc::clone(&process.main));
        let held = Arc::clone(&gate);
        let main = self.0.runtime.spawn(async move {
            let given: Arc<dyn Bus> = given;
            let main: BoxFuture<'static, ()> =
                Box::pin(async move { making(given, Incarnation(number)).await });
            held.hold(main).await;
        });
        let task = main.abort_handle();
        let (clients, name) = (self.clone(), name.to_owned());
        let (ended, over) = watch::channel(false);
        self.0.runtime.spawn(async move {
            // Whether it returned, panicked or was aborted: this life is over.
            let _ = main.await;
            ended.send_replace(true);
            clients.over(&name, number);
        });
        process.life = Some(Life { number, task, over, bus, gate });
    }

    fn over(&self, name: &str, number: u32) {
        if let Some(process) = self.lock().get_mut(name)
            && process.life.as_ref().is_some_and(|life| life.number == number)
            && let Some(life) = process.life.take()
        {
            self.bury(name, life);
        }
    }

    /// Ends a life without ceremony.
    fn bury(&self, name: &str, mut life: Life) {
        let aim = Aim::Life(name.to_owned(), life.number);
        self.0.links.strike(self.0.links.new_fault(), is_for_clients, &aim, &LinkFault::Refuse);
        self.0.runtime.spawn(async move {
            life.dropped().await;
            life.bus.crash();
        });
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|process| !process.ended)
    }

    pub(super) fn running(&self, name: &str) -> bool {
        let processes = self.lock();
        let running = |process: &Process| process.life.is_some() || !process.down.is_empty();
        processes.get(name).is_some_and(|process| !process.ended && running(process))
    }

    pub(super) fn end(&self, name: &str) {
        let mut processes = self.lock();
        let Some(process) = processes.get_mut(name) else { return };
        process.ended = true;
        process.frozen.values().for_each(|held| self.0.links.heal(*held, Heal::Resume));
        process.frozen.clear();
        process.down.clear();
        if let Some(life) = process.life.take() {
            self.bury(name, life);
        }
    }

    pub(super) fn end_all(&self) {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        names.iter().for_each(|name| self.end(name));
    }

    /// Crashes a process and keeps it down for a fault.
    pub(super) fn kill(&self, fault: u32, name: &str) {
        if let Some(process) = self.lock().get_mut(name) {
            process.down.insert(fault);
            if let Some(life) = process.life.take() {
                self.bury(name, life);
            }
        }
    }

    /// Stops a process in good order and keeps it down for a fault.
    pub(super) async fn stop(&self, fault: u32, name: &str) {
        let life = self.lock().get_mut(name).and_then(|process| {
            process.down.insert(fault);
            process.life.take()
        });
        if let Some(mut life) = life {
            // With the task go its handles, and a client without a handle leaves without a word.
            let _held = life.bus.hold();
            // One that never waits is not waited for.
            let _ = timeout(LEAVING_PATIENCE, life.dropped()).await;
            life.bus.stop(LEAVING_PATIENCE).await;
            self.bury(name, life);
        }
    }

    /// A fault no longer keeps a process down: it starts again if no other does and it had not returned.
    pub(super) fn revive(&self, fault: u32, name: &str) {
        let mut processes = self.lock();
        if let Some(process) = processes.get_mut(name)
            && process.down.remove(&fault)
            && process.down.is_empty()
            && process.life.is_none()
            && !process.ended
        {
            self.launch(name, process);
        }
    }

    /// Freezes a process for a fault.
    pub(super) fn freeze(&self, fault: u32, name: &str) {
        if let Some(process) = self.lock().get_mut(name) {
            let held = self.0.links.new_fault();
            if let Some(life) = &process.life {
                life.gate.set(true);
            }
            self.0.links.strike(held, is_for_clients, &Aim::Client(name.to_owned()), &LinkFault::Cut);
            process.frozen.insert(fault, held);
        }
    }

    /// A fault no longer keeps a process frozen.
    pub(super) fn thaw(&self, fault: u32, name: &str) {
        if let Some(process) = self.lock().get_mut(name)
            && let Some(held) = process.frozen.remove(&fault)
        {
            self.0.links.heal(held, Heal::Resume);
            if let Some(life) = &process.life {
                life.gate.set(!process.frozen.is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{live::broker::Look, protocol::Protocol};
    use squall_bus::{
        AckModel, Admin, Capabilities, Capability, Clock, Consumer, ConsumerConfig, Error, Producer,
        ProducerConfig,
    };
    use std::{
        any::Any,
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc::{Sender, channel},
        },
        thread,
        time::{Duration, Instant},
    };

    /// A bus that answers after a while, as one that is at work, and at once when it has crashed.
    struct Slow {
        works: Capabilities,
        closed: Capabilities,
        crashed: AtomicBool,
        asked: Sender<&'static str>,
    }

    impl Bus for Slow {
        fn capabilities(&self) -> &Capabilities {
            let _ = self.asked.send("asked");
            let end = Instant::now() + Duration::from_millis(200);
            while Instant::now() < end && !self.crashed.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            if self.crashed.load(Ordering::SeqCst) { &self.closed } else { &self.works }
        }

        fn clock(&self) -> Arc<dyn Clock> {
            unreachable!()
        }

        fn producer(&self, _: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
            unreachable!()
        }

        fn consumer(&self, _: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
            unreachable!()
        }

        fn admin(&self) -> Arc<dyn Admin> {
            unreachable!()
        }
    }

    impl ProcessBus for Slow {
        fn crash(&self) {
            self.crashed.store(true, Ordering::SeqCst);
            let _ = self.asked.send("crashed");
        }

        fn hold(&self) -> Box<dyn Any + Send> {
            let _ = self.asked.send("held");
            Box::new(())
        }

        fn stop(&self, _: Duration) -> BoxFuture<'_, ()> {
            let _ = self.asked.send("stopped");
            Box::pin(std::future::ready(()))
        }
    }

    struct OneBus(Sender<&'static str>);

    impl Broker for OneBus {
        fn bus(&self, _: &str, _: u32) -> Arc<dyn ProcessBus> {
            let with = |present: &[Capability]| Capabilities::new(AckModel::Prefix, true, present);
            let (works, closed) = (with(&[Capability::Redelivery]), with(&[]));
            Arc::new(Slow { works, closed, crashed: AtomicBool::new(false), asked: self.0.clone() })
        }

        fn admin(&self) -> Arc<dyn Admin> {
            unreachable!()
        }

        fn look(&self) -> BoxFuture<'static, Result<Look, Error>> {
            unreachable!()
        }

        fn relays(&self) -> bool {
            false
        }

        fn produce(&self) -> i16 {
            0
        }
    }

    /// Tells that it is dropped.
    struct Told(Sender<&'static str>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[test]
    fn a_main_that_never_gives_up_is_dropped_before_its_clients_crash() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let protocol: Arc<dyn Protocol> = Arc::new(crate::kafka::Kafka);
        let links = Arc::new(Links::bind(&[], &protocol).expect("no links"));
        let (tell, told) = channel();
        let clients = Clients::new(Arc::new(OneBus(tell.clone())), links, runtime.handle().clone());
        let next = || told.recv_timeout(Duration::from_secs(10)).expect("it goes on");
        for (number, stops) in [(0, false), (1, true)] {
            let tell = tell.clone();
            let main: Main = Arc::new(move |bus: Arc<dyn Bus>, _| {
                let told = Told(tell.clone());
                Box::pin(async move {
                    let _told = told;
                    let end = Instant::now() + Duration::from_secs(5);
                    // Who is told that the handle is closed asks again, at once.
                    while Instant::now() < end {
                        if bus.capabilities().has(Capability::Redelivery) {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                })
            });
            clients.start("stubborn", main);
            assert_eq!(next(), "asked");
            let mut heard = Vec::new();
            if stops {
                runtime.block_on(clients.stop(number, "stubborn"));
            } else {
                clients.kill(number, "stubborn");
            }
            while heard.last() != Some(&"crashed") {
                heard.push(next());
            }
            heard.retain(|word| *word != "asked");
            let expected: &[_] =
                if stops { &["held", "dropped", "stopped", "crashed"] } else { &["dropped", "crashed"] };
            assert_eq!(heard, expected);
        }
    }
}
