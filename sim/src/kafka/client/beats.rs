//! Signs of life of a member of a classic group (rule E2).
//!
//! - One is due every `heartbeat.interval.ms` from assignment to the next JoinGroup. While there is no coordinator to send it
//!   to it stays due, and goes out when there is one; the interval counts from then.
//! - One that failed is due again at once in Java (`Heartbeat.failHeartbeat`), behind the back-off that any group request
//!   has then; librdkafka waits for the interval.
//! - librdkafka looks at every interval whether its session is over.
//!
//! Source: `AbstractCoordinator.HeartbeatThread` of Apache Kafka 4.0 and 4.3, which looks every `retry.backoff.ms` and
//! begins the interval with `Heartbeat.sentHeartbeat`; `rd_kafka_cgrp_serve` of librdkafka 2.15, which begins it when it has
//! a coordinator that is up.

use super::super::{Shared, error::ErrorCode, protocol::RequestBody};
use super::{
    Io, Timer,
    consumer::{Asked, Consumer},
    group::{Member, Phase},
    net::What,
    outcome::{self, Coordination},
};
use crate::kernel::Ticket;
use squall_bus::Time;

/// How a member stands with its signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beats {
    /// When the interval is over, and the timer for that.
    next: Option<(Time, Ticket)>,
    /// One is due.
    due: bool,
}

impl Member {
    /// Whether a sign of life is to go out.
    pub(super) fn has_to_beat(&self) -> bool {
        let is_member = self.id.is_some() && self.generation >= 0;
        let beats = is_member && matches!(self.phase, Phase::Stable | Phase::Releasing);
        self.beats.due && !self.beat_in_flight && beats
    }
}

impl Consumer {
    /// The member was assigned something: its signs of life begin, or go on.
    pub(super) fn begin_to_beat(&mut self, io: &mut dyn Io) {
        let every = self.settings.library.heartbeat_interval;
        let Some(member) = &mut self.member else { return };
        member.last_beat = io.now();
        member.beats.due = false;
        if member.beats.next.is_none() {
            member.beats.next = Some((io.now() + every, io.timer(every, Timer::Heartbeat)));
        }
    }

    /// The interval is over: time for a sign of life.
    pub(super) fn heartbeat(&mut self, io: &mut dyn Io, shared: &Shared) {
        let library = self.settings.library;
        let lives = self.closing.is_none() && self.fatal.is_none();
        let Some(member) = &mut self.member else { return };
        if member.epochs.is_some() {
            return self.epoch_due(io);
        }
        member.beats.next = None;
        if !lives || !matches!(member.phase, Phase::Stable | Phase::Releasing) {
            return member.beats.due = false;
        }
        member.beats.due |= !member.beat_in_flight;
        let every = library.heartbeat_interval;
        member.beats.next = Some((io.now() + every, io.timer(every, Timer::Heartbeat)));
        if library.loses_session_itself
            && member.phase == Phase::Stable
            && io.now().since(member.last_beat) > library.session_timeout
        {
            self.lose(true, io, shared);
        }
    }

    /// Sends a sign of life; the next one is due an interval after it.
    pub(super) fn beat(&mut self, slot: u32, io: &mut dyn Io) {
        let every = self.settings.library.heartbeat_interval;
        let at = io.now() + every;
        let Some(member) = &mut self.member else { return };
        member.beats.due = false;
        let Some(credentials) = member.credentials() else { return };
        member.beat_in_flight = true;
        if let Some((_, late)) = member.beats.next.take_if(|(next, _)| *next < at) {
            io.cancel(late);
        }
        if member.beats.next.is_none() {
            member.beats.next = Some((at, io.timer(every, Timer::Heartbeat)));
        }
        let what = What::Client(Asked::Heartbeat(member.attempt));
        let body = RequestBody::Heartbeat(member.group, credentials);
        let timeout = self.net.request_timeout();
        self.net.conns.send(slot, body, what, timeout, io);
    }

    /// A sign of life got nowhere.
    pub(super) fn beat_failed(&mut self) {
        let again = self.settings.library.repeats_failed_heartbeat;
        if let Some(member) = &mut self.member {
            member.beat_in_flight = false;
            member.beats.due |= again;
        }
    }

    pub(super) fn heartbeat_answered(
        &mut self,
        attempt: u32,
        error: ErrorCode,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = &mut self.member else { return };
        member.beat_in_flight = false;
        if member.attempt != attempt {
            return;
        }
        if !error.is_error() {
            member.last_beat = io.now();
            member.failures = 0;
        }
        let says = outcome::of_coordinator(error);
        if matches!(says, Coordination::Again | Coordination::Elsewhere) {
            self.beat_failed();
        }
        self.coordinator_says(says, io, shared);
    }
}
