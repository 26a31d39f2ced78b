//! What is forbidden, and by which clause: table 1f of the reference as functions, one per promise.
//!
//! | promise | acks=0 | acks=1 | acks=all | idempotent |
//! |---|---|---|---|---|
//! | an acknowledged record survives | allowed | allowed if a leader may have changed | forbidden, unless as many nodes as `min_insync` lost power under lazy fsync | the same |
//! | a record stands once in the log | allowed | allowed | allowed | forbidden |
//! | sends of one session keep their order | allowed | allowed | allowed if several are in flight and retried | forbidden |
//! | one record per position, nothing but what was sent | forbidden | forbidden; a reused place of a record that may be lost is allowed | forbidden | forbidden |
//! | a reader of assigned units leaves nothing out | forbidden | forbidden | forbidden | forbidden |
//! | readers are not shown what is aborted | with isolation read-committed | the same | the same | the same |
//!
//! Unclean elections allow loss and reuse once a fault struck; so does a contract that says how many nodes may fail at
//! once, when more did. [`Expect`] can only add to what is forbidden, with one exception: `delivery: at-most-once`
//! allows consumers to leave records out. Whatever needs a clock is undecided while nobody knows how far clocks may be
//! off, and whatever needs a declaration (`max_deliver`, `ack_wait`, `pipelines`, ...) is only looked for where it is
//! made. The promises about groups, order, queues and transactions have a file each; a test holds them all against the
//! reference, cell by cell.

mod groups;
mod order;
mod queue;
mod transactions;

pub(crate) use transactions::given_up;

use super::{Configuration, Delivery, Expect, Fsync, Log};
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
        if let Some(clause) = self.beyond_contract() {
            return allowed(clause);
        }
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

    /// Why more was broken at once than the contract covers.
    fn beyond_contract(&self) -> Option<String> {
        let (limit, down) = (self.configuration.faults_tolerated?, self.facts.most_nodes_broken);
        (down > limit).then(|| {
            format!("faults_tolerated {limit} promises nothing when more nodes fail at once, and {down} did")
        })
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
            Ruling::ForbiddenBy(_) if !drained && self.configuration.whole_reads => {
                allowed("nobody is promised to read a list after its last record was written")
            }
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
            self.unless_power_was_lost("an idempotent producer's session appends each record once")
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

    /// Who sends after an ack stands behind it.
    #[must_use]
    pub fn real_time(&self) -> Ruling {
        match self.promised_survival() {
            Ruling::AllowedBy(clause) => {
                allowed(format!("the place of a record that may be lost may be used again: {clause}"))
            }
            _ => forbidden("a log gives places in the order of real time"),
        }
    }

    /// The end of a log and its leader epochs go up only.
    #[must_use]
    pub fn no_regression(&self) -> Ruling {
        match self.promised_survival() {
            Ruling::AllowedBy(clause) => allowed(format!("a log may lose its end: {clause}")),
            _ => forbidden("the end of a log and its leader epochs never go down"),
        }
    }

    /// What a consumer has read stays.
    #[must_use]
    pub fn no_truncation(&self) -> Ruling {
        match self.promised_survival() {
            Ruling::AllowedBy(clause) => allowed(format!("a log may lose its end: {clause}")),
            _ => forbidden("what a consumer was handed is in the log for good"),
        }
    }

    /// A record stays as long as its topic's retention says. `kept`: it stayed longer.
    #[must_use]
    pub fn retention(&self, kept: bool) -> Ruling {
        if kept {
            return allowed("retention says how long a record stays at least");
        }
        self.if_clocks_are_known("a record stays as long as its topic's retention says")
    }

    /// What is only certain when it is known how far clocks may be off.
    pub(crate) fn if_clocks_are_known(&self, clause: &str) -> Ruling {
        match self.facts.clock_bound {
            Some(_) => forbidden(clause),
            None => Ruling::UndecidedBecause(format!(
                "nobody knows how far clocks may be off (clock_bound); {clause}"
            )),
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

    /// What `expect.delivery` demands, in the words of scenario files.
    fn delivery(&self) -> &'static str {
        match self.expect.delivery {
            Some(Delivery::AtMostOnce) => "at-most-once",
            Some(Delivery::ExactlyOnce) => "exactly-once",
            Some(Delivery::AtLeastOnce) | None => "at-least-once",
        }
    }
}

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
