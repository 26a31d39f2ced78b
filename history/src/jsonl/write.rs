//! From a history to its file.

mod notes;

use super::line::{
    CommitInvoke, DeliverLine, Done, EndInvoke, EndOk, Failed, HandledLine, Head, Header, How, InitInvoke,
    InitOk, MAGIC, Place, PollInvoke, SendInfo, SendInvoke, SendOk, SettleInvoke, SettleWord, Side,
    TxnInvoke, VERSION,
};
use crate::history::{
    CommitRow, DeliverRow, EndRow, GroupId, HandledRow, Handling, History, InitRow, OpId, PollRow, SendRow,
    SettleRow, Settlement, Status, TxnRow, UnitId, What,
};
use serde::Serialize;
use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

/// Writes a history to a file, which is replaced.
///
/// # Errors
/// What the file system says.
pub fn save(history: &History, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(history, &mut file)?;
    file.flush()
}

/// Writes a history as JSON Lines. The writer should be buffered.
///
/// # Errors
/// What the writer says.
pub fn write(history: &History, to: impl Write) -> io::Result<()> {
    let units = unit_names(history);
    let mut writer = Writer { history, units: &units, to };
    writer.header()?;
    for index in 0..history.len() as u32 {
        writer.event(index)?;
    }
    Ok(())
}

/// Units are named in most lines; their text is made once.
fn unit_names(history: &History) -> Vec<String> {
    (0..history.unit_count() as u32).map(|unit| history.unit_name(UnitId::from(unit)).to_string()).collect()
}

struct Writer<'h, W> {
    history: &'h History,
    units: &'h [String],
    to: W,
}

/// A line: head and body side by side.
#[derive(Serialize)]
struct Line<'a, B> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    body: B,
}

impl<'h, W: Write> Writer<'h, W> {
    fn header(&mut self) -> io::Result<()> {
        let meta = &self.history.meta;
        let header = Header {
            squall: Cow::Borrowed(MAGIC),
            version: VERSION,
            scenario: Cow::Borrowed(&meta.scenario),
            target: Cow::Borrowed(&meta.target),
            seed: meta.seed,
            configuration: meta.configuration.clone(),
            expect: meta.expect.clone(),
        };
        serde_json::to_writer(&mut self.to, &header)?;
        self.to.write_all(b"\n")
    }

    fn line(&mut self, index: u32, side: Side, f: &'static str, body: impl Serialize) -> io::Result<()> {
        let (time, process) = (self.history.time(index).0, self.history.process_of(index));
        let process = Cow::Borrowed(self.history.process_name(process));
        let head = Head { index, time, process, side, f: Cow::Borrowed(f) };
        serde_json::to_writer(&mut self.to, &Line { head, body })?;
        self.to.write_all(b"\n")
    }

    fn event(&mut self, index: u32) -> io::Result<()> {
        let history = self.history;
        let event = history.event(index);
        let row = event.row as usize;
        match event.what {
            What::SendInvoke => self.send(index, event.row, &history.sends()[row]),
            What::SendDone => self.sent(index, &history.sends()[row]),
            What::CommitInvoke => self.commit(index, &history.commits()[row]),
            What::CommitDone => {
                let commit = &history.commits()[row];
                self.done(index, "commit", commit.invoke, commit.status, history.code(commit.error))
            }
            What::InitInvoke => self.init(index, &history.inits()[row]),
            What::InitDone => self.inited(index, &history.inits()[row]),
            What::TxnInvoke => self.txn(index, &history.txns()[row]),
            What::TxnDone => {
                let txn = &history.txns()[row];
                self.done(index, "txn", txn.invoke, txn.status, history.code(txn.error))
            }
            What::PollInvoke => self.poll(index, &history.polls()[row]),
            What::PollDone => {
                let poll = &history.polls()[row];
                self.done(index, "poll", poll.invoke, poll.status, history.code(poll.error))
            }
            What::SettleInvoke => self.settle(index, &history.settles()[row]),
            What::SettleDone => {
                let settle = &history.settles()[row];
                self.done(index, "settle", settle.invoke, settle.status, history.code(settle.error))
            }
            What::EndInvoke => self.end(index, &history.ends()[row]),
            What::EndDone => self.ended(index, &history.ends()[row]),
            What::Deliver => self.deliver(index, event.row, &history.delivers()[row]),
            What::Handled => self.handled(index, &history.handled()[row]),
            What::Note => self.note(index, &history.notes()[row].1),
        }
    }

    fn send(&mut self, index: u32, row: u32, send: &SendRow) -> io::Result<()> {
        let history = self.history;
        let extra = history.send_extra(row);
        let body = SendInvoke {
            topic: Cow::Borrowed(history.topic_name(send.topic)),
            partition: send.partition(),
            key: send.key().map(|key| Cow::Borrowed(history.key_name(key))),
            value: send.value,
            session: send.session,
            intended: send.intended().map(|time| time.0),
            cause: send.cause(),
            poison: send.poison,
            txn: send.txn().map(|txn| txn.0),
            id: extra.message_id.map(|id| Cow::Borrowed(history.message_name(id))),
            expected_position: extra.expected_position,
            expected_value: extra.expected_value,
            ttl: extra.ttl.map(nanoseconds),
            timestamp: extra.timestamp.map(|time| time.0),
            tombstone: extra.tombstone,
            amount: extra.amount,
        };
        self.line(index, Side::Invoke, "send", body)
    }

    fn sent(&mut self, index: u32, send: &SendRow) -> io::Result<()> {
        let history = self.history;
        let invoke = send.invoke.0;
        let unit = send.unit().map(|unit| self.unit(unit));
        let error = Cow::Borrowed(history.send_error(send).unwrap_or_default());
        let position = send.position();
        match send.status {
            Status::Ok => {
                let body = SendOk { invoke, unit, position, duplicate: send.duplicate };
                self.line(index, Side::Ok, "send", body)
            }
            Status::Fail => self.line(index, Side::Fail, "send", Failed { invoke, error }),
            Status::Unknown => {
                self.line(index, Side::Info, "send", SendInfo { invoke, error, unit, position })
            }
        }
    }

    fn commit(&mut self, index: u32, commit: &CommitRow) -> io::Result<()> {
        let positions = commit.positions.iter().map(|(unit, position)| self.place(*unit, Some(*position)));
        let positions = positions.collect();
        let group = Cow::Borrowed(self.history.group_name(commit.group));
        let txn = commit.txn().map(|txn| txn.0);
        self.line(index, Side::Invoke, "commit", CommitInvoke { group, positions, txn })
    }

    /// The end of an operation of which there is nothing to say but how it ended.
    fn done(
        &mut self,
        index: u32,
        f: &'static str,
        OpId(invoke): OpId,
        status: Status,
        error: Option<&str>,
    ) -> io::Result<()> {
        let error = Cow::Borrowed(error.unwrap_or_default());
        match status {
            Status::Ok => self.line(index, Side::Ok, f, Done { invoke }),
            Status::Fail => self.line(index, Side::Fail, f, Failed { invoke, error }),
            Status::Unknown => self.line(index, Side::Info, f, Failed { invoke, error }),
        }
    }

    fn init(&mut self, index: u32, init: &InitRow) -> io::Result<()> {
        let id = Cow::Borrowed(self.history.transactional_name(init.id));
        self.line(index, Side::Invoke, "init", InitInvoke { id })
    }

    fn inited(&mut self, index: u32, init: &InitRow) -> io::Result<()> {
        match init.status {
            Status::Ok => {
                self.line(index, Side::Ok, "init", InitOk { invoke: init.invoke.0, epoch: init.epoch() })
            }
            status => self.done(index, "init", init.invoke, status, self.history.code(init.error)),
        }
    }

    fn txn(&mut self, index: u32, txn: &TxnRow) -> io::Result<()> {
        let id = txn.id().map(|id| Cow::Borrowed(self.history.transactional_name(id)));
        self.line(index, Side::Invoke, "txn", TxnInvoke { id, epoch: txn.epoch() })
    }

    fn poll(&mut self, index: u32, poll: &PollRow) -> io::Result<()> {
        let group = self.group(poll.group());
        self.line(index, Side::Invoke, "poll", PollInvoke { group, txn: poll.txn().map(|txn| txn.0) })
    }

    fn settle(&mut self, index: u32, settle: &SettleRow) -> io::Result<()> {
        let delivery = self.history.delivers()[settle.delivery as usize].event;
        let (how, delay) = match settle.how {
            Settlement::Ack => (SettleWord::Ack, None),
            Settlement::Nak { delay } => (SettleWord::Nak, delay.map(nanoseconds)),
            Settlement::Term => (SettleWord::Term, None),
            Settlement::Extend => (SettleWord::Extend, None),
        };
        self.line(index, Side::Invoke, "settle", SettleInvoke { delivery, how, delay })
    }

    fn end(&mut self, index: u32, end: &EndRow) -> io::Result<()> {
        let unit = self.unit(end.unit);
        self.line(index, Side::Invoke, "end", EndInvoke { unit, node: end.node() })
    }

    fn ended(&mut self, index: u32, end: &EndRow) -> io::Result<()> {
        match (end.status, end.ends) {
            (Status::Ok, Some(ends)) => {
                let (invoke, high) = (end.invoke.0, ends.high);
                self.line(
                    index,
                    Side::Ok,
                    "end",
                    EndOk { invoke, high, stable: ends.stable, start: ends.start },
                )
            }
            (Status::Fail, _) => {
                self.done(index, "end", end.invoke, Status::Fail, self.history.code(end.error))
            }
            _ => self.done(index, "end", end.invoke, Status::Unknown, self.history.code(end.error)),
        }
    }

    fn deliver(&mut self, index: u32, row: u32, read: &DeliverRow) -> io::Result<()> {
        let extra = self.history.deliver_extra(row);
        let body = DeliverLine {
            group: self.group(read.group()),
            unit: self.unit(read.unit),
            position: read.position,
            value: read.value(),
            corrupt: self.history.is_corrupt(row),
            attempt: read.attempt(),
            poll: read.poll().map(|poll| poll.0),
            deadline: extra.deadline.map(|time| time.0),
            node: extra.node,
            epoch: extra.epoch,
            timestamp: extra.timestamp.map(|time| time.0),
        };
        self.line(index, Side::Ok, "deliver", body)
    }

    fn handled(&mut self, index: u32, handled: &HandledRow) -> io::Result<()> {
        let (how, attempt) = match handled.how {
            Handling::Ok => (How::Ok, None),
            Handling::Poison => (How::Poison, None),
            Handling::Retry(attempt) => (How::Retry, Some(attempt)),
        };
        let group = self.group(handled.group);
        self.line(index, Side::Ok, "handled", HandledLine { group, value: handled.value, how, attempt })
    }

    fn group(&self, group: Option<GroupId>) -> Option<Cow<'h, str>> {
        let history = self.history;
        group.map(|group| Cow::Borrowed(history.group_name(group)))
    }

    fn unit(&self, unit: UnitId) -> Cow<'h, str> {
        let units = self.units;
        Cow::Borrowed(units[unit.index()].as_str())
    }

    fn place(&self, unit: UnitId, position: Option<u64>) -> Place<'h> {
        Place { unit: self.unit(unit), position }
    }
}

/// A span as the format has it; 584 years are enough.
fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
