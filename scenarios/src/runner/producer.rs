//! A producer process: hands over its planned records at their intended times, whatever became of earlier ones.
//!
//! The loop is open. A crashed producer's next incarnation goes on with the first record that was not handed
//! over; what fell due meanwhile goes out at once, late, and is measured from its intended time.

use super::notebook::{Notebook, SendOp};
use crate::plan::{PlannedRecord, ProducerPlan};
use futures_util::stream::{FuturesUnordered, Stream};
use squall_bus::{Ack, Bus, ErrorClass, Incarnation, Outcome, Sending, Time};
use squall_history::history::Observation;
use squall_loadgen::{Arrival, Due, Pacer};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Sends under way, and where their outcomes are written down.
pub(super) struct UnderWay {
    sends: FuturesUnordered<Tagged>,
    notebook: Notebook,
}

/// A send with its operation.
struct Tagged {
    send: SendOp,
    sending: Sending,
}

impl Future for Tagged {
    type Output = (SendOp, Outcome<Ack>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.sending).poll(cx).map(|outcome| (self.send, outcome))
    }
}

impl UnderWay {
    pub(super) fn new(notebook: Notebook) -> Self {
        Self { sends: FuturesUnordered::new(), notebook }
    }

    /// A send began.
    pub(super) fn push(&mut self, send: SendOp, sending: Sending) {
        self.sends.push(Tagged { send, sending });
    }

    /// Waits for every outcome.
    pub(super) async fn all(&mut self) {
        poll_fn(|cx| if self.settle(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Writes down every outcome that is there; `true` when nothing is under way.
    fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut self.sends).poll_next(cx) {
                Poll::Ready(Some((send, outcome))) => self.notebook.sent(send, &outcome),
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }

    /// Waits for `future` and writes down outcomes meanwhile.
    pub(super) async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.settle(cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

/// A producer's records as they fall due; those that an earlier incarnation handed over are left out.
pub(super) struct Records<I> {
    pacer: Pacer<I>,
    /// The pacer asks for one arrival at a time; its record waits here until it is due.
    next: Arc<Mutex<Option<PlannedRecord>>>,
}

/// The records of this plan from now on.
pub(super) fn records(
    plan: &ProducerPlan,
    began: Time,
    bus: &dyn Bus,
    notebook: &Notebook,
) -> Records<impl Iterator<Item = Arrival> + use<>> {
    let next: Arc<Mutex<Option<PlannedRecord>>> = Arc::default();
    let made = Arc::clone(&next);
    let records = (0_u64..).zip(plan.records());
    let records = records.skip(usize::try_from(notebook.next_record(plan.name())).unwrap_or(usize::MAX));
    let arrivals = records.map(move |(ordinal, record)| {
        let at = record.at.since(Time::ZERO);
        *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
        Arrival { ordinal, at }
    });
    Records { pacer: Pacer::new(bus.clock(), began, arrivals), next }
}

impl<I: Iterator<Item = Arrival>> Records<I> {
    /// The next one, when it is due; `None` at the end of the schedule.
    pub(super) async fn next(&mut self, under_way: &mut UnderWay) -> Option<(Due, PlannedRecord)> {
        let due = under_way.during(self.pacer.next()).await?;
        under_way.notebook.pages().recorder.offered(&due);
        let record = self.next.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((due, record))
    }
}

/// The body of a producer process. `began` is when the workload began.
pub(super) async fn produce(
    plan: ProducerPlan,
    began: Time,
    bus: Arc<dyn Bus>,
    life: Incarnation,
    notebook: Notebook,
) {
    bus.clock().sleep_until(began + plan.starts).await;
    let producer = match bus.producer(plan.config.clone()) {
        Ok(producer) => producer,
        Err(error) => return report(&notebook, plan.name(), &error),
    };
    let mut records = records(&plan, began, &*bus, &notebook);
    let mut under_way = UnderWay::new(notebook.clone());
    while let Some((due, record)) = records.next(&mut under_way).await {
        if let Err(error) = under_way.during(producer.ready()).await {
            report(&notebook, plan.name(), &error);
            if error.class == ErrorClass::Fatal {
                break;
            }
        }
        let send = notebook.send(&plan, life.0, &due, &record, None);
        under_way.push(send, producer.send(record.record(&plan.topic)));
    }
    // Batches need not wait for company any more, and the outcomes are awaited: to end now would be a crash.
    if let Err(error) = under_way.during(producer.flush()).await {
        report(&notebook, plan.name(), &error);
    }
    under_way.all().await;
}

pub(super) fn report(notebook: &Notebook, client: &str, error: &squall_bus::Error) {
    let now = notebook.now();
    let mut pages = notebook.pages();
    let process = pages.history.process(client);
    let observation =
        Observation::ClientError { error: error.code.to_string(), message: error.message.clone() };
    pages.history.observe(now, process, observation);
}
