//! The domain: a shop with orders, stock, payments and customers.
//!
//! Every event is a function of (producer, ordinal) and the seed. An order has four events, from its
//! creation to its end, all sent by one producer and about one customer; eight orders of a producer are open
//! at a time, so that their events interleave. A producer registers its share of the customers before it
//! changes any of them.

use crate::format::{KeyChoice, PayloadKind, Producers};
use squall_sim::kernel::{Choices, Site, mix};
use std::fmt::Write as _;

const CUSTOMER: Site = Site::new("plan.shop.customer");
const PRICE: Site = Site::new("plan.shop.price");
const ENDING: Site = Site::new("plan.shop.ending");

/// Orders of one producer that are open at a time.
const OPEN_ORDERS: u64 = 8;
/// Events of one order.
const PHASES: u64 = 4;

/// What one producer knows of the shop.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    payload: PayloadKind,
    key: KeyChoice,
    customers: u64,
    /// Customers that this producer registers.
    own_customers: u64,
    producer: u32,
}

/// One event of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type: `order.created`.
    pub(super) kind: &'static str,
    customer: String,
    order: Option<String>,
    /// The type's own fields, as JSON members.
    pub(super) data: String,
}

/// Where an order stands.
struct OrderEvent {
    number: u64,
    phase: u64,
    /// The order as an entity of the seed.
    entity: u64,
}

impl Shop {
    /// The shop of producer `producer`, which is number `share` of its group, from 0.
    pub(super) fn new(group: &Producers, producer: u32, share: u32) -> Self {
        let (customers, count) = (u64::from(group.customers.get()), u64::from(group.count.get()));
        let extra = u64::from(u64::from(share) < customers % count);
        Self {
            payload: group.payload,
            key: group.key,
            customers,
            own_customers: (customers / count + extra).max(1),
            producer,
        }
    }

    /// The record key of an event.
    pub(super) fn key<'e>(&self, event: &'e Event) -> Option<&'e str> {
        match self.key {
            KeyChoice::CustomerId => Some(&event.customer),
            KeyChoice::OrderId => event.order.as_deref(),
            KeyChoice::None => None,
        }
    }

    /// This producer's event number `ordinal`, from 0.
    pub(super) fn event(&self, choices: &Choices, ordinal: u64, value: u64) -> Event {
        match self.payload {
            PayloadKind::Customers => self.customer_event(choices, ordinal, value),
            PayloadKind::Orders => self.of_order(choices, ordinal, orders),
            PayloadKind::Inventory => self.of_order(choices, ordinal, inventory),
            PayloadKind::Payments => self.of_order(choices, ordinal, payments),
        }
    }

    fn of_order(
        &self,
        choices: &Choices,
        ordinal: u64,
        fields: fn(&Choices, &OrderEvent) -> (&'static str, String),
    ) -> Event {
        let block = ordinal / (OPEN_ORDERS * PHASES);
        let number = block * OPEN_ORDERS + ordinal % OPEN_ORDERS;
        let phase = ordinal / OPEN_ORDERS % PHASES;
        let order = OrderEvent { number, phase, entity: mix(u64::from(self.producer), number) };
        let customer = choices.below(CUSTOMER, order.entity, 0, self.customers) + 1;
        let (kind, data) = fields(choices, &order);
        Event {
            kind,
            customer: format!("customer-{customer}"),
            order: Some(format!("order-{}-{}", self.producer, order.number + 1)),
            data,
        }
    }

    fn customer_event(&self, choices: &Choices, ordinal: u64, value: u64) -> Event {
        let registers = ordinal < self.own_customers;
        let number = if registers { ordinal } else { choices.below(CUSTOMER, value, 0, self.own_customers) };
        let tier = ["basic", "silver", "gold"][pick(choices, value, 3)];
        let kind = match (registers, choices.below(ENDING, value, 0, 4)) {
            (true, _) => "customer.registered",
            (false, 0) => "customer.address_changed",
            (false, _) => "customer.profile_updated",
        };
        let data = format!(r#""tier":"{tier}","version":{ordinal}"#);
        Event { kind, customer: format!("customer-{}-{}", self.producer, number + 1), order: None, data }
    }
}

impl Event {
    /// The members of the payload that say what happened.
    pub(super) fn write(&self, into: &mut String) {
        // Writing into a string cannot fail.
        let _ = write!(into, r#""type":"{}","customer_id":"{}""#, self.kind, self.customer);
        if let Some(order) = &self.order {
            let _ = write!(into, r#","order_id":"{order}""#);
        }
        into.push(',');
        into.push_str(&self.data);
    }
}

fn pick(choices: &Choices, entity: u64, of: u64) -> usize {
    usize::try_from(choices.below(PRICE, entity, 1, of)).unwrap_or(0)
}

fn cents(choices: &Choices, order: &OrderEvent) -> u64 {
    choices.between(PRICE, order.entity, 0, 199, 19_999)
}

fn orders(choices: &Choices, order: &OrderEvent) -> (&'static str, String) {
    let cancelled = choices.below(ENDING, order.entity, 0, 8) == 0;
    let kind = match (order.phase, cancelled) {
        (0, _) => "order.created",
        (1 | 2, _) => "order.updated",
        (_, false) => "order.completed",
        (_, true) => "order.cancelled",
    };
    let quantity = pick(choices, order.entity, 5) + 1;
    (
        kind,
        format!(
            r#""items":{quantity},"total_cents":{},"version":{}"#,
            cents(choices, order),
            order.phase + 1
        ),
    )
}

fn inventory(choices: &Choices, order: &OrderEvent) -> (&'static str, String) {
    let kind = match order.phase {
        0 => "inventory.reserved",
        1 | 2 => "inventory.updated",
        _ => "inventory.released",
    };
    let sku = choices.below(PRICE, order.entity, 2, 500) + 1;
    let quantity = pick(choices, order.entity, 5) + 1;
    (kind, format!(r#""sku":"sku-{sku}","quantity":{quantity},"version":{}"#, order.phase + 1))
}

fn payments(choices: &Choices, order: &OrderEvent) -> (&'static str, String) {
    let failed = choices.below(ENDING, order.entity, 0, 10) == 0;
    let kind = match (order.phase, failed) {
        (0, _) => "payment.requested",
        (1, _) => "payment.authorized",
        (2, false) => "payment.processed",
        (2, true) => "payment.failed",
        (_, false) => "payment.settled",
        (_, true) => "payment.closed",
    };
    let method = ["card", "invoice", "transfer"][pick(choices, order.entity, 3)];
    (kind, format!(r#""method":"{method}","cents":{},"version":{}"#, cents(choices, order), order.phase + 1))
}
