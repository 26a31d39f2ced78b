//! Acks, for a bus that acknowledges each record.
//!
//! Every record that is processed gets its ack. One that is not certain is tried again, as a careful service does:
//! to acknowledge twice does no harm, and not to, one that is delivered again. The history gets an ack when it
//! is certain, and no commits.
//!
//! A refusal of a failed try is sent once: one that is lost is made up for when the bus' wait for the ack is over.

use super::consumer::{AGAIN, Member};
use futures_util::stream::{FuturesUnordered, Stream};
use squall_bus::{BoxFuture, Delivery, ErrorClass, Outcome};
use squall_history::history::Observation;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The acks of a consumer.
pub(super) struct Acks {
    member: Member,
    under_way: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Acks {
    pub(super) fn new(member: Member) -> Self {
        Self { member, under_way: FuturesUnordered::new() }
    }

    /// This delivery of the record `value` is done with.
    pub(super) fn done(&mut self, delivery: Delivery, value: Option<u64>) {
        let member = self.member.clone();
        let first = member.consumer.ack(&delivery);
        self.under_way.push(Box::pin(async move {
            let mut outcome = first.await;
            while !outcome.is_ok() && may_succeed(&outcome) {
                member.clock.sleep(AGAIN).await;
                outcome = member.consumer.ack(&delivery).await;
            }
            note(&member, value, &outcome);
        }));
    }

    /// This delivery failed, and shall come again after a pause.
    pub(super) fn refused(&mut self, delivery: &Delivery, pause: Duration) {
        let outcome = self.member.consumer.nack(delivery, pause);
        self.under_way.push(Box::pin(async move { drop(outcome.await) }));
    }

    /// Acknowledges this delivery before it is processed: whether that is certain. Only once, since a record that
    /// may be delivered again must not be processed now.
    pub(super) async fn once(&mut self, delivery: &Delivery, value: Option<u64>) -> bool {
        let outcome = self.member.consumer.ack(delivery).await;
        note(&self.member, value, &outcome);
        outcome.is_ok()
    }

    /// Ready when an ack has ended.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.under_way).poll_next(cx) {
            Poll::Ready(Some(())) => Poll::Ready(()),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

fn may_succeed(outcome: &Outcome<()>) -> bool {
    outcome.error().is_some_and(|error| error.class == ErrorClass::Retriable)
}

/// Writes an ack down that is certain. What has no value names no record.
fn note(member: &Member, value: Option<u64>, outcome: &Outcome<()>) {
    let (Some(value), true) = (value, outcome.is_ok()) else { return };
    let now = member.notebook.now();
    let mut pages = member.notebook.pages();
    let process = pages.history.process(&member.name);
    let group = Some(pages.history.group(&member.group));
    pages.history.observe(now, process, Observation::Acked { group, value });
}
