//! A producer process that groups its records into transactions.
//!
//! - Each takes so many records, as they fall due, and is committed, or aborted if the plan says so. A commit without an
//!   answer is made again until there is one; what definitely failed is aborted.
//! - A producer that is finished (fenced, or its transaction timed out) is followed by a new one of the same
//!   transactional id, unless the id is shared: then somebody else has it now, and this process ends.

use super::{
    consumer::AGAIN,
    notebook::Notebook,
    producer::{Records, UnderWay, records, report},
};
use crate::plan::{PlannedRecord, ProducerPlan};
use squall_bus::{Bus, Error, ErrorClass, Incarnation, Outcome, Producer, Time, Transaction};
use squall_history::history::OpId;
use squall_loadgen::{Arrival, Due};
use std::sync::Arc;

/// What follows when a transaction is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next one.
    GoOn,
    /// The producer is finished.
    Reopen,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Committed,
    Aborted,
    /// Nobody knows.
    Unknown,
}

/// The body of a producer process with transactions. `began` is when the workload began.
pub(super) async fn produce(
    plan: ProducerPlan,
    began: Time,
    bus: Arc<dyn Bus>,
    life: Incarnation,
    notebook: Notebook,
) {
    bus.clock().sleep_until(began + plan.starts).await;
    let mut due = records(&plan, began, &*bus, &notebook);
    let mut writer =
        Writer { under_way: UnderWay::new(notebook.clone()), plan, bus, life, notebook, first: None };
    while writer.session(&mut due).await {}
    writer.under_way.all().await;
}

struct Writer {
    plan: ProducerPlan,
    bus: Arc<dyn Bus>,
    life: Incarnation,
    notebook: Notebook,
    under_way: UnderWay,
    /// A record that is due and belongs to no transaction yet.
    first: Option<(Due, PlannedRecord)>,
}

impl Writer {
    /// One producer's life; `false` if none is to follow.
    async fn session<I: Iterator<Item = Arrival>>(&mut self, schedule: &mut Records<I>) -> bool {
        let opened = self.bus.producer(self.plan.config.clone());
        let producer = match opened {
            Ok(producer) => producer,
            Err(error) => {
                report(&self.notebook, self.plan.name(), &error);
                return false;
            }
        };
        let transaction = match producer.transaction() {
            Ok(transaction) => transaction,
            Err(error) => {
                report(&self.notebook, self.plan.name(), &error);
                return false;
            }
        };
        let id = self.plan.config.transactional_id.clone().unwrap_or_default();
        if !init(&mut self.under_way, &self.notebook, &*self.bus, self.plan.name(), &id, transaction).await {
            return self.shares_nothing();
        }
        loop {
            if self.first.is_none() {
                self.first = schedule.next(&mut self.under_way).await;
            }
            let Some(first) = self.first.take() else { return false };
            match self.transaction(&id, &*producer, transaction, first, schedule).await {
                Ok(Then::GoOn) => {}
                Ok(Then::Reopen) => return self.shares_nothing(),
                Err(first) => {
                    self.first = Some(first);
                    return self.shares_nothing();
                }
            }
        }
    }

    /// Whether nobody else has this producer's transactional id.
    fn shares_nothing(&self) -> bool {
        self.plan.transactions.as_ref().is_none_or(|transactions| transactions.id.is_none())
    }

    /// One transaction, beginning with this record; gives it back if none can begin.
    async fn transaction<I: Iterator<Item = Arrival>>(
        &mut self,
        id: &str,
        producer: &dyn Producer,
        transaction: &dyn Transaction,
        first: (Due, PlannedRecord),
        schedule: &mut Records<I>,
    ) -> Result<Then, (Due, PlannedRecord)> {
        if let Err(error) = self.under_way.during(transaction.begin()).await {
            report(&self.notebook, self.plan.name(), &error);
            self.bus.clock().sleep(AGAIN).await;
            return Err(first);
        }
        let op = self.notebook.transaction(self.plan.name(), id);
        let most = self.plan.transactions.as_ref().map_or(1, |transactions| transactions.records.get());
        let aborts = self.plan.aborts(first.1.value);
        let mut next = Some(first);
        for number in 1..=most {
            let Some((due, record)) = next.take() else { break };
            if let Err(error) = self.under_way.during(producer.ready()).await {
                report(&self.notebook, self.plan.name(), &error);
            }
            let send = self.notebook.send(&self.plan, self.life.0, &due, &record, Some(op));
            self.under_way.push(send, producer.send(record.record(&self.plan.topic)));
            if number < most {
                next = schedule.next(&mut self.under_way).await;
            }
        }
        let (_, then) =
            end(&mut self.under_way, &self.notebook, &*self.bus, self.plan.name(), op, transaction, aborts)
                .await;
        Ok(then)
    }
}

/// Makes the transactional id the producer's own, however long that takes; `false` if it cannot.
pub(super) async fn init(
    under_way: &mut UnderWay,
    notebook: &Notebook,
    bus: &dyn Bus,
    name: &str,
    id: &str,
    transaction: &dyn Transaction,
) -> bool {
    let op = notebook.init(name, id);
    loop {
        match under_way.during(transaction.init()).await {
            Ok(()) => {
                notebook.settled(op, &Outcome::Ok(()));
                return true;
            }
            Err(error) if error.class == ErrorClass::Retriable => bus.clock().sleep(AGAIN).await,
            Err(error) => {
                report(notebook, name, &error);
                notebook.settled(op, &Outcome::Unknown(error, None));
                bus.clock().sleep(AGAIN).await;
                return false;
            }
        }
    }
}

/// Ends a transaction one way or the other, and writes down which.
pub(super) async fn end(
    under_way: &mut UnderWay,
    notebook: &Notebook,
    bus: &dyn Bus,
    name: &str,
    op: OpId,
    transaction: &dyn Transaction,
    aborts: bool,
) -> (Ended, Then) {
    if !aborts {
        match commit(under_way, bus, transaction).await {
            Outcome::Ok(()) => {
                notebook.settled(op, &Outcome::Ok(()));
                return (Ended::Committed, Then::GoOn);
            }
            Outcome::Unknown(error, place) => {
                report(notebook, name, &error);
                notebook.settled(op, &Outcome::Unknown(error, place));
                return (Ended::Unknown, Then::Reopen);
            }
            Outcome::Fail(error) => report(notebook, name, &error),
        }
    }
    let outcome = tried(under_way, bus, || transaction.abort()).await;
    // Nothing of it was committed, whatever became of the abort.
    let error = outcome.error().cloned().unwrap_or_else(aborted);
    notebook.settled(op, &Outcome::Fail(error));
    if outcome.is_ok() {
        return (Ended::Aborted, Then::GoOn);
    }
    if let Some(error) = outcome.error() {
        report(notebook, name, error);
    }
    (Ended::Aborted, Then::Reopen)
}

fn aborted() -> Error {
    Error::new(ErrorClass::Refused, "ABORTED", "the transaction was aborted")
}

/// Commits, again and again while there is no answer. What is refused after a try without an answer may have happened.
async fn commit(under_way: &mut UnderWay, bus: &dyn Bus, transaction: &dyn Transaction) -> Outcome<()> {
    tried(under_way, bus, || transaction.commit()).await
}

async fn tried<'t>(
    under_way: &mut UnderWay,
    bus: &dyn Bus,
    step: impl Fn() -> squall_bus::BoxFuture<'t, Outcome<()>>,
) -> Outcome<()> {
    let mut perhaps = false;
    loop {
        match under_way.during(step()).await {
            Outcome::Unknown(error, _) if error.class == ErrorClass::Retriable => {
                perhaps = true;
                bus.clock().sleep(AGAIN).await;
            }
            Outcome::Fail(error) if perhaps => return Outcome::Unknown(error, None),
            outcome => return outcome,
        }
    }
}
