//! Squall: your own async service against a simulated Kafka or NATS, under hundreds of seeds of faults, in a `#[test]`.
//!
//! A [`Storm`] builds a three-node cluster for each seed, starts your services as processes in it, lets faults
//! strike at times that the seed draws, and judges what happened: was every acknowledged record processed, in
//! order, intact? Everything runs in virtual time on one thread; a seed that fails once fails every time.
//!
//! ```
//! use squall::prelude::*;
//! use std::time::Duration;
//!
//! // Your service: plain async code on a bus. Here it processes first and commits then, as it should.
//! async fn billing(service: Service) -> Result<(), Error> {
//!     let config = ConsumerConfig::group("billing", "billing", &["orders".into()]);
//!     let orders = service.bus().consumer(config)?;
//!     let sink = service.sink("billing");
//!     loop {
//!         let order = orders.next().await?;
//!         tokio::time::sleep(Duration::from_millis(5)).await; // the work
//!         sink.processed(&order); // its effect has happened
//!         let _ = orders.ack(&order).await; // an ack that fails is made good by the next
//!     }
//! }
//!
//! # // Two seeds, so that this example is fast in a debug build; a test of yours takes hundreds.
//! Storm::kafka()
//!     .topic("orders", 3)
//!     .kill(Role::Client("billing".into()), 1)
//!     .seeds(0..2)
//!     .run(|trial| async move {
//!         trial.start("billing", |service| async move { drop(billing(service).await) });
//!         let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
//!         for n in 0..20 {
//!             producer.ready().await?;
//!             let order = Record::new(&"orders".into(), Some(format!("c-{}", n % 5).into()), "an order".into());
//!             let _ = producer.send(order).await;
//!         }
//!         Ok(())
//!     })
//!     .assert_valid();
//! ```
//!
//! When a seed fails, [`Sweep::assert_valid`] panics with what was found, the story in two lines, and the fewest and
//! shortest faults with which the seed still shows it; they are written to a file, a *capsule*. Two commands are
//! printed: one replays the capsule, the other runs the whole seed. [`Storm::corpus`] names a folder of capsules that
//! are replayed before the seeds.
//!
//! What services keep goes into a [`Table`] through a [`Transaction`]; what must hold over tables is asserted with
//! [`Trial::check`] and [`Trial::eventually`]. The examples in the repository, `examples/outbox` and
//! `examples/payments`, show both, each first with a bug and then without.
//!
//! # What to know
//!
//! - Your service talks to the bus traits ([`Bus`], [`Producer`], [`Consumer`]); put your own port in front of
//!   them and implement it twice, for production and for the test. `peers/first-use` in the repository shows how.
//! - tokio is stock: `tokio::time`, channels, `select!` and `spawn` work. Tasks that belong to a service are
//!   spawned with [`Service::spawn`], so that they die with it in a crash.
//! - tokio's timers have a grain of 1 ms; the bus's [`Clock`] has none.
//! - No threads, no blocking calls, no real sockets or files in a service under test: time would stand still, and
//!   the run is `broken` with the cause named. `spawn_blocking` is a thread.
//! - What the seed does not decide makes runs differ: the order of a `HashMap`, random numbers, the wall clock,
//!   and `select!` without `biased`. A failing seed that does not repeat says so.
//! - Seeds run one after the other, as `cargo test` has the other cores at work on other tests. Where they are idle,
//!   [`Storm::workers`] or `SQUALL_WORKERS=4 cargo test` spreads the seeds of each storm over so many processes.
//! - What a service did with a record it tells its [`Sink`]; without a sink the bus alone is judged.
//!
//! # Rooms
//!
//! | module | what is in it |
//! |---|---|
//! | [`bus`] | the vocabulary and the bus traits |
//! | [`history`] | the operation log, the checks and the verdict |
//! | [`sim`] | the kernel, the models and the runtime, for runs without a [`Storm`] |
//! | [`expect`] | what a storm can demand beyond what the bus promises |
//! | [`prelude`] | what a test needs, in one `use` |
//!
//! [`Bus`]: bus::Bus
//! [`Producer`]: bus::Producer
//! [`Consumer`]: bus::Consumer
//! [`Clock`]: bus::Clock

pub use bytes::Bytes;
pub use squall_bus as bus;
pub use squall_history as history;
pub use squall_sim as sim;

pub use squall_history::{Anomaly, Kind, Verdict};
pub use squall_sim::storm::{
    BodyResult, CAPSULE_VARIABLE, FailedCheck, Finding, Key, Run, SEED_VARIABLE, SHRINK_VARIABLE, Service,
    Shrunk, Sink, Storm, Sweep, Table, Transaction, Trial, Value, WORKERS_VARIABLE,
};

/// What a storm can demand beyond what the bus promises.
pub mod expect {
    pub use squall_history::guarantees::{Delivery, Dlq, Expect, Log, Order};
}

/// proptest strategies of operations, schedules of faults, and histories.
#[cfg(feature = "proptest")]
pub mod strategies {
    pub use squall_history::strategies::{Happening, happenings, histories, history};
    pub use squall_sim::strategies::{Operation, crashes, faults, operations, together};
}

/// What a test needs, in one `use`.
pub mod prelude {
    pub use crate::{
        Anomaly, Finding, Kind, Run, Service, Sink, Storm, Sweep, Table, Transaction, Trial, Verdict,
    };
    pub use bytes::Bytes;
    pub use squall_bus::{
        Acks, Bus, Clock, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, FaultKind,
        Outcome, Position, Producer, ProducerConfig, Record, Role, Time, Topic, Unit,
    };
}
