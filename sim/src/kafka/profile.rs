//! Profiles: which version of Kafka has which rules.
//!
//! Each is a new cluster of that version, at its own metadata version with every feature that its storage tool finalizes:
//!
//! | profile | metadata version | eligible leader replicas | transactions |
//! |---|---|---|---|
//! | 3.9 | 3.9-IV0 (21) | no: the last member of the ISR stays in it | version 1 |
//! | 4.1 | 4.1-IV1 (27) | yes (`eligible.leader.replicas.version` 1, KIP-966) | version 2 (KIP-890) |
//! | 4.3 | 4.3-IV0 (30) | yes | version 2 |
//!
//! What no row says is alike: a broker's defaults did not change between these versions where the model has them.
//!
//! A limit: groups are coordinated by the coordinator of Kafka 4 in every profile. That of 3.9 without the consumer protocol
//! writes commits, generations and the ends of transactions with acks=all, so that it refuses them while too few replicas are
//! in sync (`offsets.commit.required.acks`, -1), and answers what it has nothing to write for at once.

use super::{
    rules::{ReadCommittedUpto, ReplicaSelector, Rules, TransactionVersion, Truncate, WatermarkOver},
    topic_config::{Cleanup, Ratio},
};
use squall_bus::Assignor;
use std::{fmt, time::Duration};

/// A version of Kafka that there are rules of. Display says what distinguishes it.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name: `4.1`.
    pub name: &'static str,
    /// The metadata version of a new cluster.
    pub metadata_version: &'static str,
    /// The level of that version in the metadata log.
    pub metadata_level: u16,
    rules: fn() -> Rules,
}

/// Every profile, oldest first.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "3.9", metadata_version: "3.9-IV0", metadata_level: 21, rules: kafka_3_9 },
    Profile { name: "4.1", metadata_version: "4.1-IV1", metadata_level: 27, rules: kafka_4_1 },
    Profile { name: "4.3", metadata_version: "4.3-IV0", metadata_level: 30, rules: kafka_4_3 },
];

/// The newest profile: the one of a cluster that names none.
#[must_use]
pub const fn newest() -> &'static Profile {
    &PROFILES[PROFILES.len() - 1]
}

impl Profile {
    /// The profile of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The rules of a new cluster of this version with the broker's own defaults.
    #[must_use]
    pub fn rules(&self) -> Rules {
        (self.rules)()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elr = if self.rules().elr { "with" } else { "without" };
        write!(
            f,
            "Kafka {}, metadata version {} ({}), {elr} eligible leader replicas",
            self.name, self.metadata_version, self.metadata_level
        )
    }
}

/// Kafka 3.9, a new cluster at metadata version 3.9-IV0: without eligible leader replicas (KIP-966 came in 4.0 and is on
/// by default since 4.1). Source: the upgrade notes of Kafka 4.0 and 4.1.
#[must_use]
pub fn kafka_3_9() -> Rules {
    Rules {
        elr: false,
        elect_last_known_leader: false,
        transaction_version: TransactionVersion::V1,
        ..kafka_4_3()
    }
}

/// Kafka 4.1, a new cluster at metadata version 4.1-IV1. Source: the upgrade notes of Kafka 4.1 to 4.3, which change no
/// default that the model has.
#[must_use]
pub fn kafka_4_1() -> Rules {
    kafka_4_3()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Kafka 4.3 with the broker's own defaults, a new cluster (`eligible.leader.replicas.version` 1) of combined
/// nodes. Source: the defaults read back from a 4.3.0 broker by DescribeConfigs, and what that cluster did.
#[must_use]
pub fn kafka_4_3() -> Rules {
    Rules {
        dedicated_controllers: 0,
        startup_min: ms(1_450),
        startup_max: ms(1_600),
        shutdown_takes: ms(200),
        shutdown_patience: ms(5_000),
        resignation_patience: ms(5_000),

        quorum_fetch_timeout: ms(2_000),
        quorum_notice: ms(50),
        quorum_election_timeout: ms(1_000),
        quorum_election_backoff: ms(1_000),
        quorum_fetch_wait: ms(500),
        controller_retry: ms(100),
        quorum_request_timeout: ms(2_000),
        metadata_apply_min: ms(1),
        metadata_apply_max: ms(10),

        broker_heartbeat: ms(2_000),
        broker_session: ms(9_000),
        session_checks_per_session: 8,
        registration_retry: ms(2_000),
        controller_request_timeout: ms(4_500),
        controller_socket_timeout: ms(30_000),
        connection_setup_timeout: ms(10_000),
        refuse_duplicate_registration: true,
        check_broker_epoch: true,

        elr: true,
        elect_last_known_leader: true,
        unclean_election: false,
        leader_check: ms(300_000),
        leader_imbalance: Ratio::TENTH,

        truncate: Truncate::ByEpoch,
        watermark_over: WatermarkOver::MaximalIsr,
        freeze_below_min_isr: true,
        heed_min_isr: true,
        check_fetch_epochs: true,
        refuse_below_min_isr: true,
        flush_every_message: false,
        join_caught_up: true,
        replica_lag: ms(30_000),
        replica_lag_check: ms(15_000),
        replica_fetch_wait: ms(500),
        replica_fetch_backoff: ms(1_000),
        replica_request_timeout: ms(30_000),
        replica_fetch_max_bytes: 1 << 20,
        watermark_checkpoint: ms(5_000),

        message_max_bytes: 1_048_588,
        dedup_batches: 5,
        answer_duplicates: true,
        ack_offsets: true,
        drop_appends: 0,
        replica_selector: ReplicaSelector::Leader,
        guard_latest_offset: true,

        segment_bytes: 1 << 30,
        segment_age: ms(604_800_000),
        retention: Some(ms(604_800_000)),
        retention_bytes: None,
        retention_check: ms(300_000),
        log_task_delay: ms(30_000),
        cleanup: Cleanup::Delete,
        min_cleanable: Ratio::HALF,
        min_compaction_lag: ms(0),
        delete_retention: ms(86_400_000),
        cleaner_backoff: ms(15_000),
        producer_expiration: ms(86_400_000),
        producer_expiration_check: ms(600_000),

        offsets_partitions: 50,
        offsets_replicas: 3,
        offsets_min_insync: 2,
        offsets_commit_timeout: ms(5_000),
        group_initial_rebalance_delay: ms(3_000),
        group_min_session: ms(6_000),
        group_max_session: ms(1_800_000),
        group_max_size: i32::MAX as u32,
        consumer_protocol: true,
        consumer_heartbeat: ms(5_000),
        consumer_session: ms(45_000),
        consumer_group_max_size: i32::MAX as u32,
        consumer_assignor: Assignor::Uniform,
        consumer_waits_for_release: true,
        clients_forget_lost_positions: true,
        offset_metadata_max_bytes: 4_096,
        offsets_retention: Duration::from_secs(7 * 24 * 3600),
        offsets_retention_check: Duration::from_secs(600),
        replay_newest_offset: true,
        check_commit_generation: true,
        group_load_takes: ms(30),

        transaction_version: TransactionVersion::V2,
        transactions_partitions: 50,
        transactions_replicas: 3,
        transactions_min_insync: 2,
        transaction_max_timeout: ms(900_000),
        transaction_sweep: ms(10_000),
        transaction_id_expiry: ms(604_800_000),
        transaction_id_expiry_check: ms(3_600_000),
        verify_transactions: true,
        transaction_marker_retry: ms(100),
        transaction_request_timeout: ms(30_000),
        replicate_transactions: true,
        log_transactions: true,
        read_committed_upto: ReadCommittedUpto::Below,
        check_transaction_generation: true,

        resend_in_sequence: true,
        doubt_not_leader: true,
    }
}

/// A version as Squall starts it on loopback for tests: 8 offsets and 4 transaction partitions, groups begin without
/// delay.
#[must_use]
pub fn test_cluster(rules: Rules) -> Rules {
    Rules { offsets_partitions: 8, transactions_partitions: 4, group_initial_rebalance_delay: ms(0), ..rules }
}

/// Kafka 4.3 as Squall starts it on loopback for tests.
#[must_use]
pub fn kafka_4_3_test_cluster() -> Rules {
    test_cluster(kafka_4_3())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_differ_where_the_versions_do() {
        let [old, middle, new] = PROFILES.map(|profile| profile.rules());
        assert!(!old.elr && !old.elect_last_known_leader);
        assert!(middle.elr && middle.elect_last_known_leader);
        let transaction_version = TransactionVersion::V2;
        assert_eq!(old.transaction_version, TransactionVersion::V1, "rules D3, D4");
        assert_eq!(Rules { elr: true, elect_last_known_leader: true, transaction_version, ..old }, new);
        assert_eq!(middle, new);
        assert_eq!(newest().name, "4.3");
        let levels = PROFILES.map(|profile| profile.metadata_level);
        assert!(levels.is_sorted());
    }

    #[test]
    fn a_profile_says_what_distinguishes_it() {
        let said = Profile::find("3.9").expect("there is one").to_string();
        assert_eq!(said, "Kafka 3.9, metadata version 3.9-IV0 (21), without eligible leader replicas");
    }
}
