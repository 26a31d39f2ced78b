//! What consumers of a queue tell the bus of each delivery.

use super::Tale;
use crate::history::{Advice, Completion, Invoke, Observation, OpId, ProcessId, Settlement};
use std::time::Duration;

impl Tale {
    /// The next delivery has this count.
    pub(crate) fn attempt(&mut self, attempt: u32) -> &mut Self {
        self.attempt = Some(attempt);
        self
    }

    /// The consumer settles the last delivery of a value; the bus has not answered yet.
    pub(crate) fn settles(&mut self, value: u64, how: Settlement) -> OpId {
        let (now, process) = (self.tick(), self.history.process(&self.consumer));
        let delivery = self.deliveries[&value];
        self.history.invoke(now, process, Invoke::Settle { delivery, how })
    }

    fn settled(&mut self, value: u64, how: Settlement) -> &mut Self {
        let op = self.settles(value, how);
        let now = self.tick();
        self.history.complete(now, op, Completion::Ok);
        self
    }

    /// An ack that the bus confirms.
    pub(crate) fn acks(&mut self, value: u64) -> &mut Self {
        self.settled(value, Settlement::Ack)
    }

    /// An ack that nobody confirms.
    pub(crate) fn acks_unconfirmed(&mut self, value: u64) -> &mut Self {
        let _ = self.settles(value, Settlement::Ack);
        self
    }

    /// A confirmed nak, with a delay in milliseconds.
    pub(crate) fn naks(&mut self, value: u64, delay: Option<u64>) -> &mut Self {
        self.settled(value, Settlement::Nak { delay: delay.map(Duration::from_millis) })
    }

    /// The consumer gives the message up; confirmed.
    pub(crate) fn terms(&mut self, value: u64) -> &mut Self {
        self.settled(value, Settlement::Term)
    }

    /// The consumer asks for more time; confirmed.
    pub(crate) fn extends(&mut self, value: u64) -> &mut Self {
        self.settled(value, Settlement::Extend)
    }

    /// The bus says that it gave up the message at a position.
    pub(crate) fn advised(&mut self, position: u64, what: Advice) -> &mut Self {
        let group = Some(self.history.group("group"));
        let advisory = Observation::Advisory { group, unit: self.orders, position, what };
        self.observe(ProcessId::HARNESS, advisory)
    }

    /// The next send has this message id.
    pub(crate) fn message(&mut self, id: &str) -> &mut Self {
        let id = self.history.message_id(id);
        self.with(|extra| extra.message_id = Some(id))
    }

    /// A send that the bus answers as a duplicate of what stands at a position.
    pub(crate) fn repeated(&mut self, value: u64, position: u64) -> &mut Self {
        let unit = self.orders;
        self.send(value).complete(value, Completion::Sent { unit, position: Some(position), duplicate: true })
    }

    /// The consumer notes that its ack of a record is certain, without saying which delivery it was for.
    pub(crate) fn notes_an_ack(&mut self, value: u64) -> &mut Self {
        let (group, process) = (Some(self.history.group("group")), self.history.process(&self.consumer));
        self.observe(process, Observation::Acked { group, value })
    }
}
