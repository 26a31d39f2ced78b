//! What a server does as the active controller by itself: it looks at sessions and at who leads, and carries out what
//! administrators asked for.

use super::{
    super::{Kafka, Shared, Timer, admin::Wanted},
    Server,
};
use crate::kernel::Ctx;
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
