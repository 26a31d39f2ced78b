//! NATS' part of a live cluster.
//!
//! The harness' own bus connects past the proxies: a proxy learns only from what a client says after the server's
//! greeting whose connection it is, so during a fault aimed at everyone it could not spare the harness' own.

use super::broker::{Broker, Leadership, Look, ProcessBus, Started, client_id, here, started};
use crate::{
    error::ChaosError,
    links::Links,
    nats::{Nats, PUBLISH},
    protocol::{Label, Protocol},
};
use squall_adapters::{
    monitor::Copies,
    nats::{NatsBus, NatsConfig, admin::NatsAdmin, capabilities},
    providers::{
        Progress,
        nats::{LocalNats, NatsOptions},
    },
    timer::RealClock,
};
use squall_bus::{Admin, BoxFuture, Capabilities, Error};
use std::{any::Any, sync::Arc, time::Duration};

pub(crate) fn live_capabilities() -> Capabilities {
    here(capabilities)
}

pub(super) fn start(
    options: NatsOptions,
    progress: Progress<'_>,
) -> Result<(Started, Arc<Links>), ChaosError> {
    let can = started(options.own_disks, capabilities);
    let prepared = LocalNats::prepare(NatsOptions { links: true, ..options }, progress)?;
    let protocol: Arc<dyn Protocol> = Arc::new(Nats);
    let links = Arc::new(Links::bind(&prepared.links(), &protocol)?);
    let cluster = prepared.start(progress)?;
    let clock = RealClock::new();
    let direct = cluster.addresses().direct();
    let admin = NatsAdmin::direct(&direct, cluster.monitor(), &Label::client_id("admin", Label::HARNESS, 0));
    let mut config = NatsConfig::new(&cluster.bootstrap(), Arc::new(admin.clone()));
    config.clock = clock.clone();
    let own = NatsConfig {
        bootstrap: direct.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        discover: false,
        client_id: client_id(Label::HARNESS, 0),
        ..config.clone()
    };
    let started = Started {
        running: cluster.into_running(),
        broker: Arc::new(NatsBroker { config, admin }),
        capabilities: can,
        clock,
        bus: Arc::new(NatsBus::new(own)),
    };
    Ok((started, links))
}

struct NatsBroker {
    config: NatsConfig,
    admin: NatsAdmin,
}

impl Broker for NatsBroker {
    fn bus(&self, process: &str, life: u32) -> Arc<dyn ProcessBus> {
        let client_id = client_id(process, life);
        Arc::new(NatsBus::new(NatsConfig { client_id, ..self.config.clone() }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(self.admin.clone())
    }

    fn look(&self) -> BoxFuture<'static, Result<Look, Error>> {
        let survey = self.admin.survey();
        Box::pin(async move {
            Ok(survey.await?.into_iter().map(|(unit, copies)| (unit, leadership(copies))).collect())
        })
    }

    fn relays(&self) -> bool {
        true
    }

    fn produce(&self) -> i16 {
        PUBLISH
    }
}

/// A leader is elected by a majority that has what it has: never one that lacks something.
fn leadership(copies: Copies) -> Leadership {
    Leadership {
        leader: copies.leader,
        term: (!copies.since.is_empty()).then_some(copies.since),
        insync: copies.insync,
        may_be_unclean: false,
    }
}

impl ProcessBus for NatsBus {
    fn crash(&self) {
        self.crash();
    }

    fn hold(&self) -> Box<dyn Any + Send> {
        self.hold()
    }

    fn stop(&self, patience: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.stop(patience))
    }
}
