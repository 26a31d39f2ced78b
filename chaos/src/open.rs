//! Live clusters by the names of their buses.

use crate::{error::ChaosError, live::LiveCluster};
use squall_bus::{Capabilities, ClusterSpec, Fsync};
use std::{sync::Arc, thread};
use tokio::sync::mpsc::unbounded_channel;

/// The buses of which a live cluster can be started here.
pub const BUSES: &[&str] = &[
    #[cfg(feature = "kafka")]
    "kafka",
    #[cfg(feature = "nats")]
    "nats",
];

/// What a bus and the faults on a live cluster of it can do here, on this machine; `None` if none can be started.
#[must_use]
pub fn capabilities(bus: &str) -> Option<Capabilities> {
    match bus {
        #[cfg(feature = "kafka")]
        "kafka" => Some(crate::live::kafka::live_capabilities()),
        #[cfg(feature = "nats")]
        "nats" => Some(crate::live::nats::live_capabilities()),
        _ => None,
    }
}

/// The version of a bus that is started here, as its profile is named: `4.3`; `None` if none can be started.
#[must_use]
pub fn profile(bus: &str) -> Option<&'static str> {
    let version = match bus {
        #[cfg(feature = "kafka")]
        "kafka" => squall_adapters::providers::jars::KAFKA_VERSION,
        #[cfg(feature = "nats")]
        "nats" => squall_adapters::providers::nats_server::NATS_VERSION,
        _ => return None,
    };
    version.rsplit_once('.').map(|(profile, _)| profile)
}

/// Starts a live cluster. `note` gets one line about each thing that takes long.
pub async fn open(
    bus: &str,
    spec: ClusterSpec,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Arc<LiveCluster>, ChaosError> {
    let (lines, mut said) = unbounded_channel();
    let bus = bus.to_owned();
    let starting = thread::spawn(move || {
        // Nobody listens any more when the caller gave up.
        start(&bus, spec, &|line| drop(lines.send(line.to_owned())))
    });
    while let Some(line) = said.recv().await {
        note(&line);
    }
    // The lines end when the start does, so this does not wait.
    starting.join().unwrap_or(Err(ChaosError::Ended)).map(Arc::new)
}

fn start(bus: &str, spec: ClusterSpec, progress: &dyn Fn(&str)) -> Result<LiveCluster, ChaosError> {
    match bus {
        #[cfg(feature = "kafka")]
        "kafka" => {
            let mut options = squall_adapters::providers::kafka::KafkaOptions {
                nodes: spec.nodes,
                own_disks: spec.loses_power,
                java_clients: spec.java_clients,
                settings: spec.config,
                ..Default::default()
            };
            if spec.fsync == Fsync::Always {
                options.settings.insert("log.flush.interval.messages".to_owned(), "1".to_owned());
            }
            LiveCluster::kafka(options, progress)
        }
        #[cfg(feature = "nats")]
        "nats" => {
            let mut options = squall_adapters::providers::nats::NatsOptions {
                nodes: spec.nodes,
                own_disks: spec.loses_power,
                ..Default::default()
            };
            if spec.fsync == Fsync::Always {
                options.jetstream.insert("sync_interval".to_owned(), "always".to_owned());
            }
            LiveCluster::nats(options, progress)
        }
        _ => Err(ChaosError::NoBus { bus: bus.to_owned(), known: BUSES.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_has_capabilities_and_another_one_is_refused_with_the_names_of_those() {
        assert!(BUSES.iter().all(|bus| capabilities(bus).is_some()));
        assert_eq!(capabilities("mqtt"), None);
        assert!(BUSES.iter().all(|bus| profile(bus).is_some_and(|name| name.split('.').count() == 2)));
        assert_eq!(profile("mqtt"), None);
        let error = start("mqtt", ClusterSpec::of(3), &|_| ()).expect_err("there is none").to_string();
        assert!(BUSES.iter().all(|bus| error.contains(bus)), "{error}");
    }
}
