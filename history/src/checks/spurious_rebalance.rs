//! `spurious_rebalance`: a group was rebalanced although neither its members nor its subscription changed.
//!
//! **Definition.** Two generations of a group follow each other with the same members, and in between no member
//! crashed and none subscribed to other topics than before.
//!
//! **Algorithm.** One walk over the notes. **Cost.** Linear in the notes.
//!
//! **Forbidden** only beyond the bound of `spurious_rebalances`; those beyond it are the later ones.
//!
//! **Evidence limit.** The history must name the members of each generation.
//!
//! **Source.** kafkatest: `consumer_test` (no rebalance while the group is stable).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{GroupId, Observation, ProcessId, TopicId},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::SpuriousRebalance,
    about: "a group was rebalanced although neither its members nor its subscription changed",
    forbidden: "beyond the bound of `spurious_rebalances`",
    source: "kafkatest: consumer_test",
    find,
    tell,
    rule: |rules, found| Rules::spurious(rules, found.case == Case::Beyond),
};

/// A generation, and whether something happened since that is a reason for another.
struct Generation {
    event: u32,
    members: Vec<ProcessId>,
    reason: bool,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let mut groups: BTreeMap<GroupId, Generation> = BTreeMap::new();
    let mut topics: BTreeMap<ProcessId, &[TopicId]> = BTreeMap::new();
    let mut found = Vec::new();
    for (event, note) in history.notes() {
        let process = history.process_of(*event);
        let of = |generation: &&mut Generation| generation.members.contains(&process);
        match note {
            Observation::Rebalanced { group, members, .. } => {
                let mut members = members.clone();
                members.sort_unstable();
                let last = groups.get(group).filter(|last| !last.reason && last.members == members);
                found.extend(last.map(|last| finding(last.event, *event)));
                groups.insert(*group, Generation { event: *event, members, reason: false });
            }
            Observation::Crashed => groups.values_mut().filter(of).for_each(|group| group.reason = true),
            Observation::Subscribed { topics: wanted, .. }
                if topics.insert(process, wanted) != Some(wanted) =>
            {
                groups.values_mut().filter(of).for_each(|group| group.reason = true);
            }
            _ => {}
        }
    }
    let bound = history.meta.expect.spurious_rebalances.and_then(|bound| usize::try_from(bound).ok());
    found.iter_mut().skip(bound.unwrap_or(usize::MAX)).for_each(|one| one.case = Case::Beyond);
    found
}

fn finding(before: u32, event: u32) -> Found {
    Found { ops: proof([Some(before), Some(event)]), other: Some(before), ..Found::default() }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(before), Some(event)) = (found.other, found.ops.last().copied()) else {
        return Default::default();
    };
    let row = analysis.history.event(event).row as usize;
    let (name, generation, members) = match &analysis.history.notes()[row].1 {
        Observation::Rebalanced { group, generation, members } => {
            (analysis.history.group_name(*group), *generation, members.len())
        }
        _ => ("the group", 0, 0),
    };
    [
        format!("Group {name} was rebalanced {}, and again {}.", analysis.when(before), analysis.when(event)),
        format!(
            "Generation {generation} has the same {members} members, and nothing happened that called for it."
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        analysis::Analysis,
        checks::{
            Case,
            testing::{Tale, tale},
        },
    };

    #[track_caller]
    fn cases(tale: &Tale, expected: &[Case]) {
        let found = (CHECK.find)(&Analysis::new(tale.history()));
        assert_eq!(found.iter().map(|one| one.case).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_same_members_are_shuffled_again() {
        // Three generations with the same two members; one such rebalance is tolerated.
        let mut tale = tale();
        tale.configure(|meta| meta.expect.spurious_rebalances = Some(1));
        tale.rebalanced(1, &["a", "b"]).rebalanced(2, &["b", "a"]).rebalanced(3, &["a", "b"]);
        cases(&tale, &[Case::Plain, Case::Beyond]);
    }

    #[test]
    fn a_member_that_joins_is_a_reason() {
        let mut tale = tale();
        cases(tale.rebalanced(1, &["a"]).rebalanced(2, &["a", "b"]), &[]);
    }

    #[test]
    fn a_member_that_crashed_and_came_back_is_a_reason() {
        let mut tale = tale();
        cases(tale.rebalanced(1, &["consumer-0"]).crashed().rebalanced(2, &["consumer-0"]), &[]);
    }

    #[test]
    fn another_subscription_is_a_reason_and_the_same_one_is_none() {
        let mut tale = tale();
        tale.rebalanced(1, &["consumer-0"]).subscribed().rebalanced(2, &["consumer-0"]);
        cases(tale.subscribed().rebalanced(3, &["consumer-0"]), &[Case::Plain]);
    }
}
