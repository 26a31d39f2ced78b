//! What a server does as the active controller: it takes the controller up and lays it down, answers requests to it
//! once what it decided is committed, looks at sessions and at who leads, and carries out what administrators asked
//! for.

use super::{
    super::{
        Kafka, Shared, Timer,
        admin::Wanted,
        controller::{Controller, Records},
        error::ErrorCode,
        links::ReplyTo,
        protocol::{BrokerHeartbeatResponse, RequestBody, ResponseBody},
    },
    Server,
};
use crate::kernel::{Ctx, Mark, NodeId};
use std::time::Duration;

impl Server {
    /// The controller does what an administrator asked for, unless it has.
    pub(in crate::kafka) fn carry_out(&mut self, wanted: &Wanted, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let Some(controller) = self.controller.as_ref().filter(|_| !self.gone) else { return };
        if wanted.is_done(&controller.image) {
            return;
        }
        let records = match (wanted, wanted.request()) {
            // Another topic of its name has to go first.
            (Wanted::Create(topic), _) if controller.image.topic(topic.topic).is_some() => return,
            (Wanted::Create(topic), _) => vec![topic.record()],
            (_, Some(request)) => controller.admin(&request, &shared.rules, &shared.names, ctx.choices()).0,
            (_, None) => return,
        };
        self.decide(records, ctx);
        self.react(ctx, shared);
    }

    /// A request of another server, or of this one.
    pub(super) fn control(
        &mut self,
        from: NodeId,
        body: RequestBody,
        to: ReplyTo,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        let rules = &shared.rules;
        if let RequestBody::Quorum(request) = body {
            self.voter.on_request(from, request, to, rules, &mut self.links, ctx);
            return;
        }
        let now = ctx.now();
        let Some(controller) = self.controller.as_mut().filter(|_| self.voter.is_active()) else {
            self.links.reply(to, not_controller(&body), ctx);
            return;
        };
        let (records, answer) = match body {
            RequestBody::BrokerRegistration(request) => controller.register(request, rules, now),
            RequestBody::BrokerHeartbeat(request) => controller.heartbeat(request, rules, now),
            RequestBody::AlterPartition(request) => controller.alter(&request, rules),
            RequestBody::Admin(request) => controller.admin(&request, rules, &shared.names, ctx.choices()),
            _ => return,
        };
        self.decide(records, ctx);
        if let Some(controller) = &mut self.controller {
            controller.waiting.push_back((controller.image.end - 1, to, answer));
        }
    }

    /// The controller appends what it decided.
    pub(super) fn decide(&mut self, records: Records, ctx: &mut Ctx<'_, Kafka>) {
        if let Some(controller) = &mut self.controller
            && !records.is_empty()
        {
            controller.decide(&records);
            self.voter.append(records);
            self.voter.appended(&mut self.links, ctx);
        }
    }

    /// Takes the controller up, or lays it down.
    pub(super) fn change_controller(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if let Some(controller) = self.controller.take() {
            for (_, to, body) in controller.waiting {
                self.links.reply(to, refusal(&body), ctx);
            }
            return;
        }
        let mut image = self.image.clone();
        for batch in &self.voter.log()[image.end as usize..] {
            image.apply(&batch.records, &mut Vec::new());
        }
        if self.voter.epoch() > 1 {
            ctx.mark(Mark::ControllerChanged);
        }
        self.controller = Some(Controller::new(image, shared.servers, ctx.now()));
        ctx.timer(session_check(shared), Timer::Sessions(self.voter.epoch()));
        ctx.timer(shared.rules.leader_check, Timer::Leaders(self.voter.epoch()));
    }

    pub(super) fn answer_committed(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        let committed = self.voter.committed();
        while let Some((to, body)) = self.controller.as_mut().and_then(|it| it.next_committed(committed)) {
            self.links.reply(to, body, ctx);
        }
    }

    pub(super) fn check_sessions(&mut self, epoch: u32, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if self.controller.is_none() || !self.voter.is_active() || self.voter.epoch() != epoch {
            return;
        }
        let now = ctx.now();
        while let Some(records) =
            self.controller.as_mut().and_then(|controller| controller.expire_session(&shared.rules, now))
        {
            self.decide(records, ctx);
        }
        ctx.timer(session_check(shared), Timer::Sessions(epoch));
    }

    /// The controller looks at who leads.
    pub(super) fn check_leaders(&mut self, epoch: u32, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if !self.voter.is_active() || self.voter.epoch() != epoch {
            return;
        }
        let Some(controller) = &self.controller else { return };
        let records = controller.balance_leaders(&shared.rules);
        self.decide(records, ctx);
        ctx.timer(shared.rules.leader_check, Timer::Leaders(epoch));
    }
}

/// How often sessions are looked at.
pub(super) fn session_check(shared: &Shared) -> Duration {
    shared.rules.broker_session / shared.rules.session_checks_per_session.max(1)
}

/// The answer of a node that does not control the cluster.
fn not_controller(body: &RequestBody) -> ResponseBody {
    let error = ErrorCode::NotController;
    match body {
        RequestBody::BrokerRegistration(_) => ResponseBody::BrokerRegistration(error, 0),
        RequestBody::AlterPartition(_) => ResponseBody::AlterPartition(error, Vec::new()),
        RequestBody::Admin(_) => ResponseBody::Admin(error, Vec::new()),
        _ => not_beaten(error),
    }
}

/// The answer of a controller that lost its office before it could commit.
fn refusal(body: &ResponseBody) -> ResponseBody {
    let error = ErrorCode::NotController;
    match body {
        ResponseBody::BrokerRegistration(..) => ResponseBody::BrokerRegistration(error, 0),
        ResponseBody::AlterPartition(..) => ResponseBody::AlterPartition(error, Vec::new()),
        ResponseBody::Admin(..) => ResponseBody::Admin(error, Vec::new()),
        _ => not_beaten(error),
    }
}

/// The answer to a heartbeat that did not count.
fn not_beaten(error: ErrorCode) -> ResponseBody {
    ResponseBody::BrokerHeartbeat(BrokerHeartbeatResponse { error, fenced: true, should_shutdown: false })
}
