//! Promises about order.

use super::{Rules, allowed, forbidden};
use crate::{
    Ruling,
    analysis::span,
    checks::Case,
    guarantees::{Order, Reading},
};

/// Why what nobody acknowledged may stand late.
const UNANSWERED: &str =
    "a request that its client gave up may still be taken, after what was sent on another connection";

impl Rules<'_> {
    /// The sends of one session stand in the order in which they were made. `unanswered`: what stands behind a later one
    /// was never acknowledged.
    ///
    /// A request on a connection that its client gave up may still be taken, after those on the next connection: without
    /// idempotence what nobody acknowledged may stand anywhere behind its turn. Without retries, with several
    /// requests in flight, a client may besides send again, uncounted, what was refused for want of a leader (librdkafka's
    /// `rd_kafka_handle_Produce_error`), or have requests at two leaders, the first of which leads once more.
    #[must_use]
    pub fn send_order(&self, unanswered: bool) -> Ruling {
        match (self.order_clause(), self.facts.leader_at_risk()) {
            (Some(_), _) if unanswered && !self.configuration.idempotent => allowed(UNANSWERED),
            (Some(clause), _) => self.unless_power_was_lost(clause),
            (None, _) if self.configuration.retries != Some(0) => {
                allowed("retries with several requests in flight may overtake each other")
            }
            (None, _) if unanswered => allowed(UNANSWERED),
            (None, Some(risk)) => allowed(format!(
                "what is refused for want of a leader is sent again without being counted as a retry, and {risk}"
            )),
            (None, None) => {
                forbidden("without retries what is acknowledged keeps its order, and nothing befell a leader")
            }
        }
    }

    fn order_clause(&self) -> Option<&'static str> {
        let configuration = self.configuration;
        if configuration.idempotent {
            Some("an idempotent producer's session keeps the order of its sends")
        } else if configuration.max_in_flight == Some(1) {
            Some("one request in flight keeps the order of sends")
        } else {
            None
        }
    }

    /// Records of one key stand in the log in the order in which a session sent them.
    #[must_use]
    pub fn key_order_in_log(&self, unanswered: bool) -> Ruling {
        self.key_order().unwrap_or_else(|| self.send_order(unanswered))
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

    /// A reader's next operation goes on where the last one ended, and leaves nothing out.
    #[must_use]
    pub fn no_skip(&self, case: Case) -> Ruling {
        match case {
            Case::Assigned => self.unless_power_was_lost(
                "a reader of assigned units goes on where it was, and leaves nothing out",
            ),
            _ => allowed(
                "a rebalance moves the readers of a group, and a jump of the group is judged on its own",
            ),
        }
    }

    /// A reader's next operation does not go back.
    #[must_use]
    pub fn no_return(&self, case: Case) -> Ruling {
        match case {
            Case::Assigned => self.unless_the_log_moved("a reader of assigned units goes on where it was"),
            _ => allowed("a group reads again from its commit: at least once"),
        }
    }

    /// One operation's reads leave nothing out.
    #[must_use]
    pub fn no_inner_skip(&self) -> Ruling {
        self.unless_power_was_lost("the records of one poll follow each other in their unit")
    }

    /// One operation's reads do not go back.
    #[must_use]
    pub fn no_inner_return(&self) -> Ruling {
        self.unless_the_log_moved("the records of one poll follow each other in their unit")
    }

    /// What holds unless the end of the log may have been taken back under its readers.
    fn unless_the_log_moved(&self, clause: &str) -> Ruling {
        match (self.promised_survival(), self.facts.leader_at_risk()) {
            (Ruling::AllowedBy(loss), _) => allowed(format!("a reader goes back when the log does: {loss}")),
            (_, Some(risk)) if !self.configuration.reads_committed() => allowed(format!(
                "a reader of uncommitted records may go back when a leader changes, and {risk}"
            )),
            _ => forbidden(clause),
        }
    }

    /// The sends of one transaction may be parted by those of others.
    #[must_use]
    pub fn interleaving(&self) -> Ruling {
        allowed("transactions interleave in the log")
    }

    /// A reader is not further behind than `lag` says.
    #[must_use]
    pub fn freshness(&self) -> Ruling {
        match self.expect.lag {
            Some(bound) => forbidden(format!("`lag: < {}` bounds the worst reader", span(bound))),
            None => allowed("nothing bounds how far a reader may be behind"),
        }
    }
}
