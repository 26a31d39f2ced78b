//! A producer process: hands over its planned records at their intended times, whatever became of earlier ones.
//!
//! The loop is open. A crashed producer's next incarnation goes on with the first record that was not handed
//! over; what fell due meanwhile goes out at once, late, and is measured from its intended time.

use super::notebook::{Notebook, SendOp};
use crate::plan::{PlannedRecord, ProducerPlan};
use futures_util::stream::{FuturesUnordered, Stream};
use squall_bus::{Ack, Bus, ErrorClass, Incarnation, Outcome, Sending, Time};
use squall_history::history::Observation;
use squall_loadgen::{Arrival, Pacer};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Sends under way, and where their outcomes are written down.
struct UnderWay {
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
    async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.settle(cx);
            future.as_mut().poll(cx)
        })
        .await
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
    let producer = match bus.producer(plan.config.clone()) {
        Ok(producer) => producer,
        Err(error) => return report(&notebook, plan.name(), &error),
    };
    // The pacer asks for one arrival at a time; its record waits here until it is due.
    let next: Arc<Mutex<Option<PlannedRecord>>> = Arc::default();
    let made = Arc::clone(&next);
    let records = (0_u64..).zip(plan.records());
    let records = records.skip(usize::try_from(notebook.next_record(plan.name())).unwrap_or(usize::MAX));
    let arrivals = records.map(move |(ordinal, record)| {
        let at = record.at.since(Time::ZERO);
        *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
        Arrival { ordinal, at }
    });
    let mut pacer = Pacer::new(bus.clock(), began, arrivals);
    let mut under_way = UnderWay { sends: FuturesUnordered::new(), notebook: notebook.clone() };
    while let Some(due) = under_way.during(pacer.next()).await {
        notebook.pages().recorder.offered(&due);
        let Some(record) = next.lock().unwrap_or_else(PoisonError::into_inner).take() else { break };
        if let Err(error) = under_way.during(producer.ready()).await {
            report(&notebook, plan.name(), &error);
            if error.class == ErrorClass::Fatal {
                break;
            }
        }
        let send = notebook.send(&plan, life.0, &due, &record);
        let sending = producer.send(record.record(&plan.topic));
        under_way.sends.push(Tagged { send, sending });
    }
    // Batches need not wait for company any more, and the outcomes are awaited: to end now would be a crash.
    if let Err(error) = under_way.during(producer.flush()).await {
        report(&notebook, plan.name(), &error);
    }
    poll_fn(|cx| if under_way.settle(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn report(notebook: &Notebook, client: &str, error: &squall_bus::Error) {
    let now = notebook.now();
    let mut pages = notebook.pages();
    let process = pages.history.process(client);
    let observation =
        Observation::ClientError { error: error.code.to_string(), message: error.message.clone() };
    pages.history.observe(now, process, observation);
}
