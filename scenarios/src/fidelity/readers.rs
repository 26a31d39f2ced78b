//! What the consumers of a run saw, as far as it tells one way of reading from another: markers and cleaned logs leave
//! gaps, an eager group takes back what it handed back, and records wait for a rebalance or for an open transaction.

use squall_bus::Time;
use squall_history::{
    History,
    history::{DeliverRow, Observation, ProcessId, TopicId, UnitId},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a consumer, between two changes of what it reads, was handed a record that does not stand directly behind the
/// one before.
pub(super) fn saw_gaps(history: &History) -> bool {
    let mut places: BTreeMap<(ProcessId, UnitId), u64> = BTreeMap::new();
    let mut notes = history.notes().iter().filter(|(_, note)| note.moves_its_reader()).peekable();
    for delivery in by_consumers(history) {
        while let Some((event, _)) = notes.next_if(|(event, _)| *event < delivery.event) {
            let process = history.process_of(*event);
            places.retain(|(reader, _), _| *reader != process);
        }
        let before = places.insert((delivery.process, delivery.unit), delivery.position);
        if before.is_some_and(|before| delivery.position > before + 1) {
            return true;
        }
    }
    false
}

/// Whether a consumer was given a unit that it had handed back just before.
pub(super) fn took_units_back(history: &History) -> bool {
    let mut handed_back: BTreeMap<ProcessId, BTreeSet<UnitId>> = BTreeMap::new();
    for (event, note) in history.notes() {
        let process = history.process_of(*event);
        match note {
            Observation::Revoked(units) => {
                handed_back.insert(process, units.iter().copied().collect());
            }
            Observation::Assigned { units, .. } => {
                let before = handed_back.remove(&process).unwrap_or_default();
                if units.iter().any(|(unit, _)| before.contains(unit)) {
                    return true;
                }
            }
            Observation::Crashed => {
                handed_back.remove(&process);
            }
            _ => {}
        }
    }
    false
}

/// The longest time from the ack of a record until a consumer was handed it, in milliseconds. Records that no consumer
/// was handed do not count.
pub(super) fn longest_unread(history: &History) -> Option<u64> {
    let mut first: BTreeMap<(TopicId, u64), Time> = BTreeMap::new();
    for delivery in by_consumers(history) {
        if let Some(value) = delivery.value() {
            first
                .entry((history.unit_topic(delivery.unit), value))
                .or_insert_with(|| history.time(delivery.event));
        }
    }
    let waited = history.sends().iter().filter(|send| send.acked()).filter_map(|send| {
        let read = first.get(&(send.topic, send.value))?;
        Some(read.0.saturating_sub(history.time(send.completion()?).0))
    });
    waited.max().map(|nanos| nanos / 1_000_000)
}

fn by_consumers(history: &History) -> impl Iterator<Item = &DeliverRow> {
    history.delivers().iter().filter(|delivery| !delivery.drained() && delivery.group().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::Unit;
    use squall_history::history::{Completion, Deliver, Invoke, Send};

    struct Log(History, ProcessId, UnitId);

    impl Log {
        fn new() -> Self {
            let mut history = History::default();
            let (reader, unit) =
                (history.process("consumer-1"), history.unit(&Unit::new(&"orders".into(), 0)));
            Self(history, reader, unit)
        }

        fn at(seconds: u64) -> Time {
            Time(seconds * 1_000_000_000)
        }

        fn note(&mut self, note: Observation) {
            self.0.observe(Self::at(1), self.1, note);
        }

        fn read(&mut self, seconds: u64, position: u64) {
            let group = Some(self.0.group("shipping"));
            let deliver = Deliver { group, ..Deliver::new(self.2, position, position) };
            self.0.observe(Self::at(seconds), self.1, Observation::Deliver(deliver));
        }
    }

    #[test]
    fn a_place_that_is_left_out_is_a_gap_unless_the_reader_went_elsewhere() {
        let mut log = Log::new();
        log.read(1, 3);
        log.read(1, 4);
        let unit = log.2;
        log.note(Observation::Sought { unit, to: 9 });
        log.read(1, 9);
        assert!(!saw_gaps(&log.0));
        log.read(1, 11);
        assert!(saw_gaps(&log.0));
    }

    #[test]
    fn units_that_come_back_at_once_are_taken_back() {
        let assigned = |units: Vec<UnitId>| Observation::Assigned {
            group: None,
            units: units.into_iter().map(|unit| (unit, None)).collect(),
            generation: None,
        };
        let mut log = Log::new();
        let (moved, kept) = (log.0.unit(&Unit::new(&"orders".into(), 1)), log.2);
        log.note(assigned(vec![moved, kept]));
        log.note(Observation::Revoked(vec![moved]));
        log.note(assigned(vec![]));
        log.note(assigned(vec![moved]));
        assert!(!took_units_back(&log.0), "it went to another member in between");
        log.note(Observation::Revoked(vec![moved, kept]));
        log.note(assigned(vec![kept]));
        assert!(took_units_back(&log.0));
    }

    #[test]
    fn a_record_is_unread_from_its_ack_until_it_is_handed_out() {
        let mut log = Log::new();
        let (writer, topic) = (log.0.process("producer-1"), log.0.topic("orders"));
        for (position, acked) in [(0, 2), (1, 3), (2, 4)] {
            let op = log.0.invoke(Log::at(1), writer, Invoke::Send(Send::new(topic, None, position)));
            let sent = Completion::Sent { unit: log.2, position: Some(position), duplicate: false };
            log.0.complete(Log::at(acked), op, sent);
        }
        assert_eq!(longest_unread(&log.0), None, "nobody read");
        log.read(5, 0);
        log.read(9, 1);
        log.read(20, 0);
        assert_eq!(longest_unread(&log.0), Some(6_000));
    }
}
