//! Marks: rare situations that a run passed through, so that a sweep can say what it has tried.
//!
//! - A mark is reached or not; how often does not count. Reaching one sets a bit, takes part in no decision and in no
//!   hash.
//! - Models, the kernel and the runner mark what they see at the one place where it is certain. A mark that no model
//!   of a bus can reach is no mark of that bus ([`Mark::is_of`]).
//!
//! The idea is that of TigerBeetle's marks, FoundationDB's code probes and Antithesis' `sometimes` assertions.

use std::fmt;

macro_rules! marks {
    ($($name:ident = $id:literal, $of:ident, $about:literal;)*) => {
        /// A situation that a run can pass through.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Mark {
            $(#[doc = $about] $name,)*
        }

        impl Mark {
            /// Every mark, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in scenario files and reports: `follower-truncated`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What happened, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }

            const fn of(self) -> Of {
                match self { $(Self::$name => Of::$of,)* }
            }
        }
    };
}

/// Where a mark can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// On every bus.
    Any,
    Kafka,
    Nats,
}

marks! {
    PowerLostUnsynced = "power-lost-with-unsynced-bytes", Any,
        "A node lost its power while its disk still owed bytes that were written.";
    ResponseLost = "response-lost-after-a-write", Any,
        "A write went through and the response that says so was lost.";
    LeaderLostUnacked = "leader-lost-with-unacked-batches", Any,
        "A leader ended or was replaced while producers waited for its acks.";
    LeaderChanged = "leader-changed", Any,
        "A unit got another leader after the workload began.";
    FollowerTruncated = "follower-truncated", Any,
        "A copy dropped the end of its log because its leader has another one.";
    DuplicateRecognised = "duplicate-recognised", Any,
        "A record was sent again and the bus recognised it.";
    BatchSentAgain = "batch-sent-again", Any,
        "A client library sent again what it had no ack for.";
    IsrShrank = "isr-shrank", Kafka,
        "A leader took a follower that lagged out of the in-sync replicas.";
    RefusedBelowMinIsr = "refused-below-min-isr", Kafka,
        "A write was refused because too few copies were in sync.";
    ProducerEpochBumped = "producer-epoch-bumped", Kafka,
        "An idempotent producer gave a batch up and went on under a new epoch.";
    ControllerChanged = "controller-changed", Kafka,
        "Another node took the controller over.";
    CoordinatorMoved = "coordinator-moved-with-members", Kafka,
        "A group's coordinator moved to another node while the group had members.";
    RebalanceDuringCommit = "rebalance-during-a-commit", Kafka,
        "A member joined its group anew while a commit of the group was on its way into the log.";
    CommitRefused = "commit-refused-by-rebalance", Kafka,
        "A member's commit came too late: its group had gone on to another generation.";
    MemberExpired = "member-expired", Kafka,
        "A member gave no sign of life for longer than its session and was taken out of its group.";
    ProducerFenced = "transactional-producer-fenced", Kafka,
        "A transactional producer was fenced while it had a transaction open.";
    TxnAborted = "transaction-aborted", Kafka,
        "A transaction was aborted, by its producer or for it.";
    TxnTimedOut = "transaction-timed-out", Kafka,
        "A transaction was open for longer than its timeout, and its coordinator aborted it.";
    TxnCoordinatorMoved = "transaction-coordinator-moved", Kafka,
        "A transaction coordinator moved to another node while one of its transactions was open.";
    ConsumerLeaderChanged = "consumer-leader-changed-with-deliveries-pending", Nats,
        "A consumer got another leader while deliveries waited for their acks.";
    RedeliveredAfterAckWait = "redelivered-after-ack-wait", Nats,
        "An ack wait, or the delay of a refusal, ended, and the message was due again.";
    RefusedByHandler = "refused-by-a-handler", Nats,
        "A consumer refused a message, to be delivered again.";
    MaxDeliverReached = "max-deliver-reached", Nats,
        "A message was delivered as often as is allowed, and was given up.";
    OutcomeUnknown = "send-with-unknown-outcome", Any,
        "A send ended without anybody knowing whether the record is in the log.";
    CrashedInHand = "consumer-crashed-with-a-record-in-hand", Any,
        "A consumer process ended by a fault while it was handling a record.";
    CrashedInRetry = "consumer-crashed-during-a-retry", Any,
        "A consumer process ended by a fault between two tries of one record.";
    RevokedInHand = "revoked-before-the-commit", Kafka,
        "A consumer had to hand units over while records that it had handled were not committed.";
    LostInHand = "lost-before-the-commit", Kafka,
        "A consumer was told that its units are lost while records that it had handled were not committed.";
    DeliveredAgain = "delivered-again", Any,
        "A group was handed a record that it had been handed before.";
    DeadLettered = "dead-lettered", Any,
        "A record whose tries were used up was sent to the dead-letter topic.";
    FaultsOverlapped = "faults-overlapped", Any,
        "A fault struck while another one was in force.";
}

impl Mark {
    /// The mark of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mark| mark.name() == name)
    }

    /// Whether it can be reached on this bus.
    #[must_use]
    pub fn is_of(self, bus: &str) -> bool {
        match self.of() {
            Of::Any => true,
            Of::Kafka => bus == "kafka",
            Of::Nats => bus == "nats",
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which marks were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks(u64);

const _: () = assert!(Mark::ALL.len() <= 64);

impl Marks {
    /// This one was reached.
    pub const fn add(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u8;
    }

    /// Whether this one was reached.
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    /// What either of two reached.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that were reached, in the order of reports.
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |mark| self.has(*mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mark_has_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
        for mark in Mark::ALL {
            assert_eq!(Mark::named(mark.name()), Some(*mark));
            assert!(mark.about().ends_with('.') && mark.about().len() > 30, "{mark}");
            assert!(crate::BUSES.iter().any(|bus| mark.is_of(bus)), "{mark} is of no bus");
        }
        assert_eq!(Mark::named("follower-truncate"), None);
    }

    #[test]
    fn marks_add_up_one_by_one() {
        let (mut one, mut other) = (Marks::default(), Marks::default());
        one.add(Mark::FaultsOverlapped);
        other.add(Mark::PowerLostUnsynced);
        assert!(one.has(Mark::FaultsOverlapped) && !one.has(Mark::PowerLostUnsynced));
        assert_eq!(
            one.or(other).iter().collect::<Vec<_>>(),
            [Mark::PowerLostUnsynced, Mark::FaultsOverlapped]
        );
    }
}
