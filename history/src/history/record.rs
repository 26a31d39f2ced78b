//! The recorder: events are written down in the order in which they are seen.

use super::{
    CommitRow, Completion, DeliverRow, EndRow, GroupId, HandledRow, History, InitRow, Invoke, KeyId,
    Observation, OpId, PollRow, ProcessId, Send, SendRow, SettleRow, Status, TransactionalId, TxnRow, UnitId,
    What, index32,
    packed::{Maybe32, Maybe64},
};
use squall_bus::{Ack, Outcome, Time};

impl History {
    fn push(&mut self, time: Time, process: ProcessId, what: What, row: usize) -> u32 {
        let index = index32(self.times.len());
        self.times.push(time);
        self.processes.push(process);
        self.whats.push(what);
        self.rows.push(index32(row));
        index
    }

    /// Records that an operation begins.
    ///
    /// # Panics
    /// When a transaction, poll or delivery that it names is none of this history: a mistake of the recording
    /// program.
    pub fn invoke(&mut self, time: Time, process: ProcessId, invoke: Invoke) -> OpId {
        let (status, completion, error) = (Status::Unknown, Maybe32::NONE, Maybe32::NONE);
        match invoke {
            Invoke::Send(send) => {
                let invoke = OpId(self.push(time, process, What::SendInvoke, self.sends.len()));
                self.begin_send(invoke, process, &send);
                invoke
            }
            Invoke::Commit { group, positions, txn } => {
                let txn = self.named_txn(txn);
                let invoke = OpId(self.push(time, process, What::CommitInvoke, self.commits.len()));
                let row = CommitRow { invoke, status, process, group, positions, txn, completion, error };
                self.commits.push(row);
                invoke
            }
            Invoke::Init { id } => {
                let invoke = OpId(self.push(time, process, What::InitInvoke, self.inits.len()));
                let epoch = Maybe32::NONE;
                self.inits.push(InitRow { invoke, status, process, id, epoch, completion, error });
                invoke
            }
            Invoke::Txn { id, epoch } => {
                let invoke = OpId(self.push(time, process, What::TxnInvoke, self.txns.len()));
                let (id, epoch) = (id.map(TransactionalId::number).into(), epoch.into());
                self.txns.push(TxnRow { invoke, status, process, id, epoch, completion, error });
                invoke
            }
            Invoke::Poll { group, txn } => {
                let txn = self.named_txn(txn);
                let invoke = OpId(self.push(time, process, What::PollInvoke, self.polls.len()));
                let group = group.map(GroupId::number).into();
                self.polls.push(PollRow { invoke, status, process, group, txn, completion, error });
                invoke
            }
            Invoke::Settle { delivery, how } => {
                let delivery = self.deliver_row(delivery).expect("what is settled is a delivery");
                let invoke = OpId(self.push(time, process, What::SettleInvoke, self.settles.len()));
                self.settles.push(SettleRow { invoke, status, process, delivery, how, completion, error });
                invoke
            }
            Invoke::End { unit, node } => {
                let invoke = OpId(self.push(time, process, What::EndInvoke, self.ends.len()));
                let (ends, node) = (None, node.into());
                self.ends.push(EndRow { invoke, status, process, unit, ends, node, completion, error });
                invoke
            }
        }
    }

    fn named_txn(&self, txn: Option<OpId>) -> Maybe32 {
        txn.map(|op| {
            let _ = self.txn_row(op);
            op.0
        })
        .into()
    }

    fn begin_send(&mut self, op: OpId, process: ProcessId, send: &Send) {
        let txn = self.named_txn(send.txn);
        self.send_extras.push(self.sends.len(), send.extra);
        self.sends.push(SendRow {
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
            key: send.key.map(KeyId::number).into(),
            unit: Maybe32::NONE,
            error: Maybe32::NONE,
            position: Maybe64::NONE,
            intended: send.intended.map(|time| time.0).into(),
            cause: send.cause.into(),
            txn,
        });
        if let Some(partition) = send.partition {
            // So that the unit exists even if nobody ever answers from there.
            self.names.units.intern(&(send.topic, partition));
        }
    }

    /// Records that an operation ends.
    ///
    /// # Panics
    /// When `op` did not come from this history's `invoke`, or ends twice: a mistake of the recording program.
    pub fn complete(&mut self, time: Time, op: OpId, completion: Completion) {
        let (process, row) = (self.processes[op.0 as usize], self.rows[op.0 as usize] as usize);
        let done = match self.whats[op.0 as usize] {
            What::SendInvoke => What::SendDone,
            What::CommitInvoke => What::CommitDone,
            What::InitInvoke => What::InitDone,
            What::TxnInvoke => What::TxnDone,
            What::PollInvoke => What::PollDone,
            What::SettleInvoke => What::SettleDone,
            What::EndInvoke => What::EndDone,
            other => panic!("event {} is a {other:?}, not the invocation of an operation", op.0),
        };
        let event = self.push(time, process, done, row);
        let status = match &completion {
            Completion::Fail { .. } => Status::Fail,
            Completion::Unknown { .. } => Status::Unknown,
            Completion::Ok | Completion::Sent { .. } | Completion::Epoch(_) | Completion::Ends(_) => {
                Status::Ok
            }
        };
        let code = match &completion {
            Completion::Fail { error } | Completion::Unknown { error, .. } => {
                Some(self.names.codes.intern(error.as_str()))
            }
            _ => None,
        };
        self.learn(done, row, &completion);
        let (state, end, error) = self.ending(done, row);
        assert_eq!(*end, Maybe32::NONE, "operation {} ends twice", op.0);
        (*state, *end, *error) = (status, Some(event).into(), code.into());
    }

    /// What a completion says beyond how the operation ended.
    fn learn(&mut self, done: What, row: usize, completion: &Completion) {
        match (done, completion) {
            (What::SendDone, Completion::Sent { unit, position, duplicate }) => {
                let send = &mut self.sends[row];
                send.duplicate = *duplicate;
                send.unit = Some(unit.number()).into();
                send.position = (*position).into();
            }
            (What::SendDone, Completion::Unknown { place, .. }) => {
                let send = &mut self.sends[row];
                send.unit = place.map(|(unit, _)| unit.number()).into();
                send.position = place.map(|(_, position)| position).into();
            }
            (What::InitDone, Completion::Epoch(epoch)) => self.inits[row].epoch = Some(*epoch).into(),
            (What::EndDone, Completion::Ends(ends)) => self.ends[row].ends = Some(*ends),
            _ => {}
        }
    }

    /// Where an operation's row says how it ended: status, completion, error.
    fn ending(&mut self, done: What, row: usize) -> (&mut Status, &mut Maybe32, &mut Maybe32) {
        macro_rules! of {
            ($table:ident) => {{
                let row = &mut self.$table[row];
                (&mut row.status, &mut row.completion, &mut row.error)
            }};
        }
        match done {
            What::CommitDone => of!(commits),
            What::InitDone => of!(inits),
            What::TxnDone => of!(txns),
            What::PollDone => of!(polls),
            What::SettleDone => of!(settles),
            What::EndDone => of!(ends),
            _ => of!(sends),
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
                let unit =
                    partition.map(|partition| UnitId::new(self.names.units.intern(&(topic, partition))));
                let place = unit.zip(position.map(|position| position.0));
                Completion::Unknown { error: error.code.to_string(), place }
            }
        };
        self.complete(time, op, completion);
    }

    /// Records how a commit or a settlement ended, as the bus told it.
    pub fn complete_call(&mut self, time: Time, op: OpId, outcome: &Outcome<()>) {
        let completion = match outcome {
            Outcome::Ok(()) => Completion::Ok,
            Outcome::Fail(error) => Completion::Fail { error: error.code.to_string() },
            Outcome::Unknown(error, _) => Completion::Unknown { error: error.code.to_string(), place: None },
        };
        self.complete(time, op, completion);
    }

    /// Records something that happened. Returns the index of the event.
    ///
    /// # Panics
    /// When a delivery names a poll that is none of this history: a mistake of the recording program.
    pub fn observe(&mut self, time: Time, process: ProcessId, observation: Observation) -> u32 {
        match observation {
            Observation::Deliver(deliver) => {
                let poll = deliver.poll.map(|poll| {
                    let _ = self.poll_row(poll);
                    poll.0
                });
                let event = self.push(time, process, What::Deliver, self.delivers.len());
                self.deliver_extras.push(self.delivers.len(), deliver.extra);
                self.corrupt.extend(deliver.corrupt.then_some(index32(self.delivers.len())));
                self.delivers.push(DeliverRow {
                    event,
                    process,
                    unit: deliver.unit,
                    position: deliver.position,
                    value: deliver.value.into(),
                    group: deliver.group.map(GroupId::number).into(),
                    attempt: deliver.attempt.into(),
                    poll: poll.into(),
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
}
