//! A consumer that books payments: each once, however often it is delivered, and what cannot be booked goes to a
//! dead-letter topic.
//!
//! The bus delivers at least once. So the consumer remembers what it has booked, by the id that the payer gave the
//! payment: an offset names a place in a log, and a payment that its producer sent twice stands at two.
//!
//! The bus is that of the traits of `squall-bus`; the database is a port, [`Database`].

use squall_bus::{Consumer, Delivery, Error, Producer, Record, Topic};
use std::{future::Future, sync::Arc, time::Duration};

/// Where payments come from.
pub const PAYMENTS: &str = "payments";
/// Where those go that cannot be booked.
pub const DEAD: &str = "payments.dlq";
/// How often a payment is tried before it is given up.
const ATTEMPTS: u32 = 3;

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Given by the payer.
    pub id: u64,
    /// Whose account.
    pub account: String,
    /// How much.
    pub cents: u64,
}

/// The database, as far as this service uses it. Each call is one transaction.
pub trait Database: Send + Sync {
    /// Remembers a payment: whether it is new.
    fn remember(&self, payment: u64) -> impl Future<Output = bool> + Send;
    /// Adds a payment to its account.
    fn book(&self, payment: &Payment) -> impl Future<Output = ()> + Send;
    /// Remembers a payment and adds it to its account, unless it is remembered already.
    fn book_once(&self, payment: &Payment) -> impl Future<Output = ()> + Send;
}

/// What the service tells about what it did: metrics in production.
pub trait Told: Send + Sync {
    /// A payment is booked, now or earlier.
    fn booked(&self, delivery: &Delivery);
    /// A payment will not be booked.
    fn given_up(&self, delivery: &Delivery);
}

/// As it was first written: remembers and then books, and leaves a dead letter to the client to send.
pub async fn consume_hastily(
    payments: Arc<dyn Consumer>,
    dead: Arc<dyn Producer>,
    database: &impl Database,
    told: &impl Told,
) -> Result<(), Error> {
    loop {
        let delivery = payments.next().await?;
        match tried(&delivery).await {
            Some(payment) => {
                if database.remember(payment.id).await {
                    examine(&payment).await;
                    database.book(&payment).await;
                }
                told.booked(&delivery);
            }
            None => {
                told.given_up(&delivery);
                dead.ready().await?;
                let _ = dead.send(letter(&delivery));
            }
        }
        let _ = payments.ack(&delivery).await;
    }
}

/// As it should be: remembers and books in one transaction, and goes on when the dead letter is acknowledged.
pub async fn consume(
    payments: Arc<dyn Consumer>,
    dead: Arc<dyn Producer>,
    database: &impl Database,
    told: &impl Told,
) -> Result<(), Error> {
    loop {
        let delivery = payments.next().await?;
        match tried(&delivery).await {
            Some(payment) => {
                examine(&payment).await;
                database.book_once(&payment).await;
                told.booked(&delivery);
            }
            None => {
                told.given_up(&delivery);
                bury(&*dead, &delivery).await?;
            }
        }
        // An acknowledgement that fails is made good by the next, or the payment comes again.
        let _ = payments.ack(&delivery).await;
    }
}

/// Has the payment examined by another service, which takes its time.
async fn examine(_payment: &Payment) {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Sends a dead letter until it is acknowledged.
async fn bury(dead: &dyn Producer, delivery: &Delivery) -> Result<(), Error> {
    loop {
        dead.ready().await?;
        if dead.send(letter(delivery)).await.is_ok() {
            return Ok(());
        }
    }
}

/// The payment, after so many attempts as it takes; `None` for one that no attempt can read.
async fn tried(delivery: &Delivery) -> Option<Payment> {
    for attempt in 0..ATTEMPTS {
        if let Some(payment) = Payment::read(&delivery.record) {
            return Some(payment);
        }
        tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
    }
    None
}

fn letter(delivery: &Delivery) -> Record {
    Record::new(&Topic::new(DEAD), delivery.record.key.clone(), delivery.record.value.clone())
}

impl Payment {
    /// The payment as a record.
    #[must_use]
    pub fn record(&self) -> Record {
        let text = format!("{} {} {}", self.id, self.account, self.cents);
        Record::new(&Topic::new(PAYMENTS), Some(self.account.clone().into()), text.into())
    }

    fn read(record: &Record) -> Option<Self> {
        let mut words = std::str::from_utf8(&record.value).ok()?.split(' ');
        let id = words.next()?.parse().ok()?;
        let account = words.next()?.to_owned();
        let cents = words.next()?.parse().ok()?;
        Some(Self { id, account, cents })
    }
}
