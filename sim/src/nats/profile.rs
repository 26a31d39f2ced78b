//! Profiles: which version of NATS has which rules.

use super::rules::{CommitBy, Dedup, Rules, Sync};
use crate::settings::{BrokerOptions, ProfileRow};
use squall_bus::{ClusterSpec, Error, ErrorClass, Fsync};
use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// NATS 2.15 with the server's own defaults. Source: nats-server main (`server/{raft,stream,consumer,const}.go`),
/// and what three nodes of 2.15.1 on loopback did.
#[must_use]
pub fn nats_2_15() -> Rules {
    Rules {
        startup_min: ms(100),
        startup_max: ms(250),
        shutdown_takes: ms(200),
        route_reconnect: ms(1_000),
        route_dial: ms(1_000),
        route_probe: ms(1_000),
        write_deadline: ms(10_000),
        ping_interval: ms(120_000),
        ping_max: 2,
        max_payload: 1 << 20,

        election_timeout_min: ms(4_000),
        election_timeout_max: ms(9_000),
        campaign_delay_min: ms(100),
        campaign_delay_max: ms(800),
        heartbeat: ms(1_000),
        lost_quorum: ms(10_000),
        lost_quorum_check: ms(10_000),
        append_bytes: 256 << 10,
        commit_by: CommitBy::Majority,
        vote_checks_log: true,
        vote_once: true,
        empty_votes_need_all: true,
        check_previous: true,

        sync: Sync::Every(ms(120_000)),

        duplicate_window: ms(120_000),
        dedup: Dedup::AtStore,
        ingest_limit: 100_000,

        ack_wait: ms(30_000),
        max_ack_pending: 1_000,
        max_waiting: 512,
        inactive_threshold: ms(5_000),
        deliver_after_quorum: true,
        redeliver_in_order: true,
    }
}

/// NATS 2.15 with `sync_interval: always`.
#[must_use]
pub fn nats_2_15_sync_always() -> Rules {
    Rules { sync: Sync::Always, ..nats_2_15() }
}

/// The one version that there are rules of.
const NEWEST: &str = "2.15";

fn refuse(message: String) -> Error {
    Error::new(ErrorClass::Refused, "INVALID_CONFIG", message)
}

/// The rules of a cluster as `local:nats` would start it.
///
/// # Errors
/// Of class `Refused`, when the cluster asks for another version, or for a setting: none can be changed; `Unsupported` for a
/// bug.
pub fn rules(spec: &ClusterSpec) -> Result<Rules, Error> {
    if let Some(name) = spec.profile.as_deref().filter(|name| *name != NEWEST) {
        return Err(refuse(format!("there are no rules of NATS {name}; there are those of {NEWEST}")));
    }
    if let Some(name) = spec.config.keys().next() {
        return Err(refuse(format!("the simulated NATS has no server setting `{name}` that can be changed")));
    }
    if let Some(bug) = &spec.bug {
        let message =
            format!("the model of NATS has no bug `{bug}`; `squall bugs` lists those that there are");
        return Err(Error::new(ErrorClass::Unsupported, "UNSUPPORTED", message));
    }
    Ok(match spec.fsync {
        Fsync::Lazy => nats_2_15(),
        Fsync::Always => nats_2_15_sync_always(),
    })
}

/// What can be said about the servers of NATS: their version.
#[must_use]
pub fn options() -> BrokerOptions {
    let profile = ProfileRow { name: NEWEST, about: format!("NATS {NEWEST} with JetStream") };
    BrokerOptions { profiles: vec![profile], settings: Vec::new() }
}
