//! A billing service: it reads orders, asks the payment provider, and books what was paid.
//!
//! Plain tokio, and no word of Squall: where orders come from and where bookings go are ports, implemented over a
//! Kafka client and a database in production, and over Squall's bus in the tests.

use std::{future::Future, time::Duration};

/// Where orders come from: a consumer of a topic.
pub trait Orders {
    /// An order as it was delivered.
    type Order: Send;

    /// The next order; `None` when the consumer is finished.
    fn next(&self) -> impl Future<Output = Option<Self::Order>> + Send;

    /// The group goes on behind this order.
    fn commit(&self, order: &Self::Order) -> impl Future<Output = ()> + Send;
}

/// Where bookings go.
pub trait Ledger<Order> {
    /// Books a paid order.
    fn book(&self, order: &Order);
}

/// Asks the payment provider.
async fn charge() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// As it was first written: commits, and then processes. It works on every day on which nothing crashes.
pub async fn bill_hastily<O: Orders>(orders: &O, ledger: &impl Ledger<O::Order>) {
    while let Some(order) = orders.next().await {
        orders.commit(&order).await;
        charge().await;
        ledger.book(&order);
    }
}

/// As it should be: processes, and then commits. A crash in between books an order twice, never not at all.
pub async fn bill<O: Orders>(orders: &O, ledger: &impl Ledger<O::Order>) {
    while let Some(order) = orders.next().await {
        charge().await;
        ledger.book(&order);
        orders.commit(&order).await;
    }
}
