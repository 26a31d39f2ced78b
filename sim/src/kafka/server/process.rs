//! The process of a server: how it starts, and how it ends in good order or at once.

use super::{
    super::{
        Kafka, Shared, Timer,
        lifecycle::{Advice, Stage},
        links::{Lane, ReplyTo},
        metadata::{Image, UNREGISTERED},
        protocol::{Msg, Request, RequestBody},
    },
    Server,
};
use crate::kernel::{Boot, Ctx, Event, FileId, NodeId, Site};
use std::time::Duration;

const STARTUP: Site = Site::new("kafka.server.startup");

impl Server {
    pub(super) fn start(
        &mut self,
        boot: Boot,
        settled: Option<NodeId>,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        let rules = &shared.rules;
        self.boots += 1;
        self.links.reset();
        self.controller = None;
        (self.up, self.gone, self.apply_armed, self.syncing) = (false, false, false, 0);
        self.resigned = false;
        self.known_leader = None;
        if self.boots == 1
            && let Some(leader) = settled
        {
            self.start_settled(leader, ctx, shared);
            return;
        }
        self.image = Image::default();
        if boot == Boot::Fresh {
            self.voter.wipe();
        }
        if let Some(broker) = &mut self.broker {
            if boot == Boot::Fresh {
                broker.data.wipe();
                broker.life.clean_epoch = None;
            }
            broker.published = false;
            broker.life.start();
            broker.data.start(rules, ctx);
        }
        let takes = ctx.between(
            STARTUP,
            u64::from(self.me.0),
            u64::from(self.boots),
            rules.startup_min.as_nanos() as u64,
            rules.startup_max.as_nanos() as u64,
        );
        ctx.timer(Duration::from_nanos(takes), Timer::Up);
    }

    /// The cluster has been running for long: this node has its part in it at once.
    fn start_settled(&mut self, leader: NodeId, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        self.up = true;
        self.known_leader = Some(leader);
        self.voter.start_settled(leader, &shared.rules, &mut self.links, ctx);
        if let Some(broker) = &mut self.broker {
            let epoch = self.image.broker(self.me).map_or(0, |broker| broker.epoch);
            broker.life.start();
            broker.life.start_settled(epoch, &shared.rules, ctx);
            broker.data.start(&shared.rules, ctx);
            self.publish(ctx, shared);
        }
    }

    pub(super) fn came_up(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        self.up = true;
        self.voter.start(&shared.rules, &mut self.links, ctx);
        if let Some(broker) = &mut self.broker {
            broker.life.stage = Stage::Registering;
            broker.life.schedule(Duration::ZERO, ctx);
        }
    }

    pub(super) fn stop(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        let advice = match &mut self.broker {
            Some(broker) => broker.life.stop(ctx),
            None => Advice::Leave,
        };
        self.follow_advice(advice, ctx, shared);
    }

    pub(super) fn follow_advice(&mut self, advice: Advice, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if advice == Advice::Leave {
            if let Some(broker) = &mut self.broker {
                broker.life.stage = Stage::Leaving;
            }
            ctx.timer(shared.rules.shutdown_takes, Timer::Gone);
        }
    }

    /// The last of a process that stops in good order: what it wrote is synced.
    pub(super) fn finish(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if let Some(broker) = &mut self.broker {
            broker.data.checkpoint();
            let dirty: Vec<FileId> = broker
                .data
                .replicas()
                .map(|replica| replica.file)
                .filter(|file| ctx.disk().written(*file) > ctx.disk().synced(*file))
                .collect();
            for file in dirty {
                match ctx.sync(file) {
                    Ok(()) => self.syncing += 1,
                    Err(_) => return self.halt(ctx),
                }
            }
        }
        if self.syncing == 0 {
            self.exit(ctx, shared);
        }
    }

    pub(super) fn synced(&mut self, ok: bool, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if !ok {
            return self.halt(ctx);
        }
        self.syncing = self.syncing.saturating_sub(1);
        if self.syncing == 0 {
            self.exit(ctx, shared);
        }
    }

    /// The broker is done. A voter that leads stays until it hears of its successor, for as long as that may take:
    /// when all nodes stop at once, the last one is gone five seconds after the others (measured 5.4 s, three times).
    fn exit(&mut self, ctx: &mut Ctx<'_, Kafka>, shared: &Shared) {
        if let Some(broker) = &mut self.broker
            && broker.life.epoch != UNREGISTERED
        {
            broker.life.clean_epoch = Some(broker.life.epoch);
        }
        if !self.voter.resign(&mut self.links, ctx) {
            return self.halt(ctx);
        }
        (self.resigned, self.roused) = (true, true);
        if let Some(broker) = &mut self.broker {
            broker.data.hang_up(ctx);
        }
        ctx.timer(shared.rules.resignation_patience, Timer::Resigned);
    }

    /// Only the voter is left of this process, until it knows another leader.
    pub(super) fn await_successor(
        &mut self,
        event: Event<Msg, Timer>,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        let rules = &shared.rules;
        match event {
            Event::Accepted(conn, from) if from.0 >= shared.servers => ctx.close(conn),
            Event::Message(conn, Msg::Request(Request { client, correlation, body })) => match body {
                RequestBody::Quorum(_) => {
                    self.control(client, body, ReplyTo::Conn(conn, correlation), ctx, shared);
                }
                _ => ctx.close(conn),
            },
            Event::Message(conn, Msg::Response(response)) => {
                if let Some((from, Lane::Quorum)) = self.links.whose(conn) {
                    self.response(from, Lane::Quorum, response, ctx, shared);
                }
            }
            Event::Closed(conn) => {
                if let Some((peer, Lane::Quorum)) = self.links.closed(conn) {
                    self.voter.on_closed(peer, rules, ctx);
                }
            }
            Event::Timer(Timer::Quorum(timer)) => self.voter.on_timer(timer, rules, &mut self.links, ctx),
            Event::Timer(Timer::Resigned) => return self.halt(ctx),
            _ => {}
        }
        if self.voter.leader().is_some_and(|leader| leader != self.me) {
            self.halt(ctx);
        }
    }

    pub(super) fn halt(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        self.roused = true;
        self.gone = true;
        ctx.exit();
    }
}
