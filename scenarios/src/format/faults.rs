//! What breaks, when, and for how long.
//!
//! A fault is a struct with one optional field for each verb, exactly one of them set: so an unknown verb is
//! an unknown key, with its place and a suggestion.

use super::scalar::{Count, Period, PeriodRange, RoleText};
use serde::{Deserialize, Serialize};
use squall_bus::{Fault, FaultKind, Role, Time};

/// One fault, or with `every` a train of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FaultSpec {
    /// When it strikes, since the workload began; of a range the seed draws. Either this or `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<PeriodRange>,
    /// It strikes again and again, at this distance, first after one such time; of a range the seed draws
    /// each distance. Strikes that would not be over at the end are left out. Either this or `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<PeriodRange>,
    /// How long it lasts; of a range the seed draws.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<PeriodRange>,
    /// The process ends at once and is started again afterwards. The page cache survives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<RoleText>,
    /// The process stops in good order and is started again afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<RoleText>,
    /// The process stops in good order and is started again at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<RoleText>,
    /// The process freezes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<RoleText>,
    /// Nodes are cut off from all other nodes; clients still reach them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<RoleText>,
    /// Nodes are cut off from all other nodes and from all clients, or a client from all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolate: Option<RoleText>,
    /// What nodes, or a client, send is held back; they still hear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<RoleText>,
    /// What nodes, or a client, send and hear takes longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelayArgs>,
    /// Responses to produce requests are lost after the request went through.
    #[serde(rename = "drop-responses", skip_serializing_if = "Option::is_none")]
    pub drop_responses: Option<DropArgs>,
    /// Nodes lose power: what was not synced is gone. They are started again afterwards.
    #[serde(rename = "power-fail", skip_serializing_if = "Option::is_none")]
    pub power_fail: Option<RoleText>,
}

/// How much longer everything takes, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DelayArgs {
    /// Whose messages.
    pub role: RoleText,
    /// By how much; of a range the seed draws.
    pub by: PeriodRange,
}

/// How many responses are lost, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DropArgs {
    /// Who answers.
    pub role: RoleText,
    /// How many responses. 1 unless said.
    #[serde(default = "one")]
    pub count: Count,
}

fn one() -> Count {
    Count::ONE
}

/// What breaks, with what is still to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Plain(FaultKind),
    Delay(PeriodRange),
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain(kind) => kind.verb(),
            Self::Delay(_) => "delay",
        }
    }

    /// Whether the fault lasts until it is healed, so that `for` says how long.
    pub(crate) fn lasts(self) -> bool {
        !matches!(self, Self::Plain(FaultKind::Restart | FaultKind::DropResponses(_)))
    }
}

/// Every verb, in the order of the format.
pub(crate) const VERBS: [&str; 10] = [
    "kill",
    "stop",
    "restart",
    "pause",
    "partition",
    "isolate",
    "stall",
    "delay",
    "drop-responses",
    "power-fail",
];

impl FaultSpec {
    /// The fault with nothing left to draw.
    pub(crate) fn fixed(fault: &Fault) -> Self {
        let period = |span| PeriodRange::fixed(Period::of(span));
        let mut spec = Self::of(fault.kind, RoleText(fault.role.clone()));
        spec.at = Some(period(fault.at.since(Time::ZERO)));
        if !fault.lasts.is_zero() {
            spec.lasts = Some(period(fault.lasts));
        }
        spec
    }

    /// What breaks and whom it strikes, and not yet when.
    pub(crate) fn of(kind: FaultKind, role: RoleText) -> Self {
        let mut spec = Self::default();
        match kind {
            FaultKind::Kill => spec.kill = Some(role),
            FaultKind::Stop => spec.stop = Some(role),
            FaultKind::Restart => spec.restart = Some(role),
            FaultKind::Pause => spec.pause = Some(role),
            FaultKind::Partition => spec.partition = Some(role),
            FaultKind::Isolate => spec.isolate = Some(role),
            FaultKind::Stall => spec.stall = Some(role),
            FaultKind::PowerFail => spec.power_fail = Some(role),
            FaultKind::Delay(by) => {
                spec.delay = Some(DelayArgs { role, by: PeriodRange::fixed(Period::of(by)) });
            }
            FaultKind::DropResponses(count) => {
                spec.drop_responses = Some(DropArgs { role, count: Count::new(count) });
            }
        }
        spec
    }

    /// Every verb that is set, with its role. Checked scenarios have exactly one.
    pub(crate) fn verbs(&self) -> Vec<(Verb, &Role)> {
        let plain = [
            (FaultKind::Kill, &self.kill),
            (FaultKind::Stop, &self.stop),
            (FaultKind::Restart, &self.restart),
            (FaultKind::Pause, &self.pause),
            (FaultKind::Partition, &self.partition),
            (FaultKind::Isolate, &self.isolate),
            (FaultKind::Stall, &self.stall),
            (FaultKind::PowerFail, &self.power_fail),
        ];
        let mut verbs: Vec<_> = plain
            .into_iter()
            .filter_map(|(kind, role)| role.as_ref().map(|role| (Verb::Plain(kind), &role.0)))
            .collect();
        verbs.extend(self.delay.iter().map(|delay| (Verb::Delay(delay.by), &delay.role.0)));
        verbs.extend(
            self.drop_responses
                .iter()
                .map(|drop| (Verb::Plain(FaultKind::DropResponses(drop.count.get())), &drop.role.0)),
        );
        verbs
    }

    /// The longest that one strike lasts.
    pub(crate) fn longest(&self) -> Period {
        self.lasts.map_or(Period::default(), PeriodRange::high)
    }
}
