//! How the members of a group agree on who reads what.

use serde::{Deserialize, Serialize};

/// How units are dealt to the members, by the names that Kafka's clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Assignor {
    /// Contiguous ranges of each topic.
    #[serde(rename = "range")]
    Range,
    /// One after the other over all topics.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Even shares that change as little as possible; everything is handed back in between. Java's client only.
    #[serde(rename = "sticky")]
    Sticky,
    /// Even shares that change as little as possible; only what moves is handed back.
    #[serde(rename = "cooperative-sticky")]
    CooperativeSticky,
    /// Even shares that change as little as possible, dealt by the coordinator: with `protocol: consumer`.
    #[serde(rename = "uniform")]
    Uniform,
}

impl Assignor {
    /// As the bus knows it.
    #[must_use]
    pub const fn get(self) -> squall_bus::Assignor {
        match self {
            Self::Range => squall_bus::Assignor::Range,
            Self::RoundRobin => squall_bus::Assignor::RoundRobin,
            Self::Sticky => squall_bus::Assignor::Sticky,
            Self::CooperativeSticky => squall_bus::Assignor::CooperativeSticky,
            Self::Uniform => squall_bus::Assignor::Uniform,
        }
    }
}

/// How a group and its coordinator agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// A member deals, in a round that all take part in.
    #[default]
    Classic,
    /// The coordinator deals, and moves each unit by itself (KIP-848).
    Consumer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_bus() {
        use Assignor::{CooperativeSticky, Range, RoundRobin, Sticky, Uniform};
        for assignor in [Range, RoundRobin, Sticky, CooperativeSticky, Uniform] {
            let written = serde_json::to_string(&assignor).expect("a name");
            assert_eq!(written, format!("\"{}\"", assignor.get().name()));
        }
    }
}
