//! The buses of which a local cluster can be started, by their names.

use super::{
    Progress, ProviderError, cache_folder, jars,
    kafka::{KafkaOptions, LocalKafka},
    nats::{LocalNats, NatsOptions},
    nats_server::NatsServer,
    state::State,
};

/// Their names.
pub const BUSES: [&str; 2] = ["kafka", "nats"];

/// Starts a cluster of so many nodes and lets it live on without this process.
pub fn keep_up(bus: &str, nodes: u32, progress: Progress<'_>) -> Result<State, ProviderError> {
    match bus {
        "kafka" => LocalKafka::start(KafkaOptions { nodes, ..Default::default() }, progress)?.detach(),
        "nats" => LocalNats::start(NatsOptions { nodes, ..Default::default() }, progress)?.detach(),
        _ => Err(ProviderError::NoBus { bus: bus.to_owned(), known: BUSES.join(", ") }),
    }
}

/// What a local cluster of a bus runs, and the client library that this build speaks to it with, with their versions.
#[must_use]
pub fn version(bus: &str) -> String {
    match bus {
        #[cfg(feature = "kafka")]
        "kafka" => {
            let (_, client) = rdkafka::util::get_rdkafka_version();
            format!("Apache Kafka {}, librdkafka {client}", jars::KAFKA_VERSION)
        }
        #[cfg(not(feature = "kafka"))]
        "kafka" => format!("Apache Kafka {}", jars::KAFKA_VERSION),
        "nats" => format!("nats-server {}", super::nats_server::NATS_VERSION),
        _ => bus.to_owned(),
    }
}

/// Why no cluster of a bus can be started here, as a sentence with the remedy; `None` if one can.
#[must_use]
pub fn lacking(bus: &str) -> Option<String> {
    let found = cache_folder().and_then(|cache| match bus {
        "kafka" => jars::Java::find().and_then(|_| jars::check(&cache)),
        "nats" => NatsServer::check(&cache),
        _ => Err(ProviderError::NoBus { bus: bus.to_owned(), known: BUSES.join(", ") }),
    });
    found.err().map(|error| error.to_string())
}

/// For tests on real brokers of a bus: whether to skip, having said why. With the environment variable `CI` set
/// nothing may be skipped.
///
/// # Panics
/// When something is lacking and `CI` is set.
#[must_use]
pub fn skips_for_want_of_brokers(bus: &str) -> bool {
    let Some(why) = lacking(bus) else { return false };
    assert!(std::env::var_os("CI").is_none(), "no real cluster of {bus} can be started: {why}");
    eprintln!("SKIPPED: no real cluster of {bus} can be started: {why}");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_bus_is_refused_with_the_names_of_those_that_there_are() {
        let error = keep_up("mqtt", 3, &|_| ()).expect_err("there is none").to_string();
        assert!(BUSES.iter().all(|bus| error.contains(bus)), "{error}");
        assert_eq!(lacking("mqtt"), Some(error));
    }
}
