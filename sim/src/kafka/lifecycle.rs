//! A broker's life as the controller sees it: registration, heartbeats, the way out (rules A1, A2).
//!
//! - It registers, retrying while an older session of it lives (101), takes in the metadata up to its own
//!   registration, and asks to be unfenced. From then on it heartbeats.
//! - It leads and follows as the metadata says as soon as it has any, registered or not: a follower that was killed
//!   and started again is one at once, without a broker epoch. Clients and other brokers reach it only once it has
//!   been unfenced.
//! - It does not stop serving when it hears nothing: nobody told it that it is fenced.
//! - To stop in good order it says so at once and with each heartbeat, until the controller lets it go; then it
//!   takes `shutdown_takes` to be gone. Without a controller it gives up after `shutdown_patience`. The process of a
//!   leader of the metadata quorum then stays for another leader, `resignation_patience` at most.

use super::{
    Kafka, Timer,
    error::ErrorCode,
    links::{Lane, Links},
    metadata::UNREGISTERED,
    protocol::{BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, RequestBody},
    rules::Rules,
};
use crate::kernel::{Ctx, NodeId, Ticket};
use squall_bus::Time;
use std::time::Duration;

/// Where in its life a broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The process comes up.
    Starting,
    /// It presents itself to the controller.
    Registering,
    /// It is registered and waits to be unfenced.
    Fenced,
    /// It serves.
    Running,
    /// It wants to stop, since then.
    Stopping(Time),
    /// It may go, and finishes.
    Leaving,
}

/// What the controller's answer means for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    GoOn,
    Leave,
}

/// A broker's standing with the controller.
#[derive(Debug)]
pub(super) struct Lifecycle {
    me: NodeId,
    pub(super) stage: Stage,
    /// Counts processes. Survives the process.
    pub(super) incarnation: u64,
    /// The broker epoch.
    pub(super) epoch: u64,
    /// It has been unfenced: it takes connections.
    pub(super) listens: bool,
    /// The broker epoch of a process that stopped in good order. Survives the process.
    pub(super) clean_epoch: Option<u64>,
    previous_epoch: Option<u64>,
    asked: Option<(NodeId, Time)>,
    /// When it does the next thing.
    timer: Option<Ticket>,
}

impl Lifecycle {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            me,
            stage: Stage::Starting,
            incarnation: 0,
            epoch: UNREGISTERED,
            listens: false,
            clean_epoch: None,
            previous_epoch: None,
            asked: None,
            timer: None,
        }
    }

    /// The process begins.
    pub(super) fn start(&mut self) {
        self.stage = Stage::Starting;
        self.incarnation += 1;
        self.epoch = UNREGISTERED;
        self.listens = false;
        self.previous_epoch = self.clean_epoch.take();
        self.asked = None;
    }

    /// It runs, registered long ago.
    pub(super) fn start_settled(&mut self, epoch: u64, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        self.stage = Stage::Running;
        self.epoch = epoch;
        self.listens = true;
        // Brokers of a cluster that has been running heartbeat out of step.
        let offset =
            ctx.between(FIRST_BEAT, u64::from(self.me.0), 0, 0, rules.broker_heartbeat.as_nanos() as u64);
        self.schedule(Duration::from_nanos(offset), ctx);
    }

    /// Does the next thing after this, instead of when it was to be done until now.
    pub(super) fn schedule(&mut self, after: Duration, ctx: &mut Ctx<'_, Kafka>) {
        if let Some(before) = self.timer.replace(ctx.timer(after, Timer::Lifecycle)) {
            ctx.cancel(before);
        }
    }

    /// Says the next thing to the controller.
    pub(super) fn speak(
        &mut self,
        controller: Option<NodeId>,
        metadata: u64,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) -> Advice {
        let now = ctx.now();
        if matches!(self.stage, Stage::Starting | Stage::Leaving) {
            return Advice::GoOn;
        }
        if let Stage::Stopping(since) = self.stage
            && controller.is_none()
            && now.since(since) >= rules.shutdown_patience
        {
            return Advice::Leave;
        }
        if let Some((asked, since)) = self.asked {
            let waited = now.since(since);
            if waited < rules.controller_request_timeout && controller.is_none_or(|known| known == asked) {
                let left = rules.controller_request_timeout - waited;
                self.schedule(left.min(rules.shutdown_patience), ctx);
                return Advice::GoOn;
            }
            links.hang_up(asked, Lane::Lifecycle, ctx);
            self.asked = None;
        }
        let Some(controller) = controller else {
            self.schedule(rules.controller_retry, ctx);
            return Advice::GoOn;
        };
        self.asked = Some((controller, now));
        links.ask(controller, Lane::Lifecycle, self.request(metadata), ctx);
        self.schedule(rules.controller_request_timeout, ctx);
        Advice::GoOn
    }

    fn request(&self, metadata: u64) -> RequestBody {
        if self.stage == Stage::Registering {
            return RequestBody::BrokerRegistration(BrokerRegistrationRequest {
                broker: self.me,
                incarnation: self.incarnation,
                previous_epoch: self.previous_epoch,
            });
        }
        RequestBody::BrokerHeartbeat(BrokerHeartbeatRequest {
            broker: self.me,
            epoch: self.epoch,
            metadata_offset: metadata,
            want_fence: self.stage == Stage::Fenced && metadata <= self.epoch,
            want_shutdown: matches!(self.stage, Stage::Stopping(_)),
        })
    }

    /// Asks to stop.
    pub(super) fn stop(&mut self, ctx: &mut Ctx<'_, Kafka>) -> Advice {
        match self.stage {
            Stage::Starting | Stage::Registering => Advice::Leave,
            Stage::Fenced | Stage::Running => {
                self.stage = Stage::Stopping(ctx.now());
                // An answer under way goes first.
                if self.asked.is_none() {
                    self.schedule(Duration::ZERO, ctx);
                }
                Advice::GoOn
            }
            Stage::Stopping(_) | Stage::Leaving => Advice::GoOn,
        }
    }

    /// The metadata reached this far: who waits for it goes on.
    pub(super) fn metadata_applied(&mut self, metadata: u64, ctx: &mut Ctx<'_, Kafka>) {
        if self.stage == Stage::Fenced && metadata > self.epoch && self.asked.is_none() {
            self.schedule(Duration::ZERO, ctx);
        }
    }

    /// Another controller, or none: what was asked of the old one is asked anew.
    pub(super) fn controller_changed(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        if self.asked.is_some() {
            self.schedule(Duration::ZERO, ctx);
        }
    }

    /// The connection to the controller broke.
    pub(super) fn broke(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        self.asked = None;
        self.schedule(rules.controller_retry, ctx);
    }

    /// The controller answered a registration.
    pub(super) fn registered(
        &mut self,
        error: ErrorCode,
        epoch: u64,
        rules: &Rules,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        self.asked = None;
        match error {
            ErrorCode::None if self.stage == Stage::Registering => {
                self.epoch = epoch;
                self.stage = Stage::Fenced;
                self.schedule(Duration::ZERO, ctx);
            }
            ErrorCode::DuplicateBrokerRegistration => self.schedule(rules.registration_retry, ctx),
            _ => self.schedule(rules.controller_retry, ctx),
        }
    }

    /// The controller answered a heartbeat.
    pub(super) fn beaten(
        &mut self,
        answer: BrokerHeartbeatResponse,
        rules: &Rules,
        ctx: &mut Ctx<'_, Kafka>,
    ) -> Advice {
        let asked = self.asked.take();
        if answer.error.is_error() {
            self.schedule(rules.controller_retry, ctx);
            return Advice::GoOn;
        }
        match self.stage {
            Stage::Stopping(_) if answer.should_shutdown => return Advice::Leave,
            Stage::Stopping(since) if asked.is_some_and(|(_, at)| at < since) => {
                // The heartbeat was under way when the wish to stop arose.
                self.schedule(Duration::ZERO, ctx);
                return Advice::GoOn;
            }
            Stage::Fenced if !answer.fenced => {
                self.stage = Stage::Running;
                self.listens = true;
            }
            _ => {}
        }
        self.schedule(rules.broker_heartbeat, ctx);
        Advice::GoOn
    }
}

const FIRST_BEAT: crate::kernel::Site = crate::kernel::Site::new("kafka.lifecycle.first-heartbeat");
