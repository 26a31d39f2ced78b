//! `dlq_acked`: a record that was processed successfully is in the dead-letter topic.
//!
//! **Definition.** An entry of the dead-letter topic whose cause some handler of the group that dead-lettered it had
//! processed before the entry was sent; or that the group had acknowledged by then, confirmed, and nobody had given up.
//! The group is that of the process which sent the entry, as far as it reads for one.
//!
//! **Algorithm.** The first success of each record, then one walk over the entries. **Cost.** Linear.
//!
//! **Forbidden** always ([`Rules::either_processed_or_dead`]).
//!
//! **Source.** The message machine of the reference: acked and dead-lettered are both final.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{GroupId, Handling, SettleRow, Settlement, Status, What},
};
use std::collections::HashMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqAcked,
    about: "a record that was processed successfully is in the dead-letter topic",
    forbidden: "always",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, _| Rules::either_processed_or_dead(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    if analysis.dlq_entries.is_empty() {
        return Vec::new();
    }
    let history = analysis.history;
    // By process: the group for which it reads.
    let mut group_of: Vec<Option<Option<GroupId>>> = vec![None; history.process_count()];
    for read in history.delivers().iter().filter(|read| !read.drained()) {
        group_of[read.process.index()].get_or_insert(read.group());
    }
    // The first success of each record, in a group and in any. Only asked, never walked.
    let mut success: HashMap<(u32, Option<GroupId>), u32> = HashMap::new();
    let mut by_any: HashMap<u32, u32> = HashMap::new();
    for handled in history.handled().iter().filter(|handled| handled.how == Handling::Ok) {
        if let Some(row) = analysis.writer(handled.value) {
            success.entry((row, handled.group)).or_insert(handled.event);
            by_any.entry(row).or_insert(handled.event);
        }
    }
    let acks = |one: &&SettleRow| one.how == Settlement::Ack && one.status == Status::Ok;
    for one in history.settles().iter().filter(acks) {
        let read = &history.delivers()[one.delivery as usize];
        let row = read.value().and_then(|value| analysis.writer(value));
        let row = row.filter(|row| !analysis.is_poison(*row) && !analysis.exhausted.contains_key(row));
        if let (Some(row), Some(event)) = (row, one.completion()) {
            success.entry((row, read.group())).or_insert(event);
            by_any.entry(row).or_insert(event);
        }
    }
    let mut found = Vec::new();
    for entry in &analysis.dlq_entries {
        let send = analysis.send(entry.send);
        let done = entry.cause.and_then(|row| match group_of[send.process.index()] {
            Some(group) => success.get(&(row, group)),
            None => by_any.get(&row),
        });
        let done = done.copied().filter(|event| *event < send.invoke.0);
        if let Some(event) = done {
            found.push(Found {
                unit: analysis.unit_of[entry.send as usize],
                position: send.position(),
                ops: proof([Some(event), Some(send.invoke.0), send.completion()]),
                send: Some(entry.send),
                other: Some(event),
                case: Case::Plain,
            });
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(entry), Some(event)) = (found.send.map(|row| analysis.send(row)), found.other) else {
        return Default::default();
    };
    let cause = entry.cause().unwrap_or_default();
    let acked = analysis.history.event(event).what == What::SettleDone;
    let did = if acked { "acknowledged" } else { "processed" };
    [
        format!("{} {did} record {cause} {}.", analysis.who(event), analysis.when(event)),
        format!("It was dead-lettered all the same: {}.", analysis.sent(entry)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{Case, testing::tale},
        history::Handling,
    };

    #[test]
    fn a_processed_record_is_dead_lettered_too() {
        // The handler succeeds, the consumer dead-letters the record anyway.
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Ok).dead(9, Some(1), 0);
        tale.finds(CHECK, &[(9, 0, Case::Plain)]);
    }

    #[test]
    fn an_acknowledged_message_is_dead_lettered_too() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).acks(1).dead(9, Some(1), 0).finds(CHECK, &[(9, 0, Case::Plain)]);
        // Who gives a message up may acknowledge it, so that it does not come again.
        tale.sent(2, 1).read(2, 1).handled(2, Handling::Poison).acks(2).dead(10, Some(2), 1);
        tale.finds(CHECK, &[(9, 0, Case::Plain)]);
    }

    #[test]
    fn failed_attempts_before_the_dead_letter_are_right() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Retry(1)).handled(1, Handling::Poison).dead(
            9,
            Some(1),
            0,
        );
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn another_group_may_give_up_what_one_processed() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Ok).producer("mail-0").by("mail-0");
        let group = tale.group("mail");
        tale.reads_so(1, 0, |read| read.group = Some(group)).dead(9, Some(1), 0).finds(CHECK, &[]);
    }
}
