//! What is forbidden, and by which clause: table 1f of the reference as functions, one per promise.
//!
//! | promise | acks=0 | acks=1 | acks=all | idempotent |
//! |---|---|---|---|---|
//! | an acknowledged record survives | allowed | allowed if a leader may have changed | forbidden, unless as many nodes as `min_insync` lost power under lazy fsync | the same |
//! | a record stands once in the log | allowed | allowed | allowed | forbidden |
//! | sends of one session keep their order | allowed | allowed | allowed if several are in flight and retried | forbidden |
//! | one record per position, nothing but what was sent | forbidden | forbidden; a reused place of a record that may be lost is allowed | forbidden | forbidden |
//!
//! Unclean elections allow loss and reuse once a fault struck. [`Expect`] can only add to what is forbidden, with
//! one exception: `delivery: at-most-once` allows consumers to leave records out.

use super::{CommitPolicy, Configuration, Delivery, Dlq, Expect, Fsync, Log, Order, Reading};
use crate::{Ruling, analysis::Facts};
use squall_bus::Acks;

/// The guarantees of one run, with what befell it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What the bus promises.
    pub configuration: &'a Configuration,
    /// What the scenario demands.
    pub expect: &'a Expect,
    /// What befell the run.
    pub facts: &'a Facts,
}

fn forbidden(clause: impl Into<String>) -> Ruling {
    Ruling::ForbiddenBy(clause.into())
}

fn allowed(clause: impl Into<String>) -> Ruling {
    Ruling::AllowedBy(clause.into())
}

impl Rules<'_> {
    /// An acknowledged record survives in the log.
    #[must_use]
    pub fn survival(&self) -> Ruling {
        if self.expect.at_least_once() {
            return forbidden(format!(
                "`delivery: {}` demands that every acknowledged record survives",
                self.delivery()
            ));
        }
        self.promised_survival()
    }

    /// The same, by the configuration alone.
    fn promised_survival(&self) -> Ruling {
        let risk = self.facts.leader_at_risk();
        if let (true, Some(risk)) = (self.configuration.unclean_election, &risk) {
            return allowed(format!(
                "unclean elections are on, and {risk}: a leader that lacks records may be elected"
            ));
        }
        match (self.configuration.acks, risk) {
            (Acks::None, _) => allowed("acks=0 promises nothing"),
            (Acks::One, Some(risk)) => {
                allowed(format!("acks=1 promises a record only while its leader lives, and {risk}"))
            }
            (Acks::One, None) => {
                forbidden("acks=1 promises a record while its leader lives, and nothing befell a leader")
            }
            (Acks::All, _) => self.survival_of_power(),
        }
    }

    fn survival_of_power(&self) -> Ruling {
        match self.power_loss() {
            Some(clause) => allowed(clause),
            None => forbidden("acks=all promises that an acknowledged record survives"),
        }
    }

    /// Why a log may have lost its end on every copy at once, records that were read among them: places are then
    /// used again, and groups stand where nothing is any more.
    fn power_loss(&self) -> Option<String> {
        let (lost, need) = (self.facts.powerless.len(), self.configuration.min_insync as usize);
        (self.configuration.fsync == Fsync::Lazy && lost > 0 && lost >= need).then(|| {
            format!(
                "acks=all with lazy fsync survives the loss of power of fewer nodes than min_insync {need}, and {lost} lost it"
            )
        })
    }

    /// What the configuration promises by itself, unless whole logs may have lost their ends.
    fn unless_power_was_lost(&self, clause: &str) -> Ruling {
        match self.power_loss() {
            Some(loss) => allowed(format!("a log whose end is lost is written anew: {loss}")),
            None => forbidden(clause),
        }
    }

    /// A record that was never read, nor anything behind it: forbidden like a loss, if the drain finished.
    #[must_use]
    pub fn sight(&self, drained: bool) -> Ruling {
        match self.survival() {
            Ruling::ForbiddenBy(clause) if !drained => Ruling::UndecidedBecause(format!(
                "the final drain did not finish, so the record may still be there; {clause}"
            )),
            ruling => ruling,
        }
    }

    /// A record stands once in the log.
    #[must_use]
    pub fn single_append(&self) -> Ruling {
        if self.expect.log == Some(Log::ExactlyOnce) {
            forbidden("`log: exactly-once` demands that a record stands once in the log")
        } else if self.configuration.idempotent {
            forbidden("an idempotent producer's session appends each record once")
        } else {
            allowed("a producer without idempotence may append a record again when it retries")
        }
    }

    /// One position holds one record. `read_twice`: two readers disagree, not just an ack and a reader.
    #[must_use]
    pub fn single_value(&self, read_twice: bool) -> Ruling {
        const CLAUSE: &str = "a position holds one record for good, on every replica";
        match (read_twice, self.survival()) {
            (false, Ruling::AllowedBy(clause)) => {
                allowed(format!("the place of a record that may be lost may be used again: {clause}"))
            }
            (true, Ruling::AllowedBy(clause)) if self.configuration.unclean_election => allowed(clause),
            (true, Ruling::AllowedBy(_)) => self.unless_power_was_lost(CLAUSE),
            _ => forbidden(CLAUSE),
        }
    }

    /// Only what was sent is read.
    #[must_use]
    pub fn only_what_was_sent(&self) -> Ruling {
        forbidden("a bus delivers only what was sent to it")
    }

    /// What definitely failed is not there.
    #[must_use]
    pub fn failure_is_final(&self) -> Ruling {
        forbidden("a send that failed definitely did not happen")
    }

    /// The payload arrives as it was sent.
    #[must_use]
    pub fn intact(&self) -> Ruling {
        forbidden("a payload arrives as it was sent")
    }

    /// The sends of one session stand in the order in which they were made.
    #[must_use]
    pub fn send_order(&self) -> Ruling {
        match self.order_clause() {
            Some(clause) => self.unless_power_was_lost(clause),
            None => allowed("retries with several requests in flight may overtake each other"),
        }
    }

    fn order_clause(&self) -> Option<&'static str> {
        let configuration = self.configuration;
        if configuration.idempotent {
            Some("an idempotent producer's session keeps the order of its sends")
        } else if configuration.max_in_flight == Some(1) {
            Some("one request in flight keeps the order of sends")
        } else if configuration.retries == Some(0) {
            Some("without retries sends keep their order")
        } else {
            None
        }
    }

    /// Records of one key stand in the log in the order in which a session sent them.
    #[must_use]
    pub fn key_order_in_log(&self) -> Ruling {
        self.key_order().unwrap_or_else(|| self.send_order())
    }

    /// Records of one key are first delivered in log order.
    #[must_use]
    pub fn key_order_of_deliveries(&self) -> Ruling {
        self.key_order().unwrap_or_else(|| match self.configuration.reading {
            Reading::Assign => {
                self.unless_power_was_lost("a reader of assigned units reads each in the order of its log")
            }
            Reading::Share => allowed("nothing demands an order, and the members share the records out"),
            Reading::Subscribe => {
                allowed("nothing demands an order, and a jump of a group is judged on its own")
            }
        })
    }

    fn key_order(&self) -> Option<Ruling> {
        (self.expect.order == Some(Order::PerKey))
            .then(|| forbidden("`order: per-key` demands that records of one key keep their order"))
    }

    /// A group goes on where it committed.
    #[must_use]
    pub fn no_jump(&self) -> Ruling {
        match self.expect.delivery {
            Some(Delivery::AtMostOnce) => allowed("`delivery: at-most-once` lets a group leave records out"),
            Some(_) => forbidden(format!(
                "`delivery: {}` demands that a group leaves no record out",
                self.delivery()
            )),
            None => self.unless_power_was_lost("a group goes on where it committed"),
        }
    }

    /// A group processes every acknowledged record. `passed`: it is certain that the group will not come back.
    #[must_use]
    pub fn processing(&self, passed: bool) -> Ruling {
        let ruling = match (self.expect.delivery, self.configuration.commit) {
            (Some(Delivery::AtMostOnce), _) => {
                allowed("`delivery: at-most-once` lets a group leave records out")
            }
            (Some(_), _) => forbidden(format!(
                "`delivery: {}` demands that every acknowledged record is processed or dead-lettered",
                self.delivery()
            )),
            (None, CommitPolicy::AfterProcessing) => self.unless_power_was_lost(
                "a group that commits after processing processes every record at least once",
            ),
            (None, CommitPolicy::BeforeProcessing) => {
                allowed("a group that commits before processing processes each record at most once")
            }
            (None, CommitPolicy::Auto) => {
                allowed("commits on a timer may pass a record that is not processed yet")
            }
        };
        pending(passed, ruling)
    }

    /// A group processes no record twice.
    #[must_use]
    pub fn no_repeat(&self) -> Ruling {
        if self.expect.at_most_once() {
            forbidden(format!("`delivery: {}` demands that no record is processed twice", self.delivery()))
        } else {
            allowed("processing at least once repeats a record when it is delivered again")
        }
    }

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

    fn poison(&self) -> Option<&'static str> {
        (self.expect.dlq == Some(Dlq::ExactlyThePoison)).then_some(
            "`dlq: exactly-the-poison` demands all the poison in the dead-letter topic and nothing else",
        )
    }

    fn delivery(&self) -> &'static str {
        match self.expect.delivery {
            Some(Delivery::AtMostOnce) => "at-most-once",
            Some(Delivery::ExactlyOnce) => "exactly-once",
            Some(Delivery::AtLeastOnce) | None => "at-least-once",
        }
    }
}

fn pending(passed: bool, ruling: Ruling) -> Ruling {
    match ruling {
        Ruling::ForbiddenBy(clause) if !passed => Ruling::UndecidedBecause(format!(
            "the group had not passed the record when the run ended; {clause}"
        )),
        ruling => ruling,
    }
}

#[cfg(test)]
mod tests;
