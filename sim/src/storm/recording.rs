//! The bus traits over another bus, with everything that passes written down in a [`Recorder`].
//!
//! The service sees exactly what the inner bus gives it. What it does not ask for is not seen either: rebalances
//! are in the history only if the service takes its consumer's events.

use super::{named::Named, record::Recorder};
use squall_bus::{
    AckModel, Admin, BoxFuture, Bus, Capabilities, Clock, Consumer, ConsumerConfig, ConsumerEvent, Delivery,
    Error, Outcome, Pending, Position, Producer, ProducerConfig, Record, Sending, Subscription, Transaction,
    Unit,
};
use squall_history::history::{GroupId, OpId, ProcessId, Settlement};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// A bus that writes down what one process does with it.
pub(super) struct RecordingBus {
    pub(super) inner: Arc<dyn Bus>,
    pub(super) process: Arc<str>,
    pub(super) recorder: Arc<Recorder>,
}

impl Bus for RecordingBus {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn producer(&self, config: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
        let inner = self.inner.producer(config.clone())?;
        let session = self.recorder.producer(&self.process, &config);
        let (process, recorder) = (Named::new(&self.process), Arc::clone(&self.recorder));
        Ok(Arc::new(RecordingProducer { inner, process, session, recorder }))
    }

    fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
        let inner = self.inner.consumer(config.clone())?;
        self.recorder.consumer(&config);
        let group = match config.subscription {
            Subscription::Group { group, .. } => Some(Named::new(&group)),
            Subscription::Assign(_) => None,
        };
        let prefix = self.inner.capabilities().ack_model == AckModel::Prefix;
        let (process, recorder) = (Named::new(&self.process), Arc::clone(&self.recorder));
        Ok(Arc::new(RecordingConsumer { inner, process, group, prefix, recorder }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.inner.admin()
    }
}

struct RecordingProducer {
    inner: Arc<dyn Producer>,
    process: Named<ProcessId>,
    session: u32,
    recorder: Arc<Recorder>,
}

impl Producer for RecordingProducer {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn send(&self, record: Record) -> Sending {
        let (op, record) = self.recorder.send(&self.process, self.session, record);
        let sending = self.inner.send(record);
        let Some(op) = op else { return sending };
        // What never ends must not keep the recorder alive.
        let recorder = Arc::downgrade(&self.recorder);
        sending.seen_by(move |outcome| {
            if let Some(recorder) = recorder.upgrade() {
                recorder.sent(op, outcome);
            }
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.flush()
    }

    fn transaction(&self) -> Result<&dyn Transaction, Error> {
        self.inner.transaction()
    }
}

struct RecordingConsumer {
    inner: Arc<dyn Consumer>,
    process: Named<ProcessId>,
    group: Option<Named<GroupId>>,
    /// An ack is a commit.
    prefix: bool,
    recorder: Arc<Recorder>,
}

impl RecordingConsumer {
    /// Writes a commit down, from its beginning to its end.
    fn committing(
        &self,
        positions: &[(Unit, Position)],
        commit: impl FnOnce() -> Pending<Outcome<()>>,
    ) -> Pending<Outcome<()>> {
        let group = self.group.as_ref();
        let op = group.and_then(|group| self.recorder.commit(&self.process, group, positions));
        self.until_it_ends(op, commit())
    }
}

impl RecordingConsumer {
    /// Writes down what becomes of a delivery, from its beginning to its end.
    fn settling(
        &self,
        delivery: &Delivery,
        how: Settlement,
        settle: impl FnOnce() -> Pending<Outcome<()>>,
    ) -> Pending<Outcome<()>> {
        let group = self.group.as_ref().filter(|_| !self.prefix);
        let op = group.and_then(|group| self.recorder.settle(&self.process, group, delivery, how));
        self.until_it_ends(op, settle())
    }

    fn until_it_ends(&self, op: Option<OpId>, pending: Pending<Outcome<()>>) -> Pending<Outcome<()>> {
        let Some(op) = op else { return pending };
        let recorder = Arc::downgrade(&self.recorder);
        pending.seen_by(move |outcome| {
            if let Some(recorder) = recorder.upgrade() {
                recorder.ended(op, outcome);
            }
        })
    }
}

impl Consumer for RecordingConsumer {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        let next = self.inner.poll_next(cx);
        next.map_ok(|delivery| self.recorder.delivered(&self.process, self.group.as_ref(), delivery))
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        let event = self.inner.poll_event(cx);
        if let Poll::Ready(event) = &event {
            self.recorder.event(&self.process, self.group.as_ref(), event);
        }
        event
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        if self.prefix {
            let behind = [(delivery.unit.clone(), delivery.position.next())];
            self.committing(&behind, || self.inner.ack(delivery))
        } else {
            self.settling(delivery, Settlement::Ack, || self.inner.ack(delivery))
        }
    }

    fn nack(&self, delivery: &Delivery, delay: Duration) -> Pending<Outcome<()>> {
        let how = Settlement::Nak { delay: Some(delay) };
        self.settling(delivery, how, || self.inner.nack(delivery, delay))
    }

    fn term(&self, delivery: &Delivery, reason: &str) -> Pending<Outcome<()>> {
        self.settling(delivery, Settlement::Term, || self.inner.term(delivery, reason))
    }

    fn extend(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.settling(delivery, Settlement::Extend, || self.inner.extend(delivery))
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        self.committing(&positions.clone(), || self.inner.commit(positions))
    }

    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error> {
        self.inner.seek(unit, position)
    }

    fn close(&self) -> Pending<()> {
        self.inner.close()
    }
}
