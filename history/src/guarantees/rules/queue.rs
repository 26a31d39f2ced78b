//! Promises about acknowledged messages and the dead-letter topic.

use super::{Rules, allowed, forbidden, groups::pending};
use crate::{
    Ruling,
    analysis::span,
    checks::Case,
    guarantees::{AckMode, CommitPolicy, Delivery, Dlq},
};

impl Rules<'_> {
    /// Poison that the group has passed is in the dead-letter topic.
    #[must_use]
    pub fn poison_is_kept(&self, passed: bool) -> Ruling {
        let ruling = if let Some(clause) = self.poison() {
            forbidden(clause)
        } else if self.expect.delivery == Some(Delivery::AtMostOnce) {
            allowed("`delivery: at-most-once` lets a group leave records out")
        } else if self.expect.at_least_once() {
            forbidden("a group that commits after processing dead-letters every poison record")
        } else if self.configuration.commit == CommitPolicy::AfterProcessing {
            self.unless_power_was_lost(
                "a group that commits after processing dead-letters every poison record",
            )
        } else {
            allowed("commits ahead of processing may pass a record that is not dead-lettered yet")
        };
        pending(passed, ruling)
    }

    /// What is exhausted comes to the dead-letter topic where the bus itself dead-letters. `drained`: both topics were
    /// read to their ends.
    #[must_use]
    pub fn dead_letters_arrive(&self, drained: bool) -> Ruling {
        let ruling = match (self.poison(), self.configuration.dead_lettering) {
            (Some(clause), _) => forbidden(clause),
            (None, _) if self.expect.at_least_once() => {
                forbidden("at least once: a record is processed or dead-lettered")
            }
            (None, Some(Delivery::AtLeastOnce | Delivery::ExactlyOnce)) => {
                self.unless_power_was_lost("dead_lettering at least once keeps what is exhausted")
            }
            (None, Some(Delivery::AtMostOnce) | None) => {
                allowed("dead_lettering at-most-once may lose what is exhausted")
            }
        };
        match ruling {
            Ruling::ForbiddenBy(clause) if !drained => Ruling::UndecidedBecause(format!(
                "the final drains did not finish, so the record may still be there; {clause}"
            )),
            ruling => ruling,
        }
    }

    /// Only poison is in the dead-letter topic. `given_up`: a handler gave the record up although the plan did
    /// not make it poison.
    #[must_use]
    pub fn only_poison(&self, given_up: bool) -> Ruling {
        match self.poison() {
            Some(clause) => forbidden(clause),
            None if given_up => allowed("a record that a handler gives up is dead-lettered"),
            None => forbidden("only a record that a handler gave up is dead-lettered"),
        }
    }

    /// What was processed is not dead-lettered too.
    #[must_use]
    pub fn either_processed_or_dead(&self) -> Ruling {
        match self.poison() {
            Some(clause) => forbidden(clause),
            None => forbidden("a record is either processed or dead-lettered"),
        }
    }

    /// Poison is in the dead-letter topic once. `repeated`: the record was delivered as often.
    #[must_use]
    pub fn dead_once(&self, repeated: bool) -> Ruling {
        if self.expect.delivery == Some(Delivery::ExactlyOnce) {
            forbidden("`delivery: exactly-once` demands that each poison record is dead-lettered once")
        } else if repeated {
            allowed("a poison record that is delivered again is dead-lettered again: at least once")
        } else {
            match self.poison() {
                Some(clause) => forbidden(clause),
                None => allowed("nothing demands that the dead-letter topic holds a record once"),
            }
        }
    }

    /// A confirmed ack is final.
    #[must_use]
    pub fn acks_are_final(&self, case: Case) -> Ruling {
        match case {
            Case::OnItsWay => allowed("a delivery that was on its way when the ack came still arrives"),
            Case::Unconfirmed => allowed("an ack that nobody confirmed may not have reached the bus"),
            _ => forbidden("a message whose ack is confirmed is not delivered again"),
        }
    }

    /// A message waits for its ack before it comes again. `undated`: it is not known since when it waited.
    #[must_use]
    pub fn ack_time(&self, undated: bool) -> Ruling {
        if self.configuration.ack_mode == AckMode::None {
            return allowed("ack_mode none waits for no ack");
        }
        if undated {
            return allowed("it is not known since when the message waited for its ack");
        }
        let wait = self.configuration.ack_wait.unwrap_or_default();
        forbidden(format!("ack_wait {} passes before a message comes again without a nak", span(wait)))
    }

    /// A message is delivered no more often than the limit. `by_one`: it was exactly one too many.
    #[must_use]
    pub fn delivery_limit(&self, by_one: bool) -> Ruling {
        let limit = self.configuration.max_deliver.unwrap_or_default();
        match self.facts.leader_at_risk() {
            Some(risk) if by_one && self.configuration.extra_delivery_at_leader_change => {
                allowed(format!("the contract allows one delivery more when a leader changes, and {risk}"))
            }
            _ => forbidden(format!("max_deliver {limit} bounds the deliveries of a message")),
        }
    }

    /// A message of a work queue has one holder. `undated`: it is not known since when the first one held it.
    #[must_use]
    pub fn one_holder(&self, undated: bool) -> Ruling {
        if let Some(clause) = self.settled_without_an_ack() {
            return allowed(clause);
        }
        if undated {
            allowed("it is not known since when the message was held: its time may have been over")
        } else {
            forbidden("a message of a work queue has one holder at a time")
        }
    }

    /// No more messages wait for their acks than the limit.
    #[must_use]
    pub fn pending_limit(&self) -> Ruling {
        if let Some(clause) = self.settled_without_an_ack() {
            return allowed(clause);
        }
        let limit = self.configuration.max_ack_pending.unwrap_or_default();
        forbidden(format!("max_ack_pending {limit} bounds the messages that wait for their acks"))
    }

    /// A message lives as long as it was told to. `undated`: it is not known when it was handed out.
    #[must_use]
    pub fn lifetime(&self, undated: bool) -> Ruling {
        if undated {
            allowed("it is not known when the message was handed out: it may still have lived")
        } else {
            forbidden("a message lives for its time to live, and no longer")
        }
    }

    /// A message id is stored once within the window.
    #[must_use]
    pub fn stored_once(&self) -> Ruling {
        let window = self.configuration.dedup_window.unwrap_or_default();
        forbidden(format!("a message id is stored once within dedup_window {}", span(window)))
    }

    /// A message may come out more than once.
    #[must_use]
    pub fn comes_again(&self) -> Ruling {
        allowed("at least once: a message that is not acknowledged in time comes again")
    }

    /// A send of unknown outcome may have happened.
    #[must_use]
    pub fn may_surface(&self) -> Ruling {
        allowed("a send of unknown outcome may have happened")
    }

    /// A read sees what was acknowledged before it began.
    #[must_use]
    pub fn fresh_reads(&self) -> Ruling {
        if self.configuration.linearizable_reads {
            forbidden("linearizable_reads promises that a read sees all that was acknowledged before")
        } else {
            allowed("a read may miss what was acknowledged a short while ago")
        }
    }

    fn poison(&self) -> Option<&'static str> {
        (self.expect.dlq == Some(Dlq::ExactlyThePoison)).then_some(
            "`dlq: exactly-the-poison` demands all the poison in the dead-letter topic and nothing else",
        )
    }

    /// Why a delivery that nobody settled may be settled all the same.
    fn settled_without_an_ack(&self) -> Option<&'static str> {
        match self.configuration.ack_mode {
            AckMode::Each => None,
            AckMode::AllBefore => Some("ack_mode all-before settles with one ack everything before it"),
            AckMode::None => Some("ack_mode none takes a delivery for its ack"),
        }
    }
}
