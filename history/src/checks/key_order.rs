//! `key_order`: records of one key are out of order, in the log or as first delivered.
//!
//! **Definition.** *In the log*: per producer session, record key and unit, a later send stands before an earlier one
//! (as in `nonmonotonic_send`, for one key; *unanswered* is the finding like there). *As delivered*: to one logical
//! consumer (a group) a record is delivered for the first time after one of the same key and unit that stands behind it
//! in the log. Redeliveries count for nothing, and a record that stands twice counts where it is delivered first: after a rebalance everything since the
//! last commit comes again, and that is at least once, not disorder.
//!
//! **Algorithm.** One walk over the sends with the highest place of each key; one over the deliveries of each consumer.
//! **Cost.** Linear.
//!
//! **Forbidden** under `order: per-key`; in the log also where the configuration keeps the order of sends; as
//! delivered also to readers of assigned units.
//!
//! **Source.** Squall's own; kafkatest's `check_order`.

use super::{Case, Check, Found, nonmonotonic_send, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets},
    guarantees::Rules,
    history::{DeliverRow, GroupId, KeyId, UnitId},
};
use std::collections::HashMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::KeyOrder,
    about: "records of one key are out of order, in the log or as first delivered",
    forbidden: "`order: per-key`; in the log also where the configuration keeps the order of sends",
    source: "kafkatest: check_order; Squall",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::InLog => Rules::key_order_in_log(rules, false),
        Case::UnansweredInLog => Rules::key_order_in_log(rules, true),
        _ => Rules::key_order_of_deliveries(rules),
    },
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    // Per key: the session and unit that it was met in first, and the sends that stand highest there. Nearly all keys
    // have one session and one unit; the rest is elsewhere.
    let mut home: Vec<Option<(u32, UnitId, Highest)>> = vec![None; history.key_count()];
    let mut elsewhere: HashMap<(KeyId, u32, UnitId), Highest> = HashMap::new();
    let mut found = Vec::new();
    for (row, send) in (0u32..).zip(history.sends()) {
        let (Some(key), Some((unit, position))) = (send.key(), analysis.stands(row)) else { continue };
        let session = analysis.session_of[row as usize];
        let known = home[key.index()].get_or_insert_with(|| (session, unit, Highest::default()));
        let highest = if (known.0, known.1) == (session, unit) {
            &mut known.2
        } else {
            elsewhere.entry((key, session, unit)).or_default()
        };
        if let Some((earlier, case)) = highest.behind(position) {
            found.push(nonmonotonic_send::overtaken(analysis, earlier, row, case));
        }
        highest.add(position, row, send.acked());
    }
    found.extend(deliveries(analysis));
    found
}

/// Of one key in one session and unit: position and row of the send that stands highest, and of the highest that was
/// acknowledged.
#[derive(Clone, Copy, Default)]
struct Highest {
    all: Option<(u64, u32)>,
    acked: Option<(u64, u32)>,
}

impl Highest {
    /// An earlier send that stands behind this position.
    fn behind(&self, position: u64) -> Option<(u32, Case)> {
        let of = |high: Option<(u64, u32)>, case: Case| {
            high.filter(|(at, _)| *at > position).map(|(_, row)| (row, case))
        };
        of(self.acked, Case::InLog).or(of(self.all, Case::UnansweredInLog))
    }

    fn add(&mut self, position: u64, row: u32, acked: bool) {
        let new = Some((position, row));
        self.all = self.all.max(new);
        if acked {
            self.acked = self.acked.max(new);
        }
    }
}

/// First deliveries behind one of the same key that stands later.
fn deliveries(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let slots = history.group_count() + 1;
    let slot = |read: &DeliverRow| read.group().map_or(slots - 1, GroupId::index);
    let of_slot = Buckets::new(slots, history.delivers().len(), |index| {
        let read = &history.delivers()[index];
        (!read.drained()).then(|| slot(read))
    });
    let mut found = Vec::new();
    for consumer in (0..slots).filter(|consumer| !of_slot.of(*consumer).is_empty()) {
        let mut handed = vec![false; history.sends().len()];
        // Per key and unit: the first delivery that stands highest so far. Nearly all keys stay in one unit.
        let mut fronts: Vec<Option<&DeliverRow>> = vec![None; history.key_count()];
        let mut elsewhere: HashMap<(KeyId, UnitId), Option<&DeliverRow>> = HashMap::new();
        for index in of_slot.of(consumer) {
            let read = &history.delivers()[*index as usize];
            let Some(row) = read.value().and_then(|value| analysis.writer(value)) else { continue };
            let Some(key) = analysis.send(row).key() else { continue };
            if std::mem::replace(&mut handed[row as usize], true) {
                continue;
            }
            let home = &mut fronts[key.index()];
            let front = match home {
                Some(first) if first.unit != read.unit => elsewhere.entry((key, read.unit)).or_default(),
                _ => home,
            };
            match *front {
                Some(before) if before.position > read.position => {
                    found.push(Found {
                        unit: Some(read.unit),
                        position: Some(read.position),
                        ops: proof([Some(before.event), Some(read.event)]),
                        send: Some(row),
                        other: Some(before.event),
                        case: Case::InDelivery,
                    });
                }
                _ => *front = Some(read),
            }
        }
    }
    found.sort_by_key(|one| one.ops.last().copied());
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    if matches!(found.case, Case::InLog | Case::UnansweredInLog) {
        return nonmonotonic_send::tell(analysis, found);
    }
    let (Some(row), Some(before), Some(unit), Some(position)) =
        (found.send, found.other, found.unit, found.position)
    else {
        return Default::default();
    };
    let history = analysis.history;
    let place = history.delivers().binary_search_by_key(&before, |read| read.event);
    let front = place.ok().map(|index| history.delivers()[index]);
    let front_words = front
        .map(|read| format!("position {} with record {}", read.position, read.value().unwrap_or_default()));
    let late = found.ops.last().copied().unwrap_or(before);
    [
        format!(
            "{} was handed {} of {} {}.",
            analysis.who(before),
            front_words.unwrap_or_default(),
            analysis.unit(unit),
            analysis.when(before)
        ),
        format!(
            "Only then was {} handed {} at position {position}, for the first time, {}.",
            analysis.who(late),
            analysis.record(analysis.send(row)),
            analysis.when(late)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_record_that_is_left_out_and_delivered_later() {
        // The consumer is handed record 2 of the key, then record 1, which stands before it.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(2, 1).read(1, 0);
        tale.finds(CHECK, &[(1, 0, Case::InDelivery)]);
    }

    #[test]
    fn a_redelivery_after_a_rebalance_is_not_disorder() {
        // kgo-verifier failed on this: redpanda #16838, #21299.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).assigned(0).read(1, 0).read(2, 1);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_zombie_that_hands_out_what_it_prefetched_is_not_disorder() {
        // consumer-0 is paused with record 2 prefetched; consumer-1 takes over, then consumer-0 wakes up.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).read(1, 0);
        tale.by("consumer-1").assigned(0).read(1, 0).read(2, 1).read(3, 2).by("consumer-0").read(2, 1);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn other_keys_are_free() {
        let mut tale = tale();
        tale.key("a").sent(1, 0).key("b").sent(2, 1).read(2, 1).read(1, 0);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_duplicate_is_judged_where_it_is_delivered_first() {
        let mut tale = tale();
        tale.sent(1, 2)
            .sent(2, 1)
            .read(1, 0)
            .read(2, 1)
            .read(1, 2)
            .drain(1, 0)
            .drain(2, 1)
            .drain(1, 2)
            .drained(3);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn one_key_out_of_order_in_the_log() {
        let mut tale = tale();
        tale.sent(1, 1).sent(2, 0).drain(2, 0).drain(1, 1).drained(2);
        tale.finds(CHECK, &[(2, 0, Case::InLog)]);
    }

    #[test]
    fn what_nobody_acknowledged_comes_late() {
        let mut tale = tale();
        tale.unknown(1, None).sent(2, 0).drain(2, 0).drain(1, 1).drained(2);
        tale.finds(CHECK, &[(2, 0, Case::UnansweredInLog)]);
    }
}
