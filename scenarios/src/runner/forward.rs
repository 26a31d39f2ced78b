//! A consumer process that writes a record for each that it reads, exactly once: results and positions in one
//! transaction.
//!
//! - A transaction begins with the first record that comes and takes in what comes within a moment, so many records at
//!   most. Then the group's positions go into it, with this member's credentials, and it is committed, or aborted if the
//!   plan says so.
//! - After an abort the records are read again from where the transaction began, as a careful service does; clients do
//!   not go back by themselves.
//! - Units that are taken away end the open transaction: its positions would be refused.
//! - When nobody knows how a transaction ended, or the producer is finished, a new producer of the same transactional id
//!   takes over, which settles it, and reading goes on from what the group has committed.

use super::{
    consumer::AGAIN,
    notebook::{Notebook, VALUE_HEADER},
    producer::UnderWay,
    transactions::{Ended, Then, end, init},
};
use crate::{
    format::{forward_id, scalar::Period},
    plan::{ConsumerPlan, payload},
};
use squall_bus::{
    Bus, Clock, Consumer, ConsumerEvent, Delivery, Error, ErrorClass, Incarnation, Position, Producer,
    ProducerConfig, Record, Topic, Unit,
};
use squall_history::history::{Handling, Observation, OpId};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// How long a transaction waits for more records.
const MOMENT: Duration = Duration::from_millis(100);

/// What a forwarding consumer does next.
enum Step {
    Event(ConsumerEvent),
    Record(Result<Delivery, Error>),
    /// The transaction has waited for long enough.
    Full,
}

/// A transaction under way.
struct Open {
    op: OpId,
    /// Where it began to read each unit, and where it goes on.
    from: BTreeMap<Unit, Position>,
    next: BTreeMap<Unit, Position>,
    records: u32,
    aborts: bool,
    until: squall_bus::Time,
}

struct Worker {
    plan: ConsumerPlan,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    life: Incarnation,
    notebook: Notebook,
    consumer: Arc<dyn Consumer>,
    producer: Arc<dyn Producer>,
    to: Topic,
    id: String,
    under_way: UnderWay,
    open: Option<Open>,
    owned: BTreeSet<Unit>,
    /// How often a record was the first of a transaction.
    rounds: BTreeMap<u64, u32>,
}

/// The body of a consumer process that forwards.
pub(super) async fn forward(plan: ConsumerPlan, bus: Arc<dyn Bus>, life: Incarnation, notebook: Notebook) {
    notebook.pages().handling.remove(plan.name());
    let Some(forward) = plan.forward.clone() else { return };
    let id = forward_id(&plan.group, plan.name());
    let opened = bus.consumer(plan.config.clone()).and_then(|consumer| {
        let producer = bus.producer(config(&plan, &id))?;
        producer.transaction()?;
        Ok((consumer, producer))
    });
    let (consumer, producer) = match opened {
        Ok(opened) => opened,
        Err(error) => return notebook.event(plan.name(), &plan.group, &ConsumerEvent::Error(error)),
    };
    let mut worker = Worker {
        clock: bus.clock(),
        under_way: UnderWay::new(notebook.clone()),
        to: Topic::new(&forward.topic),
        id,
        plan,
        bus,
        life,
        notebook,
        consumer,
        producer,
        open: None,
        owned: BTreeSet::new(),
        rounds: BTreeMap::new(),
    };
    if worker.init().await {
        worker.run().await;
    }
}

fn config(plan: &ConsumerPlan, id: &str) -> ProducerConfig {
    ProducerConfig {
        profile: plan.config.profile,
        idempotent: true,
        transactional_id: Some(id.to_owned()),
        transaction_timeout: plan.forward.as_ref().and_then(|forward| forward.timeout).map(Period::get),
        ..ProducerConfig::new(plan.name())
    }
}

impl Worker {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Step::Event(event) => self.event(event).await,
                Step::Record(Ok(delivery)) => self.record(&delivery).await,
                Step::Record(Err(error)) => {
                    let fatal = error.class == ErrorClass::Fatal;
                    self.notebook.event(self.plan.name(), &self.plan.group, &ConsumerEvent::Error(error));
                    if fatal {
                        return;
                    }
                    self.clock.sleep(AGAIN).await;
                }
                Step::Full => self.finish().await,
            }
        }
    }

    /// An event, else the end of the transaction's time, else a record.
    async fn next(&mut self) -> Step {
        let consumer = Arc::clone(&self.consumer);
        let until = self.open.as_ref().map(|open| open.until);
        let full = self.open.as_ref().is_some_and(|open| open.records >= self.most());
        let clock = Arc::clone(&self.clock);
        let mut time = pin!(async move {
            match until {
                Some(until) => clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        });
        let under_way = &mut self.under_way;
        let step = poll_fn(move |cx| {
            if let Poll::Ready(event) = consumer.poll_event(cx) {
                return Poll::Ready(Step::Event(event));
            }
            if full || time.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Full);
            }
            consumer.poll_next(cx).map(Step::Record)
        });
        under_way.during(step).await
    }

    fn most(&self) -> u32 {
        self.plan.forward.as_ref().map_or(1, |forward| forward.records.get())
    }

    async fn event(&mut self, event: ConsumerEvent) {
        self.notebook.event(self.plan.name(), &self.plan.group, &event);
        match event {
            ConsumerEvent::Assigned(units) => self.owned.extend(units.into_iter().map(|(unit, _)| unit)),
            ConsumerEvent::Revoked(units) | ConsumerEvent::Lost(units) => {
                units.iter().for_each(|unit| {
                    self.owned.remove(unit);
                });
                if let Some(open) = &mut self.open {
                    open.aborts = true;
                    self.finish().await;
                }
            }
            ConsumerEvent::Reset { .. } | ConsumerEvent::Exhausted(_) | ConsumerEvent::Error(_) => {}
        }
    }

    /// Takes a record in: its result is sent.
    async fn record(&mut self, delivery: &Delivery) {
        self.notebook.pages().handling.insert(self.plan.name().to_owned());
        while self.open.is_none() {
            if !self.begin(delivery).await {
                self.reopen().await;
                // The record comes again, from what the group has committed.
                return;
            }
        }
        let Some(open) = &mut self.open else { return };
        let op = open.op;
        let read = self.notebook.polled(self.plan.name(), &self.plan.group, op, delivery);
        open.records += 1;
        open.from.entry(delivery.unit.clone()).or_insert(delivery.position);
        open.next.insert(delivery.unit.clone(), delivery.position.next());
        let Some(cause) = read.value else { return };
        let takes = self.plan.attempt(cause, false, 1).takes;
        if !takes.is_zero() {
            self.under_way.during(self.clock.sleep(takes)).await;
        }
        let (value, send) = self.notebook.result(self.plan.name(), self.life.0, self.to.as_str(), cause, op);
        let record =
            Record::new(&self.to, delivery.record.key.clone(), payload::plain(value, self.notebook.now()));
        let record = record.header(VALUE_HEADER, value.to_string());
        // A full or finished client refuses the record, and with it the transaction.
        let _ = self.under_way.during(self.producer.ready()).await;
        self.under_way.push(send, self.producer.send(record));
        self.handled(cause);
    }

    fn handled(&self, value: u64) {
        let now = self.notebook.now();
        let mut pages = self.notebook.pages();
        let process = pages.history.process(self.plan.name());
        let group = Some(pages.history.group(&self.plan.group));
        pages.history.observe(now, process, Observation::Handled { group, value, how: Handling::Ok });
    }

    /// Begins a transaction with this record; `false` if the producer is finished.
    async fn begin(&mut self, first: &Delivery) -> bool {
        let Ok(transaction) = self.producer.transaction() else { return false };
        if transaction.begin().await.is_err() {
            return false;
        }
        let value = payload::decode(&first.record.value).unwrap_or_default();
        let round = self.rounds.entry(value).or_default();
        *round += 1;
        self.open = Some(Open {
            op: self.notebook.transaction(self.plan.name(), &self.id),
            from: BTreeMap::new(),
            next: BTreeMap::new(),
            records: 0,
            aborts: self.plan.aborts(value, *round),
            until: self.clock.now() + MOMENT,
        });
        true
    }

    /// Ends the open transaction.
    async fn finish(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let producer = Arc::clone(&self.producer);
        let Ok(transaction) = producer.transaction() else { return };
        if !open.aborts {
            let at: Vec<(Unit, Position)> = open.next.clone().into_iter().collect();
            let op = self.notebook.positions(self.plan.name(), &self.plan.group, &at, open.op);
            let outcome = self.under_way.during(transaction.send_positions(&self.plan.group, at)).await;
            self.notebook.settled(op, &outcome);
            open.aborts = !outcome.is_ok();
        }
        let (ended, then) = end(
            &mut self.under_way,
            &self.notebook,
            &*self.bus,
            self.plan.name(),
            open.op,
            transaction,
            open.aborts,
        )
        .await;
        self.notebook.pages().handling.remove(self.plan.name());
        if then == Then::Reopen {
            self.reopen().await;
        } else if ended == Ended::Aborted && self.plan.forward.as_ref().is_some_and(|forward| forward.rewind)
        {
            for (unit, from) in open.from {
                self.seek(&unit, from);
            }
        }
    }

    /// Reads a unit that is still its own from here on.
    fn seek(&self, unit: &Unit, to: Position) {
        if !self.owned.contains(unit) {
            return;
        }
        if self.consumer.seek(unit, to).is_ok() {
            let now = self.notebook.now();
            let mut pages = self.notebook.pages();
            let process = pages.history.process(self.plan.name());
            let unit = pages.history.unit(unit);
            pages.history.observe(now, process, Observation::Sought { unit, to: to.0 });
        }
    }

    /// A new producer takes over, and reading goes on from what the group has committed.
    async fn reopen(&mut self) {
        self.notebook.pages().handling.remove(self.plan.name());
        loop {
            match self.bus.producer(config(&self.plan, &self.id)) {
                Ok(producer) => self.producer = producer,
                Err(error) => {
                    return self.notebook.event(
                        self.plan.name(),
                        &self.plan.group,
                        &ConsumerEvent::Error(error),
                    );
                }
            }
            if self.init().await {
                break;
            }
        }
        let admin = self.bus.admin();
        for unit in self.owned.clone() {
            let committed = loop {
                match admin.committed(&self.plan.group, &unit).await {
                    Ok(committed) => break committed,
                    Err(_) => self.clock.sleep(AGAIN).await,
                }
            };
            self.seek(&unit, committed.unwrap_or(Position(0)));
        }
    }

    async fn init(&mut self) -> bool {
        let producer = Arc::clone(&self.producer);
        let Ok(transaction) = producer.transaction() else { return false };
        init(&mut self.under_way, &self.notebook, &*self.bus, self.plan.name(), &self.id, transaction).await
    }
}
