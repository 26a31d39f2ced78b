//! What a consumer does with a record: how long each try takes, how it ends, how long the pause is.

use crate::format::{
    Assignor, CommitPolicy, Consumers, Forward, GroupProtocol, Isolation, Jitter, Profile, Reset, Retry,
    RetryBy, Scenario,
    scalar::{Count, Period},
};
use squall_bus::{ClientProfile, ConsumerConfig, ResetPolicy, Topic};
use squall_sim::kernel::{Choices, Site, mix};
use std::time::Duration;

const TAKES: Site = Site::new("plan.handler.takes");
const FAILS: Site = Site::new("plan.handler.fails");
const ABORT: Site = Site::new("plan.forward.abort");
const BACKOFF: Site = Site::new("plan.retry.backoff");

/// One consumer: its configuration and its handler.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    /// How the client is set up; its name is in here.
    pub config: ConsumerConfig,
    /// The group it is a member of.
    pub group: String,
    /// The topics it reads.
    pub topics: Vec<Topic>,
    /// Where records go whose tries are used up.
    pub dlq: Option<Topic>,
    /// When it commits.
    pub commit: CommitPolicy,
    /// What it writes for what it reads.
    pub forward: Option<Forward>,
    entry: usize,
    handler: crate::format::Handler,
    retry: Retry,
    choices: Choices,
}

/// One try to process a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// How long it takes.
    pub takes: Duration,
    /// Whether it succeeds.
    pub succeeds: bool,
}

impl ConsumerPlan {
    /// The client's name: `consumer-2`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.client
    }

    /// Which entry of `workload.consumers` it belongs to, from 0.
    #[must_use]
    pub fn entry(&self) -> usize {
        self.entry
    }

    /// Whether the bus delivers a record again and counts its tries.
    #[must_use]
    pub fn bus_retries(&self) -> bool {
        self.retry.by == RetryBy::Bus
    }

    /// How often a record is tried in all.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.retry.attempts.get()
    }

    /// Try number `attempt`, from 1, of the record `value`. Members of a group do alike, so a record that is
    /// delivered again, to whomever, meets the same fate.
    #[must_use]
    pub fn attempt(&self, value: u64, poison: bool, attempt: u32) -> Try {
        let (entity, ordinal) = (self.entity(value), u64::from(attempt));
        let (low, high) = (self.handler.takes.low().nanos(), self.handler.takes.high().nanos());
        let takes = Duration::from_nanos(self.choices.between(TAKES, entity, ordinal, low, high));
        let fails = self.choices.happens(FAILS, entity, ordinal, self.handler.fails.ppm());
        Try { takes, succeeds: !poison && !fails }
    }

    /// The pause after failed try number `attempt`, from 1: twice the one before, up to the longest, and with
    /// full jitter anything from nothing to that.
    #[must_use]
    pub fn backoff(&self, value: u64, attempt: u32) -> Duration {
        let (low, high) = (self.retry.backoff.low().nanos(), self.retry.backoff.high().nanos());
        let doubled = 1_u64.checked_shl(attempt.saturating_sub(1)).and_then(|factor| low.checked_mul(factor));
        let pause = doubled.unwrap_or(u64::MAX).min(high);
        Duration::from_nanos(match self.retry.jitter {
            Jitter::None => pause,
            Jitter::Full => self.choices.between(BACKOFF, self.entity(value), u64::from(attempt), 0, pause),
        })
    }

    /// Whether the transaction that begins with the record `value` is aborted although nothing is wrong with it;
    /// `round` counts how often it was read.
    #[must_use]
    pub fn aborts(&self, value: u64, round: u32) -> bool {
        let share = self.forward.as_ref().map_or(0, |forward| forward.abort.ppm());
        self.choices.happens(ABORT, self.entity(value), u64::from(round), share)
    }

    fn entity(&self, value: u64) -> u64 {
        mix(value, u64::try_from(self.entry).unwrap_or(u64::MAX))
    }
}

/// The bus' word for it.
pub(super) fn isolation(isolation: Isolation) -> squall_bus::Isolation {
    match isolation {
        Isolation::ReadUncommitted => squall_bus::Isolation::ReadUncommitted,
        Isolation::ReadCommitted => squall_bus::Isolation::ReadCommitted,
    }
}

pub(super) fn plan(scenario: &Scenario, choices: &Choices) -> Vec<ConsumerPlan> {
    let mut plans = Vec::new();
    for (entry, group) in scenario.consumer_groups().iter().enumerate() {
        for _ in 0..group.count.get() {
            let number = plans.len() + 1;
            let topics: Vec<Topic> = group.topic.as_slice().iter().map(|name| Topic::new(name)).collect();
            plans.push(ConsumerPlan {
                config: config(group, number, &topics, scenario.expect.order.is_some()),
                group: group.group.clone(),
                topics,
                dlq: group.dlq.as_deref().map(Topic::new),
                commit: group.commit,
                forward: group.forward.clone(),
                entry,
                handler: group.handler.clone(),
                retry: group.retry.clone(),
                choices: choices.clone(),
            });
        }
    }
    plans
}

fn config(group: &Consumers, number: usize, topics: &[Topic], ordered: bool) -> ConsumerConfig {
    let plain = ConsumerConfig::group(&format!("consumer-{number}"), &group.group, topics);
    ConsumerConfig {
        profile: match group.profile {
            Profile::Native => ClientProfile::Native,
            Profile::Java => ClientProfile::Java,
            Profile::Java3 => ClientProfile::Java3,
        },
        reset: match group.reset {
            Reset::Earliest => ResetPolicy::Earliest,
            Reset::Latest => ResetPolicy::Latest,
        },
        auto_commit: group.auto_commit.map(Period::get),
        assignors: group.assignor.map(Assignor::get).into_iter().collect(),
        protocol: match group.protocol {
            GroupProtocol::Classic => squall_bus::GroupProtocol::Classic,
            GroupProtocol::Consumer => squall_bus::GroupProtocol::Consumer,
        },
        instance: group.is_static.then(|| plain.client.clone()),
        session_timeout: group.session_timeout.map(Period::get),
        heartbeat_interval: group.heartbeat.map(Period::get),
        max_poll_interval: group.max_poll_interval.map(Period::get),
        prefetch: group.prefetch.map_or(plain.prefetch, Count::get),
        ack_wait: group.ack_wait.map(Period::get),
        max_deliver: (group.retry.by == RetryBy::Bus).then(|| group.retry.attempts.get()),
        buffer: group.buffer.map(Count::get),
        isolation: group.isolation.map(isolation),
        ordered,
        ..plain
    }
}
