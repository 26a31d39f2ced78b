//! The lines of a history file as types: what is written, what is read, and what the schema is generated from.
//!
//! Every line has a [`Head`]; `f` and `type` say which body stands beside it. Fields that this version does not know
//! are ignored, and so are lines whose `f` it does not know: they keep their index.

mod operations;

pub use operations::{
    CommitInvoke, Done, EndInvoke, EndOk, Failed, InitInvoke, InitOk, PollInvoke, SendInfo, SendInvoke,
    SendOk, SettleInvoke, SettleWord, TxnInvoke,
};

use crate::{
    Configuration, Expect,
    events::Hit,
    history::{Advice, Phase},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[cfg(any(test, feature = "schema"))]
use schemars::JsonSchema;

/// The version of the format.
pub const VERSION: u32 = 1;

/// The word in the header that says what the file is.
pub(super) const MAGIC: &str = "history";

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Header<'a> {
    /// What the file is: `history`.
    #[serde(borrow)]
    pub squall: Cow<'a, str>,
    /// The version of the format: 1.
    pub version: u32,
    /// The scenario's name.
    #[serde(borrow)]
    pub scenario: Cow<'a, str>,
    /// The target: `sim:kafka`.
    #[serde(borrow)]
    pub target: Cow<'a, str>,
    /// The seed.
    pub seed: u64,
    /// How producers, consumers and topics were set up; what is left out takes its default.
    #[serde(default)]
    pub configuration: Configuration,
    /// What the scenario demands beyond that; what is left out demands nothing.
    #[serde(default)]
    pub expect: Expect,
}

/// What every line but the first has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Head<'a> {
    /// The number of the event, from 0, without gaps: the line's number less 2.
    pub index: u32,
    /// Nanoseconds since the run began.
    pub time: u64,
    /// Whose event it is; `drain` reads the log at the end, `harness` breaks and heals.
    #[serde(borrow)]
    pub process: Cow<'a, str>,
    /// Which side of an operation: `invoke` begins one, `ok`, `fail` and `info` (nobody knows) end it. What
    /// merely happened is `ok`.
    #[serde(rename = "type")]
    pub side: Side,
    /// What it is.
    #[serde(borrow)]
    pub f: Cow<'a, str>,
}

/// Which side of an operation a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub enum Side {
    /// An operation begins.
    Invoke,
    /// It happened.
    Ok,
    /// It definitely did not happen.
    Fail,
    /// Nobody knows.
    Info,
}

impl Side {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// A place in a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Place<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The place; left out where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// `deliver`: a record reached a reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct DeliverLine<'a> {
    /// The reader's group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The place.
    pub position: u64,
    /// The record's value; left out when it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// The payload is not what it must be.
    #[serde(default, skip_serializing_if = "is_false")]
    pub corrupt: bool,
    /// Which delivery the bus says it is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The poll that it answers, by the index of its invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<u32>,
    /// Until when, in nanoseconds of the run, the reader must acknowledge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// The node that the final drain read through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// The leader epoch with which the record is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The time, in nanoseconds of the run, that the bus keeps with the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
}

/// `handled`: a handler is done with a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct HandledLine<'a> {
    /// The group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The record's value.
    pub value: u64,
    /// What came of it.
    pub how: How,
    /// With `retry`: which attempt failed, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// `acked`: a consumer's ack of a record is certain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct AckedLine<'a> {
    /// The group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The record's value.
    pub value: u64,
}

/// `assigned`: a consumer owns these units now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct AssignedLine<'a> {
    /// The group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The units, with the places where it starts.
    #[serde(borrow)]
    pub units: Vec<Place<'a>>,
    /// The generation of the group that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
}

/// `subscribed`: a consumer wants these topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SubscribedLine<'a> {
    /// The group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The topics.
    #[serde(borrow)]
    pub topics: Vec<Cow<'a, str>>,
}

/// `rebalanced`: a group has a new generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct RebalancedLine<'a> {
    /// The group.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// Its number.
    pub generation: u32,
    /// The processes that are its members.
    #[serde(borrow)]
    pub members: Vec<Cow<'a, str>>,
}

/// `crashed`: a client's process died.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct CrashedLine {}

/// `sought`: a consumer goes on elsewhere because its program says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SoughtLine<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// Where it goes on.
    pub to: u64,
}

/// `revoked` and `lost`: a consumer handed units back, or learned that they are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Units<'a> {
    /// The units, as `topic/partition`.
    #[serde(borrow)]
    pub units: Vec<Cow<'a, str>>,
}

/// `reset`: a consumer's position was missing or impossible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct ResetLine<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The position it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Where it goes on.
    pub to: u64,
    /// The broker's or client's own name for the reason.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
}

/// `advisory`: the bus says that it gave up a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct AdvisoryLine<'a> {
    /// The group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The place.
    pub position: u64,
    /// What it says.
    pub what: Advice,
}

/// `changed`: an administrator changed something while clients work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct ChangedLine<'a> {
    /// What, in a sentence.
    #[serde(borrow)]
    pub what: Cow<'a, str>,
    /// What went by it: of each unit the records in front of the position, or without one the unit itself with all that
    /// it had.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<Place<'a>>,
}

/// `clock`: how far the clocks of clients and bus may be from the times of this history, from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct ClockLine {
    /// The bound, in nanoseconds, to either side.
    pub bound: u64,
}

/// `error`: a client reported an error and survived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct ErrorLine<'a> {
    /// The broker's or client's own name for it.
    #[serde(borrow)]
    pub error: Cow<'a, str>,
    /// A sentence.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
}

/// `fault`: a fault struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct FaultLine<'a> {
    /// Its number in the plan.
    pub id: u32,
    /// What broke: `kill`.
    #[serde(borrow)]
    pub verb: Cow<'a, str>,
    /// What it was aimed at: `leader(orders/0)`.
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    /// What that meant at this moment.
    pub hit: Hit,
}

/// `heal`: a fault was healed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct HealLine {
    /// Its number in the plan.
    pub id: u32,
}

/// `elected`: a unit has a new leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct ElectedLine<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The node that leads; left out when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u32>,
    /// The leader was not in sync.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unclean: bool,
    /// The leader epoch that begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
}

/// `phase`: the run enters a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct PhaseLine {
    /// Which.
    pub phase: Phase,
}

/// `drain`: how far the final drain came in a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct DrainLine<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The first readable position.
    pub from: u64,
    /// The place behind the last record it had to reach.
    pub to: u64,
    /// Whether it reached it.
    pub complete: bool,
    /// The node through which all of it was read; left out for the drain of the unit as everybody sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
}

/// What came of a record in a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub enum How {
    /// Processed.
    Ok,
    /// Given up: it belongs in the dead-letter topic.
    Poison,
    /// This attempt failed; another follows.
    Retry,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
