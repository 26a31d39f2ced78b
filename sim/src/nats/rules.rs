//! Every constant and switch of the NATS model, in one plain value.
//!
//! A profile ([`super::profile`]) constructs it; model code asks its rules, never which version or bug this is.
//! Printed as one `name: value` a line, it goes into the capsule and the hash.

use std::{fmt, time::Duration};

/// When what a server writes is safe from a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sync {
    /// `sync_interval`: every file is synced so often, and nothing waits for it.
    Every(Duration),
    /// `sync_interval: always`: nothing is confirmed to anybody before it is synced.
    Always,
}

/// Which members must have an entry before a leader commits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitBy {
    /// More than half of them.
    Majority,
    /// The leader alone: acknowledges before anything is replicated.
    LeaderOnly,
}

/// How a stream tells a message that it has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dedup {
    /// A message id counts from when the message is stored, on every replica; until then another message with this
    /// id is refused (409/10158).
    AtStore,
    /// It counts from when the leader takes the message, even if it is never stored: a retry is then called a
    /// duplicate although nothing is there (before 2.11.0, PR 6415).
    AtReceipt,
    /// Message ids are ignored.
    Off,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The resolved rules of a cluster.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Rules {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl fmt::Display for Rules {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{}: {:?}", stringify!($field), self.$field)?;)*
                Ok(())
            }
        }
    };
}

rules! {
    // Processes and routes (1.1).
    /// How long a process takes from its start until it listens, at least.
    startup_min: Duration,
    /// And at most.
    startup_max: Duration,
    /// From the request to stop, when it hands over what it leads, until the process is gone.
    shutdown_takes: Duration,
    /// `DEFAULT_ROUTE_RECONNECT`: how long a server waits before it dials a lost route again.
    route_reconnect: Duration,
    /// `DEFAULT_ROUTE_DIAL`: how long it waits for a route to be set up.
    route_dial: Duration,
    /// How often a server sees to it that a route gets through, while it is used.
    route_probe: Duration,
    /// `write_deadline`: a route that got nothing through for so long is closed.
    write_deadline: Duration,
    /// `ping_interval`: how often a server pings a client.
    ping_interval: Duration,
    /// `ping_max`: a client that left so many pings unanswered is cut off.
    ping_max: u32,
    /// `max_payload`, in bytes.
    max_payload: u32,

    // Raft (1.6).
    /// The least time that a member waits for its leader's sign of life before it stands for election.
    election_timeout_min: Duration,
    /// And the most.
    election_timeout_max: Duration,
    /// The least time from the wish to campaign until the campaign begins.
    campaign_delay_min: Duration,
    /// And the most.
    campaign_delay_max: Duration,
    /// How often a leader gives a sign of life.
    heartbeat: Duration,
    /// A leader that heard from no majority for so long steps down.
    lost_quorum: Duration,
    /// How often a leader looks at that.
    lost_quorum_check: Duration,
    /// The most bytes of entries in one message.
    append_bytes: u32,
    /// Who must have an entry before it is committed.
    commit_by: CommitBy,
    /// A member votes only for candidates whose log is at least as long as its own.
    vote_checks_log: bool,
    /// A member gives one vote a term.
    vote_once: bool,
    /// A vote of a member with an empty log counts only if all members answered.
    empty_votes_need_all: bool,
    /// A follower checks that entries follow on its last one, and cuts off what does not.
    check_previous: bool,

    // Disks (1.7).
    /// When files are synced.
    sync: Sync,

    // Streams (1.2 to 1.4).
    /// `duplicate_window`.
    duplicate_window: Duration,
    /// How a stream tells a message that it has already.
    dedup: Dedup,
    /// How many messages may wait in a stream's leader until they are stored (429/10167 beyond).
    ingest_limit: u32,

    // Consumers (1.5).
    /// `ack_wait`.
    ack_wait: Duration,
    /// `max_ack_pending`.
    max_ack_pending: u32,
    /// `max_waiting`: pull requests that a consumer keeps.
    max_waiting: u32,
    /// `inactive_threshold` of consumers that are not durable.
    inactive_threshold: Duration,
    /// A replicated consumer delivers only what a majority knows to be delivered (since 2.11.2, PR 6792).
    deliver_after_quorum: bool,
    /// Messages whose ack wait is over are delivered again in their order (before: as the timers fire, #6114).
    redeliver_in_order: bool,
}
