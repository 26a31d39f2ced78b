//! Profiles: which version of Kafka has which rules.

use super::rules::{ReadCommittedUpto, Rules, TransactionVersion, Truncate, WatermarkOver};
use std::time::Duration;

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
        refuse_duplicate_registration: true,
        check_broker_epoch: true,

        elr: true,
        elect_last_known_leader: true,
        unclean_election: false,

        truncate: Truncate::ByEpoch,
        watermark_over: WatermarkOver::MaximalIsr,
        freeze_below_min_isr: true,
        refuse_below_min_isr: true,
        flush_every_message: false,
        replica_lag: ms(30_000),
        replica_lag_check: ms(15_000),
        replica_fetch_wait: ms(500),
        replica_fetch_backoff: ms(1_000),
        replica_request_timeout: ms(30_000),
        replica_fetch_max_bytes: 1 << 20,
        watermark_checkpoint: ms(5_000),

        message_max_bytes: 1_048_588,
        dedup_batches: 5,
        guard_latest_offset: true,

        offsets_partitions: 50,
        offsets_replicas: 3,
        offsets_min_insync: 2,
        offsets_commit_timeout: ms(5_000),
        group_initial_rebalance_delay: ms(3_000),
        group_min_session: ms(6_000),
        group_max_session: ms(1_800_000),
        check_commit_generation: true,
        group_load_takes: ms(10),

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
    }
}

/// Kafka 4.3 as Squall starts it on loopback for tests: 8 offsets and 4 transaction partitions, groups begin without
/// delay.
#[must_use]
pub fn kafka_4_3_test_cluster() -> Rules {
    Rules {
        offsets_partitions: 8,
        transactions_partitions: 4,
        group_initial_rebalance_delay: ms(0),
        ..kafka_4_3()
    }
}
