//! What becomes of keys when a topic gets more partitions: the order of a key holds within a partition and no further.

use squall_history::{
    History,
    history::{GroupId, KeyId, OpId, ProcessId, TopicId, UnitId},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether acknowledged records of one key stand in more than one unit of their topic.
pub(super) fn moved(history: &History) -> bool {
    let mut homes: BTreeMap<(TopicId, KeyId), UnitId> = BTreeMap::new();
    let acked = history.sends().iter().filter(|send| send.acked());
    let mut placed = acked.filter_map(|send| Some(((send.topic, send.key()?), send.unit()?)));
    placed.any(|(key, unit)| *homes.entry(key).or_insert(unit) != unit)
}

/// Whether a group was handed a record of a key for the first time after a later one of the same sender, from another
/// unit of the topic.
pub(super) fn overtook(history: &History) -> bool {
    /// What a sender's key is known by.
    type Sender = (TopicId, KeyId, ProcessId, u32);
    let mut senders: BTreeMap<(TopicId, u64), (Sender, OpId)> = BTreeMap::new();
    for send in history.sends() {
        if let Some(key) = send.key() {
            let sender = (send.topic, key, send.process, send.session);
            senders.insert((send.topic, send.value), (sender, send.invoke));
        }
    }
    let mut handed: BTreeSet<(GroupId, TopicId, u64)> = BTreeSet::new();
    let mut latest: BTreeMap<(GroupId, Sender), (OpId, UnitId)> = BTreeMap::new();
    for delivery in history.delivers().iter().filter(|delivery| !delivery.drained()) {
        let (Some(group), Some(value)) = (delivery.group(), delivery.value()) else { continue };
        let topic = history.unit_topic(delivery.unit);
        let Some((sender, sent)) = senders.get(&(topic, value)) else { continue };
        if !handed.insert((group, topic, value)) {
            continue;
        }
        let front = latest.entry((group, *sender)).or_insert((*sent, delivery.unit));
        if front.0 > *sent && front.1 != delivery.unit {
            return true;
        }
        if front.0 < *sent {
            *front = (*sent, delivery.unit);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{Time, Unit};
    use squall_history::history::{Completion, Deliver, Invoke, Observation, Send};

    /// Two records of one key, sent one after the other to these partitions and handed out in this order.
    fn history(partitions: [u32; 2], handed: [u64; 2]) -> History {
        let mut history = History::default();
        let (writer, reader) = (history.process("producer-1"), history.process("consumer-1"));
        let (topic, key, group) = (history.topic("orders"), history.key("k"), history.group("shipping"));
        let units = partitions.map(|partition| history.unit(&Unit::new(&"orders".into(), partition)));
        for (value, unit) in (0..).zip(units) {
            let op = history.invoke(Time(value), writer, Invoke::Send(Send::new(topic, Some(key), value)));
            let sent = Completion::Sent { unit, position: Some(value), duplicate: false };
            history.complete(Time(value), op, sent);
        }
        for value in handed {
            let unit = units[usize::try_from(value).expect("small")];
            let deliver = Deliver { group: Some(group), ..Deliver::new(unit, value, value) };
            history.observe(Time(5), reader, Observation::Deliver(deliver));
        }
        history
    }

    #[test]
    fn a_key_moves_when_its_records_stand_in_two_partitions() {
        assert!(!moved(&history([1, 1], [0, 1])));
        assert!(moved(&history([1, 3], [0, 1])));
    }

    #[test]
    fn a_later_record_from_another_partition_overtakes_an_earlier_one_that_was_not_handed_out_yet() {
        assert!(!overtook(&history([1, 3], [0, 1])));
        assert!(overtook(&history([1, 3], [1, 0])));
        assert!(!overtook(&history([1, 1], [1, 0])), "within a partition that is `key_order`");
        let mut again = history([1, 3], [0, 1]);
        let (reader, group) = (again.process("consumer-1"), again.group("shipping"));
        let unit = again.unit(&Unit::new(&"orders".into(), 1));
        let deliver = Deliver { group: Some(group), ..Deliver::new(unit, 0, 0) };
        again.observe(Time(6), reader, Observation::Deliver(deliver));
        assert!(!overtook(&again), "what is handed out again overtakes nothing");
    }
}
