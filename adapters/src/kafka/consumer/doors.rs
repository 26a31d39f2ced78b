//! What the caller of a consumer meets: records and events come out of the shared state, and commits, seeks and the end
//! go into it. None of it waits for librdkafka; that is the threads' part.

use super::{Commit, End, FEW, KafkaConsumer};
use crate::{handles::Crash, wire::codes};
use rdkafka::consumer::Consumer as _;
use squall_bus::{Consumer, ConsumerEvent, Delivery, Error, Outcome, Pending, Position, Unit};
use std::{
    sync::PoisonError,
    task::{Context, Poll},
};

impl Crash for KafkaConsumer {
    fn crash(&self) {
        self.end(End::Crash);
    }
}

impl Consumer for KafkaConsumer {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        let mut state = self.shared.lock();
        if state.end.is_some() {
            return Poll::Ready(Err(Error::closed()));
        }
        let Some(delivery) = state.records.pop_front() else {
            if let Some(error) = &state.fatal {
                return Poll::Ready(Err(error.clone()));
            }
            state.reader = Some(cx.waker().clone());
            (state.wanted, state.busy) = (true, false);
            drop(state);
            self.shared.changed.notify_all();
            return Poll::Pending;
        };
        state.busy = true;
        state.burst |= state.records.len() <= FEW;
        let burst = state.burst;
        drop(state);
        if burst {
            self.shared.changed.notify_all();
        }
        if self.shared.stores {
            self.store(&delivery);
        }
        Poll::Ready(Ok(delivery))
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        let mut state = self.shared.lock();
        let event = state.events.pop_front();
        state.listens = event.is_none();
        if event.is_none() {
            state.listener = Some(cx.waker().clone());
        }
        drop(state);
        self.shared.changed.notify_all();
        event.map_or(Poll::Pending, Poll::Ready)
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.commit(vec![(delivery.unit.clone(), delivery.position.next())])
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        let refuse = |code, says: &str| Pending::done(Outcome::Fail(codes::error(code, says)));
        if self.group.is_none() {
            return refuse(-179, "a consumer outside of any group has nothing to commit");
        }
        let mut state = self.shared.lock();
        if state.end.is_some() {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        let (completer, pending) = Pending::pair();
        state.commits.push_back(Commit { positions, completer });
        drop(state);
        self.shared.changed.notify_all();
        pending
    }

    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error> {
        let mut state = self.shared.lock();
        if state.end.is_some() {
            return Err(Error::closed());
        }
        if !state.owned.contains_key(unit) {
            return Err(codes::error(-172, format!("{unit} is not assigned to this consumer")));
        }
        state.records.retain(|record| record.unit != *unit);
        state.seeks.push_back((unit.clone(), position));
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn close(&self) -> Pending<()> {
        let (completer, pending) = Pending::pair();
        self.end(End::Close(Some(completer)));
        pending
    }
}

impl KafkaConsumer {
    /// Makes the position behind a record the one that is committed next.
    fn store(&self, delivery: &Delivery) {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let partition = i32::try_from(delivery.unit.partition).unwrap_or(i32::MAX);
        let offset = i64::try_from(delivery.position.0).unwrap_or(i64::MAX);
        // A unit that was revoked in this moment is not stored: it is another member's now.
        let _ = client.map(|client| client.store_offset(delivery.unit.topic.as_str(), partition, offset));
    }
}
