//! Anomalies: what a check found, with its proof, its story, and the ruling on it.
//!
//! *Found* and *forbidden* are separate: a check finds, the guarantees rule. An anomaly gathers all findings
//! of one kind under one ruling; the worst few are told in full, all are counted.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many findings of an anomaly are told in full.
pub const EXAMPLES: usize = 8;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $id:literal,)*) => {
        /// A kind of anomaly, by the id of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $id)] $name,)*
        }

        impl Kind {
            /// Every kind, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The id: `lost_write`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

kinds! {
    /// An acknowledged record is not in the log although the log was read beyond it.
    LostWrite = "lost_write",
    /// An acknowledged record was never read, and nothing behind it either.
    Unseen = "unseen",
    /// One record stands at two places of the log.
    Duplicate = "duplicate",
    /// One place of the log held two different records.
    InconsistentOffsets = "inconsistent_offsets",
    /// A record was read that nobody sent there.
    Unexpected = "unexpected",
    /// A record was read whose send had definitely failed.
    AbortedRead = "G1a",
    /// A record was read whose payload is not what was sent.
    Corrupt = "corrupt",
    /// Records of one key are out of order, in the log or as first delivered.
    KeyOrder = "key_order",
    /// A later send of one producer stands before an earlier one.
    NonmonotonicSend = "nonmonotonic_send",
    /// After an assignment a group went on behind records that it never committed.
    GroupJump = "group_jump",
    /// An acknowledged record was neither processed nor dead-lettered, and the group went past it.
    Unprocessed = "unprocessed",
    /// A record was processed successfully more than once.
    Reprocessed = "reprocessed",
    /// A poison record is not in the dead-letter topic, and the group went past it.
    DlqLost = "dlq_lost",
    /// A record that is not poison is in the dead-letter topic.
    DlqPremature = "dlq_premature",
    /// A record that was processed successfully is in the dead-letter topic.
    DlqAcked = "dlq_acked",
    /// A record is in the dead-letter topic more than once.
    DlqDuplicate = "dlq_duplicate",
    /// A unit took no records for longer than it may.
    Unavailable = "unavailable",
    /// Nothing was acknowledged, or nothing was delivered: there is nothing to judge.
    Vacuous = "vacuous",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What the guarantees say about a finding, with the clause that says so, in English.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// A promise is broken: the run is invalid.
    ForbiddenBy(String),
    /// Nothing promised otherwise: information.
    AllowedBy(String),
    /// It would be forbidden, but the evidence is missing: the run is unknown.
    UndecidedBecause(String),
}

impl Ruling {
    /// The clause.
    #[must_use]
    pub fn clause(&self) -> &str {
        match self {
            Self::ForbiddenBy(clause) | Self::AllowedBy(clause) | Self::UndecidedBecause(clause) => clause,
        }
    }

    /// Whether a promise is broken.
    #[must_use]
    pub const fn forbids(&self) -> bool {
        matches!(self, Self::ForbiddenBy(_))
    }

    /// Whether the evidence is missing.
    #[must_use]
    pub const fn undecided(&self) -> bool {
        matches!(self, Self::UndecidedBecause(_))
    }
}

/// One record near a finding, as far as anybody saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its position in the unit.
    pub position: u64,
    /// The values that were acknowledged or read there: none for a hole, two for a conflict.
    pub values: Vec<u64>,
    /// The processes that sent them, in the same order; `?` for a value that nobody sent.
    pub writers: Vec<String>,
    /// Whether an ack named this place.
    pub acked: bool,
    /// Whether a consumer of the workload was given the record.
    pub delivered: bool,
    /// Whether the final drain found it.
    pub drained: bool,
}

/// One finding, told in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The unit, as `topic/partition`.
    pub unit: Option<String>,
    /// The place in the unit.
    pub position: Option<u64>,
    /// The indexes of the events that prove it, in order.
    pub ops: Vec<u32>,
    /// The story in two lines: what was promised, and what was seen.
    pub story: [String; 2],
    /// The unit around the place: three known positions to either side.
    pub neighbourhood: Vec<Neighbour>,
}

/// All findings of one kind under one ruling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What it is.
    pub kind: Kind,
    /// How many were found.
    pub count: u64,
    /// What the guarantees say: exactly one of `forbidden_by`, `allowed_by`, `undecided_because`.
    pub ruling: Ruling,
    /// The first few, told in full: at least one, at most [`EXAMPLES`].
    pub examples: Vec<Example>,
}

impl Anomaly {
    /// Whether a promise is broken.
    #[must_use]
    pub const fn forbidden(&self) -> bool {
        self.ruling.forbids()
    }

    /// The clause of the ruling.
    #[must_use]
    pub fn clause(&self) -> &str {
        self.ruling.clause()
    }

    /// The story of the first finding: two lines.
    #[must_use]
    pub fn story(&self) -> String {
        self.examples.first().map(|example| example.story.join("\n")).unwrap_or_default()
    }
}
