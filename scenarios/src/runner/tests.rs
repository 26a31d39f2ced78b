//! The consumer process against a bus that a test plays by hand: one that acknowledges each record.

use super::{consumer::consume, notebook::Notebook};
use crate::{Plan, library};
use squall_bus::{
    AckModel, Admin, Bus, Capabilities, Clock, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error,
    ErrorClass, Incarnation, Outcome, Pending, Position, Producer, ProducerConfig, Sleep, Time, Unit,
};
use squall_history::history::{Advice, Handling, History, Observation, SettleRow, Settlement, Status};
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
    refused: Vec<(u64, Duration)>,
    /// Told once the deliveries are taken.
    exhausted: VecDeque<Delivery>,
    commits: u32,
    /// What was committed for good.
    committed: Vec<(Unit, Position)>,
    /// Commits are refused at once, until the consumer has heard this.
    news: Option<ConsumerEvent>,
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
        if script.commits > 0
            && let Some(news) = script.news.take()
        {
            if let ConsumerEvent::Lost(_) = &news {
                // It will be assigned some again.
                script.told = false;
            }
            return Poll::Ready(news);
        }
        if std::mem::replace(&mut script.told, true) {
            let exhausted = if script.deliveries.is_empty() { script.exhausted.pop_front() } else { None };
            return exhausted
                .map_or(Poll::Pending, |delivery| Poll::Ready(ConsumerEvent::Exhausted(delivery)));
        }
        let units = script.deliveries.iter().map(|delivery| (delivery.unit.clone(), None)).collect();
        Poll::Ready(ConsumerEvent::Assigned(units))
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        let mut script = self.script();
        script.acked.push(delivery.tag);
        Pending::done(script.outcomes.pop_front().unwrap_or(Outcome::Ok(())))
    }

    fn nack(&self, delivery: &Delivery, delay: Duration) -> Pending<Outcome<()>> {
        self.script().refused.push((delivery.tag, delay));
        Pending::done(Outcome::Ok(()))
    }

    fn term(&self, _: &Delivery, _: &str) -> Pending<Outcome<()>> {
        Pending::done(Outcome::Ok(()))
    }

    fn extend(&self, _: &Delivery) -> Pending<Outcome<()>> {
        Pending::done(Outcome::Ok(()))
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        let mut script = self.script();
        script.commits += 1;
        assert!(script.commits < 50, "it commits for ever");
        if script.news.is_some() {
            return Pending::done(refused());
        }
        script.committed.extend(positions);
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
    play_with(&[format!("workload.consumers.commit={commit}")], outcomes, 1, false)
}

/// The same with these overrides; each record is delivered for the time `attempt`, and then perhaps given up.
fn play_with(
    overrides: &[String],
    outcomes: impl IntoIterator<Item = Outcome<()>>,
    attempt: u32,
    exhausted: bool,
) -> (History, Arc<Played>) {
    let overrides: Vec<_> = overrides.iter().map(|text| text.parse().expect("an override")).collect();
    let entry = library::find("retry-without-idempotence").expect("in the library");
    let plan = Plan::new(entry.scenario(&overrides).expect("parses"), 1);
    let producer = &plan.producers()[0];
    let deliveries = producer.records().take(3).zip(1..).map(|(record, tag)| {
        let unit = Unit::new(&producer.topic, 0);
        let position = Position(10 * tag);
        Delivery { record: record.record(&producer.topic), unit, position, attempt: Some(attempt), tag }
    });
    let deliveries: VecDeque<Delivery> = deliveries.collect();
    let script = Script {
        exhausted: if exhausted { deliveries.clone() } else { VecDeque::new() },
        deliveries,
        outcomes: outcomes.into_iter().collect(),
        ..Script::default()
    };
    play_on(AckModel::Individual, &plan, script)
}

/// A consumer process of this plan on a bus that is played like this.
fn play_on(acks: AckModel, plan: &Plan, script: Script) -> (History, Arc<Played>) {
    let capabilities = Capabilities::new(acks, false, &[]);
    let clock = Arc::new(Jumps::default());
    let notebook = Notebook::new(plan, "sim:played", &capabilities, Arc::clone(&clock) as _);
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

/// The acks that the bus confirmed.
fn acked(history: &History) -> usize {
    let confirmed = |one: &&SettleRow| one.how == Settlement::Ack && one.status == Status::Ok;
    history.settles().iter().filter(confirmed).count()
}

#[test]
fn every_processed_record_is_acknowledged_and_nothing_is_committed() {
    let (history, consumer) = play("after-processing", []);
    assert_eq!((handled(&history), acked(&history), history.commits().len()), (3, 3, 0));
    let script = consumer.script();
    assert_eq!((&script.acked[..], script.commits), (&[1, 2, 3][..], 0));
}

#[test]
fn an_ack_that_is_not_certain_is_tried_again_and_all_are_written_down() {
    let (history, consumer) = play("after-processing", [doubt(), doubt()]);
    assert_eq!((handled(&history), acked(&history)), (3, 3));
    let acks = consumer.script().acked.clone();
    assert_eq!((acks.len(), history.settles().len()), (5, 5), "{acks:?}");
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

/// Three records at positions 1 to 3 on a bus whose acks are prefixes; commits are refused until the consumer has heard
/// this of their unit.
fn play_prefixes(news: impl FnOnce(Unit) -> ConsumerEvent) -> (History, Arc<Played>) {
    let entry = library::find("retry-without-idempotence").expect("in the library");
    let plan = Plan::new(entry.scenario(&[]).expect("parses"), 1);
    let producer = &plan.producers()[0];
    let unit = Unit::new(&producer.topic, 0);
    let delivery = |(record, tag): (crate::plan::PlannedRecord, u64)| Delivery {
        record: record.record(&producer.topic),
        unit: unit.clone(),
        position: Position(tag),
        attempt: None,
        tag,
    };
    let deliveries = producer.records().take(3).zip(1..).map(delivery).collect();
    let script = Script { deliveries, news: Some(news(unit.clone())), ..Script::default() };
    play_on(AckModel::Prefix, &plan, script)
}

#[test]
fn a_commit_that_is_refused_at_once_does_not_keep_the_news_of_it_away() {
    let (history, consumer) = play_prefixes(|unit| ConsumerEvent::Lost(vec![unit]));
    let lost = history.notes().iter().filter(|(_, note)| matches!(note, Observation::Lost(_)));
    assert_eq!((lost.count(), handled(&history)), (1, 3));
    assert!((2..=6).contains(&consumer.script().commits), "{} commits", consumer.script().commits);
}

/// A log lost its end and the reader went back to where it ends now: the places of the records that were processed
/// will be others' places.
#[test]
fn what_was_processed_beyond_the_end_of_a_log_that_was_cut_is_not_committed() {
    let back = |to| move |unit| ConsumerEvent::Reset { unit, from: Some(Position(2)), to };
    let (history, consumer) = play_prefixes(back(Position(1)));
    assert_eq!(handled(&history), 3);
    let committed = consumer.script().committed.clone();
    assert!(
        committed.iter().all(|(_, at)| *at != Position(2)),
        "the commit of the first is not tried again: {committed:?}"
    );
    // What the log still has is committed.
    let (_, consumer) = play_prefixes(back(Position(2)));
    assert!(consumer.script().committed.iter().any(|(_, at)| *at >= Position(2)));
}

fn by_bus(fails: &str) -> [String; 3] {
    [
        "workload.consumers.retry={ attempts: 3, by: bus, backoff: 1s..9s }".to_owned(),
        "workload.consumers.ack_wait=20s".to_owned(),
        format!("workload.consumers.handler.fails={fails}"),
    ]
}

/// How the records were handled, in order.
fn ways(history: &History) -> Vec<Handling> {
    history.handled().iter().map(|handled| handled.how).collect()
}

#[test]
fn a_failed_try_is_handed_back_to_a_bus_that_counts() {
    let (history, consumer) = play_with(&by_bus("100%"), [], 2, false);
    assert_eq!(ways(&history), [Handling::Retry(2); 3], "one try each");
    let script = consumer.script();
    let pause = Duration::from_secs(2);
    assert_eq!((&script.refused[..], script.acked.len()), (&[(1, pause), (2, pause), (3, pause)][..], 0));
    drop(script);
    let (history, consumer) = play_with(&by_bus("0%"), [], 2, false);
    assert_eq!((ways(&history), consumer.script().refused.len()), (vec![Handling::Ok; 3], 0));
    assert_eq!(consumer.script().acked, [1, 2, 3]);
}

#[test]
fn what_the_bus_gives_up_is_poison() {
    let (history, consumer) = play_with(&by_bus("100%"), [], 3, true);
    let expected = [[Handling::Retry(3); 3], [Handling::Poison; 3]].concat();
    assert_eq!(ways(&history), expected);
    assert_eq!(consumer.script().refused.len(), 3, "the bus has to be told of the last try too");
    let told = history
        .notes()
        .iter()
        .filter(|(_, note)| matches!(note, Observation::Advisory { what: Advice::MaxDeliveries, .. }));
    let refusals = history.settles().iter().filter(|one| matches!(one.how, Settlement::Nak { .. }));
    assert_eq!(refusals.count(), 3);
    assert_eq!(told.count(), 3);
}

#[test]
fn letters_of_one_name_are_one_send_that_ends_once() {
    let entry = library::find("poison-by-max-deliver").expect("in the library");
    let plan = Plan::new(entry.scenario(&[]).expect("parses"), 1);
    let capabilities = Capabilities::new(AckModel::Individual, false, &[]);
    let notebook = Notebook::new(&plan, "sim:played", &capabilities, Arc::new(Jumps::default()));
    let letter = |id, consumer| notebook.dead_letter(id, consumer, 0, "order-events.dlq", None, 7);
    let ack = || {
        let unit = Unit::new(&"order-events.dlq".into(), 0);
        Outcome::Ok(squall_bus::Ack { unit, position: Some(Position(1)), duplicate: false })
    };
    let doubt = || Outcome::Unknown(Error::new(ErrorClass::Retriable, "TIMED_OUT", ""), None);
    let (first, sent) = letter(Some("s.c.12"), "consumer-1");
    notebook.letter_sent(sent, &doubt());
    let (again, sent) = letter(Some("s.c.12"), "consumer-2");
    let (other, _) = letter(Some("s.c.13"), "consumer-2");
    assert_eq!((first == again, first == other), (true, false));
    notebook.letter_sent(sent, &ack());
    let (_, late) = letter(Some("s.c.12"), "consumer-1");
    notebook.letter_sent(late, &ack());
    let nameless = [letter(None, "consumer-1"), letter(None, "consumer-1")].map(|(value, _)| value);
    assert_ne!(nameless[0], nameless[1]);
    let history = notebook.close().0;
    assert_eq!(history.sends().len(), 4);
    assert!(history.sends()[0].acked() && !history.sends()[1].acked());
}
