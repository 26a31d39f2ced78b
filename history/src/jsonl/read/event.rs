//! From a line to an event: operations here, what merely happened in [`note`].

mod note;

pub(in crate::jsonl) use note::KNOWN;

use super::{Line, Problem, body, maybe_plain, plain, plain_body};
use crate::{
    history::{
        Completion, Ends, History, Invoke, Meta, OpId, ProcessId, Send, SendExtra, Settlement, UnitId, What,
    },
    jsonl::line::{
        CommitInvoke, Done, EndInvoke, EndOk, Failed, Head, InitInvoke, InitOk, PollInvoke, SendInfo,
        SendInvoke, SendOk, SettleInvoke, SettleWord, Side, TxnInvoke,
    },
};
use foldhash::fast::FixedState;
use squall_bus::{Time, Topic, Unit};
use std::{collections::HashMap, time::Duration};

/// What has an invocation and a completion.
#[cfg(any(test, feature = "schema"))]
pub(in crate::jsonl) const OPERATIONS: &[&str] = &["send", "commit", "init", "txn", "poll", "settle", "end"];

/// What an operation's invocation is in the history.
fn invocation(f: &str) -> Option<What> {
    Some(match f {
        "send" => What::SendInvoke,
        "commit" => What::CommitInvoke,
        "init" => What::InitInvoke,
        "txn" => What::TxnInvoke,
        "poll" => What::PollInvoke,
        "settle" => What::SettleInvoke,
        "end" => What::EndInvoke,
        _ => return None,
    })
}

/// Reads line after line into a history.
pub(super) struct Reader {
    history: History,
    /// The units by their text, which most lines name. Only asked, never walked.
    units: HashMap<String, UnitId, FixedState>,
}

impl Reader {
    pub(super) fn new(meta: Meta) -> Self {
        Self { history: History::new(meta), units: HashMap::default() }
    }

    pub(super) fn into_history(self) -> History {
        self.history
    }

    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let line = &Line::new(bytes);
        let head: Head<'_> = line.head().map_or_else(|| body(line), Ok)?;
        let expected = self.history.len() as u32;
        if head.index != expected {
            return Err(Problem::Index { expected, found: head.index });
        }
        let (time, process) = (Time(head.time), self.history.process(&head.process));
        match (invocation(&head.f), head.side) {
            (Some(what), Side::Invoke) => {
                let invoke = self.invoke(what, process, line)?;
                self.history.invoke(time, process, invoke);
            }
            (Some(what), side) => {
                let (invoke, completion) = self.completion(what, side, line)?;
                if !self.history.is_open(invoke, process, what) {
                    return Err(Problem::NoInvoke(invoke, head.f.into_owned()));
                }
                self.history.complete(time, OpId(invoke), completion);
            }
            (None, Side::Ok) => {
                let observation = self.observation(&head.f, line)?;
                self.history.observe(time, process, observation);
            }
            (None, side) if KNOWN.contains(&&*head.f) => {
                return Err(Problem::Side { f: head.f.into_owned(), side: side.word() });
            }
            (None, _) => {
                self.history.observe(time, process, crate::history::Observation::Other);
            }
        }
        Ok(())
    }

    fn invoke(&mut self, what: What, process: ProcessId, line: &Line<'_>) -> Result<Invoke, Problem> {
        Ok(match what {
            What::CommitInvoke => self.commit(process, &body(line)?)?,
            What::InitInvoke => {
                let line: InitInvoke<'_> = body(line)?;
                Invoke::Init { id: self.history.transactional_id(&line.id) }
            }
            What::TxnInvoke => {
                let line: TxnInvoke<'_> = plain_body(line)?;
                let id = line.id.map(|id| self.history.transactional_id(&id));
                Invoke::Txn { id, epoch: line.epoch }
            }
            What::PollInvoke => {
                let line: PollInvoke<'_> = plain_body(line)?;
                let group = line.group.map(|group| self.history.group(&group));
                Invoke::Poll { group, txn: self.txn(line.txn, process)? }
            }
            What::SettleInvoke => self.settle(&plain_body(line)?)?,
            What::EndInvoke => {
                let line: EndInvoke<'_> = body(line)?;
                Invoke::End { unit: self.unit(&line.unit)?, node: line.node }
            }
            _ => Invoke::Send(self.send(process, plain_body(line)?)?),
        })
    }

    fn send(&mut self, process: ProcessId, line: SendInvoke<'_>) -> Result<Send, Problem> {
        let extra = SendExtra {
            message_id: line.id.map(|id| self.history.message_id(&id)),
            expected_position: maybe_plain(line.expected_position)?,
            expected_value: maybe_plain(line.expected_value)?,
            ttl: line.ttl.map(Duration::from_nanos),
            timestamp: line.timestamp.map(Time),
            tombstone: line.tombstone,
            amount: line.amount,
        };
        Ok(Send {
            topic: self.history.topic(&line.topic),
            partition: line.partition,
            key: line.key.map(|key| self.history.key(&*key)),
            value: plain(line.value)?,
            session: line.session,
            intended: line.intended.map(Time),
            cause: line.cause,
            poison: line.poison,
            txn: self.txn(line.txn, process)?,
            extra,
        })
    }

    fn commit(&mut self, process: ProcessId, line: &CommitInvoke<'_>) -> Result<Invoke, Problem> {
        let mut positions = Vec::with_capacity(line.positions.len());
        for place in &line.positions {
            let position =
                place.position.ok_or_else(|| Problem::Damaged("a commit without a position".to_owned()))?;
            positions.push((self.unit(&place.unit)?, plain(position)?));
        }
        let txn = self.txn(line.txn, process)?;
        Ok(Invoke::Commit { group: self.history.group(&line.group), positions, txn })
    }

    fn settle(&self, line: &SettleInvoke) -> Result<Invoke, Problem> {
        let delivery = line.delivery;
        if self.history.deliver_row(delivery).is_none() {
            return Err(Problem::NoReference { field: "delivery", event: delivery, what: "`deliver`" });
        }
        let how = match line.how {
            SettleWord::Ack => Settlement::Ack,
            SettleWord::Nak => Settlement::Nak { delay: line.delay.map(Duration::from_nanos) },
            SettleWord::Term => Settlement::Term,
            SettleWord::Extend => Settlement::Extend,
        };
        Ok(Invoke::Settle { delivery, how })
    }

    /// The transaction that an operation names: one of the same process.
    fn txn(&self, txn: Option<u32>, process: ProcessId) -> Result<Option<OpId>, Problem> {
        let Some(event) = txn else { return Ok(None) };
        let known = self.history.row_of(event, What::TxnInvoke).is_some();
        if !known || self.history.process_of(event) != process {
            return Err(Problem::NoReference { field: "txn", event, what: "`txn` of this process" });
        }
        Ok(Some(OpId(event)))
    }

    /// The index of the invocation, and how the operation ended.
    fn completion(&mut self, what: What, side: Side, line: &Line<'_>) -> Result<(u32, Completion), Problem> {
        Ok(match (side, what) {
            (Side::Ok, What::SendInvoke) => {
                let line: SendOk<'_> = plain_body(line)?;
                let position = maybe_plain(line.position)?;
                let completion = match line.unit {
                    Some(unit) => {
                        Completion::Sent { unit: self.unit(&unit)?, position, duplicate: line.duplicate }
                    }
                    None => Completion::Ok,
                };
                (line.invoke, completion)
            }
            (Side::Ok, What::InitInvoke) => {
                let line: InitOk = body(line)?;
                (line.invoke, line.epoch.map_or(Completion::Ok, Completion::Epoch))
            }
            (Side::Ok, What::EndInvoke) => {
                let line: EndOk = body(line)?;
                let ends = Ends { high: line.high, stable: line.stable, start: line.start };
                (line.invoke, Completion::Ends(ends))
            }
            (Side::Ok | Side::Invoke, _) => (plain_body::<Done>(line)?.invoke, Completion::Ok),
            (Side::Fail, _) => {
                let line: Failed<'_> = body(line)?;
                (line.invoke, Completion::Fail { error: line.error.into_owned() })
            }
            (Side::Info, _) => {
                let line: SendInfo<'_> = body(line)?;
                let unit = line.unit.map(|unit| self.unit(&unit)).transpose()?;
                let place = unit.zip(maybe_plain(line.position)?);
                (line.invoke, Completion::Unknown { error: line.error.into_owned(), place })
            }
        })
    }

    fn unit(&mut self, text: &str) -> Result<UnitId, Problem> {
        if let Some(unit) = self.units.get(text) {
            return Ok(*unit);
        }
        let wrong = || Problem::Unit(text.to_owned());
        let (topic, partition) =
            text.rsplit_once('/').filter(|(topic, _)| !topic.is_empty()).ok_or_else(wrong)?;
        let partition = partition.parse().ok().filter(|number| *number != u32::MAX).ok_or_else(wrong)?;
        let unit = self.history.unit(&Unit { topic: Topic::new(topic), partition });
        self.units.insert(text.to_owned(), unit);
        Ok(unit)
    }
}
