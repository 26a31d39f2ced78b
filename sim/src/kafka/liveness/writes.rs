//! EventuallyWriteIsAcceptedOrRejected: no write is left without an answer.

use super::Liveness;
use crate::kafka::{Kafka, conns::Busy, rules::Rules};
use crate::kernel::{ConnId, NodeId};
use squall_bus::Time;
use std::time::Duration;

/// How far a request may be behind its own time: its broker may be busy.
const LATE: Duration = Duration::from_secs(1);
/// `request.timeout.ms` of both client libraries.
const REQUEST: Duration = Duration::from_secs(30);

/// A write at a broker: its connection, and until when it waits; one that the broker has not begun with waits for
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting(NodeId, ConnId, Option<Time>);

/// No Produce that waited when it was first looked waits beyond the time that its client gave it, and no request that
/// was there then lies untouched.
#[derive(Debug, Default)]
pub(super) struct Writes {
    waiting: Vec<Waiting>,
}

fn all(model: &Kafka) -> impl Iterator<Item = Waiting> + '_ {
    model.servers.iter().flat_map(|server| {
        let conns = server.data().into_iter().flat_map(|broker| broker.conns.iter());
        conns.filter_map(|(id, conn)| match &conn.busy {
            Busy::Produce(parked) => Some(Waiting(server.me, id, Some(parked.until))),
            Busy::No if !conn.queue.is_empty() => Some(Waiting(server.me, id, None)),
            _ => None,
        })
    })
}

/// How long the time of a request has been up, if it should have been answered.
fn overdue(until: Time, now: Time) -> Option<Duration> {
    (until + LATE < now).then(|| now.since(until))
}

impl Writes {
    /// What waited when it was first looked, and still does.
    fn left<'a>(&'a self, model: &'a Kafka) -> impl Iterator<Item = Waiting> + 'a {
        all(model).filter(|waiting| self.waiting.contains(waiting))
    }
}

impl Liveness for Writes {
    fn name(&self) -> &'static str {
        "EventuallyWriteIsAcceptedOrRejected"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, replication (KIP-966)"
    }

    /// A client's own time for a request that came until it was first looked.
    fn bound(&self, _: &Rules) -> Duration {
        REQUEST * 4 / 3
    }

    fn remember(&mut self, model: &Kafka) {
        self.waiting = all(model).collect();
    }

    fn missing(&self, model: &Kafka, now: Time) -> Option<String> {
        self.left(model).find_map(|Waiting(node, _, until)| match until {
            None => Some(format!("node {} has not looked at a request that came", node.0 + 1)),
            Some(until) => overdue(until, now)
                .map(|late| format!("a write waits at node {}, whose time was up {late:?} ago", node.0 + 1)),
        })
    }

    fn is_done(&self, model: &Kafka, _: Time) -> bool {
        self.left(model).next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_overdue_a_second_after_its_time() {
        let (until, second) = (Time::from_millis(30_000), Duration::from_secs(1));
        assert_eq!(overdue(until, until), None);
        assert_eq!(overdue(until, until + second), None);
        assert_eq!(overdue(until, until + 10 * second), Some(10 * second));
    }
}
