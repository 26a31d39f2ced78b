//! The table of verdicts, cell by cell: each anomaly, planted in a history, under each contract.
//!
//! F: forbidden. a: allowed. u: undecided. Every cell's ruling names its clause.

use crate::{
    Kind, Meta, Ruling,
    checks::testing::{Tale, tale},
    guarantees::{Isolation, Pipeline},
    history::Handling,
};
use squall_bus::Acks;

/// What a contract declares.
type Contract = fn(&mut Meta);
/// How an anomaly comes about.
type Story = fn(&mut Tale);
/// An anomaly, how it comes about, and the letter for each contract.
type Row = (Kind, &'static str, Story, [char; 5]);

const CONTRACTS: [(&str, Contract); 5] = [
    ("acks=0", |meta| meta.configuration.acks = Acks::None),
    ("acks=1", |meta| meta.configuration.acks = Acks::One),
    ("acks=all", |_| {}),
    ("idempotent", |meta| meta.configuration.idempotent = true),
    ("exactly once, read-committed", |meta| {
        meta.configuration.idempotent = true;
        meta.configuration.isolation = Isolation::ReadCommitted;
        let (group, from, to) = ("group".into(), "orders".into(), "bills".into());
        meta.configuration.pipelines = vec![Pipeline { group, from, to }];
    }),
];

const TABLE: &[Row] = &[
    (Kind::LostWrite, "in calm", lost, ['a', 'F', 'F', 'F', 'F']),
    (Kind::LostWrite, "after a kill", |tale| lost(tale.fault("kill", &[1])), ['a', 'a', 'F', 'F', 'F']),
    (
        Kind::LostWrite,
        "after a power failure of two",
        |tale| lost(tale.fault("power-fail", &[1, 2])),
        ['a'; 5],
    ),
    (Kind::Unseen, "after a full drain", |tale| unseen(tale, true), ['a', 'F', 'F', 'F', 'F']),
    (
        Kind::Unseen,
        "after a kill and a full drain",
        |tale| unseen(tale.fault("kill", &[1]), true),
        ['a', 'a', 'F', 'F', 'F'],
    ),
    (Kind::Unseen, "without a full drain", |tale| unseen(tale, false), ['a', 'u', 'u', 'u', 'u']),
    (Kind::Duplicate, "in the log", duplicate, ['a', 'a', 'a', 'F', 'F']),
    (Kind::Reprocessed, "after a rebalance", redelivered, ['a'; 5]),
    (Kind::NonmonotonicPoll, "in a group", repeated, ['a'; 5]),
    (Kind::NonmonotonicSend, "several in flight", overtaken, ['a', 'a', 'a', 'F', 'F']),
    (
        Kind::NonmonotonicSend,
        "one in flight",
        |tale| {
            tale.configure(|meta| meta.configuration.max_in_flight = Some(1));
            overtaken(tale);
        },
        ['F'; 5],
    ),
    (Kind::PollSkip, "assigned", |tale| skipped(tale.assigns(&[(0, None)])), ['F'; 5]),
    (Kind::PollSkip, "subscribed", |tale| skipped(tale.owns(&[0], 1)), ['a'; 5]),
    (Kind::GroupJump, "subscribed", jumped, ['F'; 5]),
    (Kind::AbortedRead, "of a transaction", aborted, ['a', 'a', 'a', 'a', 'F']),
    (Kind::PrecommittedRead, "of a transaction", precommitted, ['a', 'a', 'a', 'a', 'F']),
    (Kind::ReadCycle, "of reads alone", circle, ['a', 'a', 'a', 'a', 'F']),
    (Kind::WriteCycle, "of writes", interleaved, ['a'; 5]),
    (Kind::InconsistentOffsets, "between readers", inconsistent, ['F'; 5]),
    (
        Kind::InconsistentOffsets,
        "between readers, after an unclean election",
        |tale| {
            tale.configure(|meta| meta.configuration.unclean_election = true);
            inconsistent(tale.fault("kill", &[1]));
        },
        ['a'; 5],
    ),
    (Kind::Unexpected, "in the log", unexpected, ['F'; 5]),
    (Kind::Corrupt, "in the log", damaged, ['F'; 5]),
    (Kind::ReplicaDivergence, "between nodes", diverged, ['F'; 5]),
];

fn lost(tale: &mut Tale) {
    tale.sent(1, 0).sent(2, 1).drain(2, 1).drained(2);
}

fn unseen(tale: &mut Tale, drained: bool) {
    tale.sent(1, 0).sent(2, 1).drain(1, 0);
    if drained {
        tale.drained(1)
    } else {
        tale.undrained(2)
    };
}

fn duplicate(tale: &mut Tale) {
    tale.sent(1, 1).drain(1, 0).drain(1, 1).drained(2);
}

fn redelivered(tale: &mut Tale) {
    tale.sent(1, 0).assigned(0).read(1, 0).handled(1, Handling::Ok).revoked();
    tale.by("consumer-1").assigned(0).read(1, 0).handled(1, Handling::Ok).committed(1).drain(1, 0).drained(1);
}

fn repeated(tale: &mut Tale) {
    tale.sent(1, 0).owns(&[0], 1).polls(&[(1, 0)]).polls(&[(1, 0)]);
}

fn overtaken(tale: &mut Tale) {
    tale.sent(1, 1).sent(2, 0).drain(2, 0).drain(1, 1).drained(2);
}

fn skipped(tale: &mut Tale) {
    tale.sent(1, 0).sent(2, 1).sent(3, 2).polls(&[(1, 0)]).polls(&[(3, 2)]).drain(2, 1);
}

fn jumped(tale: &mut Tale) {
    tale.sent(1, 0)
        .sent(2, 1)
        .sent(3, 2)
        .assigned(0)
        .read(1, 0)
        .committed(1)
        .assigned(1)
        .read(3, 2)
        .drain(2, 1);
}

fn aborted(tale: &mut Tale) {
    tale.begin().sent(1, 0).abort_txn().read(1, 0);
}

fn precommitted(tale: &mut Tale) {
    tale.client("a").begin().sent(1, 0).polls(&[(1, 0)]).commit_txn();
}

fn circle(tale: &mut Tale) {
    tale.client("a").begin().sent(1, 0);
    let a = tale.suspend();
    tale.client("b").begin().partition(1).sent(2, 0).partition(0).polls(&[(1, 0)]).commit_txn();
    tale.resume(a).client("a").partition(1).polls(&[(2, 0)]).commit_txn();
}

fn interleaved(tale: &mut Tale) {
    let a = tale.producer("a").begin().sent(1, 0).suspend();
    let b = tale.producer("b").begin().sent(2, 1).partition(1).sent(3, 0).suspend();
    tale.producer("a").resume(a).sent(4, 1).commit_txn();
    tale.producer("b").resume(b).commit_txn();
    tale.drain(3, 0).drain(4, 1).partition(0).drain(1, 0).drain(2, 1);
}

fn inconsistent(tale: &mut Tale) {
    tale.sent(1, 0).unknown(2, None).read(1, 0).drain(2, 0);
}

fn unexpected(tale: &mut Tale) {
    tale.sent(1, 0).drain(1, 0).drain(9, 1);
}

fn damaged(tale: &mut Tale) {
    tale.sent(1, 0).read_damaged(Some(1), 0);
}

fn diverged(tale: &mut Tale) {
    tale.sent(1, 0).sent(2, 1).node(0).drain(1, 0).drain(2, 1).drained(2).node(1).drain(2, 1).drained(2);
}

#[test]
fn every_cell_of_the_table_of_verdicts() {
    let mut clauses = String::new();
    for (kind, how, story, letters) in TABLE {
        for ((name, contract), letter) in CONTRACTS.iter().zip(letters) {
            let mut tale = tale();
            tale.configure(contract);
            story(&mut tale);
            let report = tale.judged();
            let anomaly = report.anomalies.iter().find(|anomaly| anomaly.kind == *kind);
            let ruling = anomaly.map(|anomaly| &anomaly.ruling);
            let ruled = match ruling {
                Some(Ruling::ForbiddenBy(_)) => 'F',
                Some(Ruling::AllowedBy(_)) => 'a',
                Some(Ruling::UndecidedBecause(_)) => 'u',
                None => '-',
            };
            assert_eq!(ruled, *letter, "{kind} {how} under {name}: {ruling:?}; {}", report.reason);
            let clause = ruling.map(Ruling::clause).unwrap_or_default();
            assert!(!clause.is_empty(), "{kind} {how} under {name} has no clause");
            clauses += &format!("{kind} {how} | {name} | {letter} | {clause}\n");
        }
    }
    insta::assert_snapshot!(clauses);
}

#[test]
fn redelivery_into_committed_output_is_forbidden_where_exactly_once_is_declared() {
    for ((name, contract), letter) in CONTRACTS.iter().zip(['-', '-', '-', '-', 'F']) {
        let mut tale = tale();
        tale.configure(contract);
        tale.sent(1, 0).unit("bills", 0).begin().because_of(1).sent(11, 0).commit_txn();
        tale.begin().because_of(1).sent(12, 2).commit_txn().drain(11, 0).drain(12, 2).drained(4);
        let report = tale.judged();
        let anomaly = report.anomalies.iter().find(|anomaly| anomaly.kind == Kind::EosDuplicate);
        let ruled = anomaly.map_or('-', |anomaly| if anomaly.forbidden() { 'F' } else { 'a' });
        assert_eq!(ruled, letter, "{name}: {}", report.reason);
    }
}
