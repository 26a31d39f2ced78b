//! Acks, for a bus that acknowledges each record.
//!
//! Every record that is processed gets its ack. One that is not certain is tried again, as a careful service does:
//! to acknowledge twice does no harm, and not to, one that is delivered again. The history gets every ack and refusal
//! with what the bus said of it, and no commits.
//!
//! A refusal of a failed try is sent once: one that is lost is made up for when the bus' wait for the ack is over.

use super::consumer::{AGAIN, Member};
use futures_util::stream::{FuturesUnordered, Stream};
use squall_bus::{BoxFuture, Delivery, ErrorClass, Outcome};
use squall_history::history::Settlement;
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

    /// This delivery, by the index of its event, is done with.
    pub(super) fn done(&mut self, delivery: Delivery, event: u32) {
        let member = self.member.clone();
        let first = ack(&member, &delivery, event);
        self.under_way.push(Box::pin(async move {
            let mut outcome = first.await;
            while !outcome.is_ok() && may_succeed(&outcome) {
                member.clock.sleep(AGAIN).await;
                outcome = ack(&member, &delivery, event).await;
            }
        }));
    }

    /// This delivery failed, and shall come again after a pause.
    pub(super) fn refused(&mut self, delivery: &Delivery, event: u32, pause: Duration) {
        let notebook = self.member.notebook.clone();
        let op = notebook.settle(&self.member.name, event, Settlement::Nak { delay: Some(pause) });
        let outcome = self.member.consumer.nack(delivery, pause);
        self.under_way.push(Box::pin(async move { notebook.settled(op, &outcome.await) }));
    }

    /// Acknowledges this delivery before it is processed: whether that is certain. Only once, since a record that
    /// may be delivered again must not be processed now.
    pub(super) async fn once(&mut self, delivery: &Delivery, event: u32) -> bool {
        ack(&self.member, delivery, event).await.is_ok()
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

/// One ack, from its beginning to its end.
fn ack(member: &Member, delivery: &Delivery, event: u32) -> BoxFuture<'static, Outcome<()>> {
    let notebook = member.notebook.clone();
    let op = notebook.settle(&member.name, event, Settlement::Ack);
    let acking = member.consumer.ack(delivery);
    Box::pin(async move {
        let outcome = acking.await;
        notebook.settled(op, &outcome);
        outcome
    })
}
