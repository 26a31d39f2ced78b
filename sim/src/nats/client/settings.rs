//! A client's settings: its configuration over the library's defaults.
//!
//! | default | source (async-nats 0.51.0) |
//! |---|---|
//! | pings after 60 s of silence, at most 2 unanswered; 5 s to connect; 2,048 commands wait | `options.rs`, `lib.rs` |
//! | attempt n waits 0, 0, 2, 4, 8 ms ... 4 s | `connector.rs` |
//! | 5 s for the ack of a publish and of a double ack; 10 s for an API request | `jetstream/context.rs`, `options.rs` |
//! | 5,000 publishes in flight, then `publish` waits | `jetstream/context.rs` |
//! | 65,536 messages wait in a subscription | `options.rs` |
//! | pulls of 200 messages that expire after 30 s; heartbeats of 15 s; asks again at half a batch | `jetstream/consumer/pull.rs` |
//!
//! The library has no retries. The policy for them is ours, and the same in the adapter of the real client
//! (`squall_bus::lowering`).

use squall_bus::{
    Acks, Capability, ConsumerConfig, Error, ErrorClass, ProducerConfig, ResetPolicy, Subscription,
    lowering::{DELIVERY_TIMEOUT, RETRY_BACKOFF},
};
use std::time::Duration;

/// How long a client waits for a word of the server before it pings.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How many pings may be without answers.
pub(crate) const MAX_PENDING_PINGS: u32 = 2;
/// How long a connection may take to be set up.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many commands wait for a connection.
pub(crate) const COMMANDS: usize = 2_048;
/// How long a publish or a double ack waits for its ack.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an API request waits for its response.
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client waits before it asks again what was refused for now.
pub(crate) const AGAIN: Duration = RETRY_BACKOFF;
/// How many publishes wait for their acks.
pub(crate) const MAX_IN_FLIGHT: u32 = 5_000;
/// How many messages wait in a subscription; what comes beyond is dropped.
pub(crate) const SUBSCRIPTION: u32 = 65_536;
/// How many messages a pull asks for at most.
pub(crate) const PULL_BATCH: u32 = 200;
/// How long a pull may wait at the server.
pub(crate) const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that a pull still waits. Twice that without a word is too long.
pub(crate) const PULL_HEARTBEAT: Duration = Duration::from_secs(15);

/// How long the library waits before attempt `attempt` since the last success, from 1.
pub(crate) fn reconnect_delay(attempt: u32) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    Duration::from_millis(2_u64.saturating_pow(attempt - 1)).min(Duration::from_secs(4))
}

fn refuse(message: String) -> Error {
    Error::new(ErrorClass::Refused, "INVALID_CONFIG", message)
}

/// How often a record is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resending {
    /// How often at most.
    pub(crate) retries: u32,
    /// How long a record may take in all, if that is bounded.
    pub(crate) delivery_timeout: Option<Duration>,
}

/// A producer's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerSettings {
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) max_in_flight: u32,
    pub(crate) ack_timeout: Duration,
    pub(crate) resending: Resending,
    pub(crate) buffer: u32,
}

impl ProducerSettings {
    /// The settings of this configuration.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what NATS lacks, `Refused` for what makes no sense.
    pub(crate) fn new(config: ProducerConfig) -> Result<Self, Error> {
        let client = &config.client;
        if config.transactional_id.is_some() {
            return Err(Error::unsupported(Capability::Transactions));
        }
        if config.acks == Acks::One {
            return Err(Error::unsupported(Capability::AckOne));
        }
        if config.idempotent && config.acks != Acks::All {
            return Err(refuse(format!(
                "the idempotent producer {client} needs acks `all`, not `{}`; set acks to all or idempotent to false",
                config.acks
            )));
        }
        if config.max_in_flight == Some(0) {
            return Err(refuse(format!("{client} needs max_in_flight of at least 1")));
        }
        if config.buffer == 0 {
            return Err(refuse(format!("{client} needs a buffer of at least 1 record")));
        }
        let retries = config.retries.unwrap_or(if config.idempotent { u32::MAX } else { 0 });
        let default = (retries > 0).then_some(DELIVERY_TIMEOUT);
        Ok(Self {
            acks: config.acks,
            idempotent: config.idempotent,
            max_in_flight: config.max_in_flight.unwrap_or(MAX_IN_FLIGHT),
            ack_timeout: config.request_timeout.unwrap_or(ACK_TIMEOUT),
            resending: Resending { retries, delivery_timeout: config.delivery_timeout.or(default) },
            buffer: config.buffer,
        })
    }
}

/// A consumer's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerSettings {
    pub(crate) subscription: Subscription,
    pub(crate) reset: ResetPolicy,
    pub(crate) prefetch: u32,
    pub(crate) ordered: bool,
    pub(crate) confirm_acks: bool,
    pub(crate) ack_wait: Option<Duration>,
    pub(crate) max_deliver: Option<u32>,
    pub(crate) buffer: u32,
}

impl ConsumerSettings {
    /// The settings of this configuration. Session, heartbeat and poll intervals are those of a group whose
    /// members share units out, which there is none of here.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what only a group that shares units out has, `Refused` for what makes no sense here.
    pub(crate) fn new(config: ConsumerConfig) -> Result<Self, Error> {
        config.without_group_settings()?;
        let client = &config.client;
        if config.prefetch == 0 {
            return Err(refuse(format!("{client} needs prefetch of at least 1 record")));
        }
        if config.auto_commit.is_some() {
            return Err(refuse(format!(
                "{client} cannot commit on a timer: records are acknowledged one by one; leave auto_commit out"
            )));
        }
        if config.ack_wait == Some(Duration::ZERO)
            || config.max_deliver == Some(0)
            || config.buffer == Some(0)
        {
            return Err(refuse(format!(
                "{client} needs an ack_wait above 0 s, max_deliver of at least 1 and a buffer of at least 1 message"
            )));
        }
        match &config.subscription {
            Subscription::Group { group, topics } if group.is_empty() || topics.is_empty() => {
                return Err(refuse(format!("{client} needs the name of its group and at least one topic")));
            }
            Subscription::Group { .. } => {}
            Subscription::Assign(units) => {
                let mut names: Vec<_> = units.iter().map(|(unit, _)| unit).collect();
                names.sort_unstable();
                if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(refuse(format!("{client} is assigned {} twice", twice[0])));
                }
            }
        }
        Ok(Self {
            subscription: config.subscription,
            reset: config.reset,
            prefetch: config.prefetch,
            ordered: config.ordered,
            confirm_acks: config.confirm_acks,
            ack_wait: config.ack_wait,
            max_deliver: config.max_deliver,
            buffer: config.buffer.unwrap_or(SUBSCRIPTION),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{Topic, Unit};

    #[test]
    fn attempts_wait_as_in_the_library() {
        let millis: Vec<u128> =
            [1, 2, 4, 12, 13, 50].map(|attempt| reconnect_delay(attempt).as_millis()).into();
        assert_eq!(millis, [0, 2, 8, 2_048, 4_000, 4_000]);
    }

    #[test]
    fn says_what_is_wrong_with_a_producer() {
        let refusal = |change: &dyn Fn(&mut ProducerConfig)| {
            let mut config = ProducerConfig::new("producer-1");
            change(&mut config);
            ProducerSettings::new(config).expect_err("should be refused").to_string()
        };
        for (says, refusal) in [
            ("lacks the capability acks=1", refusal(&|c| c.acks = Acks::One)),
            ("lacks the capability transactions", refusal(&|c| c.transactional_id = Some("t".into()))),
            ("needs acks `all`, not `0`", refusal(&|c| (c.idempotent, c.acks) = (true, Acks::None))),
            ("max_in_flight of at least 1", refusal(&|c| c.max_in_flight = Some(0))),
            ("buffer of at least 1", refusal(&|c| c.buffer = 0)),
        ] {
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn only_what_is_idempotent_is_sent_again_unasked() {
        let resending = |idempotent, retries, delivery_timeout| {
            let config = ProducerConfig { idempotent, retries, delivery_timeout, ..ProducerConfig::new("p") };
            ProducerSettings::new(config).expect("fine").resending
        };
        let bounded = Some(DELIVERY_TIMEOUT);
        assert_eq!(resending(false, None, None), Resending { retries: 0, delivery_timeout: None });
        assert_eq!(resending(false, Some(3), None), Resending { retries: 3, delivery_timeout: bounded });
        assert_eq!(resending(true, None, None), Resending { retries: u32::MAX, delivery_timeout: bounded });
        let second = Some(Duration::from_secs(1));
        assert_eq!(resending(true, Some(0), second), Resending { retries: 0, delivery_timeout: second });
    }

    #[test]
    fn says_what_is_wrong_with_a_consumer() {
        let topics = [Topic::new("orders")];
        let unit = Unit::new(&topics[0], 0);
        let refusal = |config| ConsumerSettings::new(config).expect_err("should be refused").to_string();
        let group = ConsumerConfig::group("consumer-1", "billing", &topics);
        for (says, config) in [
            ("prefetch of at least 1", ConsumerConfig { prefetch: 0, ..group.clone() }),
            ("ack_wait above 0 s", ConsumerConfig { ack_wait: Some(Duration::ZERO), ..group.clone() }),
            ("max_deliver of at least 1", ConsumerConfig { max_deliver: Some(0), ..group.clone() }),
            ("buffer of at least 1 message", ConsumerConfig { buffer: Some(0), ..group.clone() }),
            (
                "lacks the capability group-settings",
                ConsumerConfig { instance: Some("one".to_owned()), ..group.clone() },
            ),
            ("on a timer", ConsumerConfig { auto_commit: Some(Duration::from_secs(5)), ..group.clone() }),
            ("name of its group", ConsumerConfig::group("consumer-1", "", &topics)),
            ("at least one topic", ConsumerConfig::group("consumer-1", "billing", &[])),
            (
                "assigned orders/0 twice",
                ConsumerConfig::assign("consumer-1", vec![(unit.clone(), None), (unit, None)]),
            ),
        ] {
            let refusal = refusal(config);
            assert!(refusal.contains(says), "{refusal}");
        }
    }
}
