//! The brokers' configuration by Kafka's own names: one table from a name to a field of [`Rules`].
//!
//! - A cluster's rules are its profile's, as Squall starts clusters ([`test_cluster`]), with
//!   the configuration that a scenario gives; so an operator writes what would stand in `server.properties`.
//! - What Kafka derives from a setting is derived here too: the ISR is looked at twice in a `replica.lag.time.max.ms`, and
//!   a broker waits for its controller half a session.
//!
//! Names, types and least values: KafkaConfig, ReplicationConfigs, QuorumConfig, GroupCoordinatorConfig of Kafka 4.3.

use super::{
    bugs,
    profile::{PROFILES, Profile, newest, test_cluster},
    rules::Rules,
};
use crate::settings::{BrokerOptions, ProfileRow, SettingKind, SettingRow};
use squall_bus::{ClusterSpec, Error, ErrorClass, Fsync};
use std::{collections::BTreeMap, time::Duration};

/// Which field a setting is.
#[derive(Clone, Copy)]
enum Field {
    Span(fn(&mut Rules) -> &mut Duration),
    Number(fn(&mut Rules) -> &mut u32),
    Flag(fn(&mut Rules) -> &mut bool),
}

struct Setting {
    name: &'static str,
    kind: SettingKind,
    field: Field,
    about: &'static str,
}

const fn row(name: &'static str, kind: SettingKind, field: Field, about: &'static str) -> Setting {
    Setting { name, kind, field, about }
}

use Field::{Flag, Number, Span};
use SettingKind as K;

const SETTINGS: &[Setting] = &[
    row(
        "broker.heartbeat.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.broker_heartbeat),
        "between two signs of life of a broker",
    ),
    row(
        "broker.session.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.broker_session),
        "without a sign of life a broker is fenced",
    ),
    row(
        "controller.quorum.election.backoff.max.ms",
        K::Millis(0),
        Span(|rules| &mut rules.quorum_election_backoff),
        "the most that a candidate waits before it tries again",
    ),
    row(
        "controller.quorum.election.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.quorum_election_timeout),
        "a candidate without a majority tries again",
    ),
    row(
        "controller.quorum.fetch.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.quorum_fetch_timeout),
        "a voter without a word from its leader stands for election",
    ),
    row(
        "controller.quorum.request.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.quorum_request_timeout),
        "how long a request to another controller waits",
    ),
    row(
        "group.consumer.heartbeat.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.consumer_heartbeat),
        "between two signs of life of a member, by the consumer protocol",
    ),
    row(
        "group.consumer.max.size",
        K::Count(1),
        Number(|rules| &mut rules.consumer_group_max_size),
        "members of a group of the consumer protocol",
    ),
    row(
        "group.consumer.session.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.consumer_session),
        "without a sign of life a member is put out, by the consumer protocol",
    ),
    row(
        "group.initial.rebalance.delay.ms",
        K::Millis(0),
        Span(|rules| &mut rules.group_initial_rebalance_delay),
        "how long a new group waits for further members",
    ),
    row(
        "group.max.session.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.group_max_session),
        "the longest session that a member may ask for",
    ),
    row(
        "group.max.size",
        K::Count(1),
        Number(|rules| &mut rules.group_max_size),
        "members of a classic group",
    ),
    row(
        "group.min.session.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.group_min_session),
        "the shortest session that a member may ask for",
    ),
    row(
        "log.cleaner.backoff.ms",
        K::Millis(1),
        Span(|rules| &mut rules.cleaner_backoff),
        "how long the log cleaner rests when there is nothing to clean",
    ),
    row(
        "log.cleaner.delete.retention.ms",
        K::Millis(0),
        Span(|rules| &mut rules.delete_retention),
        "how long tombstones stay in a cleaned log",
    ),
    row(
        "log.cleaner.min.compaction.lag.ms",
        K::Millis(0),
        Span(|rules| &mut rules.min_compaction_lag),
        "nothing younger is cleaned",
    ),
    row(
        "log.initial.task.delay.ms",
        K::Millis(0),
        Span(|rules| &mut rules.log_task_delay),
        "from a broker's start to its first look at old segments",
    ),
    row(
        "log.retention.check.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.retention_check),
        "between two looks at old segments",
    ),
    row(
        "log.roll.ms",
        K::Millis(1),
        Span(|rules| &mut rules.segment_age),
        "the age at which a segment is closed",
    ),
    row(
        "log.segment.bytes",
        K::Bytes(1_048_576),
        Number(|rules| &mut rules.segment_bytes),
        "a segment of that size is closed, in topics that do not say",
    ),
    row(
        "message.max.bytes",
        K::Bytes(0),
        Number(|rules| &mut rules.message_max_bytes),
        "the largest batch, of topics that do not say",
    ),
    row(
        "min.insync.replicas",
        K::Count(1),
        Number(|rules| &mut rules.offsets_min_insync),
        "in-sync replicas that acks=all needs, of the internal topics; others always say",
    ),
    row(
        "offset.metadata.max.bytes",
        K::Bytes(0),
        Number(|rules| &mut rules.offset_metadata_max_bytes),
        "the longest text that goes with a committed offset",
    ),
    row(
        "offsets.commit.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.offsets_commit_timeout),
        "how long a commit waits for its replicas",
    ),
    row(
        "offsets.retention.check.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.offsets_retention_check),
        "how often a coordinator looks for expired offsets",
    ),
    row(
        "offsets.retention.minutes",
        K::Minutes(1),
        Span(|rules| &mut rules.offsets_retention),
        "how long offsets of a group without members are kept",
    ),
    row(
        "offsets.topic.num.partitions",
        K::Count(1),
        Number(|rules| &mut rules.offsets_partitions),
        "partitions of the offsets topic",
    ),
    row(
        "offsets.topic.replication.factor",
        K::Count(1),
        Number(|rules| &mut rules.offsets_replicas),
        "replicas of the offsets topic, or as many as there are brokers",
    ),
    row(
        "producer.id.expiration.check.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.producer_expiration_check),
        "between two looks at idle producers",
    ),
    row(
        "producer.id.expiration.ms",
        K::Millis(1),
        Span(|rules| &mut rules.producer_expiration),
        "without a batch a producer is forgotten",
    ),
    row(
        "replica.fetch.backoff.ms",
        K::Millis(0),
        Span(|rules| &mut rules.replica_fetch_backoff),
        "how long a follower rests after a failed fetch",
    ),
    row(
        "replica.fetch.max.bytes",
        K::Bytes(0),
        Number(|rules| &mut rules.replica_fetch_max_bytes),
        "the most that a follower fetches of a partition at once",
    ),
    row(
        "replica.fetch.wait.max.ms",
        K::Millis(1),
        Span(|rules| &mut rules.replica_fetch_wait),
        "how long a leader holds a follower's fetch back that has nothing new",
    ),
    row(
        "replica.high.watermark.checkpoint.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.watermark_checkpoint),
        "how often high watermarks are written to disk",
    ),
    row(
        "replica.lag.time.max.ms",
        K::Millis(1),
        Span(|rules| &mut rules.replica_lag),
        "a follower that was not caught up for so long leaves the ISR",
    ),
    row(
        "replica.socket.timeout.ms",
        K::Millis(1),
        Span(|rules| &mut rules.replica_request_timeout),
        "how long a follower's fetch may stay unanswered",
    ),
    row(
        "unclean.leader.election.enable",
        K::Flag,
        Flag(|rules| &mut rules.unclean_election),
        "whether a replica that is not in sync may lead, in topics that do not say",
    ),
    row(
        "unclean.leader.election.interval.ms",
        K::Millis(1),
        Span(|rules| &mut rules.leader_check),
        "between two looks of the controller at who leads",
    ),
];

impl Setting {
    fn set(&self, rules: &mut Rules, number: u64) {
        match self.field {
            Span(field) => {
                *field(rules) = match self.kind {
                    K::Minutes(_) => Duration::from_secs(60 * number),
                    _ => Duration::from_millis(number),
                };
            }
            // No kind takes more than `SettingKind::MOST`.
            Number(field) => *field(rules) = number as u32,
            Flag(field) => *field(rules) = number != 0,
        }
    }

    /// The value that these rules have, as it is written.
    fn get(&self, rules: &mut Rules) -> String {
        match self.field {
            Span(field) => match self.kind {
                K::Minutes(_) => (field(rules).as_secs() / 60).to_string(),
                _ => field(rules).as_millis().to_string(),
            },
            Number(field) => field(rules).to_string(),
            Flag(field) => field(rules).to_string(),
        }
    }
}

fn refuse(message: String) -> Error {
    Error::new(ErrorClass::Refused, "INVALID_CONFIG", message)
}

/// Puts this configuration into the rules.
///
/// # Errors
/// Of class `Refused`: for a name that is not modelled, and for a value that its setting does not take.
pub fn configure(rules: &mut Rules, config: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in config {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            refuse(format!("the simulated Kafka has no broker setting `{name}`; take one that it models"))
        })?;
        let number = setting
            .kind
            .number(value)
            .map_err(|help| refuse(format!("the broker setting `{name}` cannot be `{value}`; {help}")))?;
        setting.set(rules, number);
    }
    rules.replica_lag_check = rules.replica_lag / 2;
    rules.controller_request_timeout = rules.broker_session / 2;
    Ok(())
}

/// The rules of a cluster as `local:kafka` would start it.
///
/// # Errors
/// Of class `Refused`, when the cluster asks for a version or a setting that there is not; `Unsupported` for a bug that the
/// model has not.
pub fn rules(spec: &ClusterSpec) -> Result<Rules, Error> {
    let profile = match &spec.profile {
        None => newest(),
        Some(name) => Profile::find(name).ok_or_else(|| {
            let known: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
            refuse(format!("there are no rules of Kafka {name}; there are those of {}", known.join(", ")))
        })?,
    };
    let mut rules = test_cluster(profile.rules());
    configure(&mut rules, &spec.config)?;
    rules.flush_every_message = spec.fsync == Fsync::Always;
    if let Some(bug) = &spec.bug {
        bugs::plant(&mut rules, bug)?;
    }
    Ok(rules)
}

/// What can be said about Kafka's brokers.
#[must_use]
pub fn options() -> BrokerOptions {
    let mut defaults = test_cluster(newest().rules());
    BrokerOptions {
        profiles: PROFILES
            .iter()
            .map(|profile| ProfileRow { name: profile.name, about: profile.to_string() })
            .collect(),
        settings: SETTINGS
            .iter()
            .map(|setting| SettingRow {
                name: setting.name,
                kind: setting.kind,
                default: setting.get(&mut defaults),
                about: setting.about,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &[(&str, &str)]) -> Result<Rules, String> {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        rules(&ClusterSpec { config, ..ClusterSpec::of(3) }).map_err(|error| error.to_string())
    }

    /// Of every setting: another value changes its rule and is read back, and its default changes nothing.
    #[test]
    fn every_setting_reaches_a_rule_of_its_own() {
        let plain = of(&[]).expect("defaults are fine");
        let mut seen: Vec<Rules> = Vec::new();
        for setting in SETTINGS {
            let default = setting.get(&mut plain.clone());
            assert_eq!(of(&[(setting.name, &default)]), Ok(plain.clone()), "{}", setting.name);
            let other = match setting.kind {
                K::Flag => "true".to_owned(),
                _ => match default.parse::<u64>().expect("a number") {
                    SettingKind::MOST => "1048583".to_owned(),
                    number => (number + 7).to_string(),
                },
            };
            let mut changed = of(&[(setting.name, &other)]).expect("a fine value");
            assert_eq!(setting.get(&mut changed), other, "{}", setting.name);
            assert!(
                changed != plain && !seen.contains(&changed),
                "{} changes no rule of its own",
                setting.name
            );
            seen.push(changed);
        }
    }

    /// The defaults that a 4.3.0 broker gave by DescribeConfigs, where Squall starts clusters with them too.
    #[test]
    fn defaults_are_those_of_the_broker() {
        let options = options();
        for (name, default) in [
            ("broker.session.timeout.ms", "9000"),
            ("broker.heartbeat.interval.ms", "2000"),
            ("controller.quorum.election.timeout.ms", "1000"),
            ("controller.quorum.fetch.timeout.ms", "2000"),
            ("replica.lag.time.max.ms", "30000"),
            ("replica.fetch.wait.max.ms", "500"),
            ("message.max.bytes", "1048588"),
            ("unclean.leader.election.enable", "false"),
        ] {
            assert_eq!(options.setting(name).map(|row| row.default.as_str()), Some(default), "{name}");
        }
    }

    #[test]
    fn what_follows_from_a_setting_follows_it() {
        let rules = of(&[("replica.lag.time.max.ms", "10000"), ("broker.session.timeout.ms", "6000")]);
        let rules = rules.expect("fine values");
        assert_eq!(rules.replica_lag_check, Duration::from_secs(5));
        assert_eq!(rules.controller_request_timeout, Duration::from_secs(3));
        let plain = of(&[]).expect("defaults are fine");
        assert_eq!(
            (plain.replica_lag_check.as_secs(), plain.controller_request_timeout.as_millis()),
            (15, 4_500)
        );
    }

    #[test]
    fn what_is_not_modelled_is_refused_by_name() {
        let error = of(&[("num.io.threads", "4")]).expect_err("not modelled");
        assert!(error.contains("no broker setting `num.io.threads`"), "{error}");
        let error = of(&[("broker.session.timeout.ms", "6s")]).expect_err("not a number");
        assert!(error.contains("cannot be `6s`; write a whole number of milliseconds"), "{error}");
        let spec = ClusterSpec { profile: Some("2.8".to_owned()), ..ClusterSpec::of(3) };
        let error = rules(&spec).expect_err("no such profile").to_string();
        assert!(error.contains("there are those of 3.9, 4.1, 4.3"), "{error}");
    }
}
