//! The settings of librdkafka that the bus's configurations mean.

use super::KafkaConfig;
use rdkafka::ClientConfig;
use squall_bus::{Acks, ConsumerConfig, GroupProtocol, Isolation, ProducerConfig, ResetPolicy, Subscription};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// How much fits into librdkafka's queue: so much that the bus's own bound is the one that is met. librdkafka
/// counts a record until the whole batch of reports that tells its outcome was handled; by then the bus may
/// have sent as many again.
fn queue(buffer: u32) -> u32 {
    buffer.saturating_mul(2).saturating_add(1_000).min(10_000_000)
}

/// Settings of a producer.
pub(super) fn producer(bus: &KafkaConfig, config: &ProducerConfig) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &bus.bootstrap)
        .set("client.id", (bus.client_id)(&config.client))
        .set("allow.auto.create.topics", "false")
        .set("partitioner", "murmur2_random")
        .set("acks", config.acks.to_string())
        .set("enable.idempotence", (config.idempotent || config.transactional_id.is_some()).to_string())
        .set("queue.buffering.max.messages", queue(config.buffer).to_string());
    set(&mut settings, "max.in.flight.requests.per.connection", config.max_in_flight);
    set(&mut settings, "linger.ms", config.linger.map(ms));
    set(&mut settings, "request.timeout.ms", config.request_timeout.map(ms));
    // How long the client itself waits for a response is the socket's timeout.
    set(&mut settings, "socket.timeout.ms", config.request_timeout.map(|timeout| ms(timeout).max(10)));
    set(&mut settings, "message.timeout.ms", config.delivery_timeout.map(ms));
    set(&mut settings, "retries", config.retries);
    set(&mut settings, "transactional.id", config.transactional_id.as_ref());
    set(&mut settings, "transaction.timeout.ms", config.transaction_timeout.map(ms));
    settings.extend(bus.settings.clone());
    settings
}

/// Settings of a consumer.
pub(super) fn consumer(bus: &KafkaConfig, config: &ConsumerConfig) -> ClientConfig {
    let group = match &config.subscription {
        Subscription::Group { group, .. } => group.clone(),
        // librdkafka wants a group even from who reads alone; nobody else is in this one.
        Subscription::Assign(_) => {
            format!("{}-alone-{:016x}", config.client, RandomState::new().hash_one(std::process::id()))
        }
    };
    let reset = match config.reset {
        ResetPolicy::Earliest => "earliest",
        ResetPolicy::Latest => "latest",
    };
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &bus.bootstrap)
        .set("client.id", (bus.client_id)(&config.client))
        .set("group.id", group)
        .set("auto.offset.reset", reset)
        .set("enable.auto.commit", config.auto_commit.is_some().to_string())
        // Positions are stored when the reader gets the record, not when the adapter does.
        .set("enable.auto.offset.store", "false")
        .set("queued.min.messages", config.prefetch.max(1).to_string())
        // How long librdkafka pauses when so many are fetched ahead; its default of 1 s starves a fast reader.
        .set("fetch.queue.backoff.ms", "5");
    set(&mut settings, "auto.commit.interval.ms", config.auto_commit.map(ms));
    set(&mut settings, "group.instance.id", config.instance.as_ref());
    let assignors = config.assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(",");
    let assignors = (!assignors.is_empty()).then_some(assignors);
    match config.protocol {
        GroupProtocol::Classic => set(&mut settings, "partition.assignment.strategy", assignors),
        GroupProtocol::Consumer => {
            settings.set("group.protocol", "consumer");
            set(&mut settings, "group.remote.assignor", assignors);
        }
    }
    set(&mut settings, "session.timeout.ms", config.session_timeout.map(ms));
    set(&mut settings, "heartbeat.interval.ms", config.heartbeat_interval.map(ms));
    set(&mut settings, "max.poll.interval.ms", config.max_poll_interval.map(ms));
    set(&mut settings, "isolation.level", config.isolation.map(isolation));
    set(&mut settings, "client.rack", config.rack);
    settings.extend(bus.settings.clone());
    settings
}

fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "read_uncommitted",
        Isolation::ReadCommitted => "read_committed",
    }
}

fn set(settings: &mut ClientConfig, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        settings.set(name, value.to_string());
    }
}

fn ms(span: Duration) -> u128 {
    span.as_millis()
}

/// Whether a record is sent once at most, so that the last error is also the only one.
pub(super) fn one_attempt(bus: &KafkaConfig, config: &ProducerConfig) -> bool {
    let retries = bus.settings.get("retries").cloned().or(config.retries.map(|retries| retries.to_string()));
    !config.idempotent && config.acks != Acks::None && retries.as_deref() == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{Assignor, Topic, Unit};

    fn bus() -> KafkaConfig {
        let mut bus = KafkaConfig::new("127.0.0.1:1").expect("an address");
        bus.settings.insert("linger.ms".to_owned(), "9".to_owned());
        bus
    }

    #[test]
    fn what_is_not_said_is_left_to_the_client() {
        let settings = producer(&bus(), &ProducerConfig::new("p"));
        assert_eq!(settings.get("retries"), None);
        assert_eq!(settings.get("message.timeout.ms"), None);
        assert_eq!((settings.get("acks"), settings.get("client.id")), (Some("all"), Some("p")));
    }

    #[test]
    fn transactions_have_librdkafkas_names() {
        let config = ProducerConfig {
            transactional_id: Some("payments".to_owned()),
            transaction_timeout: Some(Duration::from_secs(5)),
            ..ProducerConfig::new("p")
        };
        let settings = producer(&bus(), &config);
        let found =
            ["transactional.id", "transaction.timeout.ms", "enable.idempotence"].map(|k| settings.get(k));
        assert_eq!(found, [Some("payments"), Some("5000"), Some("true")]);
        let mut config = ConsumerConfig::group("c", "g", &[Topic::new("t")]);
        assert_eq!(consumer(&bus(), &config).get("isolation.level"), None);
        config.isolation = Some(Isolation::ReadUncommitted);
        assert_eq!(consumer(&bus(), &config).get("isolation.level"), Some("read_uncommitted"));
    }

    #[test]
    fn settings_of_the_bus_win() {
        let config = ProducerConfig { linger: Some(Duration::from_millis(1)), ..ProducerConfig::new("p") };
        assert_eq!(producer(&bus(), &config).get("linger.ms"), Some("9"));
    }

    #[test]
    fn only_a_producer_without_retries_tries_once() {
        let config = |retries, idempotent| ProducerConfig { retries, idempotent, ..ProducerConfig::new("p") };
        assert!(one_attempt(&bus(), &config(Some(0), false)));
        assert!(!one_attempt(&bus(), &config(Some(0), true)));
        assert!(!one_attempt(&bus(), &config(Some(1), false)));
        assert!(!one_attempt(&bus(), &config(None, false)));
    }

    #[test]
    fn a_groups_settings_are_librdkafkas() {
        let topics = [Topic::new("t")];
        let classic = ConsumerConfig {
            assignors: vec![Assignor::Range, Assignor::RoundRobin],
            instance: Some("one".to_owned()),
            ..ConsumerConfig::group("c", "g", &topics)
        };
        let settings = consumer(&bus(), &classic);
        assert_eq!(settings.get("partition.assignment.strategy"), Some("range,roundrobin"));
        assert_eq!((settings.get("group.instance.id"), settings.get("group.protocol")), (Some("one"), None));
        let next = ConsumerConfig {
            assignors: vec![Assignor::Uniform],
            protocol: GroupProtocol::Consumer,
            ..ConsumerConfig::group("c", "g", &topics)
        };
        let settings = consumer(&bus(), &next);
        assert_eq!(settings.get("group.protocol"), Some("consumer"));
        assert_eq!(settings.get("group.remote.assignor"), Some("uniform"));
        assert_eq!(settings.get("partition.assignment.strategy"), None);
    }

    #[test]
    fn a_reader_alone_is_in_a_group_of_its_own() {
        let config = ConsumerConfig::assign("c", vec![(Unit::new(&Topic::new("t"), 0), None)]);
        let group = || consumer(&bus(), &config).get("group.id").map(str::to_owned);
        assert_ne!(group(), group());
    }
}
