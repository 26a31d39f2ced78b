//! A consumer process: takes records one by one, handles each with retries, dead-letters the poison, commits.
//!
//! Commits of processed records are pipelined: one is under way, what is processed meanwhile goes into the
//! next. Before units are handed back everything processed is committed, as a careful service does. With the
//! policy before-processing a record is handled only after its commit is certain.

use super::notebook::{Notebook, Read, VALUE_HEADER};
use crate::{format::CommitPolicy, plan::ConsumerPlan};
use squall_bus::{
    Bus, Clock, Consumer, ConsumerEvent, Delivery, Error, ErrorClass, Incarnation, Outcome, Pending,
    Position, Producer, ProducerConfig, Record, Topic, Unit,
};
use squall_history::history::{Handling, Invoke, Observation, OpId};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// The pause before a failed commit or dead letter is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What a consumer does next.
enum Step {
    Event(ConsumerEvent),
    Record(Result<Delivery, Error>),
    /// A commit ended with this outcome.
    Committed(Outcome<()>),
}

/// A commit under way.
struct Commit {
    op: OpId,
    positions: Vec<(Unit, Position)>,
    outcome: Pending<Outcome<()>>,
}

struct Worker {
    plan: ConsumerPlan,
    life: Incarnation,
    consumer: Arc<dyn Consumer>,
    clock: Arc<dyn Clock>,
    notebook: Notebook,
    dlq: Option<(Topic, Arc<dyn Producer>)>,
    owned: BTreeSet<Unit>,
    /// Where to go on, not committed yet.
    processed: BTreeMap<Unit, Position>,
    commit: Option<Commit>,
}

/// The body of a consumer process.
pub(super) async fn consume(plan: ConsumerPlan, bus: Arc<dyn Bus>, life: Incarnation, notebook: Notebook) {
    let opened = bus.consumer(plan.config.clone()).and_then(|consumer| {
        let dlq = match &plan.dlq {
            Some(topic) => {
                let config = ProducerConfig { idempotent: true, ..ProducerConfig::new(plan.name()) };
                Some((topic.clone(), bus.producer(config)?))
            }
            None => None,
        };
        Ok((consumer, dlq))
    });
    let (consumer, dlq) = match opened {
        Ok(opened) => opened,
        Err(error) => return notebook.event(plan.name(), &plan.group, &ConsumerEvent::Error(error)),
    };
    let worker = Worker {
        life,
        consumer,
        clock: bus.clock(),
        notebook,
        dlq,
        owned: BTreeSet::new(),
        processed: BTreeMap::new(),
        commit: None,
        plan,
    };
    worker.run().await;
}

impl Worker {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Step::Event(event) => self.event(event).await,
                Step::Record(Ok(delivery)) => self.record(delivery).await,
                Step::Record(Err(error)) => {
                    let fatal = error.class == ErrorClass::Fatal;
                    self.notebook.event(self.plan.name(), &self.plan.group, &ConsumerEvent::Error(error));
                    if fatal {
                        return;
                    }
                    self.clock.sleep(AGAIN).await;
                }
                Step::Committed(outcome) => self.committed(&outcome).await,
            }
            self.begin_commit();
        }
    }

    /// The end of a commit, else an event, else a record: in this order, so that nothing is handled on old news.
    async fn next(&mut self) -> Step {
        let (consumer, commit) = (&self.consumer, &mut self.commit);
        poll_fn(|cx| {
            if let Some(commit) = commit
                && let Poll::Ready(outcome) = Pin::new(&mut commit.outcome).poll(cx)
            {
                return Poll::Ready(Step::Committed(outcome));
            }
            if let Poll::Ready(event) = consumer.poll_event(cx) {
                return Poll::Ready(Step::Event(event));
            }
            consumer.poll_next(cx).map(Step::Record)
        })
        .await
    }

    async fn event(&mut self, event: ConsumerEvent) {
        self.notebook.event(self.plan.name(), &self.plan.group, &event);
        match event {
            ConsumerEvent::Assigned(units) => self.owned.extend(units.into_iter().map(|(unit, _)| unit)),
            ConsumerEvent::Revoked(units) => {
                self.finish_commits().await;
                self.disown(&units);
            }
            ConsumerEvent::Lost(units) => self.disown(&units),
            ConsumerEvent::Reset { .. } | ConsumerEvent::Error(_) => {}
        }
    }

    fn disown(&mut self, units: &[Unit]) {
        for unit in units {
            self.owned.remove(unit);
            self.processed.remove(unit);
        }
    }

    async fn record(&mut self, delivery: Delivery) {
        let read = self.notebook.delivered(self.plan.name(), Some(&self.plan.group), &delivery);
        let next = (delivery.unit.clone(), delivery.position.next());
        if self.plan.commit == CommitPolicy::BeforeProcessing {
            self.processed.insert(next.0, next.1);
            if !self.finish_commits().await {
                return;
            }
            self.handle(&delivery, read).await;
        } else {
            self.handle(&delivery, read).await;
            self.processed.insert(next.0, next.1);
        }
    }

    async fn handle(&self, delivery: &Delivery, read: Read) {
        let name = self.plan.name();
        self.notebook.pages().handling.insert(name.to_owned());
        // Who cannot even read a record cannot handle it: to the dead letters, where it has no value to name.
        if let Some(value) = read.value {
            let how = self.attempts(value, read.poison).await;
            if how == Handling::Poison {
                self.dead_letter(&delivery.record, value).await;
            }
            self.handled(value, how);
        }
        let now = self.notebook.now();
        let mut pages = self.notebook.pages();
        pages.recorder.handled(read.at, now);
        pages.handling.remove(name);
    }

    async fn attempts(&self, value: u64, poison: bool) -> Handling {
        for attempt in 1..=self.plan.attempts() {
            let this = self.plan.attempt(value, poison, attempt);
            if !this.takes.is_zero() {
                self.clock.sleep(this.takes).await;
            }
            if this.succeeds {
                return Handling::Ok;
            }
            if attempt < self.plan.attempts() {
                self.handled(value, Handling::Retry(attempt));
                self.clock.sleep(self.plan.backoff(value, attempt)).await;
            }
        }
        Handling::Poison
    }

    fn handled(&self, value: u64, how: Handling) {
        let now = self.notebook.now();
        let mut pages = self.notebook.pages();
        let process = pages.history.process(self.plan.name());
        let group = Some(pages.history.group(&self.plan.group));
        pages.history.observe(now, process, Observation::Handled { group, value, how });
    }

    /// Sends a record to the dead-letter topic until that is certain.
    async fn dead_letter(&self, record: &Record, cause: u64) {
        let Some((topic, producer)) = &self.dlq else { return };
        let name = self.plan.name();
        loop {
            let ready = producer.ready().await;
            let (value, send) =
                self.notebook.dead_letter(name, self.life.0, topic.as_str(), record.key.as_deref(), cause);
            let outcome = match ready {
                Ok(()) => {
                    let letter = Record { partition: None, topic: topic.clone(), ..record.clone() };
                    producer.send(letter.header(VALUE_HEADER, value.to_string())).await
                }
                Err(error) => Outcome::Fail(error),
            };
            self.notebook.sent(send, &outcome);
            match outcome {
                Outcome::Ok(_) => return,
                Outcome::Fail(error) if error.class == ErrorClass::Fatal => return,
                Outcome::Fail(_) | Outcome::Unknown(..) => self.clock.sleep(AGAIN).await,
            }
        }
    }

    /// Commits what is processed, unless a commit is under way.
    fn begin_commit(&mut self) {
        if self.commit.is_some() || self.processed.is_empty() {
            return;
        }
        let positions: Vec<_> = std::mem::take(&mut self.processed).into_iter().collect();
        let now = self.notebook.now();
        let op = {
            let mut pages = self.notebook.pages();
            let process = pages.history.process(self.plan.name());
            let group = pages.history.group(&self.plan.group);
            let places = positions.iter().map(|(unit, at)| (pages.history.unit(unit), at.0)).collect();
            pages.history.invoke(now, process, Invoke::Commit { group, positions: places })
        };
        let outcome = self.consumer.commit(positions.clone());
        self.commit = Some(Commit { op, positions, outcome });
    }

    /// Takes note of a commit's end. What was not committed and is still ours is committed again.
    async fn committed(&mut self, outcome: &Outcome<()>) {
        let Some(commit) = self.commit.take() else { return };
        let now = self.notebook.now();
        self.notebook.pages().history.complete_commit(now, commit.op, outcome);
        let Some(error) = outcome.error() else { return };
        let mut again = false;
        for (unit, position) in commit.positions {
            if self.owned.contains(&unit) {
                let known = self.processed.entry(unit).or_insert(position);
                *known = position.max(*known);
                again = true;
            }
        }
        if again && error.class != ErrorClass::Fatal {
            self.clock.sleep(AGAIN).await;
        }
    }

    /// Commits everything that is processed and waits for it; whether all of it is certain.
    async fn finish_commits(&mut self) -> bool {
        let mut certain = true;
        // Twice: what is under way, and what was processed meanwhile. A failure is not tried again here, since
        // the units may be somebody else's already.
        for _ in 0..2 {
            self.begin_commit();
            if let Some(commit) = &mut self.commit {
                let outcome = poll_fn(|cx: &mut Context<'_>| Pin::new(&mut commit.outcome).poll(cx)).await;
                certain = outcome.is_ok();
                let op = commit.op;
                self.commit = None;
                let now = self.notebook.now();
                self.notebook.pages().history.complete_commit(now, op, &outcome);
            }
        }
        certain
    }
}
