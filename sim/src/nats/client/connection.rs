//! The connection of a client: to one server at a time, for ever.
//!
//! - The pool is every server. Each round goes through it once, shuffled, servers with fewer failures first; before
//!   attempt n since the last success it waits 0, 0... as [`settings::reconnect_delay`] says.
//! - A server presents itself with INFO; the client answers with CONNECT and PING, and is connected with the PONG.
//!   A setup that takes longer than five seconds is given up.
//! - After a minute without a word from the server the client pings, and again each minute; when a third ping
//!   would be without its answer, it gives the connection up. So a client of a frozen server stays with it for
//!   three minutes.
//! - What is sent while there is no connection waits in a queue of 2,048 commands; what was sent on a connection
//!   that broke is lost, or not, and nobody says so.

use super::{
    Io, Timer,
    settings::{COMMANDS, CONNECT_TIMEOUT, MAX_PENDING_PINGS, PING_INTERVAL, reconnect_delay},
};
use crate::{
    kernel::{ConnId, Event, NodeId, Site, mix},
    nats::protocol::{ClientMsg, Msg, ServerMsg},
};
use squall_bus::Time;
use std::collections::VecDeque;

const POOL: Site = Site::new("nats.client.server-pool");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not begun, or over.
    Idle,
    /// Waits before it dials.
    Waiting,
    Connecting,
    /// Connected; the server has not presented itself, or not answered.
    Greeting,
    Up,
}

/// What an event meant.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Nothing that the client need know.
    Nothing,
    /// The connection is up; `again` if it was before.
    Up { again: bool },
    /// The connection broke.
    Down,
    /// The server says something.
    Said(ServerMsg),
}

/// A client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Failures by server since it was last connected.
    failures: Vec<u32>,
    /// The rest of the round.
    round: VecDeque<NodeId>,
    rounds: u64,
    /// Attempts since the last success.
    attempts: u32,
    /// Attempts in all: names the timers.
    dialled: u32,
    server: NodeId,
    conn: Option<ConnId>,
    state: State,
    was_up: bool,
    pending_pings: u32,
    heard: Time,
    queue: VecDeque<ClientMsg>,
}

impl Connection {
    pub(crate) fn new(servers: u32) -> Self {
        Self {
            failures: vec![0; servers as usize],
            round: VecDeque::new(),
            rounds: 0,
            attempts: 0,
            dialled: 0,
            server: NodeId(0),
            conn: None,
            state: State::Idle,
            was_up: false,
            pending_pings: 0,
            heard: Time::ZERO,
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn start(&mut self, io: &mut dyn Io) {
        self.next(io);
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether the queue takes one more command.
    pub(crate) fn has_room(&self) -> bool {
        self.state == State::Up || self.queue.len() < COMMANDS
    }

    /// Sends now, or when there is a connection.
    pub(crate) fn send(&mut self, message: ClientMsg, io: &mut dyn Io) {
        match (self.state, self.conn) {
            (State::Up, Some(conn)) => io.send(conn, Msg::Client(message)),
            _ => self.queue.push_back(message),
        }
    }

    /// The next attempt, after its delay.
    fn next(&mut self, io: &mut dyn Io) {
        if self.round.is_empty() {
            self.shuffle(io);
        }
        let Some(server) = self.round.pop_front() else { return };
        self.server = server;
        self.attempts += 1;
        self.dialled += 1;
        self.state = State::Waiting;
        let delay = reconnect_delay(self.attempts);
        if delay.is_zero() {
            self.dial(io);
        } else {
            io.timer(delay, Timer::Dial(self.dialled));
        }
    }

    fn shuffle(&mut self, io: &mut dyn Io) {
        let mut servers: Vec<u32> = (0..self.failures.len() as u32).collect();
        let entity = mix(u64::from(io.node().0), self.rounds);
        for place in 0..servers.len() {
            let left = (servers.len() - place) as u64;
            let drawn = io.choices().below(POOL, entity, place as u64, left) as usize;
            servers.swap(place, place + drawn);
        }
        servers.sort_by_key(|server| self.failures[*server as usize]);
        self.rounds += 1;
        self.round = servers.into_iter().map(NodeId).collect();
    }

    fn dial(&mut self, io: &mut dyn Io) {
        self.state = State::Connecting;
        self.conn = Some(io.connect(self.server));
        io.timer(CONNECT_TIMEOUT, Timer::Setup(self.dialled));
    }

    /// Takes an event.
    pub(crate) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io) -> Happened {
        match event {
            Event::Connected(conn) if self.conn == Some(conn) => {
                self.state = State::Greeting;
                Happened::Nothing
            }
            Event::Message(conn, Msg::Server(message)) if self.conn == Some(conn) => self.said(message, io),
            Event::Closed(conn) if self.conn == Some(conn) => self.ended(io),
            Event::Timer(Timer::Dial(dialled)) if dialled == self.dialled => {
                if self.state == State::Waiting {
                    self.dial(io);
                }
                Happened::Nothing
            }
            Event::Timer(Timer::Setup(dialled)) if dialled == self.dialled => {
                if matches!(self.state, State::Connecting | State::Greeting) {
                    self.cut(io)
                } else {
                    Happened::Nothing
                }
            }
            Event::Timer(Timer::Ping(dialled)) if dialled == self.dialled => self.ping(io),
            _ => Happened::Nothing,
        }
    }

    fn said(&mut self, message: ServerMsg, io: &mut dyn Io) -> Happened {
        self.heard = io.now();
        let Some(conn) = self.conn else { return Happened::Nothing };
        match (message, self.state) {
            (ServerMsg::Info(_), State::Connecting | State::Greeting) => {
                self.state = State::Greeting;
                io.send(conn, Msg::Client(ClientMsg::Connect));
                io.send(conn, Msg::Client(ClientMsg::Ping));
                Happened::Nothing
            }
            // A server that is about to go closes its connections in its own time; the library waits for that.
            (ServerMsg::Info(_), _) => Happened::Nothing,
            (ServerMsg::Ping, _) => {
                io.send(conn, Msg::Client(ClientMsg::Pong));
                Happened::Nothing
            }
            (ServerMsg::Pong, State::Greeting) => self.up(conn, io),
            (ServerMsg::Pong, _) => {
                self.pending_pings = self.pending_pings.saturating_sub(1);
                Happened::Nothing
            }
            (message, State::Up) => Happened::Said(message),
            _ => Happened::Nothing,
        }
    }

    fn up(&mut self, conn: ConnId, io: &mut dyn Io) -> Happened {
        self.state = State::Up;
        self.failures[self.server.index()] = 0;
        self.attempts = 0;
        self.round.clear();
        self.pending_pings = 0;
        io.timer(PING_INTERVAL, Timer::Ping(self.dialled));
        for message in std::mem::take(&mut self.queue) {
            io.send(conn, Msg::Client(message));
        }
        Happened::Up { again: std::mem::replace(&mut self.was_up, true) }
    }

    fn ping(&mut self, io: &mut dyn Io) -> Happened {
        let (State::Up, Some(conn)) = (self.state, self.conn) else { return Happened::Nothing };
        let silent = io.now().since(self.heard);
        // Whatever the server says begins the minute anew; unanswered pings stay counted.
        if silent < PING_INTERVAL && self.pending_pings == 0 {
            io.timer(PING_INTERVAL - silent, Timer::Ping(self.dialled));
            return Happened::Nothing;
        }
        self.pending_pings += 1;
        if self.pending_pings > MAX_PENDING_PINGS {
            return self.cut(io);
        }
        io.send(conn, Msg::Client(ClientMsg::Ping));
        io.timer(PING_INTERVAL, Timer::Ping(self.dialled));
        Happened::Nothing
    }

    /// Closes the connection from this side and looks for another.
    fn cut(&mut self, io: &mut dyn Io) -> Happened {
        if let Some(conn) = self.conn {
            io.close(conn);
        }
        self.ended(io)
    }

    fn ended(&mut self, io: &mut dyn Io) -> Happened {
        let was_up = self.state == State::Up;
        self.conn = None;
        if !was_up {
            self.failures[self.server.index()] += 1;
        }
        self.next(io);
        if was_up { Happened::Down } else { Happened::Nothing }
    }
}
