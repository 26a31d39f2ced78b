//! The operation log in memory, and its recorder.
//!
//! Events are numbered in the order in which they are recorded: the index that anomalies quote, and the line of
//! the file. Names are interned; each kind of operation has a table of its own; an event is its time, its
//! process, what it is and a row in that table. One thread records; a runner on threads puts a lock around it,
//! so that the order of the log is an order in which things can have happened.
//!
//! ```
//! use squall_bus::{Time, Topic, Unit};
//! use squall_history::history::{Completion, History, Invoke, Meta, Send};
//!
//! let mut history = History::new(Meta::default());
//! let producer = history.process("producer-0");
//! let (topic, key) = (history.topic("orders"), history.key("customer-7"));
//! let op = history.invoke(Time(0), producer, Invoke::Send(Send::new(topic, Some(key), 1)));
//! let unit = history.unit(&Unit::new(&Topic::new("orders"), 3));
//! history.complete(Time(900), op, Completion::Sent { unit, position: Some(0), duplicate: false });
//! assert_eq!((history.len(), history.sends().len()), (2, 1));
//! ```

mod acknowledged;
mod extra;
mod names;
mod op;
mod packed;
mod record;
mod rows;

pub use acknowledged::Acknowledged;
pub use extra::{DeliverExtra, SendExtra};
pub use names::{GroupId, KeyId, MessageId, ProcessId, TopicId, TransactionalId, UnitId};
pub use op::{
    Advice, Completion, Deliver, Drain, Ends, Handling, Invoke, Observation, OpId, Phase, Send, Settlement,
    Status, Struck,
};
pub use rows::{CommitRow, DeliverRow, EndRow, HandledRow, InitRow, PollRow, SendRow, SettleRow, TxnRow};

use crate::{Configuration, Expect};
use extra::Extras;
use names::AllNames;
use squall_bus::{Time, Unit};
use std::fmt::Write as _;

/// What a history is of: the head of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// The scenario's name.
    pub scenario: String,
    /// The target: `sim:kafka`.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// How producers, consumers and topics were set up.
    pub configuration: Configuration,
    /// What the scenario demands beyond that.
    pub expect: Expect,
}

/// What an event is: which table, and which side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    SendInvoke,
    SendDone,
    CommitInvoke,
    CommitDone,
    InitInvoke,
    InitDone,
    TxnInvoke,
    TxnDone,
    PollInvoke,
    PollDone,
    SettleInvoke,
    SettleDone,
    EndInvoke,
    EndDone,
    Deliver,
    Handled,
    Note,
}

/// An event as stored, without its row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) time: Time,
    pub(crate) process: ProcessId,
    pub(crate) what: What,
    pub(crate) row: u32,
}

/// The log of one run. See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What it is of.
    pub meta: Meta,
    names: AllNames,
    times: Vec<Time>,
    processes: Vec<ProcessId>,
    whats: Vec<What>,
    rows: Vec<u32>,
    sends: Vec<SendRow>,
    delivers: Vec<DeliverRow>,
    handled: Vec<HandledRow>,
    commits: Vec<CommitRow>,
    inits: Vec<InitRow>,
    txns: Vec<TxnRow>,
    polls: Vec<PollRow>,
    settles: Vec<SettleRow>,
    ends: Vec<EndRow>,
    notes: Vec<(u32, Observation)>,
    send_extras: Extras<SendExtra>,
    deliver_extras: Extras<DeliverExtra>,
    /// The rows of the deliveries whose payload was not what it must be, in order.
    corrupt: Vec<u32>,
    /// Of a history in another format: the line of each event.
    lines: Vec<u32>,
}

/// An empty history of nothing in particular: for tests and examples.
impl Default for History {
    fn default() -> Self {
        Self::new(Meta::default())
    }
}

impl History {
    /// An empty log.
    #[must_use]
    pub fn new(meta: Meta) -> Self {
        let mut names = AllNames::default();
        names.processes.intern("drain");
        names.processes.intern("harness");
        Self {
            meta,
            names,
            times: Vec::new(),
            processes: Vec::new(),
            whats: Vec::new(),
            rows: Vec::new(),
            sends: Vec::new(),
            delivers: Vec::new(),
            handled: Vec::new(),
            commits: Vec::new(),
            inits: Vec::new(),
            txns: Vec::new(),
            polls: Vec::new(),
            settles: Vec::new(),
            ends: Vec::new(),
            notes: Vec::new(),
            send_extras: Extras::new(),
            deliver_extras: Extras::new(),
            corrupt: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Each event is part of what stands in this line, from 1, of a file in another format.
    pub(crate) fn is_of_lines(&mut self, lines: Vec<u32>) {
        self.lines = lines;
    }

    /// The line, from 1, of the file in another format that an event is part of, if the history was read from one.
    #[must_use]
    pub fn line(&self, event: u32) -> Option<u32> {
        self.lines.get(event as usize).copied()
    }

    /// How reports quote an event: `event 12`, or `line 7` of a file in another format.
    pub(crate) fn quoted(&self, event: u32) -> String {
        match self.line(event) {
            Some(line) => format!("line {line}"),
            None => format!("event {event}"),
        }
    }

    /// The number of a process by its name. `drain` and `harness` are taken.
    pub fn process(&mut self, name: &str) -> ProcessId {
        ProcessId::new(self.names.processes.intern(name))
    }

    /// The number of a topic.
    pub fn topic(&mut self, name: &str) -> TopicId {
        TopicId::new(self.names.topics.intern(name))
    }

    /// The number of a unit.
    pub fn unit(&mut self, unit: &Unit) -> UnitId {
        self.names.unit(unit)
    }

    /// The number of a record key. Bytes that are not UTF-8 are named `0x...`.
    pub fn key(&mut self, key: impl AsRef<[u8]>) -> KeyId {
        let bytes = key.as_ref();
        match std::str::from_utf8(bytes) {
            Ok(text) => KeyId::new(self.names.keys.intern(text)),
            Err(_) => {
                let mut text = String::from("0x");
                for byte in bytes {
                    let _ = write!(text, "{byte:02x}");
                }
                KeyId::new(self.names.keys.intern(text.as_str()))
            }
        }
    }

    /// The number of a transactional id.
    pub fn transactional_id(&mut self, name: &str) -> TransactionalId {
        TransactionalId::new(self.names.transactional.intern(name))
    }

    /// The number of a message id.
    pub fn message_id(&mut self, name: &str) -> MessageId {
        MessageId::new(self.names.messages.intern(name))
    }

    /// The number of a consumer group.
    pub fn group(&mut self, name: &str) -> GroupId {
        GroupId::new(self.names.groups.intern(name))
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// All sends, in the order of their invocations.
    #[must_use]
    pub fn sends(&self) -> &[SendRow] {
        &self.sends
    }

    /// All deliveries, in order.
    #[must_use]
    pub fn delivers(&self) -> &[DeliverRow] {
        &self.delivers
    }

    /// All outcomes of handlers, in order.
    #[must_use]
    pub fn handled(&self) -> &[HandledRow] {
        &self.handled
    }

    /// All commits, in the order of their invocations.
    #[must_use]
    pub fn commits(&self) -> &[CommitRow] {
        &self.commits
    }

    /// All askings for an epoch, in the order of their invocations.
    #[must_use]
    pub fn inits(&self) -> &[InitRow] {
        &self.inits
    }

    /// All transactions, in the order of their invocations.
    #[must_use]
    pub fn txns(&self) -> &[TxnRow] {
        &self.txns
    }

    /// All polls, in the order of their invocations.
    #[must_use]
    pub fn polls(&self) -> &[PollRow] {
        &self.polls
    }

    /// All settlements of deliveries, in the order of their invocations.
    #[must_use]
    pub fn settles(&self) -> &[SettleRow] {
        &self.settles
    }

    /// All questions for the ends of units, in the order of their invocations.
    #[must_use]
    pub fn ends(&self) -> &[EndRow] {
        &self.ends
    }

    /// What only some sends have, by the send's row.
    #[must_use]
    pub fn send_extra(&self, row: u32) -> SendExtra {
        self.send_extras.of(row)
    }

    /// The sends that have extras, by their rows, in order.
    #[must_use]
    pub fn send_extras(&self) -> &[(u32, SendExtra)] {
        self.send_extras.all()
    }

    /// What only some deliveries have, by the delivery's row.
    #[must_use]
    pub fn deliver_extra(&self, row: u32) -> DeliverExtra {
        self.deliver_extras.of(row)
    }

    /// The deliveries that have extras, by their rows, in order.
    #[must_use]
    pub fn deliver_extras(&self) -> &[(u32, DeliverExtra)] {
        self.deliver_extras.all()
    }

    /// Whether the payload of a delivery was not what it must be, by its row.
    #[must_use]
    pub fn is_corrupt(&self, row: u32) -> bool {
        self.corrupt.binary_search(&row).is_ok()
    }

    /// Gives back the room that was kept for further events: a history that is complete takes a third less.
    pub(crate) fn shrink(&mut self) {
        macro_rules! shrink {
            ($($table:ident),*) => { $(self.$table.shrink_to_fit();)* };
        }
        shrink!(
            times, processes, whats, rows, sends, delivers, handled, commits, inits, txns, polls, settles
        );
        shrink!(ends, notes, send_extras, deliver_extras, corrupt);
    }

    /// The row of a transaction, by its invocation.
    ///
    /// # Panics
    /// When `op` is no transaction of this history: a mistake of the calling program.
    #[must_use]
    pub fn txn_row(&self, op: OpId) -> u32 {
        self.row_of(op.0, What::TxnInvoke).expect("the operation is a transaction")
    }

    /// The row of a poll, by its invocation.
    ///
    /// # Panics
    /// When `op` is no poll of this history: a mistake of the calling program.
    #[must_use]
    pub fn poll_row(&self, op: OpId) -> u32 {
        self.row_of(op.0, What::PollInvoke).expect("the operation is a poll")
    }

    /// The row of a delivery, by the index of its event; `None` if the event is something else.
    #[must_use]
    pub fn deliver_row(&self, event: u32) -> Option<u32> {
        self.row_of(event, What::Deliver)
    }

    /// The row of an event that is what it should be.
    pub(crate) fn row_of(&self, event: u32, what: What) -> Option<u32> {
        let found = *self.whats.get(event as usize)?;
        (found == what).then(|| self.rows[event as usize])
    }

    /// Whether an event is the invocation of such an operation by this process that has not ended.
    pub(crate) fn is_open(&self, event: u32, process: ProcessId, what: What) -> bool {
        let Some(row) = self.row_of(event, what).map(|row| row as usize) else { return false };
        let completion = match what {
            What::CommitInvoke => self.commits[row].completion(),
            What::InitInvoke => self.inits[row].completion(),
            What::TxnInvoke => self.txns[row].completion(),
            What::PollInvoke => self.polls[row].completion(),
            What::SettleInvoke => self.settles[row].completion(),
            What::EndInvoke => self.ends[row].completion(),
            _ => self.sends[row].completion(),
        };
        completion.is_none() && self.process_of(event) == process
    }

    /// All other observations with the indexes of their events, in order.
    #[must_use]
    pub fn notes(&self) -> &[(u32, Observation)] {
        &self.notes
    }

    /// When an event was recorded.
    #[must_use]
    pub fn time(&self, event: u32) -> Time {
        self.times[event as usize]
    }

    /// Whose event it is.
    #[must_use]
    pub fn process_of(&self, event: u32) -> ProcessId {
        self.processes[event as usize]
    }

    /// The time of the last event; zero without any.
    #[must_use]
    pub fn end(&self) -> Time {
        self.times.last().copied().unwrap_or_default()
    }

    pub(crate) fn event(&self, index: u32) -> Event {
        let i = index as usize;
        Event { time: self.times[i], process: self.processes[i], what: self.whats[i], row: self.rows[i] }
    }

    /// How many units are named.
    #[must_use]
    pub fn unit_count(&self) -> usize {
        self.names.units.list().len()
    }

    /// How many record keys are named.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.names.keys.list().len()
    }

    /// How many topics are named.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.names.topics.list().len()
    }

    /// How many processes are named, `drain` and `harness` among them.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.names.processes.list().len()
    }

    /// How many groups are named.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.names.groups.list().len()
    }

    /// The name of a process.
    #[must_use]
    pub fn process_name(&self, id: ProcessId) -> &str {
        self.names.processes.name(id.number())
    }

    /// The name of a topic.
    #[must_use]
    pub fn topic_name(&self, id: TopicId) -> &str {
        self.names.topics.name(id.number())
    }

    /// The number of a topic, if any event names it.
    #[must_use]
    pub fn find_topic(&self, name: &str) -> Option<TopicId> {
        self.names.topics.find(name).map(TopicId::new)
    }

    /// A unit.
    #[must_use]
    pub fn unit_name(&self, id: UnitId) -> Unit {
        self.names.unit_of(id)
    }

    /// The topic of a unit.
    #[must_use]
    pub fn unit_topic(&self, id: UnitId) -> TopicId {
        self.names.units.name(id.number()).0
    }

    /// The number of a unit, if any event names it.
    #[must_use]
    pub fn find_unit(&self, topic: TopicId, partition: u32) -> Option<UnitId> {
        self.names.units.find(&(topic, partition)).map(UnitId::new)
    }

    /// The name of a record key.
    #[must_use]
    pub fn key_name(&self, id: KeyId) -> &str {
        self.names.keys.name(id.number())
    }

    /// The name of a group.
    #[must_use]
    pub fn group_name(&self, id: GroupId) -> &str {
        self.names.groups.name(id.number())
    }

    /// The number of a group, if any event names it.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupId> {
        self.names.groups.find(name).map(GroupId::new)
    }

    /// A transactional id.
    #[must_use]
    pub fn transactional_name(&self, id: TransactionalId) -> &str {
        self.names.transactional.name(id.number())
    }

    /// How many transactional ids are named.
    #[must_use]
    pub fn transactional_count(&self) -> usize {
        self.names.transactional.list().len()
    }

    /// A message id.
    #[must_use]
    pub fn message_name(&self, id: MessageId) -> &str {
        self.names.messages.name(id.number())
    }

    /// How many message ids are named.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.names.messages.list().len()
    }

    /// The error that a send ended with.
    #[must_use]
    pub fn send_error(&self, send: &SendRow) -> Option<&str> {
        self.code(send.error)
    }

    /// The error that a commit ended with.
    #[must_use]
    pub fn commit_error(&self, commit: &CommitRow) -> Option<&str> {
        self.code(commit.error)
    }

    /// The error that the end of a transaction ended with.
    #[must_use]
    pub fn txn_error(&self, txn: &TxnRow) -> Option<&str> {
        self.code(txn.error)
    }

    /// The name of an error by its number in a row.
    pub(crate) fn code(&self, code: packed::Maybe32) -> Option<&str> {
        code.get().map(|code| self.names.codes.name(code).as_str())
    }
}

/// Indexes are 32 bits wide.
fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a history holds at most 4,294,967,294 events; split the run")
}

#[cfg(test)]
mod tests;
