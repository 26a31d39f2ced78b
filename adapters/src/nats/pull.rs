//! The pullers of a consumer: one task for each durable consumer of its group, or for each unit that it reads.
//!
//! async-nats 0.51 makes an ordered consumer anew when a pull of it finds nobody, and if that happens before its first
//! message it begins at the start of the stream, whatever it was asked (`recreate_consumer_stream`). So where a unit
//! is read from is always a position here, and what comes from before it is left out.

use super::{
    codes,
    connection::REQUEST,
    consumer::{Fetched, Shared, Start},
    given_up,
    producer::{partitions, stream_error},
};
use async_nats::{
    Client,
    header::HeaderMap,
    jetstream::{
        self, Message,
        consumer::{
            AckPolicy, DeliverPolicy, PullConsumer,
            pull::{Config, OrderedConfig},
        },
        context::ContextBuilder,
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use squall_bus::{
    ConsumerConfig, ConsumerEvent, Error, ErrorClass, Header, Position, Record, ResetPolicy, Subscription,
    ThinVec, Topic, Unit,
    lowering::{self, Durable, RETRY_BACKOFF},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// How long a request for records waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server gives a sign of life meanwhile: async-nats' own default. A puller that misses it twice begins
/// again.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The most records of one request: async-nats' own default.
const MOST: usize = 200;
/// How often a reader looks whether it was sent elsewhere.
const LOOK: Duration = Duration::from_millis(20);
/// The headers that are the server's own begin so.
const OWN: &str = "Nats-";

/// Starts what this consumer needs.
pub(super) fn all(
    client: &Client,
    config: &ConsumerConfig,
    ack_wait: Option<Duration>,
    shared: &Arc<Shared>,
) -> JoinSet<()> {
    let context = ContextBuilder::new().timeout(REQUEST).build(client.clone());
    let mut pullers = JoinSet::new();
    let ack_wait = config.ack_wait.or(ack_wait);
    let client = client.clone();
    let puller = Puller { client, context, shared: Arc::clone(shared), config: config.clone(), ack_wait };
    match &config.subscription {
        Subscription::Group { group, topics } => {
            pullers.spawn(puller.group(group.clone(), topics.clone()));
        }
        Subscription::Assign(units) => {
            for (unit, _) in units {
                pullers.spawn(puller.clone().unit(unit.clone()));
            }
        }
    }
    pullers
}

#[derive(Clone)]
struct Puller {
    client: Client,
    context: jetstream::Context,
    shared: Arc<Shared>,
    config: ConsumerConfig,
    ack_wait: Option<Duration>,
}

impl Puller {
    /// Reports what went wrong, and waits before the next attempt.
    async fn pause(&self, error: Error) {
        self.shared.event(ConsumerEvent::Error(error));
        sleep(RETRY_BACKOFF).await;
    }

    /// Pulls from all consumers of a group in its topics, and tells all units as soon as they are known.
    async fn group(self, group: String, topics: Vec<Topic>) {
        let (mut pullers, mut units) = (JoinSet::new(), Vec::new());
        for topic in &topics {
            let partitions = loop {
                match partitions(&self.context, topic).await {
                    Ok(partitions) => break partitions,
                    Err(error) => self.pause(error).await,
                }
            };
            units.extend((0..partitions).map(|partition| (Unit::new(topic, partition), None)));
            for durable in lowering::durables(&group, topic, partitions, self.config.ordered) {
                if self.config.max_deliver.is_some() {
                    // In the queue before anything can be given up.
                    let queue = loop {
                        match given_up::queue(&self.client, &group, &durable).await {
                            Ok(queue) => break queue,
                            Err(error) => self.pause(error).await,
                        }
                    };
                    pullers.spawn(given_up::hear(
                        queue,
                        self.context.clone(),
                        topic.clone(),
                        Arc::clone(&self.shared),
                    ));
                }
                let consumer = loop {
                    match self.make(&durable).await {
                        Ok(consumer) => break consumer,
                        Err(error) => self.pause(error).await,
                    }
                };
                pullers.spawn(self.clone().durable(durable, consumer));
            }
        }
        self.shared.event(ConsumerEvent::Assigned(units));
        while pullers.join_next().await.is_some() {}
    }

    /// Pulls from one durable consumer, for ever.
    async fn durable(self, durable: Durable, mut consumer: PullConsumer) {
        loop {
            let error = self.pull(&consumer).await;
            self.pause(error).await;
            match self.make(&durable).await {
                Ok(found) => consumer = found,
                Err(error) => self.shared.event(ConsumerEvent::Error(error)),
            }
        }
    }

    /// Makes the consumer; one that is there is found.
    async fn make(&self, durable: &Durable) -> Result<PullConsumer, Error> {
        let config = Config {
            durable_name: Some(durable.name.clone()),
            name: Some(durable.name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait.unwrap_or_default(),
            deliver_policy: match self.config.reset {
                ResetPolicy::Earliest => DeliverPolicy::All,
                ResetPolicy::Latest => DeliverPolicy::New,
            },
            filter_subject: durable.filter.clone(),
            max_ack_pending: durable.max_ack_pending.map_or(0, i64::from),
            max_deliver: self.config.max_deliver.map_or(0, i64::from),
            ..Config::default()
        };
        let made = self.context.create_consumer_on_stream(config, &durable.stream).await;
        made.map_err(|error| {
            use jetstream::stream::ConsumerErrorKind;
            let says =
                format!("consumer {} of stream {} could not be made: {error}", durable.name, durable.stream);
            let number = match error.kind() {
                ConsumerErrorKind::JetStream(error) => codes::number(&error),
                ConsumerErrorKind::TimedOut => codes::TIMED_OUT,
                ConsumerErrorKind::Request => codes::NO_RESPONDERS,
                _ => codes::MALFORMED,
            };
            codes::error(number, says)
        })
    }

    /// Pulls until that fails.
    async fn pull(&self, consumer: &PullConsumer) -> Error {
        let batch = (self.config.prefetch.max(1) as usize).min(MOST);
        let pulling = consumer.stream().max_messages_per_batch(batch).expires(EXPIRES).heartbeat(HEARTBEAT);
        let mut messages = match pulling.messages().await {
            Ok(messages) => messages,
            Err(error) => return failed(&error.to_string()),
        };
        loop {
            self.shared.has_room().await;
            match messages.next().await {
                Some(Ok(message)) => {
                    if let Some(fetched) = fetched(&message, true) {
                        self.shared.fetched(fetched, None);
                    }
                }
                Some(Err(error)) => return failed(&error.to_string()),
                None => return failed("the pull ended"),
            }
        }
    }

    /// Reads one unit in order, for ever.
    async fn unit(self, unit: Unit) {
        let mut next = None;
        let mut before = None;
        while let Some(start) = self.shared.start(&unit) {
            if before != Some(start) {
                (next, before) = (start.from, Some(start));
            }
            match self.read(&unit, start, &mut next).await {
                Ok(()) => {}
                Err(error) => self.pause(error).await,
            }
        }
    }

    /// The place behind the last record of a topic.
    async fn end(&self, topic: &Topic) -> Result<Position, Error> {
        let found = self.context.get_stream(lowering::stream(topic)).await;
        let stream = found.map_err(|error| stream_error(topic, &error))?;
        Ok(Position(stream.cached_info().state.last_sequence + 1))
    }

    /// Reads from `next` on until that fails or the reader is sent elsewhere.
    async fn read(&self, unit: &Unit, start: Start, next: &mut Option<Position>) -> Result<(), Error> {
        let from = match (*next, self.config.reset) {
            (Some(position), _) => position,
            // Sequence numbers begin with 1.
            (None, ResetPolicy::Earliest) => Position(1),
            (None, ResetPolicy::Latest) => self.end(&unit.topic).await?,
        };
        *next = Some(from);
        let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: from.0.max(1) };
        let config = OrderedConfig {
            filter_subject: lowering::filter(unit),
            deliver_policy,
            ..OrderedConfig::default()
        };
        let stream = lowering::stream(&unit.topic);
        let made = self.context.create_consumer_on_stream(config, &stream).await;
        let consumer = made.map_err(|error| failed(&format!("{unit} cannot be read: {error}")))?;
        let messages = consumer.messages().await;
        let mut messages = messages.map_err(|error| failed(&format!("{unit} cannot be read: {error}")))?;
        while self.shared.start(unit) == Some(start) {
            self.shared.has_room().await;
            let message = tokio::select! {
                message = messages.next() => message,
                () = sleep(LOOK) => continue,
            };
            let message = message.ok_or_else(|| failed("the pull ended"))?;
            let message = message.map_err(|error| failed(&error.to_string()))?;
            let expected = |fetched: &Fetched| next.is_none_or(|next| fetched.position >= next);
            if let Some(fetched) = fetched(&message, false).filter(expected) {
                let position = fetched.position;
                if self.shared.fetched(fetched, Some(start)) {
                    *next = Some(position.next());
                }
            }
        }
        Ok(())
    }
}

fn failed(says: &str) -> Error {
    Error::new(ErrorClass::Retriable, "PULL", says)
}

/// A message as a record; `None` if it is none of ours.
fn fetched(message: &Message, acked: bool) -> Option<Fetched> {
    let info = message.info().ok()?;
    let (unit, record) = record(&message.subject, &message.payload, message.headers.as_ref())?;
    let reply = message.reply.as_ref().filter(|_| acked).map(ToString::to_string);
    let attempt = u32::try_from(info.delivered).ok().filter(|_| acked);
    Some(Fetched { record, unit, position: Position(info.stream_sequence), attempt, reply })
}

/// The record that a message of this subject is, and its unit; `None` if it is none of ours.
pub(super) fn record(subject: &str, payload: &Bytes, map: Option<&HeaderMap>) -> Option<(Unit, Record)> {
    let (unit, key) = lowering::place(subject)?;
    let record = Record {
        topic: unit.topic.clone(),
        partition: Some(unit.partition),
        key,
        value: payload.clone(),
        headers: map.map(headers).unwrap_or_default(),
    };
    Some((unit, record))
}

/// The headers that are the sender's.
fn headers(map: &HeaderMap) -> ThinVec<Header> {
    let senders = map.iter().filter(|(name, _)| !name.to_string().starts_with(OWN));
    let header = |name: String, value: &async_nats::HeaderValue| Header {
        name: Arc::from(name),
        value: value.as_str().to_owned().into(),
    };
    senders
        .flat_map(|(name, values)| values.iter().map(move |value| header(name.to_string(), value)))
        .collect()
}
