//! Known bugs of Kafka, of brokers that speak its protocol, and of its clients: each one change of [`Rules`].
//!
//! | id begins with | from |
//! |---|---|
//! | `kip-`, `kafka-` | Kafka's improvement proposals and tracker |
//! | `rp-` | Jepsen's report on Redpanda 21.10 to 22.1, and the tracker of Redpanda |
//! | `bufstream-` | Jepsen's report on Bufstream 0.1.0 |
//! | `mutant-` | nobody shipped it: a rule of the protocol left out, that must not go unnoticed |
//!
//! What sources do not tell is modelled by the nearest rule that explains what was seen; the row's sentence says which.

use super::rules::{ReadCommittedUpto, Rules, TransactionVersion, Truncate, WatermarkOver};
use crate::bugs::Bug;
use squall_bus::{Error, ErrorClass};
use squall_history::Kind;

struct Row {
    id: &'static str,
    source: &'static str,
    about: &'static str,
    scenario: &'static str,
    anomaly: Kind,
    change: fn(&mut Rules),
}

const BUGS: &[Row] = &[
    Row {
        id: "kafka-unclean",
        source: "Kafka, documented behaviour of unclean.leader.election.enable; measured on 4.3.0",
        about: "a replica that was not in sync leads, and the others cut their logs to its",
        scenario: "stale-follower-returns",
        anomaly: Kind::LostWrite,
        change: |rules| rules.unclean_election = true,
    },
    Row {
        id: "kafka-isr1",
        source: "Kafka, documented behaviour of min.insync.replicas=1",
        about: "the leader alone is enough for an ack from all, and then its disk loses the record",
        scenario: "lone-leader-loses-power",
        anomaly: Kind::LostWrite,
        change: |rules| rules.heed_min_isr = false,
    },
    Row {
        id: "kip-101",
        source: "Kafka before 0.11: KIP-101, KAFKA-1211",
        about: "a follower cuts its log to its own high watermark, and then leads",
        scenario: "fast-double-failover",
        anomaly: Kind::LostWrite,
        change: |rules| rules.truncate = Truncate::ToHighWatermark,
    },
    Row {
        id: "kip-279",
        source: "Kafka 0.11 to 1.1: KIP-279, fast leader fail over",
        about: "a follower asks its leader once where an epoch ends, and cuts there, whatever its own log says",
        scenario: "heirs-without-each-other",
        anomaly: Kind::InconsistentOffsets,
        change: |rules| rules.truncate = Truncate::ByFirstEpoch,
    },
    Row {
        id: "kip-320",
        source: "the first draft of KIP-320, as its TLA+ specification keeps it (Kip320FirstTry)",
        about: "fetches are not fenced: a follower's offset counts, whatever its epochs say",
        scenario: "isolated-writers",
        anomaly: Kind::InconsistentOffsets,
        change: |rules| rules.check_fetch_epochs = false,
    },
    Row {
        id: "kip-966",
        source: "Kafka before eligible leader replicas: KIP-966, the last replica standing",
        about: "the last member of the ISR leads again although the power took the end of its log",
        scenario: "lone-leader-loses-power",
        anomaly: Kind::LostWrite,
        change: |rules| rules.elr = false,
    },
    Row {
        id: "kip-903",
        source: "Kafka before 3.5: KIP-903, KAFKA-14139",
        about: "a proposal speaks of a replica as it was before it lost its disk, and the controller has it in the ISR",
        scenario: "returns-with-nothing",
        anomaly: Kind::LostWrite,
        change: |rules| rules.check_broker_epoch = false,
    },
    Row {
        id: "kafka-13574",
        source: "clients of Kafka: KAFKA-13574",
        about: "the client calls a record failed that a deposed leader had appended",
        scenario: "no-second-try",
        anomaly: Kind::AbortedRead,
        change: |rules| rules.doubt_not_leader = false,
    },
    Row {
        id: "kafka-14034",
        source: "Java client: KAFKA-14034, found by Redpanda as its issue 5355",
        about: "the idempotent client sends a batch again under new sequence numbers after an error that left it appended",
        scenario: "leader-hands-over",
        anomaly: Kind::Duplicate,
        change: |rules| rules.resend_in_sequence = false,
    },
    Row {
        id: "rp-3039",
        source: "Redpanda up to 21.10.2: its issue 3039, Jepsen's report",
        about: "a repeated batch is refused as out of order instead of recognised, and the client begins anew",
        scenario: "lost-responses",
        anomaly: Kind::Duplicate,
        change: |rules| rules.answer_duplicates = false,
    },
    Row {
        id: "rp-3003",
        source: "Redpanda 21.10.1: its issue 3003, Jepsen's report",
        about: "two leaders acknowledge different records at one offset: a leader does not wait for its followers",
        scenario: "isolated-writers",
        anomaly: Kind::InconsistentOffsets,
        change: |rules| rules.watermark_over = WatermarkOver::LeaderOnly,
    },
    Row {
        id: "rp-unseen",
        source: "Redpanda 21.11.2, Jepsen's report: nodes replaced",
        about: "a node that takes the place of another counts as in sync with its first fetch, before it has the log",
        scenario: "node-replaced",
        anomaly: Kind::Unseen,
        change: |rules| rules.join_caught_up = false,
    },
    Row {
        id: "bufstream-0",
        source: "Bufstream 0.1.0, Jepsen's report",
        about: "acks say offset 0, whatever the record's offset is",
        scenario: "plain-load",
        anomaly: Kind::InconsistentOffsets,
        change: |rules| rules.ack_offsets = false,
    },
    Row {
        id: "bufstream-lost",
        source: "Bufstream 0.1.0, Jepsen's report",
        about: "some batches are acknowledged and dropped, without any fault",
        scenario: "plain-load",
        anomaly: Kind::LostWrite,
        change: |rules| rules.drop_appends = 20,
    },
    Row {
        id: "kafka-17754",
        source: "Kafka and all that speak its protocol, transactions version 1: KAFKA-17754, Jepsen's report on Bufstream",
        about: "the end of a transaction that comes in late ends a later one of the same producer",
        scenario: "late-end",
        anomaly: Kind::AbortedRead,
        change: |rules| rules.transaction_version = TransactionVersion::V1,
    },
    Row {
        id: "kip-890",
        source: "Kafka before 3.6: KIP-890, hanging transactions",
        about: "a write that comes in behind the end of its transaction opens another one, which nobody ends",
        scenario: "late-write",
        anomaly: Kind::HangingTxn,
        change: |rules| rules.verify_transactions = false,
    },
    Row {
        id: "kip-447",
        source: "Kafka before 2.5: KIP-447, why positions in a transaction name their member and generation",
        about: "a member that was evicted commits its positions and results in a transaction",
        scenario: "sleeping-service",
        anomaly: Kind::EosDuplicate,
        change: |rules| rules.check_transaction_generation = false,
    },
    Row {
        id: "rp-3036",
        source: "Redpanda 21.10: its issue 3036, Jepsen's report",
        about: "a reader of committed records is given the record at the last stable offset too",
        scenario: "transactions-at-rest",
        anomaly: Kind::AbortedRead,
        change: |rules| rules.read_committed_upto = ReadCommittedUpto::Including,
    },
    Row {
        id: "rp-6018",
        source: "Redpanda, nightly of August 2022: its issue 6018",
        about: "writes of transactions are acknowledged before anything is replicated",
        scenario: "leader-dies-in-transactions",
        anomaly: Kind::LostWrite,
        change: |rules| rules.replicate_transactions = false,
    },
    Row {
        id: "rp-10669",
        source: "Redpanda 2023: its issue 10669",
        about: "a new coordinator believes the oldest position of a group that its log has",
        scenario: "group-coordinator-moves",
        anomaly: Kind::EosDuplicate,
        change: |rules| rules.replay_newest_offset = false,
    },
    Row {
        id: "mutant-committed-isr",
        source: "KIP-497 and the TLA+ specification of KRaft replication: why a replica that is about to join holds back",
        about: "the high watermark passes a replica that the controller has in the ISR and the leader not yet",
        scenario: "joins-and-falls-behind",
        anomaly: Kind::LostWrite,
        change: |rules| rules.watermark_over = WatermarkOver::CommittedIsr,
    },
    Row {
        id: "mutant-commit-unfenced",
        source: "the group protocol of Kafka: why a commit names its generation",
        about: "a member that was evicted commits, and believes that its units are still its own",
        scenario: "evicted-member",
        anomaly: Kind::Reprocessed,
        change: |rules| rules.check_commit_generation = false,
    },
    Row {
        id: "lost-owner-commit",
        source: "librdkafka: its issue 5604",
        about: "a consumer that lost partitions commits how far it had come, over the commits of their new owner",
        scenario: "owner-sleeps",
        anomaly: Kind::Reprocessed,
        change: |rules| rules.clients_forget_lost_positions = false,
    },
    Row {
        id: "mutant-two-owners",
        source: "KIP-848: why a partition moves only when its owner has given it up",
        about: "the new owner of a partition begins to read while the old one still does",
        scenario: "members-share-anew",
        anomaly: Kind::Reprocessed,
        change: |rules| rules.consumer_waits_for_release = false,
    },
    Row {
        id: "mutant-one-batch",
        source: "KAFKA-5494: why five batches of a producer are remembered",
        about: "one batch of a producer is remembered, so that a repeated batch before the last is not recognised",
        scenario: "lost-responses",
        anomaly: Kind::Duplicate,
        change: |rules| rules.dedup_batches = 1,
    },
];

/// Every bug of Kafka's model, in the order of the table.
#[must_use]
pub fn all() -> Vec<Bug> {
    let bug = |row: &Row| Bug {
        id: row.id,
        bus: "kafka",
        source: row.source,
        about: row.about,
        scenario: row.scenario,
        anomaly: row.anomaly,
    };
    BUGS.iter().map(bug).collect()
}

/// Changes the rules to those with this bug.
///
/// # Errors
/// Of class `Unsupported`, when the model has no such bug.
pub fn plant(rules: &mut Rules, id: &str) -> Result<(), Error> {
    let row = BUGS.iter().find(|row| row.id == id).ok_or_else(|| {
        let message =
            format!("the model of Kafka has no bug `{id}`; `squall bugs` lists those that there are");
        Error::new(ErrorClass::Unsupported, "UNSUPPORTED", message)
    })?;
    (row.change)(rules);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::profile::kafka_4_3_test_cluster;

    /// Rules are printed one a line: a bug changes one line.
    #[test]
    fn a_bug_changes_one_rule() {
        let plain = kafka_4_3_test_cluster();
        for row in BUGS {
            let mut rules = plain.clone();
            plant(&mut rules, row.id).expect("it is in the table");
            let (before, after) = (plain.to_string(), rules.to_string());
            let changed = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
            assert_eq!(changed.count(), 1, "{}", row.id);
        }
    }

    #[test]
    fn ids_are_distinct_and_others_are_refused() {
        for (place, row) in BUGS.iter().enumerate() {
            assert!(BUGS[..place].iter().all(|other| other.id != row.id), "{}", row.id);
        }
        let error = plant(&mut kafka_4_3_test_cluster(), "kip-0").expect_err("there is none");
        assert_eq!(error.class, ErrorClass::Unsupported);
    }
}
