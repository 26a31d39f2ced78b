//! Within what bounds `squall explore` draws, seed by seed.
//!
//! Every bound that is left out follows from the scenario itself. A drawn scenario has no bounds any more.

use super::scalar::{CountRange, PeriodRange};
use serde::{Deserialize, Serialize};

/// The bounds of exploration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Explore {
    /// How many nodes the cluster has. As many as in `topology`, or two more, unless said.
    pub nodes: Option<CountRange>,
    /// How many partitions each topic has, at most as many as in `topology`. From 1 unless said.
    pub partitions: Option<CountRange>,
    /// How many producers each group of producers has. From 1 to one more than in `workload` unless said.
    pub producers: Option<CountRange>,
    /// How many members each group of consumers has. From 1 to one more than in `workload` unless said.
    pub consumers: Option<CountRange>,
    /// How long records are sent. As long as in `workload` unless said.
    #[serde(rename = "for")]
    pub lasts: Option<PeriodRange>,
    /// Which families of faults may strike; each seed turns some of them off. All that the target can unless said.
    pub families: Option<Vec<Family>>,
    /// How far apart the strikes of one family are. From an eighth to half of the workload unless said.
    pub every: Option<PeriodRange>,
    /// How long one strike lasts. From 300 ms to a third of the workload, at most 15 s, unless said.
    pub lasting: Option<PeriodRange>,
}

/// Faults of one kind, drawn together: a seed has all of them or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Processes of nodes end at once.
    Kill,
    /// Processes of nodes stop in good order.
    Stop,
    /// Processes of nodes are restarted.
    Restart,
    /// Processes of nodes freeze.
    Pause,
    /// Nodes are cut off from the other nodes.
    Partition,
    /// Nodes are cut off from everybody.
    Isolate,
    /// What nodes send is held back.
    Stall,
    /// What nodes send and hear takes longer.
    Delay,
    /// Responses to produce requests are lost.
    DropResponses,
    /// Nodes lose power.
    PowerFail,
    /// Client processes end, stop, restart or freeze.
    Clients,
}

impl Family {
    /// Every family, in order.
    pub const ALL: [Self; 11] = [
        Self::Kill,
        Self::Stop,
        Self::Restart,
        Self::Pause,
        Self::Partition,
        Self::Isolate,
        Self::Stall,
        Self::Delay,
        Self::DropResponses,
        Self::PowerFail,
        Self::Clients,
    ];
}
