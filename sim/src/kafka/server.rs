//! A server node: a process with a part in the metadata quorum, perhaps the active controller, and, unless it is
//! a dedicated controller, a broker.
//!
//! It routes what arrives, and reacts at the end of each event to what changed in the quorum: it takes up or
//! lays down the controller, answers what was waiting for a commit, and brings the broker's view up to date a
//! little later (rule A5).

mod control;
mod lulls;
mod process;

use super::{
    Kafka, Shared, Timer,
    broker::{Broker, Env},
    controller::Controller,
    lifecycle::{Lifecycle, Stage},
    links::{Lane, Links, Own, ReplyTo},
    metadata::Image,
    protocol::{Msg, PartitionId, Request, RequestBody, Response, ResponseBody},
    txn::messages::TxnRequest,
    voter::Voter,
};
use crate::kernel::{ConnId, Ctx, Event, NodeId, Site};
use crate::nodes::NodeSet;
use std::time::Duration;

const APPLY: Site = Site::new("kafka.metadata.apply");

/// What a server has beside its part in the quorum if it is a broker.
#[derive(Debug)]
pub(super) struct BrokerPart {
    pub(super) life: Lifecycle,
    pub(super) data: Broker,
    /// The metadata has reached the broker: it leads and follows as that says.
    published: bool,
}

/// A server node.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) me: NodeId,
    pub(super) voter: Voter,
    pub(super) controller: Option<Controller>,
    pub(super) broker: Option<BrokerPart>,
    /// The metadata that this node acts upon.
    pub(super) image: Image,
    links: Links,
    /// The process is up.
    up: bool,
    /// The process has ended within this event.
    gone: bool,
    /// The process has shut down but for its voter, which led and waits for another leader.
    resigned: bool,
    apply_armed: bool,
    /// Something happened within this event that no lull may hide.
    roused: bool,
    known_leader: Option<NodeId>,
    /// Files that must be synced before the process ends.
    syncing: u32,
    boots: u32,
}

impl Server {
    pub(super) fn new(me: NodeId, brokers: u32, servers: u32, voters: NodeSet) -> Self {
        let broker = (me.0 < brokers).then(|| BrokerPart {
            life: Lifecycle::new(me),
            data: Broker::new(me, servers),
            published: false,
        });
        Self {
            me,
            voter: Voter::new(me, servers, voters),
            controller: None,
            broker,
            image: Image::default(),
            links: Links::new(me, servers),
            up: false,
            gone: false,
            resigned: false,
            apply_armed: false,
            roused: false,
            known_leader: None,
            syncing: 0,
            boots: 0,
        }
    }

    /// Whether no process of this node ever ran.
    pub(super) fn is_new(&self) -> bool {
        self.boots == 0
    }

    /// Whether its process has come up and not ended by itself.
    pub(super) fn is_up(&self) -> bool {
        self.up && !self.gone
    }

    /// A replica on this node.
    pub(super) fn data(&self) -> Option<&Broker> {
        self.broker.as_ref().map(|broker| &broker.data)
    }

    /// Its data plane, if anybody can reach it.
    pub(super) fn listening(&self) -> Option<&Broker> {
        self.broker.as_ref().filter(|broker| broker.life.listens).map(|broker| &broker.data)
    }

    /// The data plane, to change it.
    pub(super) fn data_mut(&mut self) -> Option<&mut Broker> {
        self.broker.as_mut().map(|broker| &mut broker.data)
    }

    pub(super) fn on(
        &mut self,
        event: Event<Msg, Timer>,
        settled: Option<NodeId>,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        let is_data = matches!(&event, Event::Message(_, message) if message.is_data()) && !self.resigned;
        match event {
            Event::Started(boot) => self.start(boot, settled, ctx, shared),
            event if self.resigned => self.await_successor(event, ctx, shared),
            Event::Stopping => self.stop(ctx, shared),
            Event::Accepted(conn, from) => self.accepted(conn, from, ctx, shared),
            Event::Connected(_) => {}
            Event::Message(conn, Msg::Request(request)) => self.request(conn, request, ctx, shared),
            Event::Message(conn, Msg::Response(response)) => {
                if let Some((from, lane)) = self.links.whose(conn) {
                    self.response(from, lane, response, ctx, shared);
                }
            }
            Event::Closed(conn) => self.closed(conn, ctx, shared),
            Event::Timer(timer) => self.timer(timer, ctx, shared),
            Event::Synced(_, result) => self.synced(result.is_ok(), ctx, shared),
        }
        let has_to_react = if is_data { self.has_to_react_to_data() } else { self.has_to_react() };
        // A process that comes up has not looked yet at what the one before it has left.
        if self.up && has_to_react && !self.gone {
            self.react(ctx, shared);
        }
    }

    /// Runs something of the broker's with all that it needs.
    fn with_broker(
        &mut self,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
        run: impl FnOnce(&mut Broker, &mut Env<'_, '_>),
    ) {
        if let Some((broker, mut env)) = self.broker_with_env(ctx, shared) {
            run(broker, &mut env);
        }
    }

    /// The broker, with all that it needs.
    #[inline]
    fn broker_with_env<'a, 'k>(
        &'a mut self,
        ctx: &'a mut Ctx<'k, Kafka>,
        shared: &'a Shared,
    ) -> Option<(&'a mut Broker, Env<'a, 'k>)> {
        let broker = self.broker.as_mut()?;
        let env = Env {
            rules: &shared.rules,
            names: &shared.names,
            image: &self.image,
            epoch: broker.life.epoch,
            voter: &self.voter,
            links: &mut self.links,
            ctx,
        };
        Some((&mut broker.data, env))
    }

    // Connections.

    fn accepted(&mut self, conn: ConnId, from: NodeId, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let client = from.0 >= shared.servers;
        match &mut self.broker {
            Some(broker) if self.up && (broker.life.listens || !client) => broker.data.accepted(conn),
            None if self.up && !client => {}
            // Nobody listens there yet.
            _ => ctx.close(conn),
        }
    }

    fn closed(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let rules = &shared.rules;
        match self.links.closed(conn) {
            Some((peer, Lane::Quorum)) => self.voter.on_closed(peer, rules, ctx),
            Some((_, Lane::Lifecycle)) => {
                if let Some(broker) = &mut self.broker {
                    broker.life.broke(rules, ctx);
                }
            }
            Some((_, Lane::Isr)) => self.with_broker(ctx, shared, Broker::isr_broke),
            Some((peer, Lane::Fetch)) => {
                self.with_broker(ctx, shared, |broker, env| broker.fetch_broke(peer, env));
            }
            Some((peer, Lane::Verify)) => {
                self.with_broker(ctx, shared, |broker, env| broker.txn_link_broke(peer, Lane::Verify, env));
            }
            Some((peer, Lane::Markers)) => {
                self.with_broker(ctx, shared, |broker, env| broker.txn_link_broke(peer, Lane::Markers, env));
            }
            None => {
                if let Some(broker) = &mut self.broker {
                    broker.data.closed(conn);
                }
            }
        }
    }

    fn request(&mut self, conn: ConnId, request: Request, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let to = ReplyTo::Conn(conn, request.correlation);
        match request.body {
            RequestBody::Quorum(_)
            | RequestBody::BrokerRegistration(_)
            | RequestBody::BrokerHeartbeat(_)
            | RequestBody::AlterPartition(_)
            | RequestBody::Admin(_) => self.control(request.client, request.body, to, ctx, shared),
            _ => match &mut self.broker {
                // Another broker, which reached the controller's door of this node only.
                Some(broker) if !broker.life.listens => {
                    broker.data.closed(conn);
                    ctx.close(conn);
                }
                _ => self.with_broker(ctx, shared, |broker, env| broker.request(conn, request, env)),
            },
        }
    }

    fn response(
        &mut self,
        from: NodeId,
        lane: Lane,
        response: Response,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        let (rules, correlation) = (&shared.rules, response.correlation);
        match (lane, response.body) {
            (Lane::Quorum, ResponseBody::Quorum(response)) => {
                self.voter.on_response(from, correlation, response, rules, &mut self.links, ctx);
            }
            (Lane::Lifecycle, ResponseBody::BrokerRegistration(error, epoch)) => {
                if let Some(broker) = &mut self.broker {
                    broker.life.registered(error, epoch, rules, ctx);
                    self.roused = true;
                }
            }
            (Lane::Lifecycle, ResponseBody::BrokerHeartbeat(answer)) => {
                if let Some(broker) = &mut self.broker {
                    let advice = broker.life.beaten(answer, rules, ctx);
                    self.follow_advice(advice, ctx, shared);
                }
            }
            (Lane::Isr, ResponseBody::AlterPartition(error, results)) => {
                self.with_broker(ctx, shared, |broker, env| broker.isr_answered(error, results, env));
            }
            (Lane::Fetch, ResponseBody::Fetch(said)) => {
                self.with_broker(ctx, shared, |broker, env| broker.fetched(from, said, env));
            }
            (_, ResponseBody::Txn(answer)) => {
                self.with_broker(ctx, shared, |broker, env| broker.txn_answered(answer, env));
            }
            _ => {}
        }
    }

    fn timer(&mut self, timer: Timer, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let rules = &shared.rules;
        match timer {
            Timer::Up => self.came_up(ctx, shared),
            Timer::Gone => self.finish(ctx, shared),
            Timer::Quorum(timer) => self.voter.on_timer(timer, rules, &mut self.links, ctx),
            Timer::Sessions(epoch) => self.check_sessions(epoch, ctx, shared),
            Timer::Leaders(epoch) => self.check_leaders(epoch, ctx, shared),
            Timer::Apply => {
                self.apply_armed = false;
                self.apply(ctx, shared);
            }
            Timer::Lifecycle => {
                let (controller, metadata) = (self.voter.leader(), self.image.end);
                if let Some(broker) = &mut self.broker {
                    let advice = broker.life.speak(controller, metadata, rules, &mut self.links, ctx);
                    self.follow_advice(advice, ctx, shared);
                }
            }
            Timer::Broker(timer) => {
                self.with_broker(ctx, shared, |broker, env| broker.on_timer(timer, env));
            }
            Timer::Client(_) | Timer::Resigned => {}
        }
    }

    // What follows from an event.

    /// Whether the event leaves something to be done. Mostly it does not.
    fn has_to_react(&self) -> bool {
        self.voter.is_active() != self.controller.is_some()
            || self.controller.as_ref().is_some_and(|controller| !controller.waiting.is_empty())
            || (self.voter.committed() > self.image.end && !self.apply_armed)
            || self.known_leader != self.voter.leader()
            || self.has_to_react_to_data()
    }

    /// The same of an event that only the data plane took part in: the voter and the controller are as they were.
    fn has_to_react_to_data(&self) -> bool {
        self.links.has_own() || self.data().is_some_and(|broker| broker.storage_failed)
    }

    fn react(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        loop {
            if self.voter.is_active() != self.controller.is_some() {
                self.change_controller(ctx, shared);
            }
            if self.controller.as_ref().is_some_and(|controller| !controller.waiting.is_empty()) {
                self.answer_committed(ctx);
            }
            match self.links.next_own() {
                Some(Own::Asked(lane, RequestBody::Txn(request))) => {
                    self.asked_itself(lane, request, ctx, shared);
                }
                Some(Own::Asked(lane, body)) => {
                    self.control(self.me, body, ReplyTo::Own(lane), ctx, shared);
                }
                Some(Own::Answered(lane, body)) => {
                    self.response(self.me, lane, Response { correlation: 0, body }, ctx, shared);
                }
                None => break,
            }
        }
        if self.voter.committed() > self.image.end && !self.apply_armed {
            self.apply_armed = true;
            let (least, most) = (shared.rules.metadata_apply_min, shared.rules.metadata_apply_max);
            let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
            let after = ctx.between(APPLY, u64::from(self.me.0), self.image.end, least, most);
            ctx.timer(Duration::from_nanos(after), Timer::Apply);
        }
        if self.known_leader != self.voter.leader() {
            self.known_leader = self.voter.leader();
            if let Some(broker) = &mut self.broker {
                broker.life.controller_changed(ctx);
            }
        }
        if self.data().is_some_and(|broker| broker.storage_failed) {
            // Its only log directory is gone.
            self.halt(ctx);
        }
    }

    /// A broker reaches its own partitions by the door that others come to: before it is open it reaches nothing.
    fn asked_itself(&mut self, lane: Lane, request: TxnRequest, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let (me, listens) = (self.me, self.listening().is_some());
        self.with_broker(ctx, shared, |broker, env| {
            if listens {
                broker.txn_asked(ReplyTo::Own(lane), request, env);
            } else {
                broker.txn_link_broke(me, lane, env);
            }
        });
    }

    /// Brings this node's view up to what it knows to be committed.
    fn apply(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let mut changed = Vec::new();
        let upto = self.voter.committed() as usize;
        let from = (self.image.end as usize).min(upto);
        for batch in &self.voter.log()[from..upto] {
            self.image.apply(&batch.records, &mut changed);
        }
        changed.sort_unstable();
        changed.dedup();
        self.roused = true;
        let Some(broker) = &mut self.broker else { return };
        broker.life.metadata_applied(self.image.end, ctx);
        if broker.published {
            self.with_broker(ctx, shared, |broker, env| broker.metadata_changed(&changed, env));
        } else if broker.life.stage != Stage::Leaving {
            self.publish(ctx, shared);
        }
    }

    /// The metadata reaches the broker for the first time, all of it.
    fn publish(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if let Some(broker) = &mut self.broker {
            broker.published = true;
            broker.data.start_timers(&shared.rules, ctx);
        }
        let mut all: Vec<PartitionId> = self.image.partitions().map(|(id, _)| id).collect();
        // Replicas of topics that were deleted meanwhile are still there.
        all.extend(self.data().into_iter().flat_map(Broker::replicas).map(|replica| replica.id));
        all.sort_unstable();
        all.dedup();
        self.with_broker(ctx, shared, |broker, env| broker.metadata_changed(&all, env));
    }
}
