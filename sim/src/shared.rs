//! The simulated world as the async side shares it: a world behind a lock, and who waits for what in it.

use crate::{
    kernel::{AlarmId, NodeId, Ticket, World},
    model::{BusModel, Call, Note, OpId, Output, digest_of_send},
    nemesis::Nemesis,
    runtime::{Broken, Engine},
    sends::{Asked, Sends},
};
use spin::{
    Yield,
    mutex::{SpinMutex, SpinMutexGuard},
};
use squall_bus::{Ack, Completer, Error, Keeper, Look, Outcome, Pending, Record, Time};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Wake, Waker},
    time::Duration,
};

/// Stands for a time that has to be asked of the host's clock.
const ASK: u64 = u64::MAX;

/// The grain of tokio's timers.
const HOST_GRAIN: Duration = Duration::from_millis(1);

/// Room that is made for slots at first.
pub(crate) const SLOTS: usize = 64;

/// What an operation answers to.
enum Waiter {
    /// A send, by its number among the sends.
    Sent(NodeId, u32),
    Done(NodeId, Completer<Outcome<()>>),
    Closed(Completer<()>),
}

/// Slots with generations: an operation that answers twice, or too late, answers nobody.
struct Slots<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    #[inline]
    fn insert(&mut self, value: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            if self.slots.is_empty() {
                self.slots.reserve(SLOTS);
                self.free.reserve(SLOTS);
            }
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.1 = Some(value);
        u64::from(slot.0) << 32 | u64::from(index)
    }

    fn take(&mut self, id: u64) -> Option<T> {
        let (index, generation) = (id as u32, (id >> 32) as u32);
        let slot = self.slots.get_mut(index as usize)?;
        if slot.0 != generation {
            return None;
        }
        let value = slot.1.take()?;
        slot.0 += 1;
        self.free.push(index);
        Some(value)
    }

    fn take_if(&mut self, pick: impl Fn(&T) -> bool) -> Vec<T> {
        let picked = |(index, slot): (usize, &(u32, Option<T>))| {
            let value = slot.1.as_ref()?;
            pick(value).then_some(u64::from(slot.0) << 32 | index as u64)
        };
        let ids: Vec<u64> = self.slots.iter().enumerate().filter_map(picked).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(id as u32 as usize)?;
        if slot.0 == (id >> 32) as u32 { slot.1.as_mut() } else { None }
    }
}

/// Who waits at a client's node.
#[derive(Default)]
struct ClientWaiters {
    room: Vec<Waker>,
    readable: Vec<Waker>,
    eventful: Vec<Waker>,
    flushed: Vec<Waker>,
    outstanding: u32,
}

/// An alarm of the async side: who to wake, and whether it rang.
#[derive(Default)]
struct Alarm {
    waker: Option<Waker>,
    ticket: Option<Ticket>,
    rang: bool,
}

/// A world and who waits for what in it.
pub(crate) struct State<M: BusModel> {
    pub(crate) world: World<M>,
    /// The host's clock, where the host has timers of its own.
    host_now: Option<Arc<dyn Fn() -> Time + Send + Sync>>,
    ops: Slots<Waiter>,
    sends: Sends,
    alarms: Slots<Alarm>,
    clients: Vec<ClientWaiters>,
    notes: Vec<(Time, Note)>,
    pub(crate) nemesis: Nemesis,
}

impl<M: BusModel> State<M> {
    /// Lets true time catch up with the host's before something from outside happens. What is less than the grain
    /// of the host's timers is left: an event of ours may have woken who acts, in the middle of a grain.
    #[inline]
    pub(crate) fn catch_up(&mut self) {
        if let Some(host_now) = &self.host_now {
            let now = host_now();
            if now.since(self.world.now()) > HOST_GRAIN {
                self.world.advance_to(now);
            }
        }
    }

    fn client(&mut self, node: NodeId) -> &mut ClientWaiters {
        waiters_at(&mut self.clients, node)
    }

    /// Hands a record to a producer: what [`World::call`] does with a [`Call::Send`], without the call. The number of
    /// the send.
    pub(crate) fn send(&mut self, node: NodeId, record: Record) -> u32 {
        let number = self.sends.begin();
        self.client(node).outstanding += 1;
        let op = OpId(self.ops.insert(Waiter::Sent(node, number)));
        let digest = digest_of_send(op, &record);
        let told = |record: &Record| format!("{:?}", Call::Send(op, record.clone()));
        self.world.call_by(node, record, digest, told, |model, node, record, ctx| {
            model.send(node, op, record, ctx);
        });
        number
    }

    pub(crate) fn begin(&mut self, node: NodeId) -> (OpId, Pending<Outcome<()>>) {
        let (completer, pending) = Pending::pair();
        (OpId(self.ops.insert(Waiter::Done(node, completer))), pending)
    }

    pub(crate) fn begin_close(&mut self) -> (OpId, Pending<()>) {
        let (completer, pending) = Pending::pair();
        (OpId(self.ops.insert(Waiter::Closed(completer))), pending)
    }

    pub(crate) fn outstanding(&mut self, node: NodeId) -> u32 {
        self.client(node).outstanding
    }

    pub(crate) fn wait_for_room(&mut self, node: NodeId, waker: &Waker) {
        push(&mut self.client(node).room, waker);
    }

    pub(crate) fn wait_for_record(&mut self, node: NodeId, waker: &Waker) {
        push(&mut self.client(node).readable, waker);
    }

    pub(crate) fn wait_for_event(&mut self, node: NodeId, waker: &Waker) {
        push(&mut self.client(node).eventful, waker);
    }

    pub(crate) fn wait_for_flush(&mut self, node: NodeId, waker: &Waker) {
        push(&mut self.client(node).flushed, waker);
    }

    /// The client is gone: whoever waits at it finds out, and what it had under way stays unknown.
    pub(crate) fn abandon(&mut self, node: NodeId, wakers: &mut Vec<Waker>) {
        let gone = |waiter: &Waiter| matches!(waiter, Waiter::Sent(n, _) | Waiter::Done(n, _) if *n == node);
        for waiter in self.ops.take_if(gone) {
            match waiter {
                Waiter::Sent(_, number) => {
                    wakers.extend(self.sends.done(number, Outcome::Unknown(Error::closed(), None)));
                }
                Waiter::Done(_, completer) => {
                    wakers.extend(completer.complete(Outcome::Unknown(Error::closed(), None)));
                }
                Waiter::Closed(_) => {}
            }
        }
        let client = std::mem::take(self.client(node));
        wakers.extend(client.room);
        wakers.extend(client.readable);
        wakers.extend(client.eventful);
        wakers.extend(client.flushed);
    }

    pub(crate) fn set_alarm(&mut self, at: Time) -> u64 {
        let alarm = self.alarms.insert(Alarm::default());
        let ticket = self.world.alarm(at, AlarmId(alarm));
        if let Some(slot) = self.alarms.get_mut(alarm) {
            slot.ticket = Some(ticket);
        }
        alarm
    }

    /// Whether the alarm rang; if not, wakes this waker when it does.
    pub(crate) fn poll_alarm(&mut self, alarm: u64, waker: &Waker) -> bool {
        let Some(slot) = self.alarms.get_mut(alarm) else { return true };
        if !slot.rang {
            slot.waker = Some(waker.clone());
        }
        slot.rang
    }

    pub(crate) fn drop_alarm(&mut self, alarm: u64) {
        if let Some(Alarm { ticket: Some(ticket), rang: false, .. }) = self.alarms.take(alarm) {
            self.world.cancel(ticket);
        }
    }

    /// What happened in the cluster since the last time, with true times.
    pub(crate) fn take_notes(&mut self) -> Vec<(Time, Note)> {
        std::mem::take(&mut self.notes)
    }

    /// Processes events, at most up to `limit`, until somebody is to be woken.
    fn run_until(
        &mut self,
        limit: Time,
        max_events: u64,
        wakers: &mut Vec<Waker>,
    ) -> Result<Option<Time>, Broken> {
        loop {
            // Without a limit nobody need know when the next event is before it is there.
            if limit < Time::MAX {
                let Some(next) = self.world.next_time() else { return Ok(None) };
                if next > limit {
                    return Ok(Some(next));
                }
            }
            if !self.world.step() {
                return Ok(None);
            }
            self.settle(wakers);
            if let Some(violation) = self.world.violation() {
                return Err(Broken::Invariant(violation.clone()));
            }
            if self.world.trace().events() > max_events {
                return Err(Broken::TooManyEvents { events: max_events, at: self.world.now() });
            }
            if !wakers.is_empty() {
                return Ok(Some(self.world.now()));
            }
        }
    }

    /// Hands the model's outputs to whoever waits for them.
    #[inline]
    pub(crate) fn settle(&mut self, wakers: &mut Vec<Waker>) {
        if !self.world.has_told_nothing() {
            self.hand_out(wakers);
        }
    }

    fn hand_out(&mut self, wakers: &mut Vec<Waker>) {
        let now = self.world.now();
        let Self { world, ops, sends, alarms, clients, notes, .. } = self;
        for output in world.take_outputs() {
            match output {
                Output::Sent(op, outcome) => {
                    let done = |number| sends.done(number, outcome);
                    sent(ops, clients, op, done, wakers);
                }
                Output::Acked(acked) => {
                    for (op, outcome) in acked.outcomes() {
                        sent(ops, clients, op, |number| sends.done(number, outcome), wakers);
                    }
                }
                Output::Done(op, outcome) => match ops.take(op.0) {
                    Some(Waiter::Done(_, completer)) => wakers.extend(completer.complete(outcome)),
                    Some(Waiter::Closed(completer)) => wakers.extend(completer.complete(())),
                    Some(Waiter::Sent(..)) | None => {}
                },
                Output::Room(node) => wakers.append(&mut waiters_at(clients, node).room),
                Output::Readable(node) => wakers.append(&mut waiters_at(clients, node).readable),
                Output::Eventful(node) => {
                    let client = waiters_at(clients, node);
                    // Who waits for records and takes no events has to ask again: that is how a client learns that
                    // its caller does not mind a rebalance.
                    let waiting =
                        if client.eventful.is_empty() { &mut client.readable } else { &mut client.eventful };
                    wakers.append(waiting);
                }
                Output::Note(note) => notes.push((now, note)),
            }
        }
        for AlarmId(alarm) in world.take_alarms() {
            if let Some(slot) = alarms.get_mut(alarm) {
                slot.rang = true;
                wakers.extend(slot.waker.take());
            }
        }
    }
}

/// A send has its outcome.
#[inline]
fn sent(
    ops: &mut Slots<Waiter>,
    clients: &mut Vec<ClientWaiters>,
    op: OpId,
    done: impl FnOnce(u32) -> Option<Waker>,
    wakers: &mut Vec<Waker>,
) {
    let Some(Waiter::Sent(node, number)) = ops.take(op.0) else { return };
    if let Some(waker) = done(number) {
        wakers.push(waker);
    }
    let client = waiters_at(clients, node);
    client.outstanding = client.outstanding.saturating_sub(1);
    if client.outstanding == 0 {
        wakers.append(&mut client.flushed);
    }
}

/// Who waits at this client.
#[inline]
fn waiters_at(clients: &mut Vec<ClientWaiters>, node: NodeId) -> &mut ClientWaiters {
    if node.index() >= clients.len() {
        clients.resize_with(node.index() + 1, ClientWaiters::default);
    }
    &mut clients[node.index()]
}

fn push(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// A simulated world, shared by everything that runs in it. Cheap to clone.
pub(crate) struct Shared<M: BusModel>(Arc<Inside<M>>);

/// A world that nobody else has for as long. Who runs in it asks many times for each record, and mostly on one thread: the
/// lock is one that is let go of with a plain store, and who finds it taken yields.
pub(crate) type Locked<'a, M> = SpinMutexGuard<'a, State<M>, Yield>;

struct Inside<M: BusModel> {
    state: SpinMutex<State<M>, Yield>,
    /// True time, or [`ASK`]: everything that is written down has a time, which is read here without the lock.
    shown: AtomicU64,
}

impl<M: BusModel> Inside<M> {
    #[inline]
    fn lock(&self) -> Locked<'_, M> {
        self.state.lock()
    }
}

/// Wakers and looks are let go of when the world is no longer locked: they may hold handles.
impl<M: BusModel> Keeper<Outcome<Ack>> for Inside<M> {
    fn poll(&self, number: u32, waker: &Waker) -> Poll<Outcome<Ack>> {
        let mut state = self.lock();
        if let Some(outcome) = state.sends.take(number) {
            return Poll::Ready(outcome);
        }
        let (asked, _replaced) = state.sends.ask(number, waker);
        drop(state);
        match asked {
            Asked::NotYet => Poll::Pending,
            Asked::Here(outcome) => Poll::Ready(outcome),
            Asked::Look(shown) => Poll::Ready(shown.show()),
        }
    }

    fn seen_by(self: Arc<Self>, number: u32, look: Look<Outcome<Ack>>) {
        let inside = Arc::downgrade(&self);
        let shower = |generation| Waker::from(Arc::new(Shower { inside, number, generation }));
        let shown = self.lock().sends.look(number, look, shower);
        if let Some(shown) = shown {
            let _ = shown.show();
        }
    }

    fn forget(&self, number: u32) {
        let _waiter = self.lock().sends.forget(number);
    }
}

/// Shows the outcome of a send to who looks at it, then wakes who waits for it.
struct Shower<M: BusModel> {
    inside: Weak<Inside<M>>,
    number: u32,
    generation: u32,
}

impl<M: BusModel> Wake for Shower<M> {
    fn wake(self: Arc<Self>) {
        let Some(inside) = self.inside.upgrade() else { return };
        let (shown, waiter) = inside.lock().sends.show(self.number, self.generation);
        if let Some(shown) = shown {
            let _ = shown.show();
        }
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<M: BusModel> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: BusModel> Shared<M> {
    pub(crate) fn new(world: World<M>) -> Self {
        let shown = AtomicU64::new(world.now().0);
        let state = State {
            world,
            host_now: None,
            ops: Slots::new(),
            sends: Sends::default(),
            alarms: Slots::new(),
            clients: Vec::new(),
            notes: Vec::new(),
            nemesis: Nemesis::default(),
        };
        Self(Arc::new(Inside { state: SpinMutex::new(state), shown }))
    }

    /// The state, as it is.
    pub(crate) fn lock(&self) -> Locked<'_, M> {
        self.0.lock()
    }

    /// Where the outcomes of sends are kept.
    pub(crate) fn keeper(&self) -> Arc<dyn Keeper<Outcome<Ack>>> {
        Arc::clone(&self.0) as _
    }

    /// True time, by the host's clock if it has one of its own.
    pub(crate) fn now(&self) -> Time {
        let shown = self.0.shown.load(Ordering::Relaxed);
        if shown == ASK { self.act(|state| state.world.now()) } else { Time(shown) }
    }

    /// Shows the time outside, unless the host's clock has to be asked for it.
    fn show(&self, state: &State<M>) {
        let shown = if state.host_now.is_some() { ASK } else { state.world.now().0 };
        self.0.shown.store(shown, Ordering::Relaxed);
    }

    /// Does something from outside to the world, now by the host's clock, and wakes whom it concerns.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut State<M>) -> R) -> R {
        let mut state = self.enter();
        let result = act(&mut state);
        self.leave(state);
        result
    }

    /// The state, now by the host's clock: for who does something to the world, and then [leaves](Self::leave).
    #[inline]
    pub(crate) fn enter(&self) -> Locked<'_, M> {
        let mut state = self.lock();
        state.catch_up();
        state
    }

    /// Wakes whom it concerns what was done to the world.
    #[inline]
    pub(crate) fn leave(&self, state: Locked<'_, M>) {
        self.show(&state);
        if !state.world.has_told_nothing() {
            Self::wake(state);
        }
    }

    fn wake(mut state: Locked<'_, M>) {
        let mut wakers = Vec::new();
        state.hand_out(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<M: BusModel> Engine for Shared<M> {
    fn set_host_clock(&self, host_now: Option<Arc<dyn Fn() -> Time + Send + Sync>>) {
        let mut state = self.lock();
        state.host_now = host_now;
        self.show(&state);
    }

    fn run_until(
        &self,
        limit: Time,
        max_events: u64,
        wakers: &mut Vec<Waker>,
    ) -> Result<Option<Time>, Broken> {
        let mut state = self.lock();
        let reached = state.run_until(limit, max_events, wakers);
        self.show(&state);
        reached
    }
}
