//! The billing service under a storm: its process and the broker that it reads from are killed, over 100 seeds.

use first_use::{Ledger, Orders, bill, bill_hastily};
use squall::prelude::*;
use std::{sync::Arc, time::Duration};

/// The service's ports over Squall's bus.
struct FromBus(Arc<dyn Consumer>);
struct ToSink(Sink);

impl Orders for FromBus {
    type Order = Delivery;

    async fn next(&self) -> Option<Delivery> {
        self.0.next().await.ok()
    }

    async fn commit(&self, order: &Delivery) {
        // A commit that fails is made good by the next.
        let _ = self.0.ack(order).await;
    }
}

impl Ledger<Delivery> for ToSink {
    fn book(&self, order: &Delivery) {
        self.0.processed(order);
    }
}

fn ports(service: &Service) -> Result<(FromBus, ToSink), Error> {
    let config = ConsumerConfig {
        session_timeout: Some(Duration::from_secs(6)),
        ..ConsumerConfig::group("billing", "billing", &["orders".into()])
    };
    Ok((FromBus(service.bus().consumer(config)?), ToSink(service.sink("billing"))))
}

/// A shop that places an order every 200 ms for a minute.
async fn shop(bus: Arc<dyn Bus>) -> Result<(), Error> {
    let producer = bus.producer(ProducerConfig::new("shop"))?;
    for n in 0..300 {
        let customer = format!("customer-{}", n % 20);
        producer.ready().await?;
        let order = Record::new(&"orders".into(), Some(customer.into()), format!("order {n}").into());
        drop(producer.send(order)); // the shop does not wait for the outcome of each
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    producer.flush().await
}

fn storm() -> Storm {
    Storm::kafka()
        .seeds(0..100)
        .topic("orders", 3)
        .during(Duration::from_secs(60))
        .kill(Role::Client("billing".into()), 3)
        .kill(Role::Leader(Unit::new(&"orders".into(), 0)), 1)
}

#[test]
fn committing_before_processing_loses_orders() {
    let sweep = storm().run(|trial| async move {
        trial.start("billing", |service| async move {
            if let Ok((orders, ledger)) = ports(&service) {
                bill_hastily(&orders, &ledger).await;
            }
        });
        shop(trial.bus("shop")).await
    });
    println!("{sweep}");
    // Every seed shows the danger: a commit that passes an order in hand. A crash in between loses it.
    let finds = |kind: Kind| move |run: &&Run| run.forbidden().any(|anomaly| anomaly.kind == kind);
    assert_eq!(sweep.failures().filter(finds(Kind::CommittedTooFar)).count(), sweep.runs.len());
    let lost: Vec<&Run> = sweep.failures().filter(finds(Kind::Unprocessed)).collect();
    assert!(lost.len() >= sweep.runs.len() / 10, "orders are lost in {} seeds only", lost.len());
    for run in lost {
        let story = run.forbidden().map(Anomaly::story).collect::<String>();
        assert!(story.contains("No handler ever processed it: it was delivered once"), "{story}");
        assert!(story.contains("`kill client(billing)` struck"), "{story}");
    }
}

#[test]
fn committing_after_processing_loses_none() {
    let sweep = storm().run(|trial| async move {
        trial.start("billing", |service| async move {
            if let Ok((orders, ledger)) = ports(&service) {
                bill(&orders, &ledger).await;
            }
        });
        shop(trial.bus("shop")).await
    });
    sweep.assert_valid();
}
