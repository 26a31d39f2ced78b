//! Messages of a queue: every delivery of one record to one group, with what became of it, and what is known of when
//! it was handed out.
//!
//! A message is a group, a place and a value (a place that a loss freed may hold another). Nothing is kept where no
//! delivery is ever settled and the configuration limits nothing.

use super::{Analysis, Buckets};
use crate::history::{DeliverRow, History, Observation, Phase, SendExtra, SettleRow, Settlement, Status};
use squall_bus::Time;
use std::time::Duration;

/// The deliveries to groups, sorted into messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The rows of deliveries by group, unit, position, value and time.
    rows: Vec<u32>,
    /// Where each message begins in `rows`, and the end.
    starts: Vec<u32>,
    /// The rows of settlements by the row of their delivery.
    settles: Buckets,
}

impl Messages {
    pub(crate) fn new(history: &History) -> Self {
        if !is_queue(history) {
            return Self::default();
        }
        let reads = history.delivers();
        let mut rows: Vec<u32> =
            (0..reads.len() as u32).filter(|row| reads[*row as usize].group().is_some()).collect();
        let key = |row: u32| {
            let read = &reads[row as usize];
            (read.group(), read.unit, read.position, read.value())
        };
        rows.sort_by_key(|row| key(*row));
        let first = |index: &u32| *index == 0 || key(rows[*index as usize]) != key(rows[*index as usize - 1]);
        let mut starts: Vec<u32> = (0..rows.len() as u32).filter(first).collect();
        starts.push(rows.len() as u32);
        let settles = history.settles();
        let settles = Buckets::new(reads.len(), settles.len(), |row| Some(settles[row].delivery as usize));
        Self { rows, starts, settles }
    }

    /// The messages: the rows of their deliveries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|ends| &self.rows[ends[0] as usize..ends[1] as usize])
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
}

/// The events with which the phases before the end of the drain began.
pub(crate) fn phases(history: &History) -> Vec<u32> {
    let begins = |note: &Observation| matches!(note, Observation::Phase(phase) if *phase != Phase::Drained);
    history.notes().iter().filter(|(_, note)| begins(note)).map(|(event, _)| *event).collect()
}

/// Whether anything in a history makes a queue of it.
fn is_queue(history: &History) -> bool {
    let configuration = &history.meta.configuration;
    let limits = configuration.max_deliver.is_some()
        || configuration.max_ack_pending.is_some()
        || configuration.ack_wait.is_some()
        || configuration.exclusive;
    let acked = |note: &Observation| matches!(note, Observation::Acked { .. });
    limits || !history.settles().is_empty() || history.notes().iter().any(|(_, note)| acked(note))
}

impl<'h> Analysis<'h> {
    /// A delivery by its row.
    pub(crate) fn read(&self, row: u32) -> &'h DeliverRow {
        &self.history.delivers()[row as usize]
    }

    /// When a delivery was received.
    pub(crate) fn received(&self, row: u32) -> Time {
        self.history.time(self.read(row).event)
    }

    /// What a delivery was settled with, without what failed.
    pub(crate) fn settles(&self, row: u32) -> impl Iterator<Item = &'h SettleRow> {
        let rows = if self.messages.len() == 0 { &[] } else { self.messages.settles.of(row as usize) };
        rows.iter().map(|row| &self.history.settles()[*row as usize]).filter(|one| one.status != Status::Fail)
    }

    /// The first confirmed ack of a message, by its event. An `acked` line names a record and not a message, which
    /// are two where the log holds the record twice: it does not count here.
    pub(crate) fn confirmed_ack(&self, message: &[u32]) -> Option<u32> {
        let done = |one: &&SettleRow| one.how == Settlement::Ack && one.status == Status::Ok;
        let settled = message.iter().flat_map(|row| self.settles(*row)).filter(done);
        settled.filter_map(SettleRow::completion).min()
    }

    /// The earliest time at which the bus can have handed a delivery out, as far as that is known: its deadline tells,
    /// or the poll that it answers, or the phase in which the final drain reads.
    pub(crate) fn handed_out(&self, row: u32) -> Option<Time> {
        let (history, read) = (self.history, self.read(row));
        let wait = history.meta.configuration.ack_wait;
        if let Some((deadline, wait)) = history.deliver_extra(row).deadline.zip(wait) {
            return Some(before(deadline, wait));
        }
        if let Some(poll) = read.poll() {
            return Some(history.time(poll.0));
        }
        let began = self.phases.iter().rev().find(|event| read.drained() && **event < read.event);
        began.map(|event| history.time(*event))
    }

    /// The earliest time at which a delivery can have been handed out: never before its record was sent.
    pub(crate) fn handed_out_at_least(&self, row: u32) -> Time {
        let sent = self.read(row).value().and_then(|value| self.writer(value));
        let sent = sent.map(|send| self.history.time(self.send(send).invoke.0));
        self.handed_out(row).or(sent).unwrap_or_default()
    }

    /// Whether a delivery was certainly handed out after another one was received.
    pub(crate) fn began_after(&self, row: u32, earlier: u32) -> bool {
        let polled = self.read(row).poll().is_some_and(|poll| poll.0 > self.read(earlier).event);
        let deadline = |row: u32| self.history.deliver_extra(row).deadline;
        polled || deadline(row).zip(deadline(earlier)).is_some_and(|(late, early)| late > early)
    }

    /// When the time for the ack of a delivery ends if it was handed out at `start`: confirmed extensions that were
    /// asked for before `event` begin it anew.
    pub(crate) fn expires(&self, row: u32, start: Time, wait: Duration, event: u32) -> Time {
        let extended = |one: &&SettleRow| {
            one.how == Settlement::Extend && one.status == Status::Ok && one.invoke.0 < event
        };
        let extensions = self.settles(row).filter(extended).map(|one| self.history.time(one.invoke.0));
        extensions.chain([start]).max().unwrap_or(start) + wait
    }

    /// Whether any record may live for a time only.
    pub(crate) fn anything_dies(&self) -> bool {
        let topics = self.history.meta.configuration.topics.values();
        let own = |extra: &SendExtra| extra.ttl.is_some();
        topics.into_iter().any(|topic| topic.ttl.is_some())
            || self.history.send_extras().iter().any(|(_, extra)| own(extra))
    }

    /// How long a record may live, if not for ever.
    pub(crate) fn time_to_live(&self, send: u32) -> Option<Duration> {
        let topic = self.history.topic_name(self.send(send).topic);
        let topic = || self.history.meta.configuration.topic(topic).ttl;
        self.history.send_extra(send).ttl.or_else(topic)
    }
}

/// A time before another; not before the beginning.
pub(crate) fn before(time: Time, span: Duration) -> Time {
    Time(time.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
}
