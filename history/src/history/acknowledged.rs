//! How far each unit is acknowledged, as far as the history knows: a log that is read to its end is read to there.

use super::History;
use squall_bus::{Position, Time, Unit};
use std::collections::BTreeMap;

/// How far a unit is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Behind the last record that is.
    pub end: Position,
    /// When that was learned.
    pub at: Time,
}

impl History {
    /// How far each unit is acknowledged, of those that an ack named a place in.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<Unit, Acknowledged> {
        let mut last = BTreeMap::new();
        for send in self.sends().iter().filter(|send| send.acked()) {
            let (Some(unit), Some(position), Some(event)) = (send.unit(), send.position(), send.completion())
            else {
                continue;
            };
            let one = Acknowledged { end: Position(position).next(), at: self.time(event) };
            let known = last.entry(unit).or_insert(one);
            if known.end < one.end {
                *known = one;
            }
        }
        last.into_iter().map(|(unit, end)| (self.unit_name(unit), end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Acknowledged;
    use crate::history::{History, Invoke, Send};
    use squall_bus::{Ack, Error, Outcome, Position, Time, Topic, Unit};

    #[test]
    fn it_is_the_last_place_that_an_ack_named() {
        let mut history = History::default();
        let unit = |partition| Unit::new(&Topic::new("orders"), partition);
        let mut send = |time, outcome: &Outcome<Ack>| {
            let (topic, process) = (history.topic("orders"), history.process("shop"));
            let op = history.invoke(Time(time), process, Invoke::Send(Send::new(topic, None, time)));
            history.complete_send(Time(time + 1), op, outcome);
        };
        let ack = |partition, position: Option<u64>| {
            Outcome::Ok(Ack { unit: unit(partition), position: position.map(Position), duplicate: false })
        };
        send(10, &ack(0, Some(4)));
        send(20, &ack(0, Some(7)));
        send(30, &ack(0, Some(5)));
        send(40, &ack(1, None));
        send(50, &Outcome::Fail(Error::closed()));
        let acknowledged = history.acknowledged();
        let expected = Acknowledged { end: Position(8), at: Time(21) };
        assert_eq!(acknowledged.into_iter().collect::<Vec<_>>(), [(unit(0), expected)]);
    }
}
