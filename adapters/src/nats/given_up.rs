//! What a group's durable consumers gave up: heard of by an advisory, fetched from the stream by its sequence number.
//!
//! - The server announces it on a subject of each consumer ([`lowering::max_deliveries`]), as a core message: at most
//!   once, to one member of the queue that the group's members are in. async-nats subscribes again on a new connection;
//!   what is said while there is none is said to others, or to nobody.
//! - An advisory names a message and does not have it. So the stream's leader is asked for it, again and again; a
//!   message that is gone by then is told as an error.
//! - Messages are fetched beside each other, so that no advisory waits in its subscription for another's message.

use super::{
    codes,
    consumer::{Fetched, Shared},
    producer::stream_error,
    pull::record,
};
use async_nats::{
    Client, Subscriber,
    jetstream::{self, stream::LastRawMessageErrorKind},
};
use futures_util::StreamExt;
use serde::Deserialize;
use squall_bus::{
    ConsumerEvent, Error, ErrorClass, Position, Topic,
    lowering::{self, Durable, RETRY_BACKOFF},
};
use std::sync::Arc;
use tokio::{task::JoinSet, time::sleep};

/// What is needed of an advisory of the type `io.nats.jetstream.advisory.v1.max_deliver`.
#[derive(Debug, Deserialize)]
struct MaxDeliver {
    stream_seq: u64,
    deliveries: u32,
}

/// Enters the group's queue for what this consumer gives up.
pub(super) async fn queue(client: &Client, group: &str, durable: &Durable) -> Result<Subscriber, Error> {
    let queue = lowering::token(group.as_bytes());
    client.queue_subscribe(lowering::max_deliveries(durable), queue).await.map_err(|error| {
        let says = format!("what {} gives up cannot be heard: {error}", durable.name);
        codes::error(codes::CLOSED, says)
    })
}

/// Tells everything that is given up, for ever.
pub(super) async fn hear(
    mut queue: Subscriber,
    context: jetstream::Context,
    topic: Topic,
    shared: Arc<Shared>,
) {
    let mut fetching = JoinSet::new();
    while let Some(advisory) = queue.next().await {
        while fetching.try_join_next().is_some() {}
        match serde_json::from_slice::<MaxDeliver>(&advisory.payload) {
            Ok(named) => {
                fetching.spawn(tell(named, context.clone(), topic.clone(), Arc::clone(&shared)));
            }
            Err(error) => {
                let says = format!("an advisory on {} cannot be read: {error}", advisory.subject);
                shared.event(ConsumerEvent::Error(codes::error(codes::MALFORMED, says)));
            }
        }
    }
    while fetching.join_next().await.is_some() {}
}

/// Fetches the message and tells that it was given up.
async fn tell(named: MaxDeliver, context: jetstream::Context, topic: Topic, shared: Arc<Shared>) {
    loop {
        match fetch(&named, &context, &topic).await {
            Ok(fetched) => return shared.exhausted(fetched),
            Err(error) => {
                let again = error.class == ErrorClass::Retriable;
                shared.event(ConsumerEvent::Error(error));
                if !again {
                    return;
                }
                sleep(RETRY_BACKOFF).await;
            }
        }
    }
}

async fn fetch(named: &MaxDeliver, context: &jetstream::Context, topic: &Topic) -> Result<Fetched, Error> {
    let stream = context.get_stream_no_info(lowering::stream(topic)).await;
    let stream = stream.map_err(|error| stream_error(topic, &error))?;
    let message = stream.get_raw_message(named.stream_seq).await.map_err(|error| {
        let says =
            format!("the record {} of {topic} was given up and cannot be fetched: {error}", named.stream_seq);
        match error.kind() {
            LastRawMessageErrorKind::JetStream(error) => codes::error(codes::number(&error), says),
            LastRawMessageErrorKind::NoMessageFound => codes::error(10_037, says),
            _ => codes::error(codes::TIMED_OUT, says),
        }
    })?;
    let headers = Some(&message.headers).filter(|headers| !headers.is_empty());
    let (unit, record) = record(&message.subject, &message.payload, headers).ok_or_else(|| {
        let says = format!("what was given up as {} of {topic} is none of ours", named.stream_seq);
        codes::error(codes::INVALID, says)
    })?;
    let (position, attempt) = (Position(named.stream_seq), Some(named.deliveries));
    Ok(Fetched { record, unit, position, attempt, reply: None })
}
