//! A consumer process: takes records one by one, handles each with retries, dead-letters the poison, and says what
//! it is done with: by [`commits`](super::commits) on a bus whose acks are prefixes, by [`acks`](super::acks) on
//! one that acknowledges each record. Where the bus counts the tries, a failed one is refused with its pause, and what
//! the bus gives up is dead-lettered by whoever hears of it. With the policy before-processing a record is handled only
//! after that is certain.

use super::{
    acks::Acks,
    commits::Commits,
    notebook::{Notebook, Read, VALUE_HEADER},
};
use crate::{format::CommitPolicy, plan::ConsumerPlan};
use squall_bus::{
    AckModel, Bus, Clock, Consumer, ConsumerEvent, Delivery, Error, ErrorClass, ID_HEADER, Incarnation,
    Outcome, Producer, ProducerConfig, Record, Topic, lowering,
};
use squall_history::history::{Handling, Observation};
use squall_sim::kernel::Mark;
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
    /// The client commits by itself.
    Automatic,
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
    // Whatever the incarnation before this one had in its hands is nobody's now.
    notebook.pages().handling.remove(plan.name());
    let opened = bus.consumer(plan.config.clone()).and_then(|consumer| {
        let dlq = match &plan.dlq {
            Some(topic) => {
                let (profile, name) = (plan.config.profile, plan.name());
                let config = ProducerConfig { profile, idempotent: true, ..ProducerConfig::new(name) };
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
        AckModel::Prefix if plan.config.auto_commit.is_some() => Done::Automatic,
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
    /// news. After a commit that was not taken events come first: one that is refused at once, as by a client that is no
    /// member of its group any more, would otherwise be tried again for ever, and the news of it never be heard.
    async fn next(&mut self) -> Step {
        let (consumer, done) = (&self.member.consumer, &mut self.done);
        poll_fn(|cx| {
            if let Done::Commits(commits) = &*done
                && commits.was_refused()
                && let Poll::Ready(event) = consumer.poll_event(cx)
            {
                return Poll::Ready(Step::Event(event));
            }
            let ended = match done {
                Done::Commits(commits) => commits.poll_ended(cx).map(Ended::Commit),
                Done::Acks(acks) => acks.poll_ended(cx).map(|()| Ended::Ack),
                Done::Automatic => Poll::Pending,
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
        if let ConsumerEvent::Exhausted(delivery) = &event {
            self.exhausted(delivery).await;
        }
        let Done::Commits(commits) = &mut self.done else { return };
        match event {
            ConsumerEvent::Assigned(units) => commits.own(units.into_iter().map(|(unit, _)| unit)),
            ConsumerEvent::Revoked(units) => {
                if commits.owes() {
                    self.member.notebook.pages().marks.add(Mark::RevokedInHand);
                }
                commits.finish().await;
                commits.disown(&units);
            }
            ConsumerEvent::Lost(units) => {
                if commits.owes() {
                    self.member.notebook.pages().marks.add(Mark::LostInHand);
                }
                commits.disown(&units);
            }
            ConsumerEvent::Reset { unit, to, .. } => commits.moved(&unit, to),
            ConsumerEvent::Exhausted(_) | ConsumerEvent::Error(_) => {}
        }
    }

    async fn record(&mut self, delivery: Delivery) {
        let read = self.member.notebook.delivered(self.plan.name(), Some(&self.plan.group), &delivery);
        if self.plan.commit == CommitPolicy::BeforeProcessing && !matches!(self.done, Done::Automatic) {
            let certain = match &mut self.done {
                Done::Commits(commits) => {
                    commits.done(&delivery);
                    commits.finish().await
                }
                Done::Acks(acks) => acks.once(&delivery, read.event).await,
                Done::Automatic => true,
            };
            if certain {
                self.handle(&delivery, read).await;
            }
            return;
        }
        let how = self.handle(&delivery, read).await;
        match (&mut self.done, how) {
            (Done::Commits(commits), _) => commits.done(&delivery),
            (Done::Acks(acks), Handling::Retry(attempt)) => {
                acks.refused(
                    &delivery,
                    read.event,
                    self.plan.backoff(read.value.unwrap_or_default(), attempt),
                );
            }
            (Done::Acks(acks), _) => acks.done(delivery, read.event),
            (Done::Automatic, _) => {}
        }
    }

    /// Handles a record: how that ended. `Retry` leaves the next try to the bus.
    async fn handle(&mut self, delivery: &Delivery, read: Read) -> Handling {
        self.begin_handling();
        let mut how = Handling::Ok;
        // Who cannot even read a record cannot handle it: to the dead letters, where it has no value to name.
        if let Some(value) = read.value {
            how = if self.plan.bus_retries() {
                self.attempt(delivery, value, read.poison).await
            } else {
                self.attempts(value, read.poison).await
            };
            if how == Handling::Poison {
                self.dead_letter(&delivery.record, value, None).await;
            }
            self.handled(value, how);
        }
        let now = self.member.notebook.now();
        self.member.notebook.pages().recorder.handled(read.at, now);
        self.end_handling();
        how
    }

    fn begin_handling(&self) {
        self.member.notebook.pages().handling.insert(self.member.name.to_string());
    }

    fn end_handling(&self) {
        self.member.notebook.pages().handling.remove(&*self.member.name);
    }

    /// One try, of which the bus knows the number.
    async fn attempt(&mut self, delivery: &Delivery, value: u64, poison: bool) -> Handling {
        let attempt = delivery.attempt.unwrap_or(1);
        let this = self.plan.attempt(value, poison, attempt);
        if !this.takes.is_zero() {
            self.member.clock.sleep(this.takes).await;
        }
        let owed = (self.plan.group.clone(), value);
        let mut pages = self.member.notebook.pages();
        if this.succeeds {
            pages.owed.remove(&owed);
            return Handling::Ok;
        }
        if attempt >= self.plan.attempts() {
            pages.owed.insert(owed);
        }
        Handling::Retry(attempt)
    }

    /// The bus gave a record up: to the dead letters.
    async fn exhausted(&mut self, delivery: &Delivery) {
        self.begin_handling();
        if let Some(value) = self.member.notebook.given_up(&self.plan.group, delivery) {
            let (unit, position) = (&delivery.unit, delivery.position);
            let id = lowering::dead_letter_id(&self.plan.group, unit, position, self.plan.config.ordered);
            self.dead_letter(&delivery.record, value, Some(&id)).await;
            self.handled(value, Handling::Poison);
        }
        self.end_handling();
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
                self.member.notebook.pages().between_tries.insert(self.member.name.to_string());
                self.member.clock.sleep(self.plan.backoff(value, attempt)).await;
                self.member.notebook.pages().between_tries.remove(&*self.member.name);
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

    /// Sends a record to the dead-letter topic until that is certain, under this name if it has one.
    async fn dead_letter(&mut self, record: &Record, cause: u64, id: Option<&str>) {
        let Some((topic, producer)) = &self.dlq else { return };
        let (name, notebook) = (self.plan.name(), &self.member.notebook);
        let letter = Record { partition: None, topic: topic.clone(), ..record.clone() };
        let letter = id.into_iter().fold(letter, |letter, id| letter.header(ID_HEADER, id.to_owned()));
        loop {
            let ready = producer.ready().await;
            let (value, send) =
                notebook.dead_letter(id, name, self.life.0, topic.as_str(), record.key.as_deref(), cause);
            let outcome = match ready {
                Ok(()) => producer.send(letter.clone().header(VALUE_HEADER, value.to_string())).await,
                Err(error) => Outcome::Fail(error),
            };
            notebook.letter_sent(send, &outcome);
            match outcome {
                Outcome::Ok(_) => return,
                Outcome::Fail(error) if error.class == ErrorClass::Fatal => return,
                Outcome::Fail(_) | Outcome::Unknown(..) => self.member.clock.sleep(AGAIN).await,
            }
        }
    }
}
