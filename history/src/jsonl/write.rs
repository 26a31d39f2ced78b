//! From a history to its file.

use super::line::{
    AckedLine, AssignedLine, CommitInvoke, DeliverLine, Done, DrainLine, ElectedLine, ErrorLine, Failed,
    FaultLine, HandledLine, Head, Header, HealLine, How, MAGIC, PhaseLine, Place, ResetLine, SendInfo,
    SendInvoke, SendOk, Side, Units, VERSION,
};
use crate::history::{
    CommitRow, DeliverRow, HandledRow, Handling, History, Observation, SendRow, Status, UnitId, What,
};
use serde::Serialize;
use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
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
    let mut writer = Writer { history, units: unit_names(history), to };
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
    units: Vec<String>,
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

/// The body of an event of an unknown kind.
#[derive(Serialize)]
struct Nothing {}

impl<W: Write> Writer<'_, W> {
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
            What::SendInvoke => self.send(index, &history.sends()[row]),
            What::SendDone => self.sent(index, &history.sends()[row]),
            What::CommitInvoke => self.commit(index, &history.commits()[row]),
            What::CommitDone => self.committed(index, &history.commits()[row]),
            What::Deliver => self.deliver(index, &history.delivers()[row]),
            What::Handled => self.handled(index, &history.handled()[row]),
            What::Note => self.note(index, &history.notes()[row].1),
        }
    }

    fn send(&mut self, index: u32, send: &SendRow) -> io::Result<()> {
        let history = self.history;
        let body = SendInvoke {
            topic: Cow::Borrowed(history.topic_name(send.topic)),
            partition: send.partition(),
            key: send.key().map(|key| Cow::Borrowed(history.key_name(key))),
            value: send.value,
            session: send.session,
            intended: send.intended().map(|time| time.0),
            cause: send.cause(),
            poison: send.poison,
        };
        self.line(index, Side::Invoke, "send", body)
    }

    fn sent(&mut self, index: u32, send: &SendRow) -> io::Result<()> {
        let history = self.history;
        let invoke = send.invoke.0;
        let unit = send.unit().map(|unit| Cow::Owned(self.units[unit.index()].clone()));
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
        self.line(index, Side::Invoke, "commit", CommitInvoke { group, positions })
    }

    fn committed(&mut self, index: u32, commit: &CommitRow) -> io::Result<()> {
        let invoke = commit.invoke.0;
        let error = Cow::Borrowed(self.history.commit_error(commit).unwrap_or_default());
        match commit.status {
            Status::Ok => self.line(index, Side::Ok, "commit", Done { invoke }),
            Status::Fail => self.line(index, Side::Fail, "commit", Failed { invoke, error }),
            Status::Unknown => self.line(index, Side::Info, "commit", Failed { invoke, error }),
        }
    }

    fn deliver(&mut self, index: u32, read: &DeliverRow) -> io::Result<()> {
        let body = DeliverLine {
            group: read.group().map(|group| Cow::Borrowed(self.history.group_name(group))),
            unit: Cow::Owned(self.units[read.unit.index()].clone()),
            position: read.position,
            value: read.value(),
            corrupt: read.corrupt,
            attempt: read.attempt(),
        };
        self.line(index, Side::Ok, "deliver", body)
    }

    fn handled(&mut self, index: u32, handled: &HandledRow) -> io::Result<()> {
        let (how, attempt) = match handled.how {
            Handling::Ok => (How::Ok, None),
            Handling::Poison => (How::Poison, None),
            Handling::Retry(attempt) => (How::Retry, Some(attempt)),
        };
        let group = handled.group.map(|group| Cow::Borrowed(self.history.group_name(group)));
        self.line(index, Side::Ok, "handled", HandledLine { group, value: handled.value, how, attempt })
    }

    fn note(&mut self, index: u32, note: &Observation) -> io::Result<()> {
        let text = |text: &str| Cow::<'static, str>::Owned(text.to_owned());
        match note {
            Observation::Assigned { group, units } => {
                let group = group.map(|group| text(self.history.group_name(group)));
                let units = units.iter().map(|(unit, at)| self.place(*unit, *at)).collect();
                self.line(index, Side::Ok, "assigned", AssignedLine { group, units })
            }
            Observation::Acked { group, value } => {
                let group = group.map(|group| text(self.history.group_name(group)));
                self.line(index, Side::Ok, "acked", AckedLine { group, value: *value })
            }
            Observation::Revoked(units) => self.line(index, Side::Ok, "revoked", self.list(units)),
            Observation::Lost(units) => self.line(index, Side::Ok, "lost", self.list(units)),
            Observation::Reset { unit, from, to } => {
                let unit = text(&self.units[unit.index()]);
                self.line(index, Side::Ok, "reset", ResetLine { unit, from: *from, to: *to })
            }
            Observation::ClientError { error, message } => {
                self.line(index, Side::Ok, "error", ErrorLine { error: text(error), message: text(message) })
            }
            Observation::Fault(fault) => {
                let (verb, role) = (text(&fault.verb), text(&fault.role));
                self.line(
                    index,
                    Side::Ok,
                    "fault",
                    FaultLine { id: fault.id, verb, role, hit: fault.hit.clone() },
                )
            }
            Observation::Heal { id } => self.line(index, Side::Ok, "heal", HealLine { id: *id }),
            Observation::Elected { unit, leader, unclean } => {
                let unit = text(&self.units[unit.index()]);
                self.line(
                    index,
                    Side::Ok,
                    "elected",
                    ElectedLine { unit, leader: *leader, unclean: *unclean },
                )
            }
            Observation::Phase(phase) => self.line(index, Side::Ok, "phase", PhaseLine { phase: *phase }),
            Observation::Drain(drain) => {
                let unit = text(&self.units[drain.unit.index()]);
                let body = DrainLine { unit, from: drain.from, to: drain.to, complete: drain.complete };
                self.line(index, Side::Ok, "drain", body)
            }
            Observation::Other | Observation::Deliver(_) | Observation::Handled { .. } => {
                self.line(index, Side::Ok, "other", Nothing {})
            }
        }
    }

    fn place(&self, unit: UnitId, position: Option<u64>) -> Place<'static> {
        Place { unit: Cow::Owned(self.units[unit.index()].clone()), position }
    }

    fn list(&self, units: &[UnitId]) -> Units<'static> {
        Units { units: units.iter().map(|unit| Cow::Owned(self.units[unit.index()].clone())).collect() }
    }
}
