//! Tables, transactions and checks of the test's own: what survives a crash, what conflicts, what is a finding.

use squall::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// One seed of a storm in which the service `writer` is killed so many times.
fn storm(kills: u32) -> Storm {
    Storm::kafka().seeds(0..1).topic("orders", 1).kill(Role::Client("writer".into()), kills).shrinking(0)
}

/// Sends something and reads it again: a run in which nothing is delivered has nothing to be judged by.
async fn traffic(trial: &Trial) -> Result<(), Error> {
    trial.start("reader", |service| async move {
        let config = ConsumerConfig::group("reader", "reader", &["orders".into()]);
        let Ok(orders) = service.bus().consumer(config) else { return };
        while let Ok(order) = orders.next().await {
            let _ = orders.ack(&order).await;
        }
    });
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    producer.ready().await?;
    let _ = producer.send(Record::new(&"orders".into(), None, "order".into())).await;
    Ok(())
}

#[test]
fn a_transaction_is_there_as_a_whole_or_not_at_all() {
    let sweep = storm(5).seeds(0..20).run(|trial| async move {
        let (left, right) = (trial.table::<u64, u64>("left"), trial.table::<u64, u64>("right"));
        let tables = (left.clone(), right.clone());
        trial.start("writer", move |service| {
            let (left, right) = tables.clone();
            async move {
                let mut number = u64::from(service.incarnation().0) * 1_000_000;
                loop {
                    let mut both = service.transaction();
                    both.put(&left, number, number);
                    service.clock().sleep(SECOND / 100).await;
                    both.put(&right, number, number);
                    assert_eq!(both.get(&right, &number).await, Some(number), "it sees what it wrote");
                    assert_eq!(left.get(&number), None, "nobody else does");
                    both.commit().await.expect("nobody else writes");
                    assert_eq!(left.get(&number), Some(number));
                    number += 1;
                }
            }
        });
        trial.check("both tables are equal", move || {
            assert!(left.rows().len() > 100, "{}", left.rows().len());
            if left.rows() == right.rows() { Ok(()) } else { Err("they are not".to_owned()) }
        });
        traffic(&trial).await
    });
    sweep.assert_valid();
}

#[test]
fn of_two_transactions_that_read_what_the_other_writes_one_conflicts() {
    let sweep = storm(0).run(|trial| async move {
        let table = trial.table::<&str, u64>("accounts");
        let accounts = table.clone();
        trial.start("writer", move |service| {
            let accounts = accounts.clone();
            async move {
                let (mut one, mut other) = (service.transaction(), service.transaction());
                let (mut whole, mut blind) = (service.transaction(), service.transaction());
                assert_eq!(one.get(&accounts, &"a").await, None);
                assert_eq!(other.get(&accounts, &"a").await, None);
                assert!(whole.rows(&accounts).await.is_empty());
                one.put(&accounts, "a", 1);
                other.put(&accounts, "a", 2);
                whole.put(&accounts, "b", 3);
                blind.put(&accounts, "c", 4);
                one.commit().await.expect("it is the first");
                let conflict = other.commit().await.expect_err("it read the row before");
                assert_eq!((conflict.class, &*conflict.code), (ErrorClass::Retriable, "CONFLICT"));
                assert!(whole.commit().await.is_err(), "it read the table before");
                blind.commit().await.expect("it read nothing");
                let mut gone = service.transaction();
                gone.delete(&accounts, "c");
                gone.commit().await.expect("it read nothing");
            }
        });
        traffic(&trial).await?;
        trial.check("the rows are those of who came first", move || {
            assert_eq!(table.rows().into_iter().collect::<Vec<_>>(), [("a", 1)]);
            assert_eq!((table.writes(&"a"), table.writes(&"b"), table.writes(&"c")), (1, 0, 2));
            Ok(())
        });
        trial.clock().sleep(SECOND).await;
        Ok(())
    });
    sweep.assert_valid();
}

#[test]
fn a_transaction_that_leaked_out_of_its_service_writes_nothing() {
    let sweep = storm(1).run(|trial| async move {
        let table = trial.table::<u32, ()>("rows");
        let rows = table.clone();
        trial.start("writer", move |service| {
            let rows = rows.clone();
            async move {
                if service.incarnation().0 == 0 {
                    let mut leaked = service.transaction();
                    leaked.put(&rows, 1, ());
                    tokio::spawn(async move {
                        tokio::time::sleep(20 * SECOND).await; // longer than the storm
                        let _ = leaked.commit().await;
                    });
                }
                std::future::pending::<()>().await;
            }
        });
        trial.check("nothing is written", move || {
            if table.rows().is_empty() { Ok(()) } else { Err("something is".to_owned()) }
        });
        traffic(&trial).await?;
        trial.clock().sleep(60 * SECOND).await;
        Ok(())
    });
    sweep.assert_valid();
    assert_eq!(sweep.runs[0].warnings.len(), 1, "the leak is named: {sweep}");
}

#[test]
fn a_failed_check_is_a_finding_of_its_own() {
    let fails = |what: &'static str| {
        let sweep = storm(0).run(move |trial| async move {
            match what {
                "panics" => trial.check("panics", || panic!("2 is not 3")),
                "says no" => trial.check("says no", || Err("it is not so".to_owned())),
                _ => trial.eventually("comes true", || false),
            }
            traffic(&trial).await
        });
        assert_eq!(sweep.runs[0].report.verdict, Verdict::Invalid);
        (sweep.runs[0].findings(), sweep.to_string())
    };
    for (what, says) in [
        ("panics", "the check `panics` failed: 2 is not 3"),
        ("says no", "the check `says no` failed: it is not so"),
        ("comes true", "the check `comes true` failed: it did not come true while"),
    ] {
        let (findings, told) = fails(what);
        assert_eq!(findings, [Finding::Check(what.to_owned())], "{told}");
        assert!(told.contains(says), "{told}");
    }
}
