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

mod names;
mod op;
mod packed;

pub use names::{GroupId, KeyId, ProcessId, TopicId, UnitId};
pub use op::{
    CommitRow, Completion, Deliver, DeliverRow, Drain, HandledRow, Handling, Invoke, Observation, OpId,
    Phase, Send, SendRow, Status, Struck,
};

use crate::{Configuration, Expect};
use names::AllNames;
use packed::{Maybe32, Maybe64};
use squall_bus::{Ack, Outcome, Time, Unit};
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
    notes: Vec<(u32, Observation)>,
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
            notes: Vec::new(),
        }
    }

    /// The number of a process by its name. `drain` and `harness` are taken.
    pub fn process(&mut self, name: &str) -> ProcessId {
        ProcessId(self.names.processes.intern(name))
    }

    /// The number of a topic.
    pub fn topic(&mut self, name: &str) -> TopicId {
        TopicId(self.names.topics.intern(name))
    }

    /// The number of a unit.
    pub fn unit(&mut self, unit: &Unit) -> UnitId {
        self.names.unit(unit)
    }

    /// The number of a record key. Bytes that are not UTF-8 are named `0x...`.
    pub fn key(&mut self, key: impl AsRef<[u8]>) -> KeyId {
        let bytes = key.as_ref();
        match std::str::from_utf8(bytes) {
            Ok(text) => KeyId(self.names.keys.intern(text)),
            Err(_) => {
                let mut text = String::from("0x");
                for byte in bytes {
                    let _ = write!(text, "{byte:02x}");
                }
                KeyId(self.names.keys.intern(text.as_str()))
            }
        }
    }

    /// The number of a consumer group.
    pub fn group(&mut self, name: &str) -> GroupId {
        GroupId(self.names.groups.intern(name))
    }

    fn push(&mut self, time: Time, process: ProcessId, what: What, row: usize) -> u32 {
        let index = index32(self.times.len());
        self.times.push(time);
        self.processes.push(process);
        self.whats.push(what);
        self.rows.push(index32(row));
        index
    }

    /// Records that an operation begins.
    pub fn invoke(&mut self, time: Time, process: ProcessId, invoke: Invoke) -> OpId {
        match invoke {
            Invoke::Send(send) => {
                let op = OpId(self.push(time, process, What::SendInvoke, self.sends.len()));
                self.sends.push(send_row(op, process, &send));
                if let Some(partition) = send.partition {
                    // So that the unit exists even if nobody ever answers from there.
                    self.names.units.intern(&(send.topic, partition));
                }
                op
            }
            Invoke::Commit { group, positions } => {
                let op = OpId(self.push(time, process, What::CommitInvoke, self.commits.len()));
                self.commits.push(CommitRow {
                    invoke: op,
                    status: Status::Unknown,
                    process,
                    group,
                    positions,
                    completion: Maybe32::NONE,
                    error: Maybe32::NONE,
                });
                op
            }
        }
    }

    /// Records that an operation ends.
    ///
    /// # Panics
    /// When `op` did not come from this history's `invoke`, or ends twice: a mistake of the recording program.
    pub fn complete(&mut self, time: Time, op: OpId, completion: Completion) {
        let (process, row) = (self.processes[op.0 as usize], self.rows[op.0 as usize]);
        match self.whats[op.0 as usize] {
            What::SendInvoke => {
                let event = self.push(time, process, What::SendDone, row as usize);
                let send = &mut self.sends[row as usize];
                assert_eq!(send.completion, Maybe32::NONE, "operation {} ends twice", op.0);
                send.completion = Some(event).into();
                match completion {
                    Completion::Sent { unit, position, duplicate } => {
                        send.status = Status::Ok;
                        send.duplicate = duplicate;
                        send.unit = Some(unit.0).into();
                        send.position = position.into();
                    }
                    Completion::Ok => send.status = Status::Ok,
                    Completion::Fail { error } => {
                        send.status = Status::Fail;
                        send.error = Some(self.names.codes.intern(error.as_str())).into();
                    }
                    Completion::Unknown { error, place } => {
                        send.error = Some(self.names.codes.intern(error.as_str())).into();
                        send.unit = place.map(|(unit, _)| unit.0).into();
                        send.position = place.map(|(_, position)| position).into();
                    }
                }
            }
            What::CommitInvoke => {
                let event = self.push(time, process, What::CommitDone, row as usize);
                let commit = &mut self.commits[row as usize];
                assert_eq!(commit.completion, Maybe32::NONE, "operation {} ends twice", op.0);
                commit.completion = Some(event).into();
                let (status, error) = match completion {
                    Completion::Ok | Completion::Sent { .. } => (Status::Ok, None),
                    Completion::Fail { error } => (Status::Fail, Some(error)),
                    Completion::Unknown { error, .. } => (Status::Unknown, Some(error)),
                };
                commit.status = status;
                commit.error = error.map(|error| self.names.codes.intern(error.as_str())).into();
            }
            other => panic!("event {} is a {other:?}, not the invocation of an operation", op.0),
        }
    }

    /// Records how a send ended, as the bus told it. When the outcome is unknown but a place was learned, the
    /// unit is the sender's own partition; without one the place cannot be named and is dropped.
    pub fn complete_send(&mut self, time: Time, op: OpId, outcome: &Outcome<Ack>) {
        let completion = match outcome {
            Outcome::Ok(ack) => Completion::Sent {
                unit: self.unit(&ack.unit),
                position: ack.position.map(|position| position.0),
                duplicate: ack.duplicate,
            },
            Outcome::Fail(error) => Completion::Fail { error: error.code.to_string() },
            Outcome::Unknown(error, position) => {
                let send = &self.sends[self.rows[op.0 as usize] as usize];
                let (topic, partition) = (send.topic, send.partition.get());
                let unit = partition.map(|partition| UnitId(self.names.units.intern(&(topic, partition))));
                let place = unit.zip(position.map(|position| position.0));
                Completion::Unknown { error: error.code.to_string(), place }
            }
        };
        self.complete(time, op, completion);
    }

    /// Records how a commit ended, as the bus told it.
    pub fn complete_commit(&mut self, time: Time, op: OpId, outcome: &Outcome<()>) {
        let completion = match outcome {
            Outcome::Ok(()) => Completion::Ok,
            Outcome::Fail(error) => Completion::Fail { error: error.code.to_string() },
            Outcome::Unknown(error, _) => Completion::Unknown { error: error.code.to_string(), place: None },
        };
        self.complete(time, op, completion);
    }

    /// Records something that happened. Returns the index of the event.
    pub fn observe(&mut self, time: Time, process: ProcessId, observation: Observation) -> u32 {
        match observation {
            Observation::Deliver(deliver) => {
                let event = self.push(time, process, What::Deliver, self.delivers.len());
                self.delivers.push(DeliverRow {
                    event,
                    process,
                    unit: deliver.unit,
                    position: deliver.position,
                    corrupt: deliver.corrupt,
                    value: deliver.value.into(),
                    group: deliver.group.map(|group| group.0).into(),
                    attempt: deliver.attempt.into(),
                });
                event
            }
            Observation::Handled { group, value, how } => {
                let event = self.push(time, process, What::Handled, self.handled.len());
                self.handled.push(HandledRow { event, process, group, value, how });
                event
            }
            note => {
                let event = self.push(time, process, What::Note, self.notes.len());
                self.notes.push((event, note));
                event
            }
        }
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
        self.names.processes.name(id.0)
    }

    /// The name of a topic.
    #[must_use]
    pub fn topic_name(&self, id: TopicId) -> &str {
        self.names.topics.name(id.0)
    }

    /// The number of a topic, if any event names it.
    #[must_use]
    pub fn find_topic(&self, name: &str) -> Option<TopicId> {
        self.names.topics.find(name).map(TopicId)
    }

    /// A unit.
    #[must_use]
    pub fn unit_name(&self, id: UnitId) -> Unit {
        self.names.unit_of(id)
    }

    /// The topic of a unit.
    #[must_use]
    pub fn unit_topic(&self, id: UnitId) -> TopicId {
        self.names.units.name(id.0).0
    }

    /// The number of a unit, if any event names it.
    #[must_use]
    pub fn find_unit(&self, topic: TopicId, partition: u32) -> Option<UnitId> {
        self.names.units.find(&(topic, partition)).map(UnitId)
    }

    /// The name of a record key.
    #[must_use]
    pub fn key_name(&self, id: KeyId) -> &str {
        self.names.keys.name(id.0)
    }

    /// The name of a group.
    #[must_use]
    pub fn group_name(&self, id: GroupId) -> &str {
        self.names.groups.name(id.0)
    }

    /// The error that a send ended with.
    #[must_use]
    pub fn send_error(&self, send: &SendRow) -> Option<&str> {
        send.error.get().map(|code| self.names.codes.name(code).as_str())
    }

    /// The error that a commit ended with.
    #[must_use]
    pub fn commit_error(&self, commit: &CommitRow) -> Option<&str> {
        commit.error.get().map(|code| self.names.codes.name(code).as_str())
    }
}

fn send_row(op: OpId, process: ProcessId, send: &Send) -> SendRow {
    SendRow {
        invoke: op,
        status: Status::Unknown,
        duplicate: false,
        poison: send.poison,
        process,
        session: send.session,
        topic: send.topic,
        value: send.value,
        completion: Maybe32::NONE,
        partition: send.partition.into(),
        key: send.key.map(|key| key.0).into(),
        unit: Maybe32::NONE,
        error: Maybe32::NONE,
        position: Maybe64::NONE,
        intended: send.intended.map(|time| time.0).into(),
        cause: send.cause.into(),
    }
}

/// Indexes are 32 bits wide.
fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a history holds at most 4,294,967,294 events; split the run")
}

#[cfg(test)]
mod tests;
