//! The administrator of a NATS cluster.
//!
//! - Leaders and copies come from what the nodes tell of themselves ([`crate::monitor`]); topics, ends and group
//!   positions are asked of JetStream, past every proxy, over a connection to each node. So a node that is frozen
//!   or cut off does not hold up the answers of the others.
//! - A question goes to all nodes. Of the answers that come within [`Monitor::LOOK`] of the first, the one that
//!   has seen most counts.
//! - A topic counts as created when its stream has a leader, all copies are up to date, and every node knows who takes
//!   its records: that spreads from node to node, and a client of a node that does not know yet would be told that
//!   nobody is there.

use super::{
    codes,
    connection::{Worker, open},
};
use crate::monitor::{Copies, Monitor, Survey};
use async_nats::{
    Client, ConnectOptions,
    jetstream::{
        self,
        context::{ContextBuilder, CreateStreamErrorKind, PublishErrorKind},
        message::PublishMessage,
        stream::{Config, LastRawMessageErrorKind, StorageType},
    },
};
use squall_bus::{
    Admin, BoxFuture, Error, ErrorClass, Pending, Position, Topic, TopicSpec, TopicState, Unit,
    lowering::{self, DEDUP_WINDOW, PARTITIONS},
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    net::SocketAddr,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};
use tokio::{sync::OnceCell, task::JoinSet, time::sleep};

/// How long a topic may take to be created.
const CREATION: Duration = Duration::from_secs(30);
/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(50);

/// An administrator's handle. Cheap to clone.
#[derive(Clone)]
pub struct NatsAdmin(Arc<Shared>);

struct Shared {
    monitor: Monitor,
    nodes: Vec<SocketAddr>,
    contexts: OnceCell<Vec<jetstream::Context>>,
    worker: Worker,
    name: String,
}

impl fmt::Debug for NatsAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsAdmin({:?})", self.0.nodes)
    }
}

impl NatsAdmin {
    /// An administrator that reaches node i of a cluster at the i-th of these addresses, whatever the node
    /// advertises, and calls itself so.
    #[must_use]
    pub fn direct(nodes: &[SocketAddr], monitor: Monitor, name: &str) -> Self {
        let worker = Worker::start("squall-nats-admin");
        let (nodes, contexts) = (nodes.to_vec(), OnceCell::new());
        Self(Arc::new(Shared { monitor, nodes, contexts, worker, name: name.to_owned() }))
    }

    /// The units of all topics as the nodes see them now, with since when their leaders lead.
    pub fn survey(&self) -> BoxFuture<'static, Result<BTreeMap<Unit, Copies>, Error>> {
        let survey = self.0.monitor.survey();
        Box::pin(async move {
            let mut units = BTreeMap::new();
            for (name, copies) in survey.await?.streams() {
                let Some(topic) = lowering::topic(&name) else { continue };
                for partition in 0..copies.partitions().unwrap_or(0) {
                    units.insert(Unit::new(&topic, partition), copies.clone());
                }
            }
            Ok(units)
        })
    }

    /// Runs a question on the administrator's own thread, whatever the caller runs on.
    fn run<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (completer, pending) = Pending::pair();
        let task = async move {
            completer.complete(question.await).into_iter().for_each(Waker::wake);
        };
        match self.0.worker.spawn(task) {
            Ok(_) => Box::pin(pending),
            Err(error) => Box::pin(Pending::done(Err(error))),
        }
    }
}

impl Admin for NatsAdmin {
    fn create_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), Error>> {
        let (shared, topics) = (Arc::clone(&self.0), topics.to_vec());
        self.run(async move {
            let end = Instant::now() + CREATION;
            for spec in &topics {
                shared.create(spec, end).await?;
            }
            for spec in &topics {
                shared.await_whole(spec, end).await?;
            }
            Ok(())
        })
    }

    fn describe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Vec<TopicState>, Error>> {
        let survey = self.0.monitor.survey();
        Box::pin(async move {
            let (copies, partitions) = copies(&survey.await?, topic)?;
            let state = |partition| TopicState {
                unit: Unit::new(topic, partition),
                leader: copies.leader,
                replicas: copies.replicas.clone(),
                insync: copies.insync.clone(),
            };
            Ok((0..partitions).map(state).collect())
        })
    }

    fn bounds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<(Position, Position), Error>> {
        let (shared, unit) = (Arc::clone(&self.0), unit.clone());
        self.run(async move {
            let ask = move |context| bounds(context, unit.clone());
            let all = shared.ask_all(ask).await?;
            all.into_iter().max_by_key(|(_, end)| *end).ok_or_else(Error::closed)
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        unit: &'a Unit,
    ) -> BoxFuture<'a, Result<Option<Position>, Error>> {
        let (shared, group, unit) = (Arc::clone(&self.0), group.to_owned(), unit.clone());
        self.run(async move {
            let ask = move |context| committed(context, group.clone(), unit.clone());
            shared.ask_all(ask).await.map(|all| all.into_iter().max().flatten())
        })
    }

    /// The leader of the group's first consumer: that of the first unit of its first topic.
    fn coordinator<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Option<u32>, Error>> {
        let survey = self.0.monitor.survey();
        Box::pin(async move {
            let survey = survey.await?;
            let first = survey
                .consumers()
                .into_iter()
                .filter_map(|(stream, consumer)| Some((stream, number_in_group(group, consumer)?, consumer)))
                .min();
            Ok(first.and_then(|(stream, _, consumer)| survey.consumer_leader(stream, consumer)))
        })
    }

    fn controller(&self) -> BoxFuture<'_, Result<Option<u32>, Error>> {
        let survey = self.0.monitor.survey();
        Box::pin(async move { Ok(survey.await?.controller()) })
    }
}

/// Which consumer of a group this is; `None` if it is none.
fn number_in_group(group: &str, consumer: &str) -> Option<u32> {
    match consumer.strip_prefix(&lowering::token(group.as_bytes()))? {
        "" => Some(0),
        rest => rest.strip_prefix('+')?.parse().ok(),
    }
}

fn copies(survey: &Survey, topic: &Topic) -> Result<(Copies, u32), Error> {
    let found = survey.streams().remove(&lowering::stream(topic));
    let copies = found.ok_or_else(|| codes::error(10_059, format!("no node knows the topic {topic}")))?;
    match copies.partitions() {
        Some(partitions) => Ok((copies, partitions)),
        None => {
            let says = format!("the stream of topic {topic} does not say how many partitions it has");
            Err(Error::new(ErrorClass::Refused, "NO_PARTITIONS", says))
        }
    }
}

impl Shared {
    /// A connection to each node, made once.
    async fn contexts(&self) -> Result<&Vec<jetstream::Context>, Error> {
        let connect = async || {
            let mut contexts = Vec::new();
            for node in &self.nodes {
                let options = ConnectOptions::new()
                    .name(&self.name)
                    .connection_timeout(Duration::from_secs(1))
                    .ping_interval(Duration::from_secs(1))
                    .retry_on_initial_connect()
                    .ignore_discovered_servers();
                let client: Client = open(options, &node.to_string()).await?;
                contexts.push(ContextBuilder::new().timeout(Monitor::PATIENCE).build(client));
            }
            Ok(contexts)
        };
        self.contexts.get_or_try_init(connect).await
    }

    /// What the nodes answer: the first, and those that come soon after it. If none answers, why.
    async fn ask_all<T: Send + 'static, F>(
        &self,
        ask: impl Fn(jetstream::Context) -> F,
    ) -> Result<Vec<T>, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut asking = JoinSet::new();
        for context in self.contexts().await? {
            asking.spawn(ask(context.clone()));
        }
        let (mut answers, mut failed) = (Vec::new(), Error::closed());
        let mut late = std::pin::pin!(sleep(Duration::MAX));
        loop {
            tokio::select! {
                answer = asking.join_next() => match answer {
                    Some(Ok(Ok(answer))) => {
                        if answers.is_empty() {
                            late.set(sleep(Monitor::LOOK));
                        }
                        answers.push(answer);
                    }
                    Some(Ok(Err(error))) => failed = error,
                    Some(Err(_)) => {}
                    None => break,
                },
                () = &mut late => break,
            }
        }
        if answers.is_empty() { Err(failed) } else { Ok(answers) }
    }

    /// Creates a stream; one that is there in the same shape is fine. Tries until `end`.
    async fn create(&self, spec: &TopicSpec, end: Instant) -> Result<(), Error> {
        let config = stream_config(spec);
        for context in self.contexts().await?.iter().cycle() {
            let Err(error) = context.create_stream(config.clone()).await else { return Ok(()) };
            let says = format!("topic {}: {error}", spec.topic);
            let number = match error.kind() {
                CreateStreamErrorKind::JetStream(error) => codes::number(&error),
                CreateStreamErrorKind::TimedOut => codes::TIMED_OUT,
                CreateStreamErrorKind::JetStreamUnavailable => codes::NO_RESPONDERS,
                CreateStreamErrorKind::Response => codes::MALFORMED,
                _ => codes::INVALID,
            };
            let error = codes::error(number, says);
            if number == 10_058 {
                return Err(self.other_shape(spec, error).await);
            }
            if error.class != ErrorClass::Retriable || Instant::now() > end {
                return Err(error);
            }
            sleep(LOOK).await;
        }
        Err(Error::closed())
    }

    /// What to tell when a topic is there in another shape.
    async fn other_shape(&self, spec: &TopicSpec, error: Error) -> Error {
        let Ok(survey) = self.monitor.survey().await else { return error };
        let Some(found) = survey.streams().remove(&lowering::stream(&spec.topic)) else { return error };
        let says = format!(
            "the topic {} is there with {} partitions and {} replicas, and {} and {} were asked for: delete its \
             stream, or use another name",
            spec.topic,
            found.partitions().unwrap_or(0),
            found.replicas.len(),
            spec.partitions,
            spec.replicas
        );
        Error { message: says, ..error }
    }

    /// Whether every node that answers knows who takes a topic's records. Asked with a publish that the stream has to
    /// refuse, because it expects another stream.
    async fn is_known(&self, topic: &Topic) -> bool {
        let Ok(subject) = lowering::subject(&Unit::new(topic, 0), None) else { return false };
        let Ok(contexts) = self.contexts().await else { return false };
        for context in contexts {
            let probe = PublishMessage::build().expected_stream("-");
            let answer = match context.send_publish(subject.clone(), probe).await {
                Ok(answer) => answer.await.err(),
                Err(error) => Some(error),
            };
            if answer.is_some_and(|error| error.kind() == PublishErrorKind::StreamNotFound) {
                return false;
            }
        }
        true
    }

    /// Waits until a stream has a leader and all its copies are up to date.
    async fn await_whole(&self, spec: &TopicSpec, end: Instant) -> Result<(), Error> {
        loop {
            let streams = self.monitor.survey().await?.streams();
            let found = streams.get(&lowering::stream(&spec.topic));
            let is_whole =
                |found: &Copies| found.leader.is_some() && found.insync.len() == spec.replicas as usize;
            if found.is_some_and(is_whole) && self.is_known(&spec.topic).await {
                return Ok(());
            }
            if Instant::now() > end {
                let says = format!("the topic {} did not get its leader and copies in time", spec.topic);
                return Err(codes::error(10_008, says));
            }
            sleep(LOOK).await;
        }
    }
}

fn stream_config(spec: &TopicSpec) -> Config {
    let metadata = [(PARTITIONS.to_owned(), spec.partitions.to_string())].into();
    Config {
        name: lowering::stream(&spec.topic),
        subjects: vec![lowering::subjects(&spec.topic)],
        storage: StorageType::File,
        num_replicas: spec.replicas as usize,
        duplicate_window: DEDUP_WINDOW,
        metadata,
        ..Config::default()
    }
}

/// The first place of a unit and the one behind its last; of an empty unit, where its stream goes on.
async fn bounds(context: jetstream::Context, unit: Unit) -> Result<(Position, Position), Error> {
    let found = context.get_stream(lowering::stream(&unit.topic)).await;
    let stream = found.map_err(|error| super::producer::stream_error(&unit.topic, &error))?;
    let filter = lowering::filter(&unit);
    let asked = |error: &dyn fmt::Display, kind| {
        let says = format!("the ends of {unit} could not be asked: {error}");
        match kind {
            LastRawMessageErrorKind::JetStream(error) => codes::error(codes::number(&error), says),
            LastRawMessageErrorKind::NoMessageFound => codes::error(10_037, says),
            _ => codes::error(codes::TIMED_OUT, says),
        }
    };
    let last = match stream.get_last_raw_message_by_subject(&filter).await {
        Ok(last) => last,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            let next = Position(stream.cached_info().state.last_sequence + 1);
            return Ok((next, next));
        }
        Err(error) => return Err(asked(&error, error.kind())),
    };
    let first = stream.get_first_raw_message_by_subject(&filter, 1).await;
    let first = first.map_err(|error| asked(&error, error.kind()))?;
    Ok((Position(first.sequence), Position(last.sequence + 1)))
}

/// Behind the last record up to which everything is acknowledged: by the unit's own consumer, or by the one of the
/// topic.
async fn committed(
    context: jetstream::Context,
    group: String,
    unit: Unit,
) -> Result<Option<Position>, Error> {
    let durables =
        [lowering::durable(&group, &unit), lowering::durables(&group, &unit.topic, 1, false).remove(0)];
    for durable in durables {
        let found: Result<jetstream::consumer::PullConsumer, _> =
            context.get_consumer_from_stream(&durable.name, &durable.stream).await;
        match found {
            Ok(consumer) => {
                let info = consumer.cached_info();
                let floor = info.ack_floor.stream_sequence;
                // The floor stays where it is when the last message is given up; then nothing waits for an ack.
                // What was delivered counts the whole stream, of which the unit is a part.
                let done = match info.num_ack_pending {
                    0 => info.delivered.stream_sequence.max(floor),
                    _ => floor,
                };
                if done == 0 {
                    return Ok(None);
                }
                let (_, end) = bounds(context.clone(), unit.clone()).await?;
                return Ok(Some(Position(done + 1).min(end.max(Position(floor + 1)))));
            }
            Err(error) => {
                use jetstream::stream::ConsumerErrorKind;
                let number = match error.kind() {
                    ConsumerErrorKind::JetStream(error) => codes::number(&error),
                    _ => codes::TIMED_OUT,
                };
                if number != 10_014 {
                    let says = format!("consumer {} could not be asked: {error}", durable.name);
                    return Err(codes::error(number, says));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_told_by_their_groups() {
        assert_eq!(number_in_group("billing", "billing+3"), Some(3));
        assert_eq!(number_in_group("billing", "billing"), Some(0));
        for other in ["billing2+0", "bill+0", "billing+", "billing+x"] {
            assert_eq!(number_in_group("billing", other), None, "{other}");
        }
        assert_eq!(number_in_group("a.b", "a=2Eb+1"), Some(1));
    }
}
