//! An order service with an outbox.
//!
//! The shop writes an order and an *outbox row* in one transaction: either both are there, or none. The relay reads
//! the rows that are not sent yet, publishes each as an event, and marks it as sent. The warehouse reads the events
//! and ships. So an order that is in the database is shipped, whatever crashes in between, if the relay does its
//! part right.
//!
//! The bus is that of the traits of `squall-bus`; the database is a port, [`Database`].

use squall_bus::{Consumer, Delivery, Error, Producer, Record, Topic};
use std::{future::Future, sync::Arc, time::Duration};

/// Where the events go.
pub const ORDERS: &str = "orders";
/// How often the relay looks for rows to send.
const LOOK: Duration = Duration::from_millis(50);

/// The database, as far as these services use it. Each call is one transaction.
pub trait Database: Send + Sync {
    /// The number of the next order.
    fn next_order(&self) -> impl Future<Output = u64> + Send;
    /// Writes an order and its outbox row.
    fn place(&self, order: u64) -> impl Future<Output = ()> + Send;
    /// The outbox rows that are not marked as sent, the oldest first.
    fn unsent(&self) -> impl Future<Output = Vec<u64>> + Send;
    /// Marks an outbox row as sent.
    fn mark_sent(&self, order: u64) -> impl Future<Output = ()> + Send;
    /// Ships an order, unless it is shipped already.
    fn ship_once(&self, order: u64, event: &Delivery) -> impl Future<Output = ()> + Send;
}

/// The shop: places an order every 100 ms, until there are so many.
pub async fn shop(database: &impl Database, orders: u64) {
    loop {
        let order = database.next_order().await;
        if order >= orders {
            return;
        }
        database.place(order).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The relay as it was first written: it hands the event to the client, which sends it in the background, and marks
/// the row.
pub async fn relay_hastily(database: &impl Database, bus: Arc<dyn Producer>) -> Result<(), Error> {
    loop {
        for order in database.unsent().await {
            bus.ready().await?;
            drop(bus.send(event(order)));
            database.mark_sent(order).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The relay as it should be: it marks a row when the bus has acknowledged the event. What is not acknowledged is sent
/// again; a crash between the two sends an event twice, never not at all.
pub async fn relay(database: &impl Database, bus: Arc<dyn Producer>) -> Result<(), Error> {
    loop {
        for order in database.unsent().await {
            bus.ready().await?;
            if bus.send(event(order)).await.is_ok() {
                database.mark_sent(order).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The warehouse: ships what was ordered.
pub async fn warehouse(database: &impl Database, events: Arc<dyn Consumer>) -> Result<(), Error> {
    loop {
        let event = events.next().await?;
        if let Some(order) = order_of(&event.record) {
            database.ship_once(order, &event).await;
        }
        // An acknowledgement that fails is made good by the next, or the event comes again.
        let _ = events.ack(&event).await;
    }
}

fn event(order: u64) -> Record {
    let customer = format!("customer-{}", order % 20);
    Record::new(&Topic::new(ORDERS), Some(customer.into()), format!("order {order}").into())
}

fn order_of(record: &Record) -> Option<u64> {
    std::str::from_utf8(&record.value).ok()?.strip_prefix("order ")?.parse().ok()
}
