//! A consumer process: takes records one by one, handles each with retries, dead-letters the poison, and says what
//! it is done with: by [`commits`](super::commits) on a bus whose acks are prefixes, by [`acks`](super::acks) on
//! one that acknowledges each record. With the policy before-processing a record is handled only after that is
//! certain.

use super::{
    acks::Acks,
    commits::Commits,
    notebook::{Notebook, Read, VALUE_HEADER},
};
use crate::{format::CommitPolicy, plan::ConsumerPlan};
use squall_bus::{
    AckModel, Bus, Clock, Consumer, ConsumerEvent, Delivery, Error, ErrorClass, Incarnation, Outcome,
    Producer, ProducerConfig, Record, Topic,
};
use squall_history::history::{Handling, Observation};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

/// The pause before a failed commit, ack or dead letter is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// What a consumer does next.
enum Step {
    Event(ConsumerEvent),
    Record(Result<Delivery, Error>),
    /// A commit or an ack ended.
    Ended(Ended),
}

/// What ended.
enum Ended {
    Commit(Outcome<()>),
    Ack,
}

/// How the bus is told what is done.
enum Done {
    Commits(Commits),
    Acks(Acks),
}

/// A consumer's handle, and what is needed to use it and to write down what comes of it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) group: Arc<str>,
    pub(super) consumer: Arc<dyn Consumer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notebook: Notebook,
}

struct Worker {
    plan: ConsumerPlan,
    life: Incarnation,
    member: Member,
    dlq: Option<(Topic, Arc<dyn Producer>)>,
    done: Done,
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
    let member = Member {
        name: plan.name().into(),
        group: plan.group.as_str().into(),
        consumer,
        clock: bus.clock(),
        notebook,
    };
    let done = match bus.capabilities().ack_model {
        AckModel::Prefix => Done::Commits(Commits::new(member.clone())),
        AckModel::Individual => Done::Acks(Acks::new(member.clone())),
    };
    Worker { life, member, dlq, done, plan }.run().await;
}

impl Worker {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Step::Event(event) => self.event(event).await,
                Step::Record(Ok(delivery)) => self.record(delivery).await,
                Step::Record(Err(error)) => {
                    let fatal = error.class == ErrorClass::Fatal;
                    self.member.notebook.event(
                        self.plan.name(),
                        &self.plan.group,
                        &ConsumerEvent::Error(error),
                    );
                    if fatal {
                        return;
                    }
                    self.member.clock.sleep(AGAIN).await;
                }
                Step::Ended(Ended::Commit(outcome)) => {
                    if let Done::Commits(commits) = &mut self.done {
                        commits.ended(&outcome).await;
                    }
                }
                Step::Ended(Ended::Ack) => {}
            }
            if let Done::Commits(commits) = &mut self.done {
                commits.begin();
            }
        }
    }

    /// The end of a commit or ack, else an event, else a record: in this order, so that nothing is handled on old
    /// news.
    async fn next(&mut self) -> Step {
        let (consumer, done) = (&self.member.consumer, &mut self.done);
        poll_fn(|cx| {
            let ended = match done {
                Done::Commits(commits) => commits.poll_ended(cx).map(Ended::Commit),
                Done::Acks(acks) => acks.poll_ended(cx).map(|()| Ended::Ack),
            };
            if let Poll::Ready(ended) = ended {
                return Poll::Ready(Step::Ended(ended));
            }
            if let Poll::Ready(event) = consumer.poll_event(cx) {
                return Poll::Ready(Step::Event(event));
            }
            consumer.poll_next(cx).map(Step::Record)
        })
        .await
    }

    async fn event(&mut self, event: ConsumerEvent) {
        self.member.notebook.event(self.plan.name(), &self.plan.group, &event);
        let Done::Commits(commits) = &mut self.done else { return };
        match event {
            ConsumerEvent::Assigned(units) => commits.own(units.into_iter().map(|(unit, _)| unit)),
            ConsumerEvent::Revoked(units) => {
                commits.finish().await;
                commits.disown(&units);
            }
            ConsumerEvent::Lost(units) => commits.disown(&units),
            ConsumerEvent::Reset { .. } | ConsumerEvent::Error(_) => {}
        }
    }

    async fn record(&mut self, delivery: Delivery) {
        let read = self.member.notebook.delivered(self.plan.name(), Some(&self.plan.group), &delivery);
        if self.plan.commit == CommitPolicy::BeforeProcessing {
            let certain = match &mut self.done {
                Done::Commits(commits) => {
                    commits.done(&delivery);
                    commits.finish().await
                }
                Done::Acks(acks) => acks.once(&delivery, read.value).await,
            };
            if certain {
                self.handle(&delivery, read).await;
            }
            return;
        }
        self.handle(&delivery, read).await;
        match &mut self.done {
            Done::Commits(commits) => commits.done(&delivery),
            Done::Acks(acks) => acks.done(delivery, read.value),
        }
    }

    async fn handle(&mut self, delivery: &Delivery, read: Read) {
        let name = Arc::clone(&self.member.name);
        self.member.notebook.pages().handling.insert(name.to_string());
        // Who cannot even read a record cannot handle it: to the dead letters, where it has no value to name.
        if let Some(value) = read.value {
            let how = self.attempts(value, read.poison).await;
            if how == Handling::Poison {
                self.dead_letter(&delivery.record, value).await;
            }
            self.handled(value, how);
        }
        let now = self.member.notebook.now();
        let mut pages = self.member.notebook.pages();
        pages.recorder.handled(read.at, now);
        pages.handling.remove(&*name);
    }

    async fn attempts(&mut self, value: u64, poison: bool) -> Handling {
        for attempt in 1..=self.plan.attempts() {
            let this = self.plan.attempt(value, poison, attempt);
            if !this.takes.is_zero() {
                self.member.clock.sleep(this.takes).await;
            }
            if this.succeeds {
                return Handling::Ok;
            }
            if attempt < self.plan.attempts() {
                self.handled(value, Handling::Retry(attempt));
                self.member.clock.sleep(self.plan.backoff(value, attempt)).await;
            }
        }
        Handling::Poison
    }

    fn handled(&self, value: u64, how: Handling) {
        let now = self.member.notebook.now();
        let mut pages = self.member.notebook.pages();
        let process = pages.history.process(self.plan.name());
        let group = Some(pages.history.group(&self.plan.group));
        pages.history.observe(now, process, Observation::Handled { group, value, how });
    }

    /// Sends a record to the dead-letter topic until that is certain.
    async fn dead_letter(&mut self, record: &Record, cause: u64) {
        let Some((topic, producer)) = &self.dlq else { return };
        let name = self.plan.name();
        loop {
            let ready = producer.ready().await;
            let (value, send) = self.member.notebook.dead_letter(
                name,
                self.life.0,
                topic.as_str(),
                record.key.as_deref(),
                cause,
            );
            let outcome = match ready {
                Ok(()) => {
                    let letter = Record { partition: None, topic: topic.clone(), ..record.clone() };
                    producer.send(letter.header(VALUE_HEADER, value.to_string())).await
                }
                Err(error) => Outcome::Fail(error),
            };
            self.member.notebook.sent(send, &outcome);
            match outcome {
                Outcome::Ok(_) => return,
                Outcome::Fail(error) if error.class == ErrorClass::Fatal => return,
                Outcome::Fail(_) | Outcome::Unknown(..) => self.member.clock.sleep(AGAIN).await,
            }
        }
    }
}
