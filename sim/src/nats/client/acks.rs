//! Acks: which delivery a tag names, and which acks wait for their confirmation.
//!
//! The library does not send an ack again; whoever gets an outcome other than ok may. A delivery keeps its tag
//! until an ack or term of it is confirmed.

use super::{
    Io,
    deadlines::Due,
    link::Link,
    outcome::{self, Answer},
    settings::ACK_TIMEOUT,
};
use crate::{
    model::{OpId, Output},
    nats::{
        lookup::Lookup,
        protocol::{AckBody, AckToken, ClientMsg, ConsumerId},
    },
};
use squall_bus::{Error, ErrorClass, Outcome, Time};

/// An ack that waits for its confirmation.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    op: OpId,
    tag: u64,
    /// It ends the delivery.
    ends: bool,
    due: Time,
}

/// A consumer's deliveries and acks.
#[derive(Clone, Debug)]
pub(crate) struct Acks {
    confirm: bool,
    tags: u64,
    deliveries: Lookup<u64, (ConsumerId, AckToken)>,
    waiting: Lookup<u64, Waiting>,
}

impl Acks {
    /// With `confirm`, an ack is done when the server confirms it.
    pub(crate) fn new(confirm: bool) -> Self {
        Self { confirm, tags: 0, deliveries: Lookup::default(), waiting: Lookup::default() }
    }

    /// A tag for a delivery that is handed out. Only one that `wants_ack` is remembered.
    pub(crate) fn tag(&mut self, consumer: ConsumerId, token: AckToken, wants_ack: bool) -> u64 {
        self.tags += 1;
        if wants_ack {
            self.deliveries.insert(self.tags, (consumer, token));
        }
        self.tags
    }

    /// Whether no ack waits for its confirmation.
    pub(crate) fn settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Acknowledges a delivery in this way.
    pub(crate) fn ack(&mut self, op: OpId, tag: u64, body: AckBody, link: &mut Link, io: &mut dyn Io) {
        let Some((consumer, token)) = self.deliveries.get(&tag).copied() else {
            let message = "there is no such delivery, or it needs no ack, or it has one";
            let error = Error::new(ErrorClass::Refused, "NO_SUCH_DELIVERY", message);
            return io.emit(Output::Done(op, Outcome::Fail(error)));
        };
        let ends = matches!(body, AckBody::Ack | AckBody::Term);
        if self.confirm {
            let inbox = link.inbox();
            link.send(ClientMsg::Ack(consumer, token, body, Some(inbox)), io);
            let due = link.due_after(ACK_TIMEOUT, Due::Ack(inbox), io);
            self.waiting.insert(inbox, Waiting { op, tag, ends, due });
        } else {
            link.send(ClientMsg::Ack(consumer, token, body, None), io);
            if ends {
                self.deliveries.remove(&tag);
            }
            let error =
                Error::new(ErrorClass::Retriable, "NOT_CONFIRMED", "nobody says what became of the ack");
            io.emit(Output::Done(op, Outcome::Unknown(error, None)));
        }
    }

    /// The server confirms.
    pub(crate) fn confirmed(&mut self, inbox: u64, link: &mut Link, io: &mut dyn Io) {
        let Some(ack) = self.waiting.remove(&inbox) else { return };
        link.deadlines.remove(ack.due, Due::Ack(inbox));
        if ack.ends {
            self.deliveries.remove(&ack.tag);
        }
        io.emit(Output::Done(ack.op, Outcome::Ok(())));
    }

    /// Nobody was there for it, or nobody answered in time; whether it was an ack at all.
    pub(crate) fn over(&mut self, inbox: u64, answer: Answer, link: &mut Link, io: &mut dyn Io) -> bool {
        let Some(ack) = self.waiting.remove(&inbox) else { return false };
        link.deadlines.remove(ack.due, Due::Ack(inbox));
        io.emit(Output::Done(ack.op, outcome::of_ack(answer)));
        true
    }
}
