//! A client's connections and metadata together: what both kinds of client stand on.
//!
//! [`Net::on`] takes an event and says what [`Happened`]; requests of the client's own are named by `P`.

use super::super::protocol::{Msg, RequestBody, ResponseBody};
use super::{
    Io, Timer,
    connections::{Connections, Lost, Slot},
    defaults::Connecting,
    metadata::Metadata,
};
use crate::kernel::{Event, Site};
use squall_bus::Time;
use std::time::Duration;

const ASK: Site = Site::new("kafka.client.metadata-broker");
const BACK_OFF: Site = Site::new("kafka.client.metadata-backoff");

/// How long one broker may take to come up before another one is tried.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a request was for.
#[derive(Clone, Debug)]
pub(crate) enum What<P> {
    /// The first of a connection (it stands for ApiVersions).
    Greeting,
    Metadata,
    Client(P),
}

/// What an event meant.
#[derive(Debug)]
pub(crate) enum Happened<P> {
    /// Nothing that the client need know.
    Nothing,
    /// A connection is up.
    Up,
    /// A connection is gone, and these requests with it.
    Lost(Lost<P>),
    /// A request was answered.
    Answered(P, ResponseBody),
    /// The metadata changed or was confirmed.
    Learned,
}

/// Connections and metadata.
#[derive(Clone, Debug)]
pub(crate) struct Net<P> {
    pub(crate) conns: Connections<What<P>>,
    pub(crate) metadata: Metadata,
    rules: Connecting,
    wanted: bool,
    asking: bool,
    attempts: u32,
    asked: u64,
    not_before: Time,
    /// When the next metadata timer is due.
    wake_at: Option<Time>,
    learned_at: Time,
    /// What was learned last was asked for because what was known had become old.
    aged: bool,
}

impl<P> Net<P> {
    pub(crate) fn new(brokers: u32, rules: Connecting) -> Self {
        Self {
            conns: Connections::new(brokers, rules),
            metadata: Metadata::default(),
            rules,
            wanted: false,
            asking: false,
            attempts: 0,
            asked: 0,
            not_before: Time::ZERO,
            wake_at: None,
            learned_at: Time::ZERO,
            aged: false,
        }
    }

    /// The client starts: it looks for the cluster.
    pub(crate) fn start(&mut self, io: &mut dyn Io) {
        self.conns.start(io.now());
        self.refresh(io);
    }

    /// Whether what was learned last was asked for because of the age of what was known.
    pub(crate) fn aged(&self) -> bool {
        self.aged
    }

    /// How long a request waits for its response.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.rules.request_timeout
    }

    /// Something is missing or wrong: asks for metadata, as soon as the back-off allows.
    pub(crate) fn refresh(&mut self, io: &mut dyn Io) {
        self.wanted = true;
        self.ask(io);
    }

    fn ask(&mut self, io: &mut dyn Io) {
        if !self.wanted || self.asking {
            return;
        }
        let now = io.now();
        if self.not_before > now {
            self.wake_by(self.not_before, io);
            return;
        }
        let Some(slot) = self.any_up(io) else { return };
        self.asking = true;
        let topics = self.metadata.topics.iter().map(|view| view.topic).collect();
        let body = RequestBody::Metadata(Some(topics));
        self.conns.send(slot, body, What::Metadata, self.rules.request_timeout, io);
    }

    /// A connection that is up, drawn; if there is none, one is asked for.
    pub(crate) fn any_up(&mut self, io: &mut dyn Io) -> Option<Slot> {
        self.asked += 1;
        let brokers = self.conns.brokers();
        let first = io.choices().below(ASK, u64::from(io.node().0), self.asked, u64::from(brokers)) as u32;
        let mut ring = (0..brokers).map(|step| (first + step) % brokers);
        if let Some(slot) = ring.clone().find(|slot| self.conns.is_up(*slot)) {
            return Some(slot);
        }
        let now = io.now();
        if (0..brokers).any(|slot| self.conns.is_on_its_way(slot, now)) {
            self.wake_by(now + PATIENCE, io);
            return None;
        }
        let slot = ring.clone().find(|slot| self.conns.may_connect(*slot, now));
        if let Some(slot) = slot {
            self.conns.want(slot, io);
        } else if (0..brokers).all(|slot| self.conns.is_down(slot))
            && let Some(slot) = ring.next()
        {
            self.conns.want(slot, io);
        }
        None
    }

    fn wake_by(&mut self, at: Time, io: &mut dyn Io) {
        let now = io.now();
        if self.wake_at.is_none_or(|armed| at < armed) {
            self.wake_at = Some(at);
            io.timer(at.since(now), Timer::Metadata);
        }
    }

    /// Keeps asking while a leader that is needed cannot be reached: the cluster may have a new one.
    pub(crate) fn leader_unreachable(&mut self, slot: Slot, io: &mut dyn Io) {
        if self.conns.is_unreachable(slot) {
            self.refresh(io);
        }
    }

    /// Takes an event that is no response.
    pub(crate) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io) -> Happened<P> {
        match event {
            Event::Connected(conn) => {
                if let Some(slot) = self.conns.connected(conn) {
                    let timeout = self.rules.greeting_timeout;
                    self.conns.send(
                        slot,
                        RequestBody::Metadata(Some(Vec::new())),
                        What::Greeting,
                        timeout,
                        io,
                    );
                }
                Happened::Nothing
            }
            Event::Closed(conn) => {
                let lost = self.conns.closed(conn, io);
                self.lost(lost, io)
            }
            Event::Timer(timer) => self.timer(timer, io),
            Event::Started(_)
            | Event::Stopping
            | Event::Accepted(..)
            | Event::Message(..)
            | Event::Synced(..) => Happened::Nothing,
        }
    }

    /// A request was answered.
    pub(crate) fn answered(
        &mut self,
        slot: Slot,
        what: What<P>,
        body: ResponseBody,
        io: &mut dyn Io,
    ) -> Happened<P> {
        match (what, body) {
            (What::Greeting, _) => {
                self.conns.greeted(slot, io);
                self.ask(io);
                Happened::Up
            }
            (What::Metadata, ResponseBody::Metadata(response)) => {
                self.asking = false;
                self.wanted = false;
                self.aged = io.now().since(self.learned_at) >= self.rules.metadata_age;
                self.learned_at = io.now();
                let new_topics = self.metadata.topics.len() > response.topics.len();
                self.metadata.learn(&response);
                self.pace(io);
                if new_topics {
                    self.ask_at_once(io);
                } else if self.metadata.is_incomplete() {
                    self.refresh(io);
                } else {
                    self.wake_by(self.learned_at + self.rules.metadata_age, io);
                }
                Happened::Learned
            }
            (What::Metadata, _) => Happened::Nothing,
            (What::Client(request), body) => Happened::Answered(request, body),
        }
    }

    /// No two answers about metadata closer together than the back-off; it grows while asking goes on.
    fn pace(&mut self, io: &mut dyn Io) {
        let quiet = self.not_before == Time::ZERO
            || io.now().since(self.not_before) > 2 * self.rules.metadata_retry.most;
        self.attempts = if quiet { 0 } else { self.attempts + 1 };
        let entity = u64::from(io.node().0);
        let drawn = io.choices().draw(BACK_OFF, entity, self.asked) as u32;
        self.not_before = io.now() + self.rules.metadata_retry.delay(self.attempts, drawn);
    }

    /// A topic became interesting: what is known of the others does not hold it back.
    pub(crate) fn ask_at_once(&mut self, io: &mut dyn Io) {
        self.not_before = Time::ZERO;
        self.refresh(io);
    }

    /// Deals with a connection that is gone; hands on what the client itself had in flight.
    pub(crate) fn lost(&mut self, lost: Option<Lost<What<P>>>, io: &mut dyn Io) -> Happened<P> {
        let Some(Lost { slot, was_up, timed_out, requests }) = lost else { return Happened::Nothing };
        let mut own = Vec::new();
        for request in requests {
            match request {
                What::Greeting => {}
                What::Metadata => {
                    self.asking = false;
                    self.pace(io);
                }
                What::Client(request) => own.push(request),
            }
        }
        self.refresh(io);
        Happened::Lost(Lost { slot, was_up, timed_out, requests: own })
    }

    fn timer(&mut self, timer: Timer, io: &mut dyn Io) -> Happened<P> {
        let lost = match timer {
            Timer::Reconnect(slot) => {
                self.conns.reconnect(slot, io);
                None
            }
            Timer::Setup(slot) => self.conns.setup_over(slot, io),
            Timer::Requests(slot) => self.conns.scan(slot, io),
            Timer::Metadata => {
                let now = io.now();
                if self.wake_at.is_some_and(|at| at <= now) {
                    self.wake_at = None;
                    self.wanted |= now.since(self.learned_at) >= self.rules.metadata_age;
                    if self.wanted {
                        self.ask(io);
                    } else {
                        self.wake_by(self.learned_at + self.rules.metadata_age, io);
                    }
                }
                None
            }
            _ => None,
        };
        self.lost(lost, io)
    }
}
