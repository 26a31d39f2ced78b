//! What librdkafka calls back: delivery reports into the producer, rebalances and errors into the consumer.

use super::{bus_error, consumer::Shared, number, producer::Sent};
use crate::flight::Flight;
use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
    message::DeliveryResult,
    producer::ProducerContext,
};
use squall_bus::{Ack, Error, ErrorClass, Outcome, Position, Topic, Unit};
use std::{sync::Arc, time::Duration};

/// How long the committed positions of a new assignment may take to be known.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);

/// Completes sends.
pub(super) struct Deliveries {
    pub(super) flight: Arc<Flight>,
    pub(super) acked: bool,
    pub(super) one_attempt: bool,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match result {
            Ok(_) if !self.acked => {
                Outcome::Unknown(Error::new(ErrorClass::Retriable, "NO_ACK", "acks=0 asks for no ack"), None)
            }
            Ok(message) => Outcome::Ok(Ack {
                unit: Unit::new(&sent.topic, u32::try_from(message.partition()).unwrap_or_default()),
                position: u64::try_from(message.offset()).ok().map(Position),
                duplicate: false,
            }),
            Err((error, _)) => {
                let (number, says) = number(error);
                crate::wire::codes::failed_send(number.unwrap_or(-196), says, self.one_attempt)
            }
        };
        self.flight.land(sent.ticket, outcome);
    }
}

/// Tells the consumer.
pub(super) struct Membership {
    pub(super) shared: Arc<Shared>,
}

impl ClientContext for Membership {
    /// A position that the broker refused is reset without an event or an error: a line of the log is all that is told.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "OFFSET"
            && let Some(unit) = reset_of(message)
        {
            self.shared.reset(unit);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut error = bus_error(&error);
        reason.clone_into(&mut error.message);
        self.shared.error(error);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(units) => self.shared.assigned(committed(consumer, units)),
            Rebalance::Revoke(units) => self.shared.revoked(names(units), consumer.assignment_lost()),
            Rebalance::Error(error) => self.shared.error(bus_error(error)),
        }
    }
}

/// The unit whose position is reset, if a line of the log says so:
/// `[thrd:main]: orders [3]: offset reset (at offset 12 ...`.
fn reset_of(message: &str) -> Option<Unit> {
    let named = message.strip_prefix("[thrd:").and_then(|message| message.split_once("]: "));
    let message = named.map_or(message, |(_thread, message)| message);
    let (unit, _) = message.split_once("]: offset reset (at ")?;
    let (topic, partition) = unit.rsplit_once(" [")?;
    Some(Unit::new(&Topic::new(topic), partition.parse().ok()?))
}

/// The units of a list, and where the group goes on in them, as far as that can be learned quickly.
fn committed(
    consumer: &BaseConsumer<Membership>,
    units: &TopicPartitionList,
) -> Vec<(Unit, Option<Position>)> {
    let found = consumer.committed_offsets(units.clone(), COMMITTED_WITHIN);
    let list = found.as_ref().unwrap_or(units);
    let position = |offset| match offset {
        rdkafka::Offset::Offset(offset) => u64::try_from(offset).ok().map(Position),
        _ => None,
    };
    names(list).into_iter().zip(list.elements().iter().map(|unit| position(unit.offset()))).collect()
}

fn names(units: &TopicPartitionList) -> Vec<Unit> {
    let unit = |unit: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        Unit::new(&Topic::new(unit.topic()), u32::try_from(unit.partition()).unwrap_or_default())
    };
    units.elements().iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::reset_of;

    #[test]
    fn a_reset_is_known_by_its_line_in_the_log() {
        let told = "order events [3]: offset reset (at offset 12 (leader epoch 0), broker 2) to offset BEGINNING \
                    (leader epoch -1): fetch failed: Broker: Offset out of range";
        for told in
            [told.to_owned(), format!("[thrd:main]: {told}"), format!("[thrd:127.0.0.1:9092/1]: {told}")]
        {
            assert_eq!(reset_of(&told).map(|unit| unit.to_string()).as_deref(), Some("order events/3"));
        }
        for other in
            ["", "orders [3]: fetch failed", "orders [x]: offset reset (at offset 12", "]: offset reset (at "]
        {
            assert_eq!(reset_of(other), None, "{other}");
        }
    }
}
