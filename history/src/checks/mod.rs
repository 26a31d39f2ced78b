//! The checks: one file each, every one a pure function of the shared [`Analysis`].
//!
//! A check *finds*; the [`Rules`] say whether that is forbidden; the story is told only for the findings that are
//! shown. [`CHECKS`] is the table of them all.

mod abort_position;
mod circles;
mod commit_beyond_position;
mod committed_too_far;
mod compaction_loss;
mod conservation;
mod consumed_unassigned;
mod corrupt;
mod dedup_false_accept;
mod dedup_false_reject;
mod delivered_after_ack;
mod dlq_acked;
mod dlq_duplicate;
mod dlq_lost;
mod dlq_premature;
mod double_owner;
mod duplicate;
mod early_redelivery;
mod eos_consume_count;
mod eos_duplicate;
mod eos_loss;
mod expired_delivered;
mod g0;
mod g0_process;
mod g0_realtime;
mod g1a;
mod g1b;
mod g1c;
mod g1c_process;
mod g1c_realtime;
mod g2;
mod g_single;
mod group_jump;
mod hanging_txn;
mod inconsistent_offsets;
mod int_nonmonotonic_poll;
mod int_nonmonotonic_send;
mod int_poll_skip;
mod int_send_skip;
mod internal;
mod key_order;
mod log_truncated;
mod lost_middle;
mod lost_parts;
mod lost_postfix;
mod lost_prefix;
mod lost_write;
mod nonlinearizable;
mod nonmonotonic_poll;
mod nonmonotonic_send;
mod offset_regression;
mod over_ack_pending;
mod over_max_deliver;
mod poll_skip;
mod precommitted_read;
mod realtime_offset_inversion;
mod register;
mod replica_divergence;
mod reprocessed;
mod retention_loss;
mod set_full;
mod spurious_rebalance;
mod stale_commit_read;
mod stale_read;
mod stall;
mod steps;
mod stuck_consumer;
mod stuck_producer;
mod total_queue;
mod ttl_early;
mod two_holders;
mod txn_sends;
mod unavailability;
mod unexpected;
mod unprocessed;
mod unseen;
mod zombie_not_fenced;

pub(crate) use duplicate::duplicated_sends;
pub(crate) use lost_parts::Lost;
pub(crate) use unavailability::{Outage, gaps, outages, worst_outage};

#[cfg(test)]
pub(crate) mod testing;

use crate::{Kind, Ruling, analysis::Analysis, guarantees::Rules, history::UnitId};

/// What sets findings of one check apart where the guarantees treat them differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// Nothing in particular.
    #[default]
    Plain,
    /// What stands too late was never acknowledged.
    Unanswered,
    /// The same, and the order of the log is meant for one key.
    UnansweredInLog,
    /// It had been read before it vanished.
    Vanished,
    /// What is missing is lost, to everybody.
    Lost,
    /// The final drain of the unit finished.
    Drained,
    /// Two readers disagree, not just an ack and a reader.
    ReadTwice,
    /// The order of the log is meant.
    InLog,
    /// The order of first deliveries is meant.
    InDelivery,
    /// The group is certain not to come back to the record.
    Passed,
    /// A handler gave the record up.
    GivenUp,
    /// The reader chose its units itself.
    Assigned,
    /// The leader epoch along the log is meant.
    InEpochs,
    /// The record stayed too long.
    Kept,
    /// The record was delivered as often as it was dead-lettered.
    Repeated,
    /// The transaction was aborted.
    Aborted,
    /// A circle with the order of time in it.
    InTime,
    /// A circle of reads alone.
    ReadsOnly,
    /// The search was given up when its budget was used up.
    OutOfBudget,
    /// The same, of a search for a circle of reads alone.
    ReadsOutOfBudget,
    /// What is missing may still be there, where the final drain did not come.
    Undrained,
    /// A reader went back further than it had to.
    Further,
    /// A reader went on where it had to go back.
    Advanced,
    /// More than the bound allows.
    Beyond,
    /// Exactly one more than the bound allows.
    ByOne,
    /// It may have been on its way when the ack was confirmed.
    OnItsWay,
    /// Nobody confirmed the ack.
    Unconfirmed,
    /// It is not known when the bus handed the record out.
    Undated,
    /// Nobody sent it.
    Foreign,
    /// Nobody knows whether its send happened.
    Recovered,
    /// It was missed, and read later.
    Stale,
    /// It was missed, and never read again.
    Gone,
}

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The unit.
    pub unit: Option<UnitId>,
    /// The place in the unit.
    pub position: Option<u64>,
    /// The indexes of the events that prove it.
    pub ops: Vec<u32>,
    /// The row of the send that it is about.
    pub send: Option<u32>,
    /// The row of another send, or the index of another event, as the check's story needs it.
    pub other: Option<u32>,
    /// What sets it apart for the guarantees.
    pub case: Case,
}

/// A check: what it finds, how it tells it, and which guarantee rules on it.
#[derive(Clone, Copy)]
pub struct Check {
    /// The kind of anomaly that it finds.
    pub kind: Kind,
    /// What that is, in a line.
    pub about: &'static str,
    /// When it is forbidden, in a line.
    pub forbidden: &'static str,
    /// Where the definition comes from.
    pub source: &'static str,
    /// Finds.
    pub find: fn(&Analysis<'_>) -> Vec<Found>,
    /// Tells a finding in two lines.
    pub tell: fn(&Analysis<'_>, &Found) -> [String; 2],
    /// Rules on a finding.
    pub rule: fn(&Rules<'_>, &Found) -> Ruling,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.kind)
    }
}

/// Every check, in the order of [`Kind::ALL`]. Only `vacuous` has none: it is the verdict's.
pub const CHECKS: &[Check] = &[
    // The log.
    lost_write::CHECK,
    unseen::CHECK,
    lost_prefix::CHECK,
    lost_middle::CHECK,
    lost_postfix::CHECK,
    duplicate::CHECK,
    inconsistent_offsets::CHECK,
    unexpected::CHECK,
    corrupt::CHECK,
    realtime_offset_inversion::CHECK,
    offset_regression::CHECK,
    replica_divergence::CHECK,
    log_truncated::CHECK,
    compaction_loss::CHECK,
    retention_loss::CHECK,
    // Order.
    poll_skip::CHECK,
    nonmonotonic_poll::CHECK,
    int_poll_skip::CHECK,
    int_nonmonotonic_poll::CHECK,
    nonmonotonic_send::CHECK,
    int_nonmonotonic_send::CHECK,
    int_send_skip::CHECK,
    key_order::CHECK,
    stale_read::CHECK,
    // Transactions.
    g1a::CHECK,
    internal::CHECK,
    precommitted_read::CHECK,
    g1b::CHECK,
    g0::CHECK,
    g0_process::CHECK,
    g0_realtime::CHECK,
    g1c::CHECK,
    g1c_process::CHECK,
    g1c_realtime::CHECK,
    g_single::CHECK,
    g2::CHECK,
    eos_duplicate::CHECK,
    eos_loss::CHECK,
    conservation::CHECK,
    hanging_txn::CHECK,
    zombie_not_fenced::CHECK,
    nonlinearizable::CHECK,
    // Groups.
    group_jump::CHECK,
    stale_commit_read::CHECK,
    commit_beyond_position::CHECK,
    committed_too_far::CHECK,
    abort_position::CHECK,
    consumed_unassigned::CHECK,
    double_owner::CHECK,
    eos_consume_count::CHECK,
    spurious_rebalance::CHECK,
    stuck_consumer::CHECK,
    stuck_producer::CHECK,
    unprocessed::CHECK,
    reprocessed::CHECK,
    // Queues.
    delivered_after_ack::CHECK,
    early_redelivery::CHECK,
    over_max_deliver::CHECK,
    two_holders::CHECK,
    over_ack_pending::CHECK,
    dlq_lost::CHECK,
    dlq_premature::CHECK,
    dlq_acked::CHECK,
    dlq_duplicate::CHECK,
    expired_delivered::CHECK,
    ttl_early::CHECK,
    dedup_false_accept::CHECK,
    dedup_false_reject::CHECK,
    total_queue::CHECK,
    set_full::CHECK,
    // How long.
    unavailability::CHECK,
];

/// The events that prove a finding, in order and without repeats.
fn proof(events: impl IntoIterator<Item = Option<u32>>) -> Vec<u32> {
    let mut list: Vec<u32> = events.into_iter().flatten().collect();
    list.sort_unstable();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::CHECKS;
    use crate::Kind;

    #[test]
    fn checks_stand_in_the_order_of_kinds() {
        let kinds: Vec<Kind> = CHECKS.iter().map(|check| check.kind).collect();
        assert!(kinds.is_sorted() && kinds.windows(2).all(|pair| pair[0] != pair[1]), "{kinds:?}");
    }

    #[test]
    fn every_check_says_what_it_is() {
        for check in CHECKS {
            assert!(
                [check.about, check.forbidden, check.source].iter().all(|text| text.len() > 3),
                "{check:?}"
            );
        }
    }
}
