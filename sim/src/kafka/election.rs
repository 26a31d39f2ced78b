//! What happens to a partition when its replicas come and go: the new ISR and ELR, and who leads (A3, A4, B8).
//!
//! Source: `PartitionChangeBuilder` of Apache Kafka 4.x.
//! - The leader stays if it may; else the first replica in assignment order that is in the ISR (or, with the ISR
//!   empty, in the ELR) and active; else, with both empty, the last known leader; else, if the topic allows it,
//!   the first active replica at all. The last two are unclean: they make the ISR anew and start in recovery.
//! - Once the ISR has min.insync members, the ELR is empty. Below that, whoever leaves the ISR enters the ELR,
//!   unless it shut down uncleanly.
//! - Without ELR the last member of the ISR stays in it.

use super::{
    metadata::{PartitionImage, TopicSettings},
    rules::Rules,
};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;

/// A change asked of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The ISR asked for.
    pub(super) isr: NodeSet,
    /// Brokers that may lead.
    pub(super) active: NodeSet,
    /// Brokers that came back without having shut down cleanly.
    pub(super) unclean: NodeSet,
}

/// The partition after this change; `None` if nothing changes.
pub(super) fn change(
    partition: &PartitionImage,
    settings: &TopicSettings,
    change: Change,
    rules: &Rules,
) -> Option<PartitionImage> {
    let mut next = partition.clone();
    next.isr = change.isr;
    next.elr = partition.elr.minus(change.unclean);
    if rules.elr {
        populate_elr(partition, &mut next, settings, change.unclean);
    } else if next.isr.is_empty() {
        next.isr = partition.isr;
    }
    let (leader, unclean) = elect(&next, settings, change.active, rules);
    if leader != partition.leader {
        next.leader = leader;
        next.leader_epoch += 1;
        if let Some(leader) = leader {
            if unclean {
                next.isr = NodeSet::EMPTY.with(leader);
                next.recovering = true;
            } else if next.isr.is_empty() {
                next.isr = NodeSet::EMPTY.with(leader);
            }
            next.elr = next.elr.without(leader);
            if unclean || next.isr.len() >= partition.effective_min_insync(settings) {
                // An unclean election ends what was eligible before it.
                next.elr = NodeSet::EMPTY;
                next.last_known_leader = None;
            }
        }
    }
    if rules.elr && next.isr.is_empty() && partition.leader.is_some() {
        next.last_known_leader = partition.leader;
    }
    if next.isr.len() > 1 {
        next.recovering = false;
    }
    if next == *partition {
        return None;
    }
    next.partition_epoch += 1;
    Some(next)
}

fn populate_elr(
    before: &PartitionImage,
    next: &mut PartitionImage,
    settings: &TopicSettings,
    unclean: NodeSet,
) {
    if next.isr.len() >= before.effective_min_insync(settings) {
        next.elr = NodeSet::EMPTY;
        next.last_known_leader = None;
    } else {
        next.elr = next.elr.or(before.isr).minus(next.isr).minus(unclean);
    }
}

fn elect(
    next: &PartitionImage,
    settings: &TopicSettings,
    active: NodeSet,
    rules: &Rules,
) -> (Option<NodeId>, bool) {
    let eligible = if next.isr.is_empty() { next.elr } else { next.isr };
    let may_lead = |node: &NodeId| eligible.contains(*node) && active.contains(*node);
    if let Some(leader) = next.leader.filter(|leader| may_lead(leader)) {
        return (Some(leader), false);
    }
    if let Some(leader) = next.replicas.iter().copied().find(may_lead) {
        return (Some(leader), false);
    }
    if rules.elr
        && rules.elect_last_known_leader
        && next.isr.is_empty()
        && next.elr.is_empty()
        && let Some(last) = next.last_known_leader
        && active.contains(last)
    {
        return (Some(last), true);
    }
    if settings.unclean_election
        && let Some(leader) = next.replicas.iter().copied().find(|node| active.contains(*node))
    {
        return (Some(leader), true);
    }
    (None, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::profile::kafka_4_3;

    const N: [NodeId; 3] = [NodeId(0), NodeId(1), NodeId(2)];

    fn partition() -> PartitionImage {
        PartitionImage {
            replicas: N.into(),
            isr: NodeSet::of(&N),
            elr: NodeSet::EMPTY,
            last_known_leader: None,
            leader: Some(N[0]),
            leader_epoch: 0,
            partition_epoch: 0,
            recovering: false,
        }
    }

    fn settings() -> TopicSettings {
        crate::kafka::controller::default_settings(2, &kafka_4_3())
    }

    /// The partition after these nodes were fenced one by one.
    fn after_fencing(nodes: &[NodeId], settings: &TopicSettings, rules: &Rules) -> PartitionImage {
        let mut active = NodeSet::of(&N);
        nodes.iter().fold(partition(), |partition, node| {
            active = active.without(*node);
            let ask = Change { isr: partition.isr.without(*node), active, unclean: NodeSet::EMPTY };
            change(&partition, settings, ask, rules).unwrap_or(partition)
        })
    }

    #[test]
    fn a4_the_first_in_sync_replica_in_assignment_order_leads() {
        let next = after_fencing(&[N[0]], &settings(), &kafka_4_3());
        assert_eq!((next.leader, next.leader_epoch, next.partition_epoch), (Some(N[1]), 1, 1));
        assert_eq!(next.isr, NodeSet::of(&N[1..]));
    }

    #[test]
    fn a3_a_follower_that_goes_leaves_the_leader_epoch_alone() {
        let next = after_fencing(&[N[1]], &settings(), &kafka_4_3());
        assert_eq!((next.leader, next.leader_epoch, next.partition_epoch), (Some(N[0]), 0, 1));
    }

    #[test]
    fn b8_only_replicas_dropped_below_the_minimum_enter_the_elr() {
        let next = after_fencing(&[N[1], N[2]], &settings(), &kafka_4_3());
        assert_eq!((next.isr, next.elr), (NodeSet::of(&N[..1]), NodeSet::of(&N[2..])));
    }

    #[test]
    fn b8_the_last_known_leader_is_elected_when_isr_and_elr_are_empty() {
        let (settings, rules) = (settings(), kafka_4_3());
        let gone = after_fencing(&N, &settings, &rules);
        assert_eq!((gone.leader, gone.isr, gone.last_known_leader), (None, NodeSet::EMPTY, Some(N[2])));
        let gone = PartitionImage { last_known_leader: Some(N[0]), elr: NodeSet::of(&N[..1]), ..gone };
        let back =
            Change { isr: NodeSet::EMPTY, active: NodeSet::of(&N[..1]), unclean: NodeSet::of(&N[..1]) };
        let next = change(&gone, &settings, back, &rules).expect("it changes");
        assert_eq!((next.leader, next.isr, next.recovering), (Some(N[0]), NodeSet::of(&N[..1]), true));
        let rules = Rules { elect_last_known_leader: false, ..rules };
        assert_eq!(change(&gone, &settings, back, &rules).expect("the elr shrinks").leader, None);
    }

    #[test]
    fn a4_an_unclean_election_takes_the_first_live_replica() {
        let settings = TopicSettings { unclean_election: true, min_insync: 1, ..settings() };
        let alone = PartitionImage { isr: NodeSet::of(&N[..1]), ..partition() };
        let ask = Change { isr: NodeSet::EMPTY, active: NodeSet::of(&N[1..2]), unclean: NodeSet::EMPTY };
        let next = change(&alone, &settings, ask, &kafka_4_3()).expect("it changes");
        assert_eq!((next.leader, next.isr, next.recovering), (Some(N[1]), NodeSet::of(&N[1..2]), true));
    }

    #[test]
    fn b8_without_elr_the_last_member_stays_in_the_isr() {
        let rules = Rules { elr: false, ..kafka_4_3() };
        let next = after_fencing(&N, &settings(), &rules);
        assert_eq!((next.leader, next.isr), (None, NodeSet::of(&N[2..])));
    }
}
