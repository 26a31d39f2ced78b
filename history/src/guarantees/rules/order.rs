//! Promises about order.

use super::{Rules, allowed, forbidden};
use crate::{
    Ruling,
    guarantees::{Order, Reading},
};

impl Rules<'_> {
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
}
