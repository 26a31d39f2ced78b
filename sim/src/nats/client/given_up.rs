//! What a group's consumers gave up: heard of by an advisory, fetched from the stream by its sequence number.
//!
//! - A member is in its group's queue for the advisories of its streams, from before the group's consumers are made
//!   for as long as it has a connection; on a new connection it subscribes again. What is said while it has none is
//!   said to others, or to nobody.
//! - An advisory names a message and does not have it. So the stream is asked for it, until it answers; a message that
//!   is gone by then is told as an error.

use super::{Io, link::Link};
use crate::nats::{
    ApiError,
    protocol::{
        AckToken, Advisory, ApiRequest, ApiResponse, ClientMsg, ConsumerId, GroupIx, StoredMessage, StreamIx,
    },
};
use squall_bus::{Error, ErrorClass};
use std::{collections::BTreeMap, sync::Arc};

/// A message that was given up, or why it is not to be had.
pub(crate) type Fetched = Result<(ConsumerId, AckToken, Arc<StoredMessage>), Error>;

/// A queue that the client is in.
#[derive(Clone, Copy, Debug)]
struct Queue {
    stream: StreamIx,
    group: GroupIx,
    inbox: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp {
    queues: Vec<Queue>,
    /// What was asked for, by the question: the consumer, the message, its deliveries.
    asked: BTreeMap<u32, (ConsumerId, u64, u32)>,
}

impl GivenUp {
    /// The client shall be in this queue; said to the server by the next [`GivenUp::subscribe`].
    pub(crate) fn listen(&mut self, stream: StreamIx, group: GroupIx, inbox: u64) {
        self.queues.push(Queue { stream, group, inbox });
    }

    /// Subscribes, if there is a connection.
    pub(crate) fn subscribe(&self, link: &mut Link, io: &mut dyn Io) {
        if !link.connection.is_up() {
            return;
        }
        for Queue { stream, group, inbox } in &self.queues {
            link.send(ClientMsg::QueueGivenUp(*stream, *group, *inbox), io);
        }
    }

    /// The server says something; whatever it names is asked for.
    pub(crate) fn heard(&mut self, inbox: u64, advisory: Advisory, link: &mut Link, io: &mut dyn Io) {
        let Advisory::MaxDeliveries { consumer, stream_seq, deliveries } = advisory else { return };
        if self.queues.iter().any(|queue| queue.inbox == inbox) {
            let question = link.ask(ApiRequest::MessageGet(consumer.stream, stream_seq), io);
            self.asked.insert(question, (consumer, stream_seq, deliveries));
        }
    }

    /// The answer to a question: what was given up, if that was what it was about.
    pub(crate) fn answered(&mut self, question: u32, response: &ApiResponse) -> Option<Fetched> {
        let (consumer, stream_seq, delivered) = self.asked.remove(&question)?;
        Some(match response {
            ApiResponse::Message(message) => {
                let token = AckToken { stream_seq, consumer_seq: 0, delivered, pending: 0 };
                Ok((consumer, token, Arc::clone(message)))
            }
            ApiResponse::Error(error) => Err(gone(stream_seq, *error)),
            _ => Err(gone(stream_seq, ApiError::MessageNotFound)),
        })
    }
}

fn gone(seq: u64, error: ApiError) -> Error {
    let message = format!("the record {seq} was given up and cannot be fetched: {error}");
    Error::new(ErrorClass::Refused, error.err_code().to_string(), message)
}
