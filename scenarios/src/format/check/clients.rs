//! Producers and consumers: their topics exist, and their settings fit together.

use super::{Check, Path};
use crate::format::{
    Assignor, CommitPolicy, Consumers, GroupProtocol, KeyChoice, Order, PayloadKind, Producers, Profile,
    RetryBy, Scenario,
    scalar::{Period, Rate},
    suggest,
    tree::shorten,
};
use squall_bus::Acks;
use std::collections::BTreeSet;

/// More clients than this of one kind are no test.
const MAX_CLIENTS: u32 = 1_000;
/// More records than this do not fit into a history.
const MAX_RECORDS: u64 = 100_000_000;

pub(super) fn check(check: &mut Check<'_>) {
    let workload = &check.scenario.workload;
    if workload.lasts.is_zero() {
        check.report(
            &Path::new("workload/for"),
            "the workload lasts no time",
            "write how long records are sent, such as 30s",
        );
        return;
    }
    for (index, group) in workload.producers.as_slice().iter().enumerate() {
        let path = Path::new("workload/producers").entry(index, check);
        producers(check, &path, group);
    }
    let groups = workload.consumers.as_ref().map_or(&[][..], |consumers| consumers.as_slice());
    let mut names = BTreeSet::new();
    for (index, group) in groups.iter().enumerate() {
        let path = Path::new("workload/consumers").entry(index, check);
        if !names.insert(&group.group) {
            let message = format!("the group `{}` stands twice", shorten(&group.group));
            check.report(
                &path.key("group"),
                message,
                "give each entry a group of its own, or make them one entry",
            );
        }
        consumers(check, &path, group);
    }
    totals(check);
    expectations(check, groups);
}

fn totals(check: &mut Check<'_>) {
    let workload = &check.scenario.workload;
    let records: u64 = workload
        .producers
        .as_slice()
        .iter()
        .fold(0, |sum, group| sum.saturating_add(group.rate.within(workload.lasts.get())));
    if records > MAX_RECORDS {
        let message = format!("the workload has {records} records, too many for a history");
        check.report(&Path::new("workload/for"), message, "send for a shorter time, or at a lower rate");
    }
    if check.scenario.producer_count() > MAX_CLIENTS {
        check.report(
            &Path::new("workload/producers"),
            "there are too many producers",
            format!("write at most {MAX_CLIENTS} in all"),
        );
    }
    if check.scenario.consumer_count() > MAX_CLIENTS {
        check.report(
            &Path::new("workload/consumers"),
            "there are too many consumers",
            format!("write at most {MAX_CLIENTS} in all"),
        );
    }
}

fn producers(check: &mut Check<'_>, path: &Path, group: &Producers) {
    known_topic(check, &path.key("topic"), &group.topic);
    if group.rate.within(check.scenario.workload.lasts.get()) == 0 {
        let message = format!("at {} no record is due in {}", group.rate, check.scenario.workload.lasts);
        check.report(&path.key("rate"), message, "raise the rate, or send for a longer time");
    }
    if group.key == KeyChoice::OrderId && group.payload == PayloadKind::Customers {
        check.report(&path.key("key"), "records about customers name no order", "write `key: customer_id`");
    }
    if group.idempotent || group.transactions.is_some() {
        idempotence(check, path, group);
    }
    transactions(check, path, group);
    if let (Some(delivery), Some(request)) = (group.delivery_timeout, group.request_timeout) {
        let least = request.get() + group.linger.unwrap_or_default().get();
        if delivery.get() < least {
            let message = format!("a delivery_timeout of {delivery} ends before the first request can");
            check.report(
                &path.key("delivery_timeout"),
                message,
                "make it at least request_timeout and linger together",
            );
        }
    }
}

/// What a producer's transactions need.
fn transactions(check: &mut Check<'_>, path: &Path, group: &Producers) {
    let lasts = check.scenario.workload.lasts;
    if group.starts.is_some_and(|starts| starts.get() >= lasts.get()) {
        check.report(
            &path.key("starts"),
            "these producers start when the workload is over",
            format!("write less than {lasts}"),
        );
    }
    let Some(transactions) = &group.transactions else { return };
    let path = path.key("transactions");
    if transactions.timeout.is_some_and(Period::is_zero) {
        check.report(
            &path.key("timeout"),
            "a transaction of no time",
            "write how long it may be open, such as 60s",
        );
    }
    if transactions.id.as_deref() == Some("") {
        check.report(&path.key("id"), "the transactional id is empty", "write a name, such as payments");
    }
}

/// What a group that writes for what it reads cannot do besides.
fn forward(check: &mut Check<'_>, path: &Path, group: &Consumers) {
    let Some(forward) = &group.forward else { return };
    known_topic(check, &path.key("forward").key("topic"), &forward.topic);
    let own = group.topic.as_slice().contains(&forward.topic);
    if own {
        let message =
            format!("the results go to `{}`, which the group itself reads", shorten(&forward.topic));
        check.report(&path.key("forward").key("topic"), message, "write another topic");
    }
    let clashes = [
        (group.dlq.is_some(), "dlq"),
        (group.retry.attempts.get() > 1 || group.retry.by == RetryBy::Bus, "retry"),
        (group.commit == CommitPolicy::BeforeProcessing, "commit"),
        (group.handler.poison.ppm() > 0 || group.handler.fails.ppm() > 0, "handler"),
    ];
    for (_, key) in clashes.into_iter().filter(|(clashes, _)| *clashes) {
        check.report(
            &path.key(key),
            "a group that forwards commits its positions with its results, each record once",
            format!("remove `{key}`, or `forward`"),
        );
    }
}

fn idempotence(check: &mut Check<'_>, path: &Path, group: &Producers) {
    if group.acks.0 != Acks::All {
        let message = format!("an idempotent producer needs acks `all`, and this one has `{}`", group.acks.0);
        check.report(&path.key("acks"), message, "write `acks: all`, or `idempotent: false`");
    }
    if let Some(in_flight) = group.max_in_flight.filter(|count| count.get() > 5) {
        let message =
            format!("an idempotent producer has at most 5 requests in flight, and this one has {in_flight}");
        check.report(&path.key("max_in_flight"), message, "write at most 5, or `idempotent: false`");
    }
    if group.retries == Some(0) {
        let message = "an idempotent producer must be allowed to retry";
        check.report(&path.key("retries"), message, "write at least 1, or `idempotent: false`");
    }
}

fn consumers(check: &mut Check<'_>, path: &Path, group: &Consumers) {
    if group.group.is_empty() {
        check.report(&path.key("group"), "the group has no name", "write a name, such as order-processing");
    }
    for (index, topic) in group.topic.as_slice().iter().enumerate() {
        let topic_path = path.key("topic").entry(index, check);
        known_topic(check, &topic_path, topic);
    }
    if let Some(dlq) = &group.dlq {
        dead_letters(check, &path.key("dlq"), dlq, group);
    }
    if group.retry.backoff.low().is_zero() && !group.retry.backoff.high().is_zero() {
        let message = format!("the backoff `{}` can never grow from zero", group.retry.backoff);
        check.report(&path.key("retry").key("backoff"), message, "begin above zero, as in 50ms..2s");
    }
    redelivery(check, path, group);
    forward(check, path, group);
    membership(check, path, group);
    if let (Some(poll), Some(session)) = (group.max_poll_interval, group.session_timeout)
        && poll < session
    {
        let message = format!("a max_poll_interval of {poll} is shorter than the session of {session}");
        check.report(&path.key("max_poll_interval"), message, "make it at least session_timeout");
    }
    if let (Some(heartbeat), Some(session)) = (group.heartbeat, group.session_timeout)
        && heartbeat >= session
    {
        let message = format!("with a heartbeat every {heartbeat} a session of {session} always ends");
        check.report(&path.key("heartbeat"), message, "make it a third of session_timeout or less");
    }
}

/// How a group agrees on who reads what.
fn membership(check: &mut Check<'_>, path: &Path, group: &Consumers) {
    if group.auto_commit.is_some_and(Period::is_zero) {
        check.report(&path.key("auto_commit"), "a commit every 0s", "write how often, such as 5s");
    }
    let place = path.key("assignor");
    match (group.protocol, group.assignor) {
        (GroupProtocol::Classic, Some(Assignor::Uniform)) => {
            let message = "no client deals by `uniform`: the coordinator does, in its own protocol";
            check.report(&place, message, "add `protocol: consumer`, or write cooperative-sticky");
        }
        (GroupProtocol::Classic, Some(Assignor::Sticky)) if group.profile == Profile::Native => {
            let message = "the native client has no assignor `sticky`";
            check.report(&place, message, "write cooperative-sticky, or `profile: java`");
        }
        (
            GroupProtocol::Consumer,
            Some(Assignor::RoundRobin | Assignor::Sticky | Assignor::CooperativeSticky),
        ) => {
            let message = "the coordinator deals by `uniform` or `range`";
            check.report(&place, message, "write one of these, or `protocol: classic`");
        }
        _ => {}
    }
    if group.protocol == GroupProtocol::Consumer && group.profile == Profile::Java3 {
        let message = "the client of `profile: java-3` has no consumer protocol yet";
        check.report(&path.key("protocol"), message, "write `protocol: classic`, or `profile: java`");
    }
    if group.protocol == GroupProtocol::Consumer {
        for (key, said) in [("session_timeout", group.session_timeout), ("heartbeat", group.heartbeat)] {
            if said.is_some() {
                let message = format!("in the consumer protocol the coordinator says the {key}");
                check.report(&path.key(key), message, "leave it out, or write `protocol: classic`");
            }
        }
    }
}

/// What a group leaves to the bus.
fn redelivery(check: &mut Check<'_>, path: &Path, group: &Consumers) {
    if group.retry.by == RetryBy::Bus && group.commit == CommitPolicy::BeforeProcessing {
        check.report(
            &path.key("retry").key("by"),
            "the bus is told that a record is done before it is processed, and cannot deliver it again after that",
            "write `commit: after-processing`, or `by: consumer`",
        );
    }
    let Some(wait) = group.ack_wait else { return };
    let one_try = group.handler.takes.high();
    if wait.is_zero() {
        check.report(
            &path.key("ack_wait"),
            "an ack_wait of no time",
            "write how long a record may take, such as 30s",
        );
    } else if wait.get() <= one_try.get() {
        let message = format!("an ack_wait of {wait} is over before a try that takes {one_try} can end");
        check.report(&path.key("ack_wait"), message, "make it longer than handler.takes");
    }
}

fn dead_letters(check: &mut Check<'_>, path: &Path, dlq: &str, group: &Consumers) {
    if group.topic.as_slice().iter().any(|topic| topic == dlq) {
        let message = format!("the dead letters go to `{dlq}`, which the group itself reads");
        check.report(path, message, format!("write `{dlq}.dlq`"));
    } else if check.scenario.topic(dlq).is_none() {
        let own = group.topic.as_slice().iter().map(|topic| format!("{topic}.dlq"));
        let known: Vec<String> = own.chain(check.scenario.topology.topics.keys().cloned()).collect();
        let help = suggest::or_list(dlq, known.iter().map(String::as_str), "it can be");
        check.report(path, format!("unknown topic `{}`", shorten(dlq)), help);
    }
}

fn known_topic(check: &mut Check<'_>, path: &Path, name: &str) {
    if !check.scenario.topology.topics.contains_key(name) {
        let names = check.scenario.topology.topics.keys().map(String::as_str);
        let help = suggest::or_list(name, names, "the topics are");
        check.report(path, format!("unknown topic `{}`", shorten(name)), help);
    }
}

fn expectations(check: &mut Check<'_>, groups: &[Consumers]) {
    let expect = &check.scenario.expect;
    if expect.dlq.is_some() && groups.iter().all(|group| group.dlq.is_none()) {
        check.report(
            &Path::new("expect/dlq"),
            "no consumer has a dead-letter topic",
            "add `dlq: <topic>.dlq` to workload.consumers",
        );
    }
    if expect.delivery.is_some() && groups.is_empty() {
        // Records that nobody processes can still be lost; only the other two need a consumer.
        use crate::format::Delivery::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        match expect.delivery {
            Some(AtMostOnce | ExactlyOnce) => check.report(
                &Path::new("expect/delivery"),
                "nothing is processed: there are no consumers",
                "add workload.consumers, or expect at-least-once",
            ),
            Some(AtLeastOnce) | None => {}
        }
    }
    let keyless =
        check.scenario.workload.producers.as_slice().iter().all(|group| group.key == KeyChoice::None);
    if expect.order == Some(Order::PerKey) && keyless {
        check.report(
            &Path::new("expect/order"),
            "no record has a key",
            "write `key: customer_id` in workload.producers, or remove `order`",
        );
    }
}

impl Scenario {
    /// How many producers there are over all groups.
    #[must_use]
    pub fn producer_count(&self) -> u32 {
        self.workload.producers.as_slice().iter().fold(0, |sum, group| sum.saturating_add(group.count.get()))
    }

    /// How many consumers there are over all groups.
    #[must_use]
    pub fn consumer_count(&self) -> u32 {
        let groups = self.workload.consumers.as_ref().map_or(&[][..], |consumers| consumers.as_slice());
        groups.iter().fold(0, |sum, group| sum.saturating_add(group.count.get()))
    }

    /// How many records are due in all.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        let due = |rate: Rate| rate.within(self.workload.lasts.get());
        self.workload.producers.as_slice().iter().map(|group| due(group.rate)).sum()
    }
}
