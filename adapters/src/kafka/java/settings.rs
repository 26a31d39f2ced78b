//! The settings of Java's clients that the bus's configurations mean, by Kafka's names. What is not said is left to the
//! client.

use super::super::KafkaConfig;
use squall_bus::{
    Assignor, ConsumerConfig, GroupProtocol, Isolation, ProducerConfig, ResetPolicy, Subscription,
};
use std::{collections::BTreeMap, time::Duration};

type Settings = BTreeMap<&'static str, String>;

/// Settings of a producer.
pub(super) fn producer(bus: &KafkaConfig, config: &ProducerConfig) -> Settings {
    let mut settings = common(bus, &config.client);
    settings.insert("acks", config.acks.to_string());
    let idempotent = config.idempotent || config.transactional_id.is_some();
    settings.insert("enable.idempotence", idempotent.to_string());
    set(&mut settings, "max.in.flight.requests.per.connection", config.max_in_flight);
    set(&mut settings, "linger.ms", config.linger.map(ms));
    set(&mut settings, "request.timeout.ms", config.request_timeout.map(ms));
    set(&mut settings, "delivery.timeout.ms", config.delivery_timeout.map(ms));
    set(&mut settings, "retries", config.retries.map(|retries| retries.min(i32::MAX as u32)));
    set(&mut settings, "transactional.id", config.transactional_id.as_ref());
    set(&mut settings, "transaction.timeout.ms", config.transaction_timeout.map(ms));
    settings
}

/// Settings of a consumer.
pub(super) fn consumer(bus: &KafkaConfig, config: &ConsumerConfig) -> Settings {
    let mut settings = common(bus, &config.client);
    if let Subscription::Group { group, .. } = &config.subscription {
        settings.insert("group.id", group.clone());
    }
    let reset = match config.reset {
        ResetPolicy::Earliest => "earliest",
        ResetPolicy::Latest => "latest",
    };
    settings.insert("auto.offset.reset", reset.to_owned());
    settings.insert("allow.auto.create.topics", "false".to_owned());
    settings.insert("enable.auto.commit", config.auto_commit.is_some().to_string());
    settings.insert("max.poll.records", config.prefetch.max(1).to_string());
    set(&mut settings, "auto.commit.interval.ms", config.auto_commit.map(ms));
    set(&mut settings, "group.instance.id", config.instance.as_ref());
    match config.protocol {
        GroupProtocol::Classic => {
            settings.insert("group.protocol", "classic".to_owned());
            set(&mut settings, "partition.assignment.strategy", listed(&config.assignors, class));
        }
        GroupProtocol::Consumer => {
            settings.insert("group.protocol", "consumer".to_owned());
            set(&mut settings, "group.remote.assignor", listed(&config.assignors, Assignor::name));
        }
    }
    set(&mut settings, "session.timeout.ms", config.session_timeout.map(ms));
    set(&mut settings, "heartbeat.interval.ms", config.heartbeat_interval.map(ms));
    set(&mut settings, "max.poll.interval.ms", config.max_poll_interval.map(ms));
    set(&mut settings, "isolation.level", config.isolation.map(isolation));
    set(&mut settings, "client.rack", config.rack);
    settings
}

fn common(bus: &KafkaConfig, client: &str) -> Settings {
    [("bootstrap.servers", bus.bootstrap.clone()), ("client.id", (bus.client_id)(client))].into()
}

fn listed(assignors: &[Assignor], name: impl Fn(Assignor) -> &'static str) -> Option<String> {
    let names: Vec<&str> = assignors.iter().map(|assignor| name(*assignor)).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The class of an assignor, which is what Java calls it by.
fn class(assignor: Assignor) -> &'static str {
    match assignor {
        Assignor::Range => "org.apache.kafka.clients.consumer.RangeAssignor",
        Assignor::RoundRobin => "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        Assignor::Sticky => "org.apache.kafka.clients.consumer.StickyAssignor",
        Assignor::CooperativeSticky => "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        // The coordinator's own; Java refuses it by this name in a classic group.
        Assignor::Uniform => "uniform",
    }
}

fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "read_uncommitted",
        Isolation::ReadCommitted => "read_committed",
    }
}

fn set(settings: &mut Settings, name: &'static str, value: Option<impl ToString>) {
    if let Some(value) = value {
        settings.insert(name, value.to_string());
    }
}

fn ms(span: Duration) -> u128 {
    span.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::Topic;

    fn bus() -> KafkaConfig {
        KafkaConfig::new("127.0.0.1:1").expect("an address")
    }

    #[test]
    fn what_is_not_said_is_left_to_java() {
        let settings = producer(&bus(), &ProducerConfig::new("p"));
        let names: Vec<_> = settings.keys().copied().collect();
        assert_eq!(names, ["acks", "bootstrap.servers", "client.id", "enable.idempotence"]);
    }

    #[test]
    fn a_transactional_producer_is_idempotent() {
        let config = ProducerConfig {
            transactional_id: Some("payments".to_owned()),
            transaction_timeout: Some(Duration::from_secs(5)),
            ..ProducerConfig::new("p")
        };
        let settings = producer(&bus(), &config);
        let found = ["transactional.id", "transaction.timeout.ms", "enable.idempotence"];
        assert_eq!(found.map(|name| settings[name].as_str()), ["payments", "5000", "true"]);
    }

    #[test]
    fn assignors_are_classes_in_a_classic_group_and_names_in_the_next() {
        let group = |protocol, assignor| {
            let topics = [Topic::new("t")];
            let config = ConsumerConfig {
                assignors: vec![assignor],
                protocol,
                ..ConsumerConfig::group("c", "g", &topics)
            };
            consumer(&bus(), &config)
        };
        let classic = group(GroupProtocol::Classic, Assignor::CooperativeSticky);
        let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(classic["partition.assignment.strategy"], class);
        let next = group(GroupProtocol::Consumer, Assignor::Uniform);
        assert_eq!(
            (next["group.protocol"].as_str(), next["group.remote.assignor"].as_str()),
            ("consumer", "uniform")
        );
    }

    #[test]
    fn a_reader_alone_has_no_group() {
        let config = ConsumerConfig::assign("c", Vec::new());
        assert_eq!(consumer(&bus(), &config).get("group.id"), None);
    }
}
