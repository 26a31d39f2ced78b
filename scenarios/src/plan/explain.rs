//! A plan printed: topology, workload, first operations, every fault, the guarantees in force, warnings.
//!
//! Display of [`Plan`] prints the plan alone; [`Plan::explain`] adds what one target lacks.

use super::Plan;
use crate::format::{
    Arrivals, CommitPolicy, Consumers, Forward, Fsync, GroupProtocol, Isolation, Jitter, KeyChoice,
    PayloadKind, Producers, Profile, Reset, RetryBy,
};
use squall_bus::{
    Capabilities, Capability, ConsumerConfig, Role,
    lowering::{Lowering, Redelivery},
};
use squall_history::{
    Ruling,
    analysis::Facts,
    guarantees::{Expect, Rules},
};
use std::{collections::BTreeSet, fmt, time::Duration};

/// How many first operations are shown.
const SHOWN_RECORDS: usize = 8;

impl Plan {
    /// The plan for a target of this name with these capabilities: what it lacks is said.
    #[must_use]
    pub fn explain<'a>(&'a self, target: &'a str, capabilities: &'a Capabilities) -> Explained<'a> {
        Explained { plan: self, target, capabilities }
    }

    /// What becomes of the plan's topics, producers and groups on a bus that has none, in lines.
    #[must_use]
    pub fn lowering(&self, lowering: Lowering) -> Vec<String> {
        let topics = self.topics();
        let mut lines: Vec<String> = topics.iter().filter_map(|spec| lowering.topic(spec)).collect();
        let producers: BTreeSet<_> = self
            .producers()
            .iter()
            .map(|producer| (producer.config.acks, producer.config.idempotent))
            .collect();
        lines.extend(
            producers.into_iter().filter_map(|(acks, idempotent)| lowering.sending(acks, idempotent)),
        );
        let groups: BTreeSet<_> = self
            .consumers()
            .iter()
            .flat_map(|consumer| {
                consumer.topics.iter().map(|topic| (&*consumer.group, topic, consumer.config.ordered))
            })
            .collect();
        for (group, topic, ordered) in groups {
            let spec = topics.iter().find(|spec| spec.topic == *topic);
            lines.extend(spec.and_then(|spec| lowering.group(group, spec, ordered)));
        }
        let left: BTreeSet<_> = self
            .consumers()
            .iter()
            .map(|consumer| {
                let ConsumerConfig { max_deliver, ack_wait, buffer, .. } = consumer.config;
                (&*consumer.group, Redelivery { max_deliver, ack_wait, buffer })
            })
            .collect();
        lines.extend(left.iter().flat_map(|(group, left)| lowering.redelivery(group, left)));
        lines
    }

    /// What a target lacks to run this, in order.
    #[must_use]
    pub fn lacks(&self, capabilities: &Capabilities) -> Vec<Capability> {
        self.needs().into_iter().filter(|need| !capabilities.has(*need)).collect()
    }
}

/// A plan on a target, to print.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    plan: &'a Plan,
    target: &'a str,
    capabilities: &'a Capabilities,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)?;
        writeln!(f, "\non {}", self.target)?;
        let can: Vec<String> = self.capabilities.present().map(|present| present.to_string()).collect();
        writeln!(f, "  can: {}", if can.is_empty() { "nothing special".to_owned() } else { can.join(", ") })?;
        self.plan.lowering(self.capabilities.lowering).iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        match self.plan.lacks(self.capabilities).as_slice() {
            [] => writeln!(f, "  everything can be expressed"),
            lacks => lacks.iter().try_for_each(|lack| {
                let reason = self.capabilities.reason(*lack).map(|reason| format!(": {reason}"));
                writeln!(f, "  unsupported: {} lacks {lack}{}", self.target, reason.unwrap_or_default())
            }),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = self.scenario();
        writeln!(f, "scenario {}, seed {}", scenario.name, self.seed())?;
        if !scenario.about.is_empty() {
            writeln!(f, "  {}", scenario.about)?;
        }
        if !scenario.covers.is_empty() {
            writeln!(f, "  covers {}", scenario.covers.join(", "))?;
        }
        self.topology(f)?;
        self.workload(f)?;
        self.operations(f)?;
        self.strikes(f)?;
        self.changed(f)?;
        self.guarantees(f)?;
        let warnings = self.warnings();
        if !warnings.is_empty() {
            writeln!(f, "\nwarnings")?;
        }
        warnings.iter().try_for_each(|warning| writeln!(f, "  {warning}"))
    }
}

impl Plan {
    fn topology(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let synced = match self.scenario().topology.fsync {
            Fsync::Lazy => "",
            Fsync::Always => ", disks synced before every ack",
        };
        writeln!(f, "\ntopology: {}{synced}", Many(self.scenario().topology.nodes.get(), "node"))?;
        for (bus, brokers) in &self.scenario().topology.brokers {
            let profile = brokers
                .profile
                .as_ref()
                .map_or("the newest profile".to_owned(), |profile| format!("profile {}", profile.0));
            write!(f, "  brokers of {bus}: {profile}")?;
            brokers.config.iter().try_for_each(|(name, value)| write!(f, ", {name}={}", value.0))?;
            writeln!(f)?;
        }
        if let Some(bug) = &self.scenario().topology.bug {
            writeln!(f, "  the model has the bug {bug}")?;
        }
        for topic in self.topics() {
            write!(
                f,
                "  {}: {}, {}, min_insync {}",
                topic.topic,
                Many(topic.partitions, "partition"),
                Many(topic.replicas, "replica"),
                topic.min_insync
            )?;
            topic.config.iter().try_for_each(|(key, value)| write!(f, ", {key}={value}"))?;
            writeln!(f)?;
        }
        Ok(())
    }

    fn workload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = self.scenario();
        let records = scenario.record_count();
        writeln!(f, "\nworkload: {}, about {records} records", scenario.workload.lasts)?;
        scenario.producer_groups().iter().try_for_each(|group| producers(f, group))?;
        scenario.consumer_groups().iter().try_for_each(|group| consumers(f, group))
    }

    fn operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nfirst operations")?;
        let mut first: Vec<_> = self
            .producers()
            .iter()
            .flat_map(|producer| producer.records().take(SHOWN_RECORDS).map(move |record| (producer, record)))
            .collect();
        first.sort_by_key(|(_, record)| (record.at, record.value));
        for (producer, record) in first.iter().take(SHOWN_RECORDS) {
            let key = record.key.as_deref().map_or("no key".into(), String::from_utf8_lossy);
            let poison = if record.poison { ", poison" } else { "" };
            writeln!(
                f,
                "  {:>12}  {} sends {} to {}: {}, {key}{poison}",
                Clock(Duration::from_nanos(record.at.0)),
                producer.name(),
                record.value,
                producer.topic,
                record.kind()
            )?;
        }
        Ok(())
    }

    fn strikes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults().is_empty() {
            return writeln!(f, "\nfaults: none");
        }
        writeln!(f, "\nfaults: {}", self.faults().len())?;
        for fault in self.faults() {
            write!(f, "  {:>12}  fault {}: {fault}", Clock(Duration::from_nanos(fault.at.0)), fault.id)?;
            match fault.kind {
                squall_bus::FaultKind::Delay(by) => write!(f, " by {}", Clock(by))?,
                squall_bus::FaultKind::DropResponses(count) => write!(f, ", the next {count}")?,
                _ => {}
            }
            if fault.lasts.is_zero() { writeln!(f)? } else { writeln!(f, " for {}", Clock(fault.lasts))? }
        }
        Ok(())
    }

    fn changed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changes().is_empty() {
            writeln!(f, "\nchanges: {}", self.changes().len())?;
        }
        let at = |at: squall_bus::Time| Clock(Duration::from_nanos(at.0));
        self.changes().iter().try_for_each(|change| writeln!(f, "  {:>12}  {change}", at(change.at)))
    }

    fn guarantees(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (configuration, expect, facts) = (self.configuration(), self.expect(), self.foreseen());
        let rules = Rules { configuration: &configuration, expect: &expect, facts: &facts };
        writeln!(f, "\nguarantees, if every fault strikes")?;
        ruling(f, "loss of an acknowledged record", &rules.survival())?;
        ruling(f, "a record twice in the log", &rules.single_append())?;
        ruling(f, "keys out of order in the log", &rules.key_order_in_log(false))?;
        if !self.consumers().is_empty() {
            ruling(f, "a record that is not processed", &rules.processing(true))?;
            ruling(f, "a record processed twice", &rules.no_repeat())?;
        }
        if self.consumers().iter().any(|consumer| consumer.dlq.is_some()) {
            ruling(f, "poison that is not dead-lettered", &rules.poison_is_kept(true))?;
            ruling(f, "good records dead-lettered", &rules.only_poison(true))?;
        }
        match expect {
            Expect { unavailable: Some(_), .. } => {
                let bound =
                    self.scenario().expect.unavailable.map(|bound| bound.to_string()).unwrap_or_default();
                writeln!(f, "  unavailable units: forbidden, `unavailable: {bound}` bounds the worst unit")
            }
            _ => Ok(()),
        }
    }

    /// What will have befallen the run if every fault strikes.
    fn foreseen(&self) -> Facts {
        let mut facts =
            Facts { faults: u64::try_from(self.faults().len()).unwrap_or(u64::MAX), ..Facts::default() };
        for fault in self.faults() {
            match &fault.role {
                Role::Client(_) => {
                    facts.client_fault.get_or_insert((0, fault.to_string()));
                }
                role => {
                    facts.node_fault.get_or_insert((0, fault.to_string()));
                    if fault.kind == squall_bus::FaultKind::PowerFail {
                        facts.powerless.extend(powerless(role, self.scenario().topology.nodes.get()));
                    }
                }
            }
        }
        facts.powerless.sort_unstable();
        facts.powerless.dedup();
        facts
    }
}

/// The nodes that a role may mean, as far as it is known before the run.
fn powerless(role: &Role, nodes: u32) -> std::ops::RangeInclusive<u32> {
    match role {
        Role::All => 1..=nodes,
        Role::Followers(_) => 1..=nodes.saturating_sub(1).max(1),
        Role::Minority => 1..=(nodes.saturating_sub(1) / 2).max(1),
        Role::Node(node) => *node..=*node,
        _ => 1..=1,
    }
}

fn ruling(f: &mut fmt::Formatter<'_>, what: &str, ruling: &Ruling) -> fmt::Result {
    let (word, clause) = match ruling {
        Ruling::ForbiddenBy(clause) => ("forbidden", clause),
        Ruling::AllowedBy(clause) => ("allowed", clause),
        Ruling::UndecidedBecause(clause) => ("undecided", clause),
    };
    // A clause names the event of the fault that it rests on; before the run there is none.
    writeln!(f, "  {what}: {word}, {}", clause.replace(" struck (event 0)", " strikes"))
}

fn producers(f: &mut fmt::Formatter<'_>, group: &Producers) -> fmt::Result {
    let arrivals = match group.arrivals {
        Arrivals::Constant => "evenly",
        Arrivals::Poisson => "as they come (Poisson)",
    };
    let payload = match group.payload {
        PayloadKind::Orders => "orders",
        PayloadKind::Inventory => "inventory",
        PayloadKind::Payments => "payments",
        PayloadKind::Customers => "customers",
    };
    let key = match group.key {
        KeyChoice::CustomerId => "by customer",
        KeyChoice::OrderId => "by order",
        KeyChoice::None => "without keys",
    };
    let send = if group.count.get() == 1 { "sends" } else { "send" };
    let count = Many(group.count.get(), "producer");
    write!(f, "  {count} {send} {payload} to {} at {} {arrivals}, {key}", group.topic, group.rate)?;
    let idempotent = group.idempotent || group.transactions.is_some();
    write!(f, "; acks {}, {}idempotent", group.acks.0, if idempotent { "" } else { "not " })?;
    if let Some(transactions) = &group.transactions {
        write!(f, "; transactions of {}", Many(transactions.records.get(), "record"))?;
        if transactions.abort.ppm() > 0 {
            write!(f, ", {} aborted", transactions.abort)?;
        }
        if let Some(timeout) = transactions.timeout {
            write!(f, ", open for at most {timeout}")?;
        }
        if let Some(id) = &transactions.id {
            write!(f, ", all as {id}")?;
        }
    }
    client(f, group.profile)?;
    match group.starts {
        Some(starts) => writeln!(f, "; from {starts} on"),
        None => writeln!(f),
    }
}

fn consumers(f: &mut fmt::Formatter<'_>, group: &Consumers) -> fmt::Result {
    let topics = group.topic.as_slice().join(", ");
    let read = if group.count.get() == 1 { "reads" } else { "read" };
    write!(f, "  {} of {} {read} {topics}", Many(group.count.get(), "consumer"), group.group)?;
    if !group.handler.takes.high().is_zero() {
        write!(f, ", {} a record", group.handler.takes)?;
    }
    if group.handler.poison.ppm() > 0 {
        write!(f, ", {} poison", group.handler.poison)?;
    }
    if group.handler.fails.ppm() > 0 {
        write!(f, ", {} of tries fail", group.handler.fails)?;
    }
    if group.retry.attempts.get() > 1 {
        let jitter = if group.retry.jitter == Jitter::Full { " with full jitter" } else { "" };
        write!(f, "; {} tries, pauses {}{jitter}", group.retry.attempts, group.retry.backoff)?;
    }
    if group.retry.by == RetryBy::Bus {
        write!(f, ", by the bus")?;
    }
    if let Some(wait) = group.ack_wait {
        write!(f, "; acks awaited for {wait}")?;
    }
    if let Some(most) = group.buffer {
        write!(f, "; {most} messages buffered")?;
    }
    if let Some(dlq) = &group.dlq {
        write!(f, "; then to {dlq}")?;
    }
    if let Some(isolation) = group.isolation {
        let sees = match isolation {
            Isolation::ReadCommitted => "committed",
            Isolation::ReadUncommitted => "uncommitted",
        };
        write!(f, "; sees {sees} records")?;
    }
    match (&group.forward, group.auto_commit, group.commit) {
        (Some(forward), ..) => forwarding(f, forward)?,
        (None, Some(every), _) => write!(f, "; committed by the client every {every}")?,
        (None, None, CommitPolicy::AfterProcessing) => write!(f, "; commit after processing")?,
        (None, None, CommitPolicy::BeforeProcessing) => write!(f, "; commit before processing")?,
    }
    membership(f, group)?;
    writeln!(f)
}

/// What a group writes for what it reads.
fn forwarding(f: &mut fmt::Formatter<'_>, forward: &Forward) -> fmt::Result {
    let records = Many(forward.records.get(), "record");
    write!(f, "; forwards to {} in transactions of at most {records}", forward.topic)?;
    if forward.abort.ppm() > 0 {
        write!(f, ", {} aborted", forward.abort)?;
    }
    if !forward.rewind {
        write!(f, " and not read again")?;
    }
    Ok(())
}

/// How the group agrees on who reads what, where that is said.
fn membership(f: &mut fmt::Formatter<'_>, group: &Consumers) -> fmt::Result {
    if group.protocol == GroupProtocol::Consumer {
        write!(f, "; dealt by the coordinator")?;
    }
    if let Some(assignor) = group.assignor {
        write!(f, "; by {}", assignor.get().name())?;
    }
    if group.is_static {
        write!(f, "; static members")?;
    }
    client(f, group.profile)?;
    if group.reset == Reset::Latest {
        write!(f, "; from the end")?;
    }
    Ok(())
}

/// Whose habits a simulated client has, where that is said.
fn client(f: &mut fmt::Formatter<'_>, profile: Profile) -> fmt::Result {
    match profile {
        Profile::Native => Ok(()),
        Profile::Java => write!(f, "; Java's client"),
        Profile::Java3 => write!(f, "; Java's client 3.x"),
    }
}

/// `1 node`, `3 nodes`.
struct Many(u32, &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// Seconds with the decimals that matter: `3.25s`.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:09}", self.0.subsec_nanos());
        let decimals = digits.trim_end_matches('0');
        let text = match decimals {
            "" => format!("{}s", self.0.as_secs()),
            decimals => format!("{}.{decimals}s", self.0.as_secs()),
        };
        f.pad(&text)
    }
}
