//! The consumer of payments under a storm: it is killed again and again, a broker once, and every payment must be
//! booked once; what cannot be read must be in the dead-letter topic.

use example_payments::{DEAD, Database, PAYMENTS, Payment, Told, consume, consume_hastily};
use squall::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const PAID: u64 = 150;

#[derive(Clone)]
struct Tables {
    remembered: Table<u64, ()>,
    accounts: Table<String, u64>,
}

/// The database as one service has it: its transactions die with the service.
struct Connection {
    tables: Tables,
    service: Service,
}

impl Connection {
    /// Adds to the account; the transaction conflicts if another does so meanwhile.
    async fn add(&self, both: &mut Transaction, payment: &Payment) {
        let before = both.get(&self.tables.accounts, &payment.account).await.unwrap_or_default();
        both.put(&self.tables.accounts, payment.account.clone(), before + payment.cents);
    }
}

impl Database for Connection {
    async fn remember(&self, payment: u64) -> bool {
        loop {
            let mut remember = self.service.transaction();
            let new = remember.get(&self.tables.remembered, &payment).await.is_none();
            remember.put(&self.tables.remembered, payment, ());
            if remember.commit().await.is_ok() {
                return new;
            }
        }
    }

    async fn book(&self, payment: &Payment) {
        loop {
            let mut book = self.service.transaction();
            self.add(&mut book, payment).await;
            if book.commit().await.is_ok() {
                return;
            }
        }
    }

    async fn book_once(&self, payment: &Payment) {
        loop {
            let mut both = self.service.transaction();
            if both.get(&self.tables.remembered, &payment.id).await.is_none() {
                both.put(&self.tables.remembered, payment.id, ());
                self.add(&mut both, payment).await;
            }
            if both.commit().await.is_ok() {
                return;
            }
        }
    }
}

struct ToSink(Sink);

impl Told for ToSink {
    fn booked(&self, delivery: &Delivery) {
        self.0.processed(delivery);
    }

    fn given_up(&self, delivery: &Delivery) {
        self.0.gave_up(delivery);
    }
}

fn storm(bus: Storm) -> Storm {
    bus.topic(PAYMENTS, 3)
        .topic(DEAD, 1)
        .dead_letters(DEAD)
        .during(Duration::from_secs(30))
        .kill(Role::Client("ledger".into()), 4)
        .kill(Role::Leader(Unit::new(&DEAD.into(), 0)), 1)
}

/// A payment every 100 ms, sent again until it is acknowledged; each tenth record cannot be read.
async fn pay(trial: &Trial) -> Result<BTreeMap<String, u64>, Error> {
    let producer = trial.bus("payer").producer(ProducerConfig::new("payer"))?;
    let mut owed = BTreeMap::new();
    for id in 0..PAID {
        let payment = Payment { id, account: format!("a-{}", id % 7), cents: 100 + id };
        let mut record = payment.record();
        if id % 10 == 9 {
            record.value = format!("?{id}").into();
        } else {
            *owed.entry(payment.account).or_default() += payment.cents;
        }
        loop {
            producer.ready().await?;
            if producer.send(record.clone()).await.is_ok() {
                break;
            }
        }
        trial.clock().sleep(Duration::from_millis(100)).await;
    }
    Ok(owed)
}

fn run(storm: &Storm, hastily: bool) -> Sweep {
    storm.run(move |trial| async move {
        let tables = Tables { remembered: trial.table("remembered"), accounts: trial.table("accounts") };
        let database = tables.clone();
        trial.start("ledger", move |service| {
            let database = Connection { tables: database.clone(), service: service.clone() };
            let told = ToSink(service.sink("ledger"));
            async move {
                let config = ConsumerConfig {
                    session_timeout: Some(Duration::from_secs(6)),
                    ..ConsumerConfig::group("ledger", "ledger", &[PAYMENTS.into()])
                };
                let (Ok(payments), Ok(dead)) =
                    (service.bus().consumer(config), service.bus().producer(ProducerConfig::new("ledger")))
                else {
                    return;
                };
                // A consumer whose client gives up ends; its supervisor is not part of this test.
                let _ = if hastily {
                    consume_hastily(payments, dead, &database, &told).await
                } else {
                    consume(payments, dead, &database, &told).await
                };
            }
        });
        let owed = pay(&trial).await?;
        trial.check("each payment is booked once", move || {
            let booked = tables.accounts.rows();
            let amiss = owed.iter().find(|(account, cents)| booked.get(*account) != Some(*cents));
            match amiss {
                None => Ok(()),
                Some((account, cents)) => {
                    let has = booked.get(account).copied().unwrap_or_default();
                    Err(format!("account {account} has {has} cents, and {cents} were paid"))
                }
            }
        });
        Ok(())
    })
}

/// Both bugs are found: the one by the test's own check, the other by the bus's history.
#[test]
fn the_first_version_loses_payments_and_dead_letters() {
    for bus in [Storm::kafka(), Storm::nats()] {
        let sweep = run(&storm(bus).seeds(0..30), true);
        println!("{sweep}");
        let found: Vec<Finding> = sweep.failures().flat_map(Run::findings).collect();
        assert!(found.contains(&Finding::Check("each payment is booked once".to_owned())), "{sweep}");
        assert!(found.contains(&Finding::Anomaly(Kind::DlqLost)), "{sweep}");
    }
}

#[test]
fn the_second_version_books_each_payment_once() {
    for bus in [Storm::kafka(), Storm::nats()] {
        run(&storm(bus).seeds(0..30), false).assert_valid();
    }
}
