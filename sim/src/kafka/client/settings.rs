//! A client's settings: its configuration over its library's defaults, checked as the library checks them.
//!
//! What no Kafka client can honour is refused here, before anything runs, with the setting's name and the
//! remedy. What is possible but unwise is not: that is what scenarios are for.

use super::super::{Shared, rules::TransactionVersion, txn::messages::TxnIx};
use super::defaults::{self, ConsumerDefaults, ProducerDefaults};
use squall_bus::{
    Acks, Assignor, ConsumerConfig, Error, ErrorClass, GroupProtocol, Isolation, ProducerConfig, Subscription,
};
use std::time::Duration;

/// How many batches of a producer id and partition a broker remembers, and so an idempotent producer's window.
const IDEMPOTENT_WINDOW: u32 = 5;

fn refuse(message: String) -> Error {
    Error::new(ErrorClass::Refused, "INVALID_CONFIG", message)
}

/// A producer's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerSettings {
    pub(crate) library: ProducerDefaults,
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) buffer: u32,
    /// The transactional id, `transaction.timeout.ms` and what the client and the cluster both speak.
    pub(crate) transactional: Option<(TxnIx, Duration, TransactionVersion)>,
}

impl ProducerSettings {
    /// The settings of this configuration.
    ///
    /// # Errors
    ///
    /// `Refused` for a combination that the library refuses.
    pub(crate) fn new(mut config: ProducerConfig, shared: &Shared) -> Result<Self, Error> {
        // Transactions need idempotence, and both libraries switch it on.
        config.idempotent |= config.transactional_id.is_some();
        check_producer(&config)?;
        let mut library = defaults::producer(config.profile);
        let mut transactional = None;
        if let Some(name) = &config.transactional_id {
            let id = shared.names.find_transaction(name).ok_or_else(|| {
                refuse(format!("the transactional id {name} was never heard of in this cluster"))
            })?;
            let timeout = config.transaction_timeout.unwrap_or(library.transaction_timeout);
            let version = library.transaction_version.min(shared.rules.transaction_version);
            transactional = Some((id, timeout, version));
            if library.delivery_within_transaction {
                library.delivery_timeout = library.delivery_timeout.min(timeout);
            }
        }
        if config.idempotent {
            library.max_in_flight = library.max_in_flight_idempotent;
        }
        replace(&mut library.max_in_flight, config.max_in_flight);
        replace(&mut library.linger, config.linger);
        replace(&mut library.delivery_timeout, config.delivery_timeout);
        replace(&mut library.retries, config.retries);
        // Java has one setting for both; for librdkafka the adapter sets `socket.timeout.ms` beside it.
        replace(&mut library.ack_timeout, config.request_timeout);
        replace(&mut library.connecting.request_timeout, config.request_timeout);
        let (acks, idempotent, buffer) = (config.acks, config.idempotent, config.buffer);
        Ok(Self { library, acks, idempotent, buffer, transactional })
    }
}

fn replace<T>(setting: &mut T, by: Option<T>) {
    if let Some(by) = by {
        *setting = by;
    }
}

fn check_producer(config: &ProducerConfig) -> Result<(), Error> {
    let client = &config.client;
    if config.idempotent && config.acks != Acks::All {
        return Err(refuse(format!(
            "the idempotent producer {client} needs acks `all`, not `{}`; set acks to all or idempotent to false",
            config.acks
        )));
    }
    if let Some(window) = config.max_in_flight {
        if window == 0 {
            return Err(refuse(format!("{client} needs max_in_flight of at least 1")));
        }
        if config.idempotent && window > IDEMPOTENT_WINDOW {
            return Err(refuse(format!(
                "the idempotent producer {client} can have at most {IDEMPOTENT_WINDOW} requests in flight, not \
                 {window}; lower max_in_flight or set idempotent to false"
            )));
        }
    }
    if config.idempotent && config.retries == Some(0) {
        return Err(refuse(format!(
            "the idempotent producer {client} needs retries; raise retries or set idempotent to false"
        )));
    }
    if config.buffer == 0 {
        return Err(refuse(format!("{client} needs a buffer of at least 1 record")));
    }
    if let Some(timeout) = config.transaction_timeout
        && (timeout.is_zero() || config.transactional_id.is_none())
    {
        return Err(refuse(format!(
            "{client} gives a transaction {timeout:?}; it needs more than 0 s and a transactional id"
        )));
    }
    let library = defaults::producer(config.profile);
    let linger = config.linger.unwrap_or(library.linger);
    if let Some(delivery) = config.delivery_timeout
        && delivery <= linger
    {
        return Err(refuse(format!(
            "{client} gives a record {delivery:?} in all but lets it linger for {linger:?}; raise delivery_timeout or \
             lower linger"
        )));
    }
    Ok(())
}

/// A consumer's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerSettings {
    pub(crate) config: ConsumerConfig,
    pub(crate) library: ConsumerDefaults,
    /// The assignors it offers, best first.
    pub(crate) assignors: Vec<Assignor>,
}

impl ConsumerSettings {
    /// The settings of this configuration.
    ///
    /// # Errors
    ///
    /// `Refused` for a combination that the library refuses.
    pub(crate) fn new(config: ConsumerConfig) -> Result<Self, Error> {
        let mut library = defaults::consumer(config.profile);
        replace(&mut library.session_timeout, config.session_timeout);
        replace(&mut library.heartbeat_interval, config.heartbeat_interval);
        replace(&mut library.max_poll_interval, config.max_poll_interval);
        config.without_redelivery()?;
        let assignors =
            if config.assignors.is_empty() { library.assignors.to_vec() } else { config.assignors.clone() };
        let client = &config.client;
        match config.protocol {
            GroupProtocol::Classic => check_assignors(client, &assignors, &library)?,
            GroupProtocol::Consumer => check_consumer_protocol(client, &config, &library)?,
        }
        if config.prefetch == 0 {
            return Err(refuse(format!("{client} needs prefetch of at least 1 record")));
        }
        if config.auto_commit == Some(Duration::ZERO) {
            return Err(refuse(format!(
                "{client} cannot commit every 0 s; leave auto_commit out to commit by hand"
            )));
        }
        match &config.subscription {
            Subscription::Group { group, topics } => {
                check_subscription(client, group, topics.len())?;
                if config.protocol == GroupProtocol::Classic {
                    check_sessions(client, &library)?;
                }
            }
            Subscription::Assign(units) => {
                if config.auto_commit.is_some() {
                    return Err(refuse(format!(
                        "{client} reads chosen units without a group and cannot commit"
                    )));
                }
                let mut names: Vec<_> = units.iter().map(|(unit, _)| unit).collect();
                names.sort_unstable();
                if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(refuse(format!("{client} is assigned {} twice", twice[0])));
                }
            }
        }
        Ok(Self { config, library, assignors })
    }

    /// Which records of transactions it sees.
    pub(crate) fn isolation(&self) -> Isolation {
        self.config.isolation.unwrap_or(self.library.isolation)
    }

    /// Whether it goes on only from positions that no open transaction can change.
    pub(crate) fn stable_offsets(&self) -> bool {
        self.library.always_stable_offsets || self.isolation() == Isolation::ReadCommitted
    }
}

fn check_assignors(client: &str, assignors: &[Assignor], library: &ConsumerDefaults) -> Result<(), Error> {
    if assignors.contains(&Assignor::Uniform) {
        return Err(refuse(format!(
            "{client} cannot deal by `uniform` itself; set the group protocol to consumer or take cooperative-sticky"
        )));
    }
    if assignors.contains(&Assignor::Sticky) && !library.has_eager_sticky {
        return Err(refuse(format!(
            "the client library of {client} has no assignor `sticky`; take cooperative-sticky"
        )));
    }
    let cooperative = assignors.iter().filter(|assignor| assignor.is_cooperative()).count();
    if cooperative > 0 && cooperative < assignors.len() && !library.mixes_assignors {
        return Err(refuse(format!(
            "{client} cannot offer eager and cooperative assignors at once; take one kind"
        )));
    }
    Ok(())
}

fn check_consumer_protocol(
    client: &str,
    config: &ConsumerConfig,
    library: &ConsumerDefaults,
) -> Result<(), Error> {
    if !library.has_consumer_protocol {
        return Err(refuse(format!(
            "the client library of {client} has no consumer protocol: its first release with one is 4.0; take the \
             classic protocol or a newer client"
        )));
    }
    if config.session_timeout.is_some() || config.heartbeat_interval.is_some() {
        return Err(refuse(format!(
            "{client} cannot set session_timeout or heartbeat_interval in the consumer protocol: the coordinator says \
             them; leave them out"
        )));
    }
    if config.assignors.len() > 1 {
        return Err(refuse(format!(
            "{client} can ask the coordinator for one assignor, not {}; name uniform or range",
            config.assignors.len()
        )));
    }
    Ok(())
}

fn check_subscription(client: &str, group: &str, topics: usize) -> Result<(), Error> {
    if group.is_empty() || topics == 0 {
        return Err(refuse(format!("{client} needs the name of its group and at least one topic")));
    }
    Ok(())
}

fn check_sessions(client: &str, library: &ConsumerDefaults) -> Result<(), Error> {
    let (session, beat) = (library.session_timeout, library.heartbeat_interval);
    if beat >= session || beat.is_zero() {
        return Err(refuse(format!(
            "{client} gives a sign of life every {beat:?}, which must be above 0 and below its session timeout of \
             {session:?}; change heartbeat_interval or session_timeout"
        )));
    }
    if library.max_poll_interval < session {
        return Err(refuse(format!(
            "{client} may go {:?} between polls, less than its session timeout of {session:?}; raise \
             max_poll_interval or lower session_timeout",
            library.max_poll_interval
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{ClientProfile, Topic, Unit};

    const SECOND: Duration = Duration::from_secs(1);

    fn shared() -> Shared {
        let rules = crate::kafka::profile::kafka_4_3();
        Shared { rules, names: crate::kafka::Names::default(), brokers: 3, servers: 3 }
    }

    fn refusal(change: impl FnOnce(&mut ProducerConfig)) -> String {
        let mut config = ProducerConfig::new("producer-1");
        change(&mut config);
        ProducerSettings::new(config, &shared()).expect_err("should be refused").to_string()
    }

    #[test]
    fn says_what_is_wrong_with_a_producer() {
        for (says, refusal) in [
            ("needs acks `all`, not `1`", refusal(|c| (c.idempotent, c.acks) = (true, Acks::One))),
            (
                "at most 5 requests in flight, not 6",
                refusal(|c| (c.idempotent, c.max_in_flight) = (true, Some(6))),
            ),
            ("max_in_flight of at least 1", refusal(|c| c.max_in_flight = Some(0))),
            ("needs retries", refusal(|c| (c.idempotent, c.retries) = (true, Some(0)))),
            ("buffer of at least 1", refusal(|c| c.buffer = 0)),
            (
                "1s in all but lets it linger for 2s",
                refusal(|c| (c.delivery_timeout, c.linger) = (Some(SECOND), Some(2 * SECOND))),
            ),
            ("was never heard of", refusal(|c| c.transactional_id = Some("t".into()))),
            ("needs more than 0 s and a transactional id", refusal(|c| c.transaction_timeout = Some(SECOND))),
        ] {
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_consumer() {
        let topics = [Topic::new("orders")];
        let refusal = |config| ConsumerSettings::new(config).expect_err("should be refused").to_string();
        let group = |change: &dyn Fn(&mut ConsumerConfig)| {
            let mut config = ConsumerConfig::group("consumer-1", "billing", &topics);
            change(&mut config);
            refusal(config)
        };
        let unit = Unit::new(&topics[0], 0);
        let mut assigned = ConsumerConfig::assign("consumer-1", vec![(unit.clone(), None)]);
        assigned.auto_commit = Some(SECOND);
        for (says, refusal) in [
            ("prefetch of at least 1", group(&|c| c.prefetch = 0)),
            ("every 0 s", group(&|c| c.auto_commit = Some(Duration::ZERO))),
            ("below its session timeout of 45s", group(&|c| c.heartbeat_interval = Some(45 * SECOND))),
            ("may go 1s between polls", group(&|c| c.max_poll_interval = Some(SECOND))),
            ("needs the name of its group", refusal(ConsumerConfig::group("consumer-1", "", &topics))),
            ("at least one topic", refusal(ConsumerConfig::group("consumer-1", "billing", &[]))),
            ("without a group and cannot commit", refusal(assigned)),
            ("no assignor `sticky`", group(&|c| c.assignors = vec![Assignor::Sticky])),
            ("by `uniform` itself", group(&|c| c.assignors = vec![Assignor::Uniform])),
            (
                "eager and cooperative assignors at once",
                group(&|c| c.assignors = vec![Assignor::CooperativeSticky, Assignor::Range]),
            ),
            (
                "the coordinator says them",
                group(&|c| (c.protocol, c.session_timeout) = (GroupProtocol::Consumer, Some(SECOND))),
            ),
            (
                "has no consumer protocol",
                group(&|c| (c.protocol, c.profile) = (GroupProtocol::Consumer, ClientProfile::Java3)),
            ),
            (
                "for one assignor, not 2",
                group(&|c| {
                    c.protocol = GroupProtocol::Consumer;
                    c.assignors = vec![Assignor::Uniform, Assignor::Range];
                }),
            ),
            (
                "assigned orders/0 twice",
                refusal(ConsumerConfig::assign("consumer-1", vec![(unit.clone(), None), (unit, None)])),
            ),
        ] {
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn c1_a_request_timeout_is_the_brokers_and_the_clients() {
        for (profile, unsaid) in [
            (ClientProfile::Native, (30 * SECOND, 60 * SECOND)),
            (ClientProfile::Java, (30 * SECOND, 30 * SECOND)),
        ] {
            let mut config = ProducerConfig { profile, ..ProducerConfig::new("producer-1") };
            let timeouts = |config: &ProducerConfig| {
                let library = ProducerSettings::new(config.clone(), &shared()).expect("fine").library;
                (library.ack_timeout, library.connecting.request_timeout)
            };
            assert_eq!(timeouts(&config), unsaid);
            config.request_timeout = Some(3 * SECOND);
            assert_eq!(timeouts(&config), (3 * SECOND, 3 * SECOND));
        }
    }

    #[test]
    fn c1_the_window_follows_the_library() {
        let window = |profile, idempotent| {
            let config = ProducerConfig { profile, idempotent, ..ProducerConfig::new("producer-1") };
            ProducerSettings::new(config, &shared()).expect("fine").library.max_in_flight
        };
        assert_eq!(window(ClientProfile::Native, false), 1_000_000);
        assert_eq!(window(ClientProfile::Native, true), 5);
        assert_eq!(window(ClientProfile::Java, false), 5);
    }
}
