//! Kafka's part of a live cluster.

use super::broker::{Broker, Leadership, Look, ProcessBus, Started, client_id, here, started};
use crate::{
    error::ChaosError,
    kafka::{Kafka, PRODUCE},
    links::Links,
    protocol::{Label, Protocol},
};
use squall_adapters::{
    kafka::{KafkaBus, KafkaConfig, capabilities, java::JavaClients},
    providers::{
        Progress,
        kafka::{KafkaOptions, LocalKafka},
    },
    timer::RealClock,
    wire::{MetadataUnit, WireAdmin},
};
use squall_bus::{Admin, BoxFuture, Capabilities, Error};
use std::{any::Any, sync::Arc, time::Duration};

pub(crate) fn live_capabilities() -> Capabilities {
    here(capabilities)
}

pub(super) fn start(
    options: KafkaOptions,
    progress: Progress<'_>,
) -> Result<(Started, Arc<Links>), ChaosError> {
    let (can, java_clients) = (started(options.own_disks, capabilities), options.java_clients);
    let prepared = LocalKafka::prepare(KafkaOptions { links: true, ..options }, progress)?;
    let protocol: Arc<dyn Protocol> = Arc::new(Kafka);
    let links = Arc::new(Links::bind(&prepared.links(), &protocol)?);
    let cluster = prepared.start(progress)?;
    let clock = RealClock::new();
    let admin = cluster.admin();
    let mut config = KafkaConfig::new(&cluster.bootstrap()).map_err(ChaosError::Bus)?;
    config.clock = clock.clone();
    if java_clients {
        config.java = Some(JavaClients::start(&cluster.bootstrap(), progress)?);
    }
    let mut own = config.clone();
    own.admin = Arc::new(admin.clone());
    own.client_id = client_id(Label::HARNESS, 0);
    let started = Started {
        running: cluster.into_running(),
        broker: Arc::new(KafkaBroker { config, admin }),
        capabilities: can,
        clock,
        bus: Arc::new(KafkaBus::new(own)),
    };
    Ok((started, links))
}

struct KafkaBroker {
    config: KafkaConfig,
    admin: WireAdmin,
}

impl Broker for KafkaBroker {
    fn bus(&self, process: &str, life: u32) -> Arc<dyn ProcessBus> {
        let mut config = self.config.clone();
        config.client_id = client_id(process, life);
        Arc::new(KafkaBus::new(config))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(self.admin.clone())
    }

    fn look(&self) -> BoxFuture<'static, Result<Look, Error>> {
        let survey = self.admin.survey();
        Box::pin(async move {
            Ok(survey.await?.into_iter().map(|(unit, state)| (unit, leadership(&state))).collect())
        })
    }

    fn relays(&self) -> bool {
        false
    }

    fn produce(&self) -> i16 {
        PRODUCE
    }
}

fn leadership(state: &MetadataUnit) -> Leadership {
    let node = |number: &i32| u32::try_from(*number).ok();
    Leadership {
        leader: node(&state.leader),
        term: Some(state.leader_epoch.to_string()),
        insync: state.insync.iter().filter_map(node).collect(),
        may_be_unclean: true,
    }
}

impl ProcessBus for KafkaBus {
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
