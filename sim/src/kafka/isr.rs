//! A leader's proposals of in-sync replicas (rules A2, A3, B2).
//!
//! - A broker has one AlterPartition under way, with everything that was wanted when it left.
//! - The answer carries what the controller has now. A proposal that was refused for good is dropped; one that
//!   was out of date waits for the metadata; anything else is proposed again.
//! - A request that is not answered goes with its connection, and not before: another controller that becomes known
//!   meanwhile is asked no sooner. That takes `controller.socket.timeout.ms`, 30 s, or, where the connection had to be
//!   made first, what a connection may take, 10 s. (One that was made to a process that never answers has the 30 s in
//!   Kafka too: nobody here tells the two apart.)
//!
//! Sources of the last: Kafka's AlterPartitionManager (`retryTimeoutMs` without a bound), NodeToControllerChannelManager
//! (a request's timeout is the lesser of that and `controller.socket.timeout.ms`; the controller is looked up after a
//! disconnection or NOT_CONTROLLER).

use super::{
    Timer, Touch,
    broker::{Broker, BrokerTimer, Env},
    error::ErrorCode,
    links::Lane,
    protocol::{AlterPartitionRequest, AlteredPartition, IsrProposal, PartitionId, RequestBody},
    replica::Replica,
};
use crate::kernel::{Mark, NodeId, Ticket};
use crate::nodes::NodeSet;
use squall_bus::Time;
use std::time::Duration;

/// Proposals of one broker.
#[derive(Debug, Default)]
pub(super) struct IsrChanges {
    wanted: Vec<PartitionId>,
    under_way: Option<UnderWay>,
    /// Nothing is sent before it is over.
    timer: Option<Ticket>,
}

/// The request under way.
#[derive(Debug)]
struct UnderWay {
    controller: NodeId,
    /// When its connection is given up.
    until: Time,
    ids: Vec<PartitionId>,
}

impl IsrChanges {
    /// The partition is not led here any more.
    pub(super) fn forget(&mut self, id: PartitionId) {
        self.wanted.retain(|wanted| *wanted != id);
    }

    /// The wait is over.
    pub(super) fn retry(&mut self) {
        self.timer = None;
    }

    /// Waits for so long from now on, and no more for what it waited for until now.
    fn wait(&mut self, after: Duration, env: &mut Env<'_, '_>) {
        self.disarm(env);
        self.timer = Some(env.ctx.timer(after, Timer::Broker(BrokerTimer::Isr)));
    }

    fn disarm(&mut self, env: &mut Env<'_, '_>) {
        if let Some(timer) = self.timer.take() {
            env.ctx.cancel(timer);
        }
    }
}

impl Broker {
    /// A leader wants this ISR.
    pub(super) fn want_isr(&mut self, id: PartitionId, isr: NodeSet) {
        if let Some(leading) = self.replica_mut(id).and_then(Replica::leading_mut) {
            leading.proposed = Some(isr);
            if !self.isr.wanted.contains(&id) {
                self.isr.wanted.push(id);
            }
        }
    }

    /// Takes followers that lag out of the ISR.
    pub(super) fn shrink_isrs(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        let lagging: Vec<(PartitionId, NodeSet)> = self
            .replicas()
            .filter_map(|replica| replica.shrunk_isr(env.rules, now).map(|isr| (replica.id, isr)))
            .collect();
        for (id, isr) in lagging {
            env.ctx.mark(Mark::IsrShrank);
            self.want_isr(id, isr);
        }
    }

    /// Sends what is wanted, unless something is under way.
    pub(super) fn propose(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        if let Some(UnderWay { controller, until, .. }) = self.isr.under_way {
            if now < until {
                return;
            }
            env.links.hang_up(controller, Lane::Isr, env.ctx);
            self.proposals_failed();
            self.isr.disarm(env);
        }
        if self.isr.wanted.is_empty() || self.isr.timer.is_some() {
            return;
        }
        let Some(controller) = env.voter.leader() else {
            self.isr.wait(env.rules.controller_retry, env);
            return;
        };
        // Looks again when the answer should have come.
        let patience = match env.links.is_made(controller, Lane::Isr) {
            true => env.rules.controller_socket_timeout,
            false => env.rules.connection_setup_timeout,
        };
        self.isr.wait(patience, env);
        let ids = std::mem::take(&mut self.isr.wanted);
        let proposals: Vec<IsrProposal> = ids.iter().filter_map(|id| self.proposal(*id, env)).collect();
        let request = AlterPartitionRequest { broker: self.me, epoch: env.epoch, proposals };
        self.isr.under_way = Some(UnderWay { controller, until: now + patience, ids });
        env.links.ask(controller, Lane::Isr, RequestBody::AlterPartition(request), env.ctx);
    }

    fn proposal(&self, id: PartitionId, env: &Env<'_, '_>) -> Option<IsrProposal> {
        let replica = self.replica(id)?;
        let isr = replica.leading()?.proposed?;
        Some(IsrProposal {
            id,
            leader_epoch: replica.leader_epoch,
            partition_epoch: replica.partition_epoch,
            isr: replica.with_epochs(isr, self.me, env.epoch, env.image),
        })
    }

    /// The request under way failed as a whole: everything is wanted again.
    fn proposals_failed(&mut self) {
        if let Some(request) = self.isr.under_way.take() {
            for id in request.ids {
                let proposed =
                    self.replica(id).and_then(Replica::leading).is_some_and(|l| l.proposed.is_some());
                if proposed && !self.isr.wanted.contains(&id) {
                    self.isr.wanted.push(id);
                }
            }
        }
    }

    /// The connection to the controller broke.
    pub(super) fn isr_broke(&mut self, env: &mut Env<'_, '_>) {
        self.proposals_failed();
        self.isr.wait(env.rules.controller_retry, env);
    }

    /// The controller answered.
    pub(super) fn isr_answered(
        &mut self,
        error: ErrorCode,
        results: Vec<AlteredPartition>,
        env: &mut Env<'_, '_>,
    ) {
        if error.is_error() {
            self.isr_broke(env);
            return;
        }
        self.isr.under_way = None;
        self.isr.disarm(env);
        for result in results {
            self.isr_decided(result, env);
        }
        self.settle(env);
    }

    fn isr_decided(&mut self, result: AlteredPartition, env: &mut Env<'_, '_>) {
        let me = self.me;
        let Some(replica) = self.replica_mut(result.id) else { return };
        if replica.leader_epoch != result.leader_epoch || replica.leading().is_none() {
            return;
        }
        match result.error {
            ErrorCode::None => {
                replica.update_isr(result.isr, result.partition_epoch);
                if let Some(leading) = replica.leading_mut() {
                    leading.proposed = None;
                }
            }
            ErrorCode::IneligibleReplica => {
                if let Some(leading) = replica.leading_mut() {
                    leading.proposed = None;
                }
            }
            // The metadata that is on its way ends the proposal.
            _ => return,
        }
        env.ctx.touch(Touch::Replica(me, result.id));
        self.raise_high_watermark(result.id, env);
    }
}
