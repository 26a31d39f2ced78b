//! The consumer process against a bus that a test plays by hand: one that acknowledges each record.

use super::{consumer::consume, notebook::Notebook};
use crate::{Plan, library};
use squall_bus::{
    AckModel, Admin, Bus, Capabilities, Clock, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error,
    ErrorClass, Incarnation, Outcome, Pending, Position, Producer, ProducerConfig, Sleep, Time, Unit,
};
use squall_history::history::{Handling, History, Observation};
use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Time passes when somebody sleeps.
#[derive(Default)]
struct Jumps(Mutex<Time>);

impl Clock for Jumps {
    fn now(&self) -> Time {
        *self.0.lock().expect("not poisoned")
    }

    fn sleep_until(&self, until: Time) -> Sleep {
        let mut now = self.0.lock().expect("not poisoned");
        *now = until.max(*now);
        Box::pin(std::future::ready(()))
    }
}

#[derive(Default)]
struct Script {
    deliveries: VecDeque<Delivery>,
    /// What the next acks come to; ok when there is none left.
    outcomes: VecDeque<Outcome<()>>,
    acked: Vec<u64>,
    commits: u32,
    told: bool,
}

#[derive(Default)]
struct Played(Mutex<Script>);

impl Played {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("not poisoned")
    }
}

impl Consumer for Played {
    fn poll_next(&self, _: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        self.script().deliveries.pop_front().map_or(Poll::Pending, |delivery| Poll::Ready(Ok(delivery)))
    }

    fn poll_event(&self, _: &mut Context<'_>) -> Poll<ConsumerEvent> {
        let mut script = self.script();
        if std::mem::replace(&mut script.told, true) {
            return Poll::Pending;
        }
        let units = script.deliveries.iter().map(|delivery| (delivery.unit.clone(), None)).collect();
        Poll::Ready(ConsumerEvent::Assigned(units))
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        let mut script = self.script();
        script.acked.push(delivery.tag);
        Pending::done(script.outcomes.pop_front().unwrap_or(Outcome::Ok(())))
    }

    fn nack(&self, _: &Delivery, _: Duration) -> Pending<Outcome<()>> {
        Pending::done(Outcome::Ok(()))
    }

    fn term(&self, _: &Delivery, _: &str) -> Pending<Outcome<()>> {
        Pending::done(Outcome::Ok(()))
    }

    fn extend(&self, _: &Delivery) -> Pending<Outcome<()>> {
        Pending::done(Outcome::Ok(()))
    }

    fn commit(&self, _: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        self.script().commits += 1;
        Pending::done(Outcome::Ok(()))
    }

    fn seek(&self, _: &Unit, _: Position) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Pending<()> {
        Pending::done(())
    }
}

struct Stage {
    capabilities: Capabilities,
    consumer: Arc<Played>,
    clock: Arc<Jumps>,
}

impl Bus for Stage {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as _
    }

    fn producer(&self, _: ProducerConfig) -> Result<Arc<dyn Producer>, Error> {
        Err(Error::closed())
    }

    fn consumer(&self, _: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::clone(&self.consumer) as _)
    }

    fn admin(&self) -> Arc<dyn Admin> {
        unreachable!("a consumer process asks no administrator")
    }
}

fn doubt() -> Outcome<()> {
    Outcome::Unknown(Error::new(ErrorClass::Retriable, "TIMED_OUT", ""), None)
}

fn refused() -> Outcome<()> {
    Outcome::Fail(Error::new(ErrorClass::Refused, "NO_SUCH_DELIVERY", ""))
}

/// Three records through a consumer process whose acks come to these outcomes.
fn play(commit: &str, outcomes: impl IntoIterator<Item = Outcome<()>>) -> (History, Arc<Played>) {
    let over = format!("workload.consumers.commit={commit}").parse().expect("an override");
    let entry = library::find("retry-without-idempotence").expect("in the library");
    let plan = Plan::new(entry.scenario(&[over]).expect("parses"), 1);
    let producer = &plan.producers()[0];
    let deliveries = producer.records().take(3).zip(1..).map(|(record, tag)| {
        let unit = Unit::new(&producer.topic, 0);
        let position = Position(10 * tag);
        Delivery { record: record.record(&producer.topic), unit, position, attempt: Some(1), tag }
    });
    let script = Script {
        deliveries: deliveries.collect(),
        outcomes: outcomes.into_iter().collect(),
        ..Script::default()
    };
    let capabilities = Capabilities::new(AckModel::Individual, false, &[]);
    let clock = Arc::new(Jumps::default());
    let notebook = Notebook::new(&plan, "sim:played", &capabilities, Arc::clone(&clock) as _);
    let consumer = Arc::new(Played(Mutex::new(script)));
    let bus = Arc::new(Stage { capabilities, consumer: Arc::clone(&consumer), clock });
    let mut body = pin!(consume(plan.consumers()[0].clone(), bus, Incarnation::default(), notebook.clone()));
    for _ in 0..20 {
        assert!(body.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it never ends");
    }
    assert!(notebook.pages().assigned.contains("consumer-1"), "a run waits for this");
    (notebook.close().0, consumer)
}

fn handled(history: &History) -> usize {
    history.handled().iter().filter(|handled| handled.how == Handling::Ok).count()
}

fn acked(history: &History) -> usize {
    history.notes().iter().filter(|(_, note)| matches!(note, Observation::Acked { .. })).count()
}

#[test]
fn every_processed_record_is_acknowledged_and_nothing_is_committed() {
    let (history, consumer) = play("after-processing", []);
    assert_eq!((handled(&history), acked(&history), history.commits().len()), (3, 3, 0));
    let script = consumer.script();
    assert_eq!((&script.acked[..], script.commits), (&[1, 2, 3][..], 0));
}

#[test]
fn an_ack_that_is_not_certain_is_tried_again_and_written_down_once() {
    let (history, consumer) = play("after-processing", [doubt(), doubt()]);
    assert_eq!((handled(&history), acked(&history)), (3, 3));
    let acks = consumer.script().acked.clone();
    assert_eq!(acks.len(), 5, "{acks:?}");
}

#[test]
fn an_ack_that_is_refused_is_given_up() {
    let (history, consumer) = play("after-processing", [refused()]);
    assert_eq!((handled(&history), acked(&history), consumer.script().acked.len()), (3, 2, 3));
}

#[test]
fn before_processing_a_record_without_a_certain_ack_is_left_alone() {
    let (history, consumer) = play("before-processing", [Outcome::Ok(()), doubt()]);
    assert_eq!((handled(&history), acked(&history)), (2, 2));
    assert_eq!(consumer.script().acked, [1, 2, 3], "each once");
}
