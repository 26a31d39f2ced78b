//! The bus traits over a simulated world: handles of one client process.
//!
//! Every producer and consumer is a node of its own in the world. A handle acts only while its incarnation
//! lives; dropping the last handle of a client without closing it ends its node as a crash would.

use crate::{
    kernel::NodeId,
    model::{BusModel, Call, Few, TxnCall},
    runtime::ProcLife,
    shared::Shared,
};
use squall_bus::{
    Admin, BoxFuture, Bus, Capabilities, Capability, Clock, Consumer, ConsumerConfig, ConsumerEvent,
    Delivery, Error, ErrorClass, Outcome, Pending, Position, Producer, ProducerConfig, Record, Sending,
    Sleep, Time, Topic, TopicSpec, TopicState, Transaction, Unit,
};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The client nodes of one process.
pub(crate) type ClientNodes = Arc<Mutex<Vec<NodeId>>>;

/// The bus of one incarnation of one process; of the harness itself without a `life`.
pub(crate) struct SimBus<M: BusModel> {
    shared: Shared<M>,
    process: Arc<str>,
    life: Option<Arc<ProcLife>>,
    nodes: ClientNodes,
    capabilities: Capabilities,
}

impl<M: BusModel> SimBus<M> {
    pub(crate) fn new(
        shared: Shared<M>,
        process: &str,
        life: Option<Arc<ProcLife>>,
        nodes: ClientNodes,
    ) -> Self {
        let capabilities = shared.lock().world.model().capabilities().clone();
        Self { shared, process: Arc::from(process), life, nodes, capabilities }
    }

    /// Adds a client's node, puts its state machine there and boots it.
    fn open(
        &self,
        client: &str,
        install: impl FnOnce(&mut M, NodeId) -> Result<(), Error>,
    ) -> Result<Arc<Client<M>>, Error> {
        check_alive(self.life.as_deref())?;
        let node = self.shared.act(|state| {
            let node = state.world.add_node(client);
            install(state.world.model_mut(), node)?;
            let mut nemesis = std::mem::take(&mut state.nemesis);
            nemesis.joined(&mut state.world, node, &self.process);
            state.nemesis = nemesis;
            // At once: a call to a process that is not there yet would be lost.
            state.world.start_at_once(node);
            Ok(node)
        })?;
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node);
        Ok(Arc::new(Client {
            shared: self.shared.clone(),
            node,
            life: self.life.clone(),
            capabilities: self.capabilities.clone(),
        }))
    }
}

fn check_alive(life: Option<&ProcLife>) -> Result<(), Error> {
    if life.is_none_or(ProcLife::is_alive) { Ok(()) } else { Err(Error::closed()) }
}

impl<M: BusModel> Bus for SimBus<M> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SimClock { shared: self.shared.clone(), life: self.life.clone() })
    }

    fn producer(&self, config: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
        let client = config.client.clone();
        let transactional = config.transactional_id.is_some();
        let client = self.open(&client, |model, node| model.open_producer(node, config))?;
        Ok(Arc::new(SimProducer { client, peers: Arc::clone(&self.nodes), transactional }))
    }

    fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
        let client = config.client.clone();
        Ok(Arc::new(SimConsumer(self.open(&client, |model, node| model.open_consumer(node, config))?)))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(SimAdmin(self.shared.clone()))
    }
}

/// One client's node, for as long as somebody holds a handle to it.
struct Client<M: BusModel> {
    shared: Shared<M>,
    node: NodeId,
    life: Option<Arc<ProcLife>>,
    capabilities: Capabilities,
}

impl<M: BusModel> Client<M> {
    fn check(&self) -> Result<(), Error> {
        check_alive(self.life.as_deref())
    }

    fn call(&self, call: Call) {
        self.shared.act(|state| state.world.call(self.node, call));
    }

    /// Makes a call that answers with an outcome.
    fn ask(&self, call: impl FnOnce(crate::model::OpId) -> Call) -> Pending<Outcome<()>> {
        if let Err(error) = self.check() {
            return Pending::done(Outcome::Fail(error));
        }
        self.shared.act(|state| {
            let (op, pending) = state.begin(self.node);
            state.world.call(self.node, call(op));
            pending
        })
    }

    fn ask_if(
        &self,
        capability: Capability,
        call: impl FnOnce(crate::model::OpId) -> Call,
    ) -> Pending<Outcome<()>> {
        if self.capabilities.has(capability) {
            self.ask(call)
        } else {
            Pending::done(Outcome::Fail(Error::unsupported(capability)))
        }
    }
}

impl<M: BusModel> Drop for Client<M> {
    fn drop(&mut self) {
        let leaving = self.life.as_ref().is_some_and(|life| life.is_leaving());
        let mut wakers = Vec::new();
        {
            let mut state = self.shared.lock();
            state.catch_up();
            if !leaving {
                state.world.kill(self.node);
            }
            state.abandon(self.node, &mut wakers);
            state.settle(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Why a record is refused that was sent without room.
fn full() -> Error {
    let message = "the producer's buffer is full: await ready() before send()";
    Error::new(ErrorClass::Retriable, "_QUEUE_FULL", message)
}

struct SimProducer<M: BusModel> {
    client: Arc<Client<M>>,
    /// The clients of its process.
    peers: ClientNodes,
    transactional: bool,
}

impl<M: BusModel> Producer for SimProducer<M> {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Err(error) = self.client.check() {
            return Poll::Ready(Err(error));
        }
        let mut state = self.client.shared.lock();
        if state.world.model().takes_records(self.client.node) {
            return Poll::Ready(Ok(()));
        }
        match state.world.model().has_room(self.client.node) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                state.wait_for_room(self.client.node, cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn send(&self, record: Record) -> Sending {
        if let Err(error) = self.client.check() {
            return Pending::done(Outcome::Fail(error));
        }
        let (shared, node) = (&self.client.shared, self.client.node);
        let mut state = shared.enter();
        if !state.world.model().takes_records(node) {
            return Pending::done(Outcome::Fail(
                state.world.model().has_room(node).err().unwrap_or_else(full),
            ));
        }
        let number = state.send(node, record);
        shared.leave(state);
        Pending::kept(shared.keeper(), number)
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        if self.client.check().is_ok() {
            self.client.call(Call::Flush);
        }
        Box::pin(std::future::poll_fn(|cx| {
            if let Err(error) = self.client.check() {
                return Poll::Ready(Err(error));
            }
            let mut state = self.client.shared.lock();
            if state.outstanding(self.client.node) == 0 {
                return Poll::Ready(Ok(()));
            }
            state.wait_for_flush(self.client.node, cx.waker());
            Poll::Pending
        }))
    }

    fn transaction(&self) -> Result<&dyn Transaction, Error> {
        if !self.client.capabilities.has(Capability::Transactions) {
            return Err(Error::unsupported(Capability::Transactions));
        }
        if self.transactional { Ok(self) } else { Err(Error::not_transactional()) }
    }
}

impl<M: BusModel> SimProducer<M> {
    fn step(&self, call: TxnCall) -> Pending<Outcome<()>> {
        self.client.ask(|op| Call::Txn(op, call))
    }

    fn plain(&self, call: TxnCall) -> BoxFuture<'_, Result<(), Error>> {
        let step = self.step(call);
        Box::pin(async move {
            match step.await {
                Outcome::Ok(()) => Ok(()),
                Outcome::Fail(error) | Outcome::Unknown(error, _) => Err(error),
            }
        })
    }
}

impl<M: BusModel> Transaction for SimProducer<M> {
    fn init(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.plain(TxnCall::Init)
    }

    fn begin(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.plain(TxnCall::Begin)
    }

    fn send_positions(&self, group: &str, positions: Vec<(Unit, Position)>) -> BoxFuture<'_, Outcome<()>> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(self.step(TxnCall::Positions { group: group.to_owned(), positions, peers }))
    }

    fn commit(&self) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(self.step(TxnCall::Commit))
    }

    fn abort(&self) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(self.step(TxnCall::Abort))
    }
}

struct SimConsumer<M: BusModel>(Arc<Client<M>>);

impl<M: BusModel> Consumer for SimConsumer<M> {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        if let Err(error) = self.0.check() {
            return Poll::Ready(Err(error));
        }
        let node = self.0.node;
        let mut state = self.0.shared.enter();
        let polled = state.world.enter(node, |model, ctx| model.take_record(node, ctx));
        if polled.is_pending() {
            state.wait_for_record(node, cx.waker());
        }
        self.0.shared.leave(state);
        polled
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        if let Err(error) = self.0.check() {
            return Poll::Ready(ConsumerEvent::Error(error));
        }
        let node = self.0.node;
        self.0.shared.act(|state| match state.world.enter(node, |model, ctx| model.take_event(node, ctx)) {
            Some(event) => Poll::Ready(event),
            None => {
                state.wait_for_event(node, cx.waker());
                Poll::Pending
            }
        })
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        match self.0.capabilities.ack_model {
            squall_bus::AckModel::Individual => self.0.ask(|op| Call::Ack(op, delivery.tag)),
            squall_bus::AckModel::Prefix => {
                let behind = Few::from([(delivery.unit.clone(), delivery.position.next())]);
                self.0.ask(|op| Call::Commit(op, behind))
            }
        }
    }

    fn nack(&self, delivery: &Delivery, delay: Duration) -> Pending<Outcome<()>> {
        self.0.ask_if(Capability::Redelivery, |op| Call::Nack(op, delivery.tag, delay))
    }

    fn term(&self, delivery: &Delivery, _reason: &str) -> Pending<Outcome<()>> {
        self.0.ask_if(Capability::Redelivery, |op| Call::Term(op, delivery.tag))
    }

    fn extend(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.0.ask_if(Capability::Redelivery, |op| Call::Extend(op, delivery.tag))
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        self.0.ask(|op| Call::Commit(op, positions.into()))
    }

    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error> {
        self.0.check()?;
        self.0.call(Call::Seek(unit.clone(), position));
        Ok(())
    }

    fn close(&self) -> Pending<()> {
        if self.0.check().is_err() {
            return Pending::done(());
        }
        self.0.shared.act(|state| {
            let (op, pending) = state.begin_close();
            state.world.call(self.0.node, Call::Close(op));
            pending
        })
    }
}

/// The administrator asks the model directly: no fault touches it, and its answers are true at once.
pub(crate) struct SimAdmin<M: BusModel>(pub(crate) Shared<M>);

impl<M: BusModel> Admin for SimAdmin<M> {
    fn create_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), Error>> {
        let result = self.0.act(|state| {
            let choices = state.world.choices().clone();
            topics.iter().try_for_each(|topic| state.world.model_mut().create_topic(topic, &choices))
        });
        Box::pin(std::future::ready(result))
    }

    fn delete_topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(self.change(|model| model.delete_topic(topic))))
    }

    fn create_partitions<'a>(&'a self, topic: &'a Topic, count: u32) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(self.change(|model| model.create_partitions(topic, count))))
    }

    fn alter_topic<'a>(
        &'a self,
        topic: &'a Topic,
        config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(self.change(|model| model.alter_topic(topic, config))))
    }

    fn delete_records<'a>(
        &'a self,
        unit: &'a Unit,
        upto: Option<Position>,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        Box::pin(std::future::ready(self.change(|model| model.delete_records(unit, upto))))
    }

    fn describe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Vec<TopicState>, Error>> {
        Box::pin(std::future::ready(self.0.lock().world.model().describe(topic)))
    }

    fn bounds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<(Position, Position), Error>> {
        Box::pin(std::future::ready(self.0.lock().world.model().bounds(unit)))
    }

    fn stable<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Option<Position>, Error>> {
        Box::pin(std::future::ready(self.0.lock().world.model().stable(unit)))
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        unit: &'a Unit,
    ) -> BoxFuture<'a, Result<Option<Position>, Error>> {
        Box::pin(std::future::ready(self.0.lock().world.model().committed(group, unit)))
    }

    fn coordinator<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Option<u32>, Error>> {
        let role = squall_bus::Role::Coordinator(group.to_owned());
        Box::pin(std::future::ready(Ok(self.one(&role))))
    }

    fn controller(&self) -> BoxFuture<'_, Result<Option<u32>, Error>> {
        Box::pin(std::future::ready(Ok(self.one(&squall_bus::Role::Controller))))
    }
}

impl<M: BusModel> SimAdmin<M> {
    fn change<T>(&self, change: impl FnOnce(&mut M) -> Result<T, Error>) -> Result<T, Error> {
        self.0.act(|state| change(state.world.model_mut()))
    }

    fn one(&self, role: &squall_bus::Role) -> Option<u32> {
        self.0.lock().world.model().resolve(role).first().map(|node| node.0 + 1)
    }
}

/// True time, for as long as the incarnation lives.
pub(crate) struct SimClock<M: BusModel> {
    pub(crate) shared: Shared<M>,
    pub(crate) life: Option<Arc<ProcLife>>,
}

impl<M: BusModel> Clock for SimClock<M> {
    fn now(&self) -> Time {
        self.shared.now()
    }

    fn sleep_until(&self, until: Time) -> Sleep {
        if check_alive(self.life.as_deref()).is_err() {
            return Box::pin(std::future::pending());
        }
        let alarm = self.shared.act(|state| state.set_alarm(until));
        Box::pin(SimSleep { shared: self.shared.clone(), alarm })
    }
}

struct SimSleep<M: BusModel> {
    shared: Shared<M>,
    alarm: u64,
}

impl<M: BusModel> Future for SimSleep<M> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.lock().poll_alarm(self.alarm, cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<M: BusModel> Drop for SimSleep<M> {
    fn drop(&mut self) {
        self.shared.lock().drop_alarm(self.alarm);
    }
}
