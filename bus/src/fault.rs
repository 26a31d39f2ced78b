//! Faults: something broken for a time, as plain data. The same fault is lowered to simulator events or to
//! actions on real processes and links.

use crate::{Capability, Role, Time};
use std::{fmt, time::Duration};

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The process ends at once; the page cache survives. Healing starts it again.
    Kill,
    /// The process is asked to stop and does so in good order. Healing starts it again.
    Stop,
    /// The process stops in good order and starts again at once.
    Restart,
    /// The process freezes and goes on when healed (SIGSTOP, SIGCONT).
    Pause,
    /// The targets are cut off from all other nodes, both ways. Clients reach every node.
    Partition,
    /// The targets are cut off from all other nodes and all clients, both ways.
    Isolate,
    /// What the targets send to other nodes and clients is held back; they still hear.
    Stall,
    /// What the targets send and hear takes this much longer.
    Delay(Duration),
    /// The responses of the next produce requests to the targets are dropped after the request went
    /// through, and the connection breaks.
    DropResponses(u32),
    /// The node loses power: what was not synced is gone. Healing starts it again.
    PowerFail,
}

impl FaultKind {
    /// The verb of scenario files.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Isolate => "isolate",
            Self::Stall => "stall",
            Self::Delay(_) => "delay",
            Self::DropResponses(_) => "drop-responses",
            Self::PowerFail => "power-fail",
        }
    }

    /// What a target must be able to do for this fault at this role.
    #[must_use]
    pub fn needs(self, role: &Role) -> Capability {
        match self {
            Self::PowerFail => Capability::PowerFail,
            Self::DropResponses(_) => Capability::DropResponses,
            Self::Partition | Self::Isolate | Self::Stall | Self::Delay(_) => Capability::LinkFaults,
            Self::Kill | Self::Stop | Self::Restart | Self::Pause => match role {
                Role::Client(_) => Capability::ClientFaults,
                _ => Capability::ProcessFaults,
            },
        }
    }
}

/// A fault of a plan: concrete in time, aimed at a role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Its number in the plan, from 0: its name in overrides, in the history and to `heal`.
    pub id: u32,
    /// What breaks.
    pub kind: FaultKind,
    /// What it is aimed at.
    pub role: Role,
    /// When it strikes, since the workload began.
    pub at: Time,
    /// How long it lasts; zero for faults that are over at once.
    pub lasts: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.verb(), self.role)
    }
}
