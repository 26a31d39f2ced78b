//! What a bus can and cannot do, as data. Checks and scenarios ask these and never a broker's name.

use crate::lowering::Lowering;
use std::{fmt, time::Duration};

/// How a consumer tells the bus that it is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckModel {
    /// A committed position stands for everything before it (Kafka).
    Prefix,
    /// Each record is acknowledged on its own (JetStream).
    Individual,
}

/// One thing that a bus may lack; named in the reason of an `unsupported` verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Transactions over several units.
    Transactions,
    /// An idempotent producer or a window of message ids.
    Idempotence,
    /// An ack of one replica only.
    AckOne,
    /// Publishing without an ack.
    AckNone,
    /// Each record is delivered again on its own: when it is refused, after a delay; when its ack is late; and only
    /// so often, where the bus is told to give up then.
    Redelivery,
    /// Members of a group choose how its units are dealt: assignors, static members, the group's protocol.
    GroupSettings,
    /// Loss of power: what was not synced is gone.
    PowerFail,
    /// Breaking the link between two processes.
    LinkFaults,
    /// Dropping the response of a request that went through.
    DropResponses,
    /// Crash, stop, pause and restart of a broker's process.
    ProcessFaults,
    /// Crash and pause of a client's process.
    ClientFaults,
    /// Deleting a topic while clients use it.
    DeleteTopics,
    /// Giving a topic more partitions while clients use it.
    AddPartitions,
    /// Changing a topic's settings while clients use it.
    AlterTopics,
    /// Deleting the records of a unit before a place.
    DeleteRecords,
    /// Topics that delete records by age, as their settings say.
    Retention,
    /// Topics that keep the last record of each key.
    Compaction,
    /// Topics that a copy may lead which is not in sync, as their settings say.
    UncleanElection,
}

impl Capability {
    /// Every capability, in order.
    pub const ALL: [Self; 18] = [
        Self::Transactions,
        Self::Idempotence,
        Self::AckOne,
        Self::AckNone,
        Self::Redelivery,
        Self::GroupSettings,
        Self::PowerFail,
        Self::LinkFaults,
        Self::DropResponses,
        Self::ProcessFaults,
        Self::ClientFaults,
        Self::DeleteTopics,
        Self::AddPartitions,
        Self::AlterTopics,
        Self::DeleteRecords,
        Self::Retention,
        Self::Compaction,
        Self::UncleanElection,
    ];

    /// What a bus of replicated logs with consumer groups can do, simulated or real; what can be broken on it depends
    /// on where it runs.
    pub const OF_LOGS: [Self; 12] = [
        Self::Transactions,
        Self::Idempotence,
        Self::AckOne,
        Self::AckNone,
        Self::GroupSettings,
        Self::DeleteTopics,
        Self::AddPartitions,
        Self::AlterTopics,
        Self::DeleteRecords,
        Self::Retention,
        Self::Compaction,
        Self::UncleanElection,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transactions => "transactions",
            Self::Idempotence => "idempotence",
            Self::AckOne => "acks=1",
            Self::AckNone => "acks=0",
            Self::Redelivery => "redelivery",
            Self::GroupSettings => "group-settings",
            Self::PowerFail => "power-fail",
            Self::LinkFaults => "link-faults",
            Self::DropResponses => "drop-responses",
            Self::ProcessFaults => "process-faults",
            Self::ClientFaults => "client-faults",
            Self::DeleteTopics => "delete-topics",
            Self::AddPartitions => "add-partitions",
            Self::AlterTopics => "alter-topics",
            Self::DeleteRecords => "delete-records",
            Self::Retention => "retention",
            Self::Compaction => "compaction",
            Self::UncleanElection => "unclean-election",
        })
    }
}

/// What a bus can do. Constructed by each target; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How records are acknowledged.
    pub ack_model: AckModel,
    /// Whether a group's members learn which units they own (rebalances are visible).
    pub assignment: bool,
    /// How long the bus remembers message ids; `None` where idempotence is per session, not per window.
    pub dedup_window: Option<Duration>,
    /// How the bus comes to have topics, partitions and groups.
    pub lowering: Lowering,
    has: u32,
    /// Why some that are missing are, where that lies in this machine or in how the cluster was set up.
    missing: Vec<(Capability, String)>,
}

impl Capabilities {
    /// Capabilities with these things present.
    #[must_use]
    pub fn new(ack_model: AckModel, assignment: bool, present: &[Capability]) -> Self {
        let has = present.iter().fold(0, |bits, capability| bits | 1 << (*capability as u32));
        Self { ack_model, assignment, dedup_window: None, lowering: Lowering::None, has, missing: Vec::new() }
    }

    /// These, but without one for a reason that another machine or set-up would not give: a clause that says what
    /// is missing and what to do.
    #[must_use]
    pub fn without(mut self, capability: Capability, reason: impl Into<String>) -> Self {
        self.has &= !(1 << (capability as u32));
        self.missing.push((capability, reason.into()));
        self
    }

    /// Why this one is missing, if there is more to say than that the bus has none.
    #[must_use]
    pub fn reason(&self, capability: Capability) -> Option<&str> {
        let found = self.missing.iter().find(|(missing, _)| *missing == capability);
        found.filter(|_| !self.has(capability)).map(|(_, reason)| reason.as_str())
    }

    /// Whether the bus has this.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.has & 1 << (capability as u32) != 0
    }

    /// Every capability that is present, in order.
    pub fn present(&self) -> impl Iterator<Item = Capability> + '_ {
        Capability::ALL.into_iter().filter(|capability| self.has(*capability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_has_a_reason_and_what_the_bus_lacks_has_none() {
        let present = [Capability::PowerFail, Capability::LinkFaults];
        let all = Capabilities::new(AckModel::Prefix, true, &present);
        let some = all.clone().without(Capability::PowerFail, "there is no loop device");
        assert!(all.has(Capability::PowerFail) && !some.has(Capability::PowerFail));
        assert!(some.has(Capability::LinkFaults));
        assert_eq!(all.reason(Capability::PowerFail), None);
        assert_eq!(some.reason(Capability::PowerFail), Some("there is no loop device"));
        assert_eq!(some.reason(Capability::Transactions), None);
    }
}
