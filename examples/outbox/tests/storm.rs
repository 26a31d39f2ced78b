//! The outbox under a storm: the relay and the leader of a partition are killed, and every order must be shipped.

mod tutorial;

use example_outbox::{Database, ORDERS, relay, relay_hastily, shop, warehouse};
use squall::prelude::*;
use std::time::Duration;

const PLACED: u64 = 200;

/// The database: three tables of the trial.
#[derive(Clone)]
struct Tables {
    orders: Table<u64, ()>,
    /// Whether the event of an order is marked as sent.
    outbox: Table<u64, bool>,
    shipments: Table<u64, ()>,
}

/// The database as one service has it: its transactions die with the service.
struct Connection {
    tables: Tables,
    service: Service,
    sink: Option<Sink>,
}

impl Database for Connection {
    async fn next_order(&self) -> u64 {
        self.service.transaction().rows(&self.tables.orders).await.len() as u64
    }

    async fn place(&self, order: u64) {
        let mut both = self.service.transaction();
        both.put(&self.tables.orders, order, ());
        both.put(&self.tables.outbox, order, false);
        both.commit().await.expect("it read nothing that could conflict");
    }

    async fn unsent(&self) -> Vec<u64> {
        let rows = self.service.transaction().rows(&self.tables.outbox).await;
        rows.into_iter().filter(|(_, sent)| !sent).map(|(order, _)| order).collect()
    }

    async fn mark_sent(&self, order: u64) {
        let mut mark = self.service.transaction();
        mark.put(&self.tables.outbox, order, true);
        mark.commit().await.expect("it read nothing that could conflict");
    }

    async fn ship_once(&self, order: u64, event: &Delivery) {
        loop {
            let mut ship = self.service.transaction();
            if ship.get(&self.tables.shipments, &order).await.is_none() {
                ship.put(&self.tables.shipments, order, ());
            }
            if ship.commit().await.is_ok() {
                break;
            }
        }
        if let Some(sink) = &self.sink {
            sink.processed(event);
        }
    }
}

/// A minute of orders, while the relay and a broker are killed now and then.
fn storm(bus: Storm) -> Storm {
    bus.named("outbox")
        .topic(ORDERS, 3)
        .during(Duration::from_secs(20))
        .kill(Role::Client("relay".into()), 3)
        .kill(Role::Client("warehouse".into()), 1)
        .kill(Role::Leader(Unit::new(&ORDERS.into(), 0)), 1)
}

fn run(storm: &Storm, hastily: bool) -> Sweep {
    storm.run(move |trial| async move {
        let tables = Tables {
            orders: trial.table("orders"),
            outbox: trial.table("outbox"),
            shipments: trial.table("shipments"),
        };
        let connect = {
            let tables = tables.clone();
            move |service: &Service| Connection {
                tables: tables.clone(),
                service: service.clone(),
                sink: None,
            }
        };
        let database = connect.clone();
        trial.start("shop", move |service| {
            let database = database(&service);
            async move { shop(&database, PLACED).await }
        });
        let database = connect.clone();
        trial.start("relay", move |service| {
            let database = database(&service);
            async move {
                let Ok(producer) = service.bus().producer(ProducerConfig::new("relay")) else { return };
                // A relay whose client gives up ends; its supervisor is not part of this test.
                let _ = if hastily {
                    relay_hastily(&database, producer).await
                } else {
                    relay(&database, producer).await
                };
            }
        });
        trial.start("warehouse", move |service| {
            let database = Connection { sink: Some(service.sink("warehouse")), ..connect(&service) };
            async move {
                let config = ConsumerConfig {
                    session_timeout: Some(Duration::from_secs(6)),
                    ..ConsumerConfig::group("warehouse", "warehouse", &[ORDERS.into()])
                };
                let Ok(events) = service.bus().consumer(config) else { return };
                let _ = warehouse(&database, events).await;
            }
        });

        let outbox = tables.outbox.clone();
        trial.eventually("the outbox is empty", move || outbox.rows().values().all(|sent| *sent));
        let done = tables.clone();
        trial.check("every order is shipped once", move || every_order_is_shipped_once(&done));
        while (tables.orders.rows().len() as u64) < PLACED {
            trial.clock().sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
}

fn every_order_is_shipped_once(tables: &Tables) -> Result<(), String> {
    let orders = tables.orders.rows();
    let amiss = |order: &&u64| tables.shipments.writes(order) != 1;
    match (orders.keys().filter(amiss).count(), orders.keys().find(amiss)) {
        (_, None) => Ok(()),
        (count, Some(order)) => {
            let times = tables.shipments.writes(order);
            Err(format!(
                "{count} of {} orders are not: order {order} was shipped {times} times",
                orders.len()
            ))
        }
    }
}

/// The bug is found by the test's own check: to the bus nothing is lost that it never acknowledged.
fn found_and_shrunk(bus: Storm) -> Sweep {
    let sweep = run(&storm(bus).seeds(0..10), true);
    println!("{sweep}");
    let check = Finding::Check("every order is shipped once".to_owned());
    assert!(sweep.runs.iter().filter(|run| run.findings() == [check.clone()]).count() > 5, "{sweep}");
    let first = sweep.runs.iter().find(|run| !run.is_valid()).expect("a failing seed");
    let shrunk = first.shrunk.as_ref().expect("it is shrunk");
    assert_eq!(shrunk.finding, check);
    assert!(shrunk.run.faults.len() < first.faults.len(), "{sweep}");
    assert!(first.capsule.as_ref().is_some_and(|capsule| capsule.is_file()), "{sweep}");
    sweep
}

#[test]
fn marking_before_the_ack_loses_orders_on_kafka() {
    let sweep = found_and_shrunk(Storm::kafka());
    tutorial::holds(&sweep.to_string());
}

#[test]
fn marking_before_the_ack_loses_orders_on_nats() {
    found_and_shrunk(Storm::nats());
}

/// What the corpus was written for is still found where it is, and gone where it is mended.
#[test]
fn marking_after_the_ack_loses_none() {
    let bus = || storm(Storm::kafka()).corpus("tests/capsules");
    let red = run(&bus().seeds(0..0), true);
    assert_eq!((red.replays.len(), red.failures().count()), (1, 1), "{red}");
    let green = run(&bus().seeds(0..20), false);
    println!("{green}");
    green.assert_valid();
    tutorial::holds(&green.to_string());
    run(&storm(Storm::nats()).seeds(0..20), false).assert_valid();
}
