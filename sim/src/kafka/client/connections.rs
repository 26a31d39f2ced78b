//! A client's connections, one for each broker and one for the group's coordinator, and what is in flight on
//! them.
//!
//! - A connection is asked for by [`want`](Connections::want). It is up when the broker's process has answered
//!   a first request: an accepted connection alone says nothing, since a frozen broker's machine accepts.
//! - Each attempt is followed by a back-off that doubles ([`Connecting::reconnect`]); whoever still wants the
//!   connection then finds it tried again by itself. librdkafka draws the back-off when it begins to connect and draws
//!   again when that fails: after refused attempts it waits 0.2, 0.8, 3.2 and then up to 10 seconds.
//! - A response is matched to its request by its correlation id. A request that waits too long closes the
//!   connection; a connection that closes hands back everything in flight on it: nobody can tell what became of
//!   that. librdkafka looks for such requests once a second, Java at once ([`Connecting::timeout_scan`]).

use super::super::protocol::{Msg, Request, RequestBody};
use super::{Io, Timer, defaults::Connecting};
use crate::kernel::{ConnId, NodeId, Site, Ticket, mix};
use squall_bus::Time;
use std::{collections::VecDeque, time::Duration};

const RECONNECT: Site = Site::new("kafka.client.reconnect");
const SETUP: Site = Site::new("kafka.client.setup");

const A_MOMENT: Duration = Duration::from_secs(1);

/// A place for one connection: brokers by their number, then the coordinator's.
pub(crate) type Slot = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Connecting,
    /// Established; the broker's process has not answered yet.
    Greeting,
    Up,
}

/// A request that waits for its response.
#[derive(Clone, Debug)]
struct InFlight<W> {
    correlation: u32,
    deadline: Time,
    what: W,
}

#[derive(Clone, Debug)]
struct Connection<W> {
    broker: NodeId,
    conn: Option<ConnId>,
    state: State,
    wanted: bool,
    /// Attempts since the back-off was last reset, and in all.
    attempts: u32,
    /// Attempts in a row that failed before the connection was established.
    not_established: u32,
    drawn: u64,
    last_attempt: Time,
    not_before: Time,
    retry: Option<Ticket>,
    setup: Option<Ticket>,
    /// When somebody looks for requests that waited too long, and for which deadline that was set.
    scan_at: Option<(Time, Time)>,
    in_flight: VecDeque<InFlight<W>>,
}

/// A connection that is gone, with what was in flight on it.
#[derive(Debug)]
pub(crate) struct Lost<W> {
    pub(crate) slot: Slot,
    /// It had been up.
    pub(crate) was_up: bool,
    /// It was closed since a request waited too long for its response.
    pub(crate) timed_out: bool,
    pub(crate) requests: Vec<W>,
}

/// All connections of a client. `W` says what a request was for.
#[derive(Clone, Debug)]
pub(crate) struct Connections<W> {
    rules: Connecting,
    started: Time,
    correlation: u32,
    slots: Vec<Connection<W>>,
}

impl<W> Connections<W> {
    /// Connections to brokers 0 to `brokers - 1`, and one more that [`retarget`](Self::retarget) aims.
    pub(crate) fn new(brokers: u32, rules: Connecting) -> Self {
        let slots = (0..=brokers)
            .map(|slot| Connection {
                broker: NodeId(if slot == brokers { 0 } else { slot }),
                conn: None,
                state: State::Down,
                wanted: false,
                attempts: 0,
                not_established: 0,
                drawn: 0,
                last_attempt: Time::ZERO,
                not_before: Time::ZERO,
                retry: None,
                setup: None,
                scan_at: None,
                in_flight: VecDeque::new(),
            })
            .collect();
        Self { rules, started: Time::ZERO, correlation: 0, slots }
    }

    /// The grid of scans begins now.
    pub(crate) fn start(&mut self, now: Time) {
        self.started = now;
    }

    /// How many brokers there are.
    pub(crate) fn brokers(&self) -> u32 {
        self.slots.len() as u32 - 1
    }

    /// The slot for the group's coordinator.
    pub(crate) fn coordinator(&self) -> Slot {
        self.brokers()
    }

    pub(crate) fn is_up(&self, slot: Slot) -> bool {
        self.slots[slot as usize].state == State::Up
    }

    /// Whether the connection was tried, and is neither up nor on its way.
    pub(crate) fn is_unreachable(&self, slot: Slot) -> bool {
        self.is_down(slot) && self.slots[slot as usize].drawn > 0
    }

    /// Whether the connection is neither up nor on its way: its last attempt failed, or there was none.
    pub(crate) fn is_down(&self, slot: Slot) -> bool {
        self.slots[slot as usize].state == State::Down
    }

    /// Whether the connection was begun a moment ago and is not up yet.
    pub(crate) fn is_on_its_way(&self, slot: Slot, now: Time) -> bool {
        let slot = &self.slots[slot as usize];
        matches!(slot.state, State::Connecting | State::Greeting) && now.since(slot.last_attempt) < A_MOMENT
    }

    /// Whether an attempt may be made now.
    pub(crate) fn may_connect(&self, slot: Slot, now: Time) -> bool {
        let slot = &self.slots[slot as usize];
        slot.state == State::Down && slot.not_before <= now
    }

    /// Everything in flight, to look through.
    pub(crate) fn in_flight_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.slots.iter_mut().flat_map(|slot| slot.in_flight.iter_mut().map(|request| &mut request.what))
    }

    /// Asks for a connection: tries now, or when the back-off is over.
    pub(crate) fn want(&mut self, slot: Slot, io: &mut dyn Io) {
        let now = io.now();
        let connection = &mut self.slots[slot as usize];
        connection.wanted = true;
        if connection.state != State::Down || connection.retry.is_some() {
            return;
        }
        if connection.not_before > now {
            connection.retry = Some(io.timer(connection.not_before.since(now), Timer::Reconnect(slot)));
            return;
        }
        connection.last_attempt = now;
        connection.conn = Some(io.connect(connection.broker));
        connection.state = State::Connecting;
        let drawn = io.choices().draw(SETUP, entity(slot, io), connection.drawn) as u32;
        let setup = self.rules.setup.delay(connection.not_established, drawn);
        connection.setup = Some(io.timer(setup, Timer::Setup(slot)));
        if self.rules.reconnect_from_attempt {
            self.back_off(slot, io);
        }
    }

    fn back_off(&mut self, slot: Slot, io: &mut dyn Io) {
        let connection = &mut self.slots[slot as usize];
        let quiet = io.now().since(connection.not_before) > self.rules.reconnect.most;
        if self.rules.reconnect_from_attempt && quiet {
            connection.attempts = 0;
        }
        connection.drawn += 1;
        let drawn = io.choices().draw(RECONNECT, entity(slot, io), connection.drawn) as u32;
        connection.not_before = io.now() + self.rules.reconnect.delay(connection.attempts, drawn);
        connection.attempts += 1;
    }

    /// Aims the coordinator's slot at this broker; closes what was aimed elsewhere.
    pub(crate) fn retarget(&mut self, broker: NodeId, io: &mut dyn Io) -> Option<Lost<W>> {
        let slot = self.coordinator();
        let connection = &self.slots[slot as usize];
        if connection.broker == broker {
            return None;
        }
        let lost = if connection.state == State::Down { None } else { Some(self.disconnect(slot, io)) };
        let connection = &mut self.slots[slot as usize];
        connection.broker = broker;
        connection.attempts = 0;
        connection.not_before = Time::ZERO;
        if let Some(ticket) = connection.retry.take() {
            io.cancel(ticket);
        }
        lost
    }

    /// Sends a request; its response is due within `timeout`. The connection must be established.
    pub(crate) fn send(
        &mut self,
        slot: Slot,
        body: RequestBody,
        what: W,
        timeout: Duration,
        io: &mut dyn Io,
    ) {
        let Some(correlation) = self.transmit(slot, body, io) else { return };
        let deadline = io.now() + timeout;
        self.slots[slot as usize].in_flight.push_back(InFlight { correlation, deadline, what });
        self.scan_by(slot, deadline, io);
    }

    /// Sends a request that gets no response.
    pub(crate) fn send_unanswered(&mut self, slot: Slot, body: RequestBody, io: &mut dyn Io) {
        self.transmit(slot, body, io);
    }

    fn transmit(&mut self, slot: Slot, body: RequestBody, io: &mut dyn Io) -> Option<u32> {
        let conn = self.slots[slot as usize].conn?;
        self.correlation = self.correlation.wrapping_add(1);
        let request = Request { correlation: self.correlation, client: io.node(), body };
        io.send(conn, Msg::Request(request));
        Some(self.correlation)
    }

    /// Looks for requests that waited too long no later than the scan after `deadline`.
    fn scan_by(&mut self, slot: Slot, deadline: Time, io: &mut dyn Io) {
        let connection = &mut self.slots[slot as usize];
        if connection.scan_at.is_some_and(|(_, earlier)| deadline >= earlier) {
            return;
        }
        let at = next_scan(self.started, deadline, self.rules.timeout_scan);
        if connection.scan_at.is_none_or(|(armed, _)| at < armed) {
            connection.scan_at = Some((at, deadline));
            io.timer(at.since(io.now()), Timer::Requests(slot));
        }
    }

    /// A connection is established: its slot, for the greeting.
    pub(crate) fn connected(&mut self, conn: ConnId) -> Option<Slot> {
        let slot = self.slot_of(conn)?;
        let connection = &mut self.slots[slot as usize];
        if connection.state != State::Connecting {
            return None;
        }
        connection.state = State::Greeting;
        connection.not_established = 0;
        Some(slot)
    }

    /// The broker's process has answered: the connection is up.
    pub(crate) fn greeted(&mut self, slot: Slot, io: &mut dyn Io) {
        let connection = &mut self.slots[slot as usize];
        connection.state = State::Up;
        if !self.rules.reconnect_from_attempt {
            connection.attempts = 0;
        }
        if let Some(ticket) = connection.setup.take() {
            io.cancel(ticket);
        }
    }

    /// A response: its slot and what it answers, if somebody still waits for it.
    pub(crate) fn answered(&mut self, conn: ConnId, correlation: u32) -> Option<(Slot, W)> {
        let slot = self.slot_of(conn)?;
        let in_flight = &mut self.slots[slot as usize].in_flight;
        let place = in_flight.iter().position(|request| request.correlation == correlation)?;
        in_flight.remove(place).map(|request| (slot, request.what))
    }

    /// The other side closed or refused the connection.
    pub(crate) fn closed(&mut self, conn: ConnId, io: &mut dyn Io) -> Option<Lost<W>> {
        let slot = self.slot_of(conn)?;
        Some(self.ended(slot, io))
    }

    /// Closes a connection from this side.
    pub(crate) fn disconnect(&mut self, slot: Slot, io: &mut dyn Io) -> Lost<W> {
        if let Some(conn) = self.slots[slot as usize].conn {
            io.close(conn);
        }
        self.ended(slot, io)
    }

    fn ended(&mut self, slot: Slot, io: &mut dyn Io) -> Lost<W> {
        let connection = &mut self.slots[slot as usize];
        let was_up = connection.state == State::Up;
        connection.not_established += u32::from(connection.state == State::Connecting);
        let failed = matches!(connection.state, State::Connecting | State::Greeting);
        connection.conn = None;
        connection.state = State::Down;
        connection.wanted = false;
        if let Some(ticket) = connection.setup.take() {
            io.cancel(ticket);
        }
        let requests = connection.in_flight.drain(..).map(|request| request.what).collect();
        if failed || !self.rules.reconnect_from_attempt {
            self.back_off(slot, io);
        }
        Lost { slot, was_up, timed_out: false, requests }
    }

    /// The back-off is over.
    pub(crate) fn reconnect(&mut self, slot: Slot, io: &mut dyn Io) {
        let connection = &mut self.slots[slot as usize];
        connection.retry = None;
        if connection.wanted {
            self.want(slot, io);
        }
    }

    /// The time to set up a connection is over.
    pub(crate) fn setup_over(&mut self, slot: Slot, io: &mut dyn Io) -> Option<Lost<W>> {
        let connection = &mut self.slots[slot as usize];
        connection.setup = None;
        let over = match connection.state {
            State::Connecting => true,
            State::Greeting => self.rules.setup_includes_greeting,
            State::Down | State::Up => false,
        };
        over.then(|| self.disconnect(slot, io))
    }

    /// Time to look for requests that waited too long.
    pub(crate) fn scan(&mut self, slot: Slot, io: &mut dyn Io) -> Option<Lost<W>> {
        let now = io.now();
        let connection = &mut self.slots[slot as usize];
        if connection.scan_at.is_some_and(|(at, _)| at > now) {
            return None;
        }
        connection.scan_at = None;
        let first = connection.in_flight.iter().map(|request| request.deadline).min()?;
        if first <= now {
            return Some(Lost { timed_out: true, ..self.disconnect(slot, io) });
        }
        self.scan_by(slot, first, io);
        None
    }

    fn slot_of(&self, conn: ConnId) -> Option<Slot> {
        self.slots.iter().position(|slot| slot.conn == Some(conn)).map(|slot| slot as Slot)
    }
}

/// What choices about a slot are drawn by.
fn entity(slot: Slot, io: &dyn Io) -> u64 {
    mix(u64::from(io.node().0), u64::from(slot))
}

/// The first moment of a grid at or after `at`; `at` itself without a grid.
pub(crate) fn next_scan(start: Time, at: Time, every: Duration) -> Time {
    let every = every.as_nanos() as u64;
    match at.since(start).as_nanos() as u64 {
        since if every > 0 => start + Duration::from_nanos(since.div_ceil(every) * every),
        _ => at,
    }
}
