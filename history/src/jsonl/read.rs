//! From a file to its history.

use super::line::{
    AckedLine, AssignedLine, CommitInvoke, DeliverLine, Done, DrainLine, ElectedLine, ErrorLine, Failed,
    FaultLine, HandledLine, Head, Header, HealLine, How, MAGIC, PhaseLine, Place, ResetLine, SendInfo,
    SendInvoke, SendOk, Side, Units, VERSION,
};
use crate::{
    analysis::Writers,
    history::{
        Completion, Deliver, Drain, Handling, History, Invoke, Meta, Observation, OpId, ProcessId, Send,
        Struck, UnitId, What,
    },
};
use serde::Deserialize;
use squall_bus::{Time, Topic, Unit};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

/// The longest line, in bytes.
const LONGEST: u64 = 16 << 20;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ReadError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// There is no first line.
    #[error("the file is empty; a history begins with a header")]
    Empty,
    /// The first line is not a header.
    #[error("the first line is not the header of a history: {0}")]
    NoHeader(String),
    /// A version that this program does not know.
    #[error("the history has version {0}, and this program reads version {VERSION}; use a newer squall")]
    Version(u32),
    /// The file ends within a line.
    #[error("the file ends in the middle of this line: it was cut off")]
    CutOff,
    /// A line that is too long.
    #[error("the line is longer than 16 MiB; no event is")]
    TooLong,
    /// Not JSON, or not what `f` and `type` ask for.
    #[error("the line is damaged: {0}")]
    Damaged(String),
    /// Lines are missing or out of order.
    #[error("the event has index {found} where {expected} belongs: lines are missing or out of order")]
    Index {
        /// The index that belongs there.
        expected: u32,
        /// The index that stands there.
        found: u32,
    },
    /// The side of an operation that `f` does not have.
    #[error("`{f}` has no lines of type `{side}`")]
    Side {
        /// What the event is.
        f: String,
        /// The type in the line.
        side: &'static str,
    },
    /// A completion without its invocation.
    #[error("`invoke` names event {0}, which is no open `{1}` of this process")]
    NoInvoke(u32, String),
    /// Not a unit.
    #[error("`{0}` is not a unit; a unit is topic/partition, as in orders/0")]
    Unit(String),
    /// The highest number of 64 bits.
    #[error("18446744073709551615 is no value and no position; it is reserved")]
    Reserved,
    /// Two sends of one value.
    #[error("value {value} was sent on line {first} already; values name records and must be unique")]
    Repeated {
        /// The value.
        value: u64,
        /// The line of the first send.
        first: u64,
    },
}

/// Reads a history from a file.
///
/// # Errors
/// What is wrong with it, with the line.
pub fn load(path: &Path) -> Result<History, ReadError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(BufReader::with_capacity(1 << 16, file), &name),
        Err(error) => Err(ReadError { file: name, line: 0, problem: error.into() }),
    }
}

/// Reads a history as JSON Lines. `name` stands in errors.
///
/// # Errors
/// What is wrong with it, with the line.
pub fn read(mut from: impl BufRead, name: &str) -> Result<History, ReadError> {
    let mut number = 0;
    let mut buffer = Vec::new();
    let mut reader: Option<Reader> = None;
    let result = loop {
        number += 1;
        match next_line(&mut from, &mut buffer) {
            Err(problem) => break Err(problem),
            Ok(false) => break Ok(()),
            Ok(true) => {}
        }
        let ended = buffer.last() == Some(&b'\n');
        let step = match &mut reader {
            None => header(&buffer).map(|meta| reader = Some(Reader { history: History::new(meta) })),
            Some(reader) => reader.line(&buffer),
        };
        match step {
            Err(Problem::Damaged(_) | Problem::NoHeader(_)) if !ended => break Err(Problem::CutOff),
            Err(problem) => break Err(problem),
            Ok(()) => {}
        }
    };
    let fail = |line, problem| ReadError { file: name.to_owned(), line, problem };
    result.map_err(|problem| fail(number, problem))?;
    let history = reader.ok_or_else(|| fail(1, Problem::Empty))?.history;
    if let (_, Some((one, two))) = Writers::new(history.sends()) {
        let line = |row: u32| u64::from(history.sends()[row as usize].invoke.0) + 2;
        let value = history.sends()[one as usize].value;
        return Err(fail(line(two), Problem::Repeated { value, first: line(one) }));
    }
    Ok(history)
}

/// Reads a line with its end; `false` at the end of the file.
fn next_line(from: &mut impl BufRead, buffer: &mut Vec<u8>) -> Result<bool, Problem> {
    buffer.clear();
    let read = from.by_ref().take(LONGEST).read_until(b'\n', buffer)?;
    if read as u64 == LONGEST && buffer.last() != Some(&b'\n') {
        return Err(Problem::TooLong);
    }
    Ok(read > 0)
}

fn header(line: &[u8]) -> Result<Meta, Problem> {
    let header: Header<'_> =
        serde_json::from_slice(line).map_err(|error| Problem::NoHeader(words(&error)))?;
    if header.squall != MAGIC {
        return Err(Problem::NoHeader(format!("`squall` is `{}`, not `{MAGIC}`", header.squall)));
    }
    if header.version != VERSION {
        return Err(Problem::Version(header.version));
    }
    Ok(Meta {
        scenario: header.scenario.into_owned(),
        target: header.target.into_owned(),
        seed: header.seed,
        configuration: header.configuration,
        expect: header.expect,
    })
}

/// A JSON error without its line number, which is always 1.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} (column {})", &text[..end], error.column()),
        None => text,
    }
}

fn body<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(line).map_err(|error| Problem::Damaged(words(&error)))
}

/// A value or position: any number but the reserved one.
fn plain(number: u64) -> Result<u64, Problem> {
    if number == u64::MAX { Err(Problem::Reserved) } else { Ok(number) }
}

fn maybe_plain(number: Option<u64>) -> Result<Option<u64>, Problem> {
    number.map(plain).transpose()
}

struct Reader {
    history: History,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let head: Head<'_> = body(line)?;
        let expected = self.history.len() as u32;
        if head.index != expected {
            return Err(Problem::Index { expected, found: head.index });
        }
        let (time, process) = (Time(head.time), self.history.process(&head.process));
        match (&*head.f, head.side) {
            ("send", Side::Invoke) => self.send(time, process, body(line)?),
            ("commit", Side::Invoke) => self.commit(time, process, body(line)?),
            ("send" | "commit", _) => self.completion(time, process, &head, line),
            (_, Side::Ok) => {
                let observation = self.observation(&head.f, line)?;
                self.history.observe(time, process, observation);
                Ok(())
            }
            (f, side) if KNOWN.contains(&f) => {
                let side = match side {
                    Side::Invoke => "invoke",
                    Side::Ok => "ok",
                    Side::Fail => "fail",
                    Side::Info => "info",
                };
                Err(Problem::Side { f: f.to_owned(), side })
            }
            _ => {
                self.history.observe(time, process, Observation::Other);
                Ok(())
            }
        }
    }

    fn send(&mut self, time: Time, process: ProcessId, line: SendInvoke<'_>) -> Result<(), Problem> {
        let topic = self.history.topic(&line.topic);
        let send = Send {
            topic,
            partition: line.partition,
            key: line.key.map(|key| self.history.key(&*key)),
            value: plain(line.value)?,
            session: line.session,
            intended: line.intended.map(Time),
            cause: line.cause,
            poison: line.poison,
        };
        self.history.invoke(time, process, Invoke::Send(send));
        Ok(())
    }

    fn commit(&mut self, time: Time, process: ProcessId, line: CommitInvoke<'_>) -> Result<(), Problem> {
        let group = self.history.group(&line.group);
        let mut positions = Vec::with_capacity(line.positions.len());
        for place in &line.positions {
            let position =
                place.position.ok_or_else(|| Problem::Damaged("a commit without a position".to_owned()))?;
            positions.push((self.unit(&place.unit)?, plain(position)?));
        }
        self.history.invoke(time, process, Invoke::Commit { group, positions });
        Ok(())
    }

    fn completion(
        &mut self,
        time: Time,
        process: ProcessId,
        head: &Head<'_>,
        line: &[u8],
    ) -> Result<(), Problem> {
        let is_send = head.f == "send";
        let (invoke, completion) = match head.side {
            Side::Ok if is_send => {
                let line: SendOk<'_> = body(line)?;
                let position = maybe_plain(line.position)?;
                let completion = match line.unit {
                    Some(unit) => {
                        Completion::Sent { unit: self.unit(&unit)?, position, duplicate: line.duplicate }
                    }
                    None => Completion::Ok,
                };
                (line.invoke, completion)
            }
            Side::Ok | Side::Invoke => (body::<Done>(line)?.invoke, Completion::Ok),
            Side::Fail => {
                let line: Failed<'_> = body(line)?;
                (line.invoke, Completion::Fail { error: line.error.into_owned() })
            }
            Side::Info => {
                let line: SendInfo<'_> = body(line)?;
                let unit = line.unit.map(|unit| self.unit(&unit)).transpose()?;
                let place = unit.zip(maybe_plain(line.position)?);
                (line.invoke, Completion::Unknown { error: line.error.into_owned(), place })
            }
        };
        if !self.is_open(invoke, process, is_send) {
            return Err(Problem::NoInvoke(invoke, head.f.to_string()));
        }
        self.history.complete(time, OpId(invoke), completion);
        Ok(())
    }

    /// Whether the event is an invocation of this kind and process that has not ended.
    fn is_open(&self, invoke: u32, process: ProcessId, is_send: bool) -> bool {
        if invoke as usize >= self.history.len() {
            return false;
        }
        let event = self.history.event(invoke);
        let row = event.row as usize;
        event.process == process
            && match event.what {
                What::SendInvoke => is_send && self.history.sends()[row].completion().is_none(),
                What::CommitInvoke => !is_send && self.history.commits()[row].completion().is_none(),
                _ => false,
            }
    }

    fn observation(&mut self, f: &str, line: &[u8]) -> Result<Observation, Problem> {
        Ok(match f {
            "deliver" => self.deliver(body(line)?)?,
            "handled" => self.handled(body(line)?)?,
            "acked" => {
                let line: AckedLine<'_> = body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                Observation::Acked { group, value: line.value }
            }
            "assigned" => {
                let line: AssignedLine<'_> = body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                let units = line.units.iter().map(|place| self.place(place)).collect::<Result<_, _>>()?;
                Observation::Assigned { group, units }
            }
            "revoked" => Observation::Revoked(self.units(&body(line)?)?),
            "lost" => Observation::Lost(self.units(&body(line)?)?),
            "reset" => {
                let line: ResetLine<'_> = body(line)?;
                Observation::Reset { unit: self.unit(&line.unit)?, from: line.from, to: line.to }
            }
            "error" => {
                let line: ErrorLine<'_> = body(line)?;
                Observation::ClientError {
                    error: line.error.into_owned(),
                    message: line.message.into_owned(),
                }
            }
            "fault" => {
                let line: FaultLine<'_> = body(line)?;
                let (verb, role) = (line.verb.into_owned(), line.role.into_owned());
                Observation::Fault(Struck { id: line.id, verb, role, hit: line.hit })
            }
            "heal" => Observation::Heal { id: body::<HealLine>(line)?.id },
            "elected" => {
                let line: ElectedLine<'_> = body(line)?;
                Observation::Elected {
                    unit: self.unit(&line.unit)?,
                    leader: line.leader,
                    unclean: line.unclean,
                }
            }
            "phase" => Observation::Phase(body::<PhaseLine>(line)?.phase),
            "drain" => {
                let line: DrainLine<'_> = body(line)?;
                let (from, to) = (plain(line.from)?, plain(line.to)?);
                Observation::Drain(Drain { unit: self.unit(&line.unit)?, from, to, complete: line.complete })
            }
            _ => Observation::Other,
        })
    }

    fn deliver(&mut self, line: DeliverLine<'_>) -> Result<Observation, Problem> {
        Ok(Observation::Deliver(Deliver {
            group: line.group.map(|group| self.history.group(&group)),
            unit: self.unit(&line.unit)?,
            position: plain(line.position)?,
            value: maybe_plain(line.value)?,
            corrupt: line.corrupt,
            attempt: line.attempt,
        }))
    }

    fn handled(&mut self, line: HandledLine<'_>) -> Result<Observation, Problem> {
        let how = match (line.how, line.attempt) {
            (How::Ok, _) => Handling::Ok,
            (How::Poison, _) => Handling::Poison,
            (How::Retry, Some(attempt)) => Handling::Retry(attempt),
            (How::Retry, None) => return Err(Problem::Damaged("a `retry` without its `attempt`".to_owned())),
        };
        let group = line.group.map(|group| self.history.group(&group));
        Ok(Observation::Handled { group, value: plain(line.value)?, how })
    }

    fn units(&mut self, line: &Units<'_>) -> Result<Vec<UnitId>, Problem> {
        line.units.iter().map(|unit| self.unit(unit)).collect()
    }

    fn place(&mut self, place: &Place<'_>) -> Result<(UnitId, Option<u64>), Problem> {
        Ok((self.unit(&place.unit)?, maybe_plain(place.position)?))
    }

    fn unit(&mut self, text: &str) -> Result<UnitId, Problem> {
        let wrong = || Problem::Unit(text.to_owned());
        let (topic, partition) =
            text.rsplit_once('/').filter(|(topic, _)| !topic.is_empty()).ok_or_else(wrong)?;
        let partition = partition.parse().ok().filter(|number| *number != u32::MAX).ok_or_else(wrong)?;
        Ok(self.history.unit(&Unit { topic: Topic::new(topic), partition }))
    }
}

/// What an event can be, besides `send` and `commit`; each is always of type `ok`.
pub(super) const KNOWN: &[&str] = &[
    "deliver", "handled", "acked", "assigned", "revoked", "lost", "reset", "error", "fault", "heal",
    "elected", "phase", "drain",
];
