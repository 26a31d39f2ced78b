//! `vacuous`: there is nothing to judge.
//!
//! **Definition.** Nothing was sent; nothing was acknowledged although acks were asked for; nothing was delivered, or the whole log was read and holds nothing; a
//! kind of operation (commits, transactions, polls, settlements) completed, but never successfully (an aborted
//! transaction is an answer too); or a group that the configuration names was handed nothing. A group is not idle when
//! nobody wrote to the topics that it reads, as far as its assignments, subscriptions and commits name them.
//!
//! **Forbidden** never, but such a run is `unknown`: whatever is wrong could not show.
//!
//! **Source.** Jepsen's stats checker (a kind of operation without a single `ok`).

use super::Counts;
use crate::{
    Anomaly, Example, Kind, Ruling,
    analysis::Analysis,
    history::{Observation, Status, TopicId},
};
use squall_bus::Acks;

/// What stands in the list of checks about it: what it means, when it is forbidden, and its source.
pub const VACUOUS: [&str; 3] = [
    "a kind of operation that never succeeded, or no records at all, leave nothing to judge",
    "never, but the verdict is unknown",
    "Jepsen: stats",
];

/// Why there is nothing to judge, if so.
pub(super) fn vacuous(counts: &Counts, analysis: &Analysis<'_>) -> Option<Anomaly> {
    let acks = analysis.history.meta.configuration.acks != Acks::None;
    let idle_reader = || !analysis.consumers.is_empty() && counts.delivered == 0;
    let (clause, story) = if counts.sent == 0 {
        ("nothing was sent".to_owned(), "The history has no send.".to_owned())
    } else if acks && counts.acked == 0 {
        let story = format!("{} records were sent, and none was acknowledged.", counts.sent);
        ("nothing was acknowledged".to_owned(), story)
    } else if counts.delivered == 0 && counts.drained == 0 && drained(analysis) {
        let story = format!("{} records were acknowledged, and the log was read to its end.", counts.acked);
        ("the log holds nothing".to_owned(), story)
    } else if idle_reader() || (counts.delivered == 0 && counts.drained == 0) {
        let story = format!("{} records were acknowledged, and none was delivered.", counts.acked);
        ("nothing was delivered".to_owned(), story)
    } else if let Some((kind, tries)) = barren(analysis) {
        (
            format!("no {kind} succeeded"),
            format!("The history has {tries} of kind {kind}, and none succeeded."),
        )
    } else if let Some(group) = idle_group(analysis) {
        let story = format!("{} records were acknowledged, and {group} was handed none.", counts.acked);
        (format!("nothing was delivered to the group {group}"), story)
    } else {
        return None;
    };
    let story = [story, "There is nothing to judge.".to_owned()];
    let (ops, lines, neighbourhood) = (Vec::new(), Vec::new(), Vec::new());
    let example = Example { unit: None, position: None, ops, lines, story, neighbourhood };
    let ruling = Ruling::UndecidedBecause(clause);
    Some(Anomaly { kind: Kind::Vacuous, count: 1, ruling, examples: vec![example] })
}

/// Whether the final drain read some unit to its end.
fn drained(analysis: &Analysis<'_>) -> bool {
    analysis.units.iter().any(|log| log.complete_drain().is_some())
}

/// A kind of operation that completed several times, or once, but never successfully, and how often it was tried.
fn barren(analysis: &Analysis<'_>) -> Option<(&'static str, usize)> {
    let history = analysis.history;
    let kind = |name, all: &mut dyn Iterator<Item = (Status, bool)>| {
        let (mut tries, mut completed, mut done) = (0, false, false);
        for (status, ended) in all {
            tries += 1;
            completed |= ended;
            done |= status == Status::Ok;
        }
        (completed && !done).then_some((name, tries))
    };
    let answered = |status| if status == Status::Fail { Status::Ok } else { status };
    let txns = history.txns().iter().map(|txn| (answered(txn.status), txn.completion().is_some()));
    macro_rules! of {
        ($name:literal, $rows:expr) => {
            kind($name, &mut $rows.iter().map(|row| (row.status, row.completion().is_some())))
        };
    }
    of!("commit", history.commits())
        .or_else(|| kind("transaction", &mut { txns }))
        .or_else(|| of!("poll", history.polls()))
        .or_else(|| of!("settlement", history.settles()))
}

/// A named group that was handed nothing although somebody wrote to its topics.
fn idle_group<'h>(analysis: &Analysis<'h>) -> Option<&'h str> {
    let history = analysis.history;
    let mut groups = history.meta.configuration.groups.iter();
    let idle = groups.find(|name| {
        let own = |id| history.group_name(id) == name.as_str();
        let handed = history.delivers().iter().any(|read| read.group().is_some_and(own));
        !handed && topics_of(analysis, name).is_none_or(|topics| was_written(analysis, &topics))
    });
    idle.map(String::as_str)
}

/// The topics that a group reads, if anything names them.
fn topics_of(analysis: &Analysis<'_>, group: &str) -> Option<Vec<TopicId>> {
    let history = analysis.history;
    let own = |id| history.group_name(id) == group;
    let mut topics: Vec<TopicId> = Vec::new();
    for consumer in analysis.consumers.iter().filter(|consumer| consumer.group.is_some_and(own)) {
        topics.extend(
            (0u32..).zip(&consumer.reads).filter(|(_, reads)| **reads).map(|(id, _)| TopicId::from(id)),
        );
    }
    for (_, note) in history.notes() {
        if let Observation::Subscribed { group: Some(id), topics: wanted } = note
            && own(*id)
        {
            topics.extend(wanted);
        }
    }
    (!topics.is_empty()).then_some(topics)
}

/// Whether any record is, for all that is known, in one of these topics.
fn was_written(analysis: &Analysis<'_>, topics: &[TopicId]) -> bool {
    let mut sends = (0u32..).zip(analysis.history.sends());
    sends.any(|(row, send)| {
        topics.contains(&send.topic) && (analysis.happened(row) || analysis.seen[row as usize])
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        Verdict,
        checks::testing::{Tale, tale},
        history::Phase,
    };

    fn named(groups: &[&str]) -> Tale {
        let mut tale = tale();
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        tale.configure(|meta| meta.configuration.groups = groups);
        tale
    }

    #[test]
    fn a_named_group_that_is_handed_nothing() {
        let mut tale = named(&["audit"]);
        tale.sent(1, 0).read(1, 0).phase(Phase::CaughtUp).drain(1, 0).drained(1);
        let report = tale.judged();
        assert_eq!(report.verdict, Verdict::Unknown);
        assert_eq!(report.reason, "there is nothing to judge: nothing was delivered to the group audit");
    }

    #[test]
    fn a_log_that_is_gone_was_read_all_the_same() {
        // Nothing is promised with acks=0, and nothing is there.
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.acks = squall_bus::Acks::None);
        tale.sent(1, 0).sent(2, 1).drained(2);
        assert_eq!(tale.judged().reason, "there is nothing to judge: the log holds nothing");
    }

    #[test]
    fn a_group_whose_topics_nobody_wrote_to_has_nothing_to_read() {
        // The group waits for dead letters, and there are none.
        let mut tale = named(&["group"]);
        tale.unit("orders.dlq", 0).subscribed_to("orders.dlq").unit("orders", 0).sent(1, 0);
        tale.drain(1, 0).drained(1).reader_without_group(1, 0);
        assert_eq!(tale.judged().verdict, Verdict::Valid, "{}", tale.judged().reason);
    }

    #[test]
    fn operations_that_never_succeed_leave_nothing_to_judge() {
        let mut tale = tale();
        tale.sent(1, 0).assigned(0).read(1, 0).commit_unknown(1).commit_unknown(1).drain(1, 0).drained(1);
        let report = tale.judged();
        assert_eq!(report.reason, "there is nothing to judge: no commit succeeded");
    }

    #[test]
    fn acks_that_nobody_confirms_are_no_failures() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).acks_unconfirmed(1).drain(1, 0).drained(1);
        assert_eq!(tale.judged().verdict, Verdict::Valid, "{}", tale.judged().reason);
    }
}
