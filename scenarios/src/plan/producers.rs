//! The records of each producer, one after the other, at their intended times.
//!
//! The value id of a record is `producer * 1,000,000,000 + ordinal`: unique in the run, readable, and known
//! from the record alone. All that is drawn for a record is drawn for its value id.

use super::{
    payload,
    shop::{Event, Shop},
};
use crate::format::{
    Arrivals, Producers, Profile, Scenario, Transactions,
    scalar::{Period, Ratio},
};
use bytes::Bytes;
use squall_bus::{ClientProfile, ProducerConfig, Record, Time, Topic};
use squall_loadgen::{Schedule, Times};
use squall_sim::kernel::{Choices, Site};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const ARRIVAL: Site = Site::new("plan.arrival");
const POISON: Site = Site::new("plan.poison");
const ABORT: Site = Site::new("plan.transaction.abort");

/// Value ids of one producer begin here, times its number.
const PER_PRODUCER: u64 = 1_000_000_000;

/// One producer: its configuration and its records.
#[derive(Clone, Debug)]
pub struct ProducerPlan {
    /// How the client is set up; its name is in here.
    pub config: ProducerConfig,
    /// Where its records go.
    pub topic: Topic,
    /// Which entry of `workload.producers` it belongs to, from 0.
    pub group: usize,
    number: u32,
    schedule: Schedule,
    shop: Shop,
    poison: Ratio,
    /// Its transactions, if it groups its records into any.
    pub transactions: Option<Transactions>,
    /// When it starts, since the workload began.
    pub starts: Duration,
    choices: Choices,
    left_out: Arc<BTreeSet<u64>>,
}

/// One record of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRecord {
    /// Its value id, unique in the run.
    pub value: u64,
    /// When it is meant to be sent, since the workload began.
    pub at: Time,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// No try to process it succeeds.
    pub poison: bool,
    event: Event,
}

impl PlannedRecord {
    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        payload::encode(self.value, self.at, &self.event)
    }

    /// The record as a client sends it to `topic`.
    #[must_use]
    pub fn record(&self, topic: &Topic) -> Record {
        Record::new(topic, self.key.clone(), self.payload())
    }

    /// What kind of event it is: `order.created`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.event.kind
    }
}

impl ProducerPlan {
    /// The client's name: `producer-2`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.client
    }

    /// Its records in the order of their intended times; each is made when it is asked for.
    #[must_use]
    pub fn records(&self) -> Records {
        let (choices, number) = (self.choices.clone(), u64::from(self.number));
        let draws: Draws = Box::new(move |ordinal| choices.draw(ARRIVAL, number, ordinal));
        Records { times: self.schedule.times(draws), producer: self.clone() }
    }

    /// Whether the transaction that begins with the record `value` is aborted although nothing is wrong with it.
    #[must_use]
    pub fn aborts(&self, value: u64) -> bool {
        let share = self.transactions.as_ref().map_or(0, |transactions| transactions.abort.ppm());
        self.choices.happens(ABORT, value, 0, share)
    }

    pub(super) fn leave_out(&mut self, values: &Arc<BTreeSet<u64>>) {
        self.left_out = Arc::new(self.left_out.union(values).copied().collect());
    }

    fn record(&self, ordinal: u64, at: Time) -> PlannedRecord {
        let value = u64::from(self.number) * PER_PRODUCER + ordinal;
        let event = self.shop.event(&self.choices, ordinal, value);
        let key = self.shop.key(&event).map(|key| Bytes::copy_from_slice(key.as_bytes()));
        let poison = self.choices.happens(POISON, value, 0, self.poison.ppm());
        PlannedRecord { value, at, key, poison, event }
    }
}

type Draws = Box<dyn Fn(u64) -> u64 + Send>;

/// The records of one producer.
pub struct Records {
    times: Times<Draws>,
    producer: ProducerPlan,
}

impl Iterator for Records {
    type Item = PlannedRecord;

    fn next(&mut self) -> Option<PlannedRecord> {
        loop {
            let arrival = self.times.next()?;
            let value = u64::from(self.producer.number) * PER_PRODUCER + arrival.ordinal;
            if arrival.at >= self.producer.starts && !self.producer.left_out.contains(&value) {
                return Some(self.producer.record(arrival.ordinal, Time::ZERO + arrival.at));
            }
        }
    }
}

pub(super) fn plan(scenario: &Scenario, choices: &Choices) -> Vec<ProducerPlan> {
    let mut plans = Vec::new();
    for (index, group) in scenario.producer_groups().iter().enumerate() {
        let whole = schedule(scenario, group);
        for share in 0..group.count.get() {
            let number = u32::try_from(plans.len()).unwrap_or(u32::MAX - 1) + 1;
            plans.push(ProducerPlan {
                config: config(group, number),
                topic: Topic::new(&group.topic),
                group: index,
                number,
                schedule: whole.share(u64::from(share), u64::from(group.count.get())),
                shop: Shop::new(group, number, share),
                poison: poison(scenario, &group.topic),
                transactions: group.transactions.clone(),
                starts: group.starts.unwrap_or_default().get(),
                choices: choices.clone(),
                left_out: Arc::default(),
            });
        }
    }
    plans
}

fn schedule(scenario: &Scenario, group: &Producers) -> Schedule {
    let arrivals = match group.arrivals {
        Arrivals::Constant => squall_loadgen::Arrivals::Constant,
        Arrivals::Poisson => squall_loadgen::Arrivals::Poisson,
    };
    let rate = squall_loadgen::Rate { arrivals: group.rate.count(), per: group.rate.per() };
    Schedule::new(arrivals, rate, scenario.workload.lasts.get())
}

fn config(group: &Producers, number: u32) -> ProducerConfig {
    ProducerConfig {
        profile: match group.profile {
            Profile::Native => ClientProfile::Native,
            Profile::Java => ClientProfile::Java,
            Profile::Java3 => ClientProfile::Java3,
        },
        acks: group.acks.0,
        idempotent: group.idempotent || group.transactions.is_some(),
        max_in_flight: group.max_in_flight.map(crate::format::scalar::Count::get),
        linger: group.linger.map(crate::format::scalar::Period::get),
        request_timeout: group.request_timeout.map(crate::format::scalar::Period::get),
        delivery_timeout: group.delivery_timeout.map(crate::format::scalar::Period::get),
        retries: group.retries,
        transactional_id: group.transactions.as_ref().map(|transactions| transactions.id_of(number)),
        transaction_timeout: group
            .transactions
            .as_ref()
            .and_then(|transactions| transactions.timeout.map(Period::get)),
        ..ProducerConfig::new(&format!("producer-{number}"))
    }
}

/// How many records of a topic are poison: what the consumers that read it say; of several, the most.
fn poison(scenario: &Scenario, topic: &str) -> Ratio {
    let readers =
        scenario.consumer_groups().iter().filter(|group| group.topic.as_slice().iter().any(|t| t == topic));
    readers.map(|group| group.handler.poison).max().unwrap_or_default()
}
