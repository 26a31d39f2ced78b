//! The bodies of operations: what has an invocation and a completion.

use super::{Place, is_false};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[cfg(any(test, feature = "schema"))]
use schemars::JsonSchema;

/// `send`, `invoke`: a record is handed to a producer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SendInvoke<'a> {
    /// Where to.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The partition, if the sender chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The record key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Cow<'a, str>>,
    /// Names the record: no other send of the run has it.
    pub value: u64,
    /// Which producer session of the process, from 0.
    #[serde(default)]
    pub session: u32,
    /// When the schedule wanted it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intended: Option<u64>,
    /// The value of the record that is dead-lettered with this one, or from which it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// The plan made it a record that no handler can process.
    #[serde(default, skip_serializing_if = "is_false")]
    pub poison: bool,
    /// The transaction that it is part of, by the index of its invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u32>,
    /// The id by which the bus tells repeats of a message from new ones.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// It is accepted only if the unit's last record is at this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_position: Option<u64>,
    /// It is accepted only if the unit's last record has this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_value: Option<u64>,
    /// How long, in nanoseconds, the record may live from when it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// The record's own time, in nanoseconds of the run, as its sender set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// It deletes its key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tombstone: bool,
    /// What it adds to the sum that must be conserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

/// `send`, `ok`: it is acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SendOk<'a> {
    /// The index of the invocation.
    pub invoke: u32,
    /// The unit it is in, as `topic/partition`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'a, str>>,
    /// Its place there, if the ack names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The bus had it already.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// `send`, `info`: nobody knows. What the client learned of its place is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SendInfo<'a> {
    /// The index of the invocation.
    pub invoke: u32,
    /// The broker's or client's own name for the error.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub error: Cow<'a, str>,
    /// The unit, as `topic/partition`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'a, str>>,
    /// Its place there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// Any operation, `fail`: it definitely did not happen. All but a `send` also `info`: nobody knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Failed<'a> {
    /// The index of the invocation.
    pub invoke: u32,
    /// The broker's or client's own name for the error.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub error: Cow<'a, str>,
}

/// `commit`, `txn`, `poll`, `settle`, `ok`: it happened. A transaction is committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct Done {
    /// The index of the invocation.
    pub invoke: u32,
}

/// `commit`, `invoke`: a group wants to go on at these places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct CommitInvoke<'a> {
    /// The group.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// The position of the next record to read, per unit.
    #[serde(borrow)]
    pub positions: Vec<Place<'a>>,
    /// The transaction that it is part of, by the index of its invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u32>,
}

/// `init`, `invoke`: a producer makes a transactional id its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct InitInvoke<'a> {
    /// The transactional id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
}

/// `init`, `ok`: it has a new epoch, and older ones are fenced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct InitOk {
    /// The index of the invocation.
    pub invoke: u32,
    /// The epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
}

/// `txn`, `invoke`: a transaction begins. It is `ok` when committed, `fail` when aborted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct TxnInvoke<'a> {
    /// The transactional id.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// The producer epoch in which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
}

/// `poll`, `invoke`: a reader asks for records. The deliveries that answer name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct PollInvoke<'a> {
    /// The reader's group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'a, str>>,
    /// The transaction that it is part of, by the index of its invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u32>,
}

/// `settle`, `invoke`: a consumer tells the bus what became of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct SettleInvoke {
    /// The delivery, by the index of its event.
    pub delivery: u32,
    /// What became of it.
    pub how: SettleWord,
    /// With `nak`: how long, in nanoseconds, the bus shall wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<u64>,
}

/// What a consumer tells the bus of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub enum SettleWord {
    /// It is done.
    Ack,
    /// It shall come again.
    Nak,
    /// It is given up and shall not come again.
    Term,
    /// The consumer works on it: the time for its ack begins anew.
    Extend,
}

/// `end`, `invoke`: somebody asks where a unit begins and ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct EndInvoke<'a> {
    /// The unit, as `topic/partition`.
    #[serde(borrow)]
    pub unit: Cow<'a, str>,
    /// The node that is asked, if it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
}

/// `end`, `ok`: the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(JsonSchema))]
pub struct EndOk {
    /// The index of the invocation.
    pub invoke: u32,
    /// The place behind the last record that is safe on enough nodes: the high watermark.
    pub high: u64,
    /// The place behind the last record that no open transaction holds back: the last stable offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u64>,
    /// The first place that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
}
