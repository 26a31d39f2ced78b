//! Pulls: how a consumer of the stream is asked for messages, as the library's `messages()` does it.
//!
//! - A pull asks for a batch; when half of what was asked for is handed out, or was given back with a status, the
//!   next one is sent. What is fetched and not handed out counts as asked for: that is the back-pressure.
//! - A pull that expires gives back what it did not bring (408). When the consumer has another leader,
//!   everything asked for is forgotten and asked for again; when nobody listens (503), after a pause.
//! - What came and was not handed out waits in the subscription, and only so much does: what comes beyond is
//!   dropped, message or status, and still counts as asked for (async-nats 0.51, `lib.rs`: `try_send`, then
//!   `Event::SlowConsumer`). So a pull that lost more than half of a batch asks for nothing until it is taken for
//!   lost itself.
//! - A pull that brings neither a message nor a heartbeat in twice the heartbeat's time is taken for lost, and
//!   so is every pull of a connection that broke. The time counts from when its last message was handed out.
//! - A reader of chosen units has consumers of its own: not durable, without acks, on one server. When such a
//!   consumer is gone, silent, or left a message out (its sequence numbers say so), it makes another one that
//!   begins behind the last message that it got.

use super::settings::{PULL_EXPIRES, PULL_HEARTBEAT};
use crate::nats::{
    config::{AckPolicy, ConsumerConfig, DeliverPolicy},
    protocol::{ConsumerId, Delivery, PullRequest, Status},
};
use squall_bus::{Time, Unit};
use std::time::Duration;

/// How long a pull may be without a word.
pub(crate) const SILENCE: Duration = PULL_HEARTBEAT.saturating_mul(2);

/// How far a consumer of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being made, by the question of this name.
    Making(u32),
    /// It is there.
    Ready,
}

/// What a status means for a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    Wait,
    /// Ask for more, now.
    Ask,
    /// Ask for more after a pause.
    Pause,
    /// The consumer of the stream is gone.
    Gone,
}

/// One consumer of the stream, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) consumer: ConsumerId,
    pub(crate) config: ConsumerConfig,
    pub(crate) stage: Stage,
    /// The unit, for a reader of chosen units.
    pub(crate) chosen: Option<Unit>,
    /// Where messages and statuses come to.
    pub(crate) inbox: u64,
    batch: u32,
    /// Messages asked for and neither handed out nor given back.
    asked: u32,
    /// Messages that wait to be handed out.
    waiting: u32,
    heard: Time,
    /// No pull is sent before.
    pub(crate) not_before: Time,
    /// The number of the look that is due.
    pub(crate) look: u32,
    /// The next consumer sequence of a consumer without acks.
    expected: u64,
    /// The last stream sequence of such a consumer.
    last: Option<u64>,
}

impl Pull {
    pub(crate) fn new(
        consumer: ConsumerId,
        config: ConsumerConfig,
        chosen: Option<Unit>,
        batch: u32,
        inbox: u64,
        question: u32,
    ) -> Self {
        Self {
            consumer,
            config,
            stage: Stage::Making(question),
            chosen,
            inbox,
            batch,
            asked: 0,
            waiting: 0,
            heard: Time::ZERO,
            not_before: Time::ZERO,
            look: 0,
            expected: 1,
            last: None,
        }
    }

    pub(crate) fn wants_acks(&self) -> bool {
        self.config.ack == AckPolicy::Explicit
    }

    /// Whether it is time to ask, and allowed.
    pub(crate) fn should_ask(&self, now: Time) -> bool {
        self.stage == Stage::Ready && self.asked <= self.batch / 2 && self.not_before <= now
    }

    /// Asks for a batch.
    pub(crate) fn request(&mut self, now: Time) -> PullRequest {
        self.asked += self.batch;
        self.heard = now;
        PullRequest {
            batch: self.batch,
            expires: Some(PULL_EXPIRES),
            no_wait: false,
            idle_heartbeat: Some(PULL_HEARTBEAT),
        }
    }

    /// When it has been silent for too long, if nothing comes.
    pub(crate) fn silent_at(&self) -> Time {
        self.heard + SILENCE
    }

    /// Whatever was asked for is lost.
    pub(crate) fn forget(&mut self) {
        self.asked = 0;
    }

    /// A message was handed out.
    pub(crate) fn handed_out(&mut self, now: Time) {
        self.asked = self.asked.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        self.heard = now;
    }

    /// The messages that waited are gone.
    pub(crate) fn cleared(&mut self) {
        self.waiting = 0;
    }

    /// Its messages keep the caller busy: that is no silence.
    pub(crate) fn busy(&mut self, now: Time) {
        self.heard = now;
    }

    /// Whether a message waits to be handed out.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Whether the subscription, which takes so many, takes one more.
    pub(crate) fn has_room(&self, buffer: u32) -> bool {
        self.waiting < buffer
    }

    /// A message came; `false` if one before it, of a consumer without acks, did not.
    pub(crate) fn delivered(&mut self, delivery: &Delivery, now: Time) -> bool {
        self.heard = now;
        if self.wants_acks() {
            self.waiting += 1;
            return true;
        }
        if delivery.token.consumer_seq != self.expected {
            return false;
        }
        self.expected += 1;
        self.last = Some(delivery.token.stream_seq);
        self.waiting += 1;
        true
    }

    /// A status came.
    pub(crate) fn status(&mut self, status: Status, now: Time) -> Next {
        self.heard = now;
        match status {
            Status::IdleHeartbeat(..) => Next::Wait,
            Status::RequestTimeout(left) => {
                self.asked = self.asked.saturating_sub(left);
                Next::Ask
            }
            Status::NoMessages | Status::LeadershipChange => {
                self.forget();
                Next::Ask
            }
            Status::NoResponders | Status::ExceededMaxWaiting => {
                self.forget();
                Next::Pause
            }
            Status::ConsumerDeleted => Next::Gone,
        }
    }

    /// Becomes a new consumer of the stream, behind what came.
    pub(crate) fn begin_anew(&mut self, consumer: ConsumerId, question: u32) {
        self.consumer = consumer;
        self.stage = Stage::Making(question);
        self.expected = 1;
        self.forget();
    }

    /// The configuration of the next consumer, if it is to begin behind what came.
    pub(crate) fn next_config(&self) -> ConsumerConfig {
        let deliver = match self.last {
            Some(last) if !self.wants_acks() => DeliverPolicy::FromSequence(last + 1),
            _ => self.config.deliver,
        };
        ConsumerConfig { deliver, ..self.config.clone() }
    }

    /// Reads on at this sequence.
    pub(crate) fn seek(&mut self, sequence: u64) {
        self.config.deliver = DeliverPolicy::FromSequence(sequence);
        self.last = None;
    }
}
