//! `zombie_not_fenced`: something of an older epoch of a transactional id succeeded after a newer one had begun.
//!
//! **Definition.** A producer made a transactional id its own and was told its epoch. After that had been acknowledged, a
//! send within a transaction of the same id with an older epoch began and was acknowledged, or such a transaction began
//! and was committed. A transaction that does not say its epoch has that of its process' last claim to the id.
//!
//! **Algorithm.** Claims by id in the order of their acks, with the highest epoch so far; one search for each transaction
//! and each of its sends. **Cost.** Linear, and a logarithm of the claims.
//!
//! **Forbidden** unless more power was lost than the copies bear.
//!
//! **Evidence limit.** What overlaps with the newer claim may have been before it.
//!
//! **Source.** Apache Kafka's fencing (KIP-98, KIP-360); the hijack workload of Redpanda's chaos.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{Status, TransactionalId, TxnRow},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::ZombieNotFenced,
    about: "something of an older epoch of a transactional id succeeded after a newer one had begun",
    forbidden: "always, unless more power was lost than the copies bear",
    source: "KIP-98, KIP-360; chaos: hijack_tx_ids",
    find,
    tell,
    rule: |rules, _| Rules::fenced(rules),
};

/// The claims to one id in the order of their acks: event of the ack, highest epoch so far, its event.
type Claims = Vec<(u32, u32, u32)>;

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let claims = claims(analysis);
    let newer = |txn: &TxnRow, event: u32| {
        let (claims, epoch) = (claims.get(&txn.id()?)?, epoch(analysis, txn)?);
        let known = claims.partition_point(|(ack, ..)| *ack < event).checked_sub(1)?;
        let (_, highest, claim) = claims[known];
        (highest > epoch).then_some(claim)
    };
    let mut found = Vec::new();
    for txn in history.txns().iter().filter(|txn| txn.status == Status::Ok) {
        if let Some(claim) = newer(txn, txn.invoke.0) {
            let ops = proof([Some(claim), Some(txn.invoke.0), txn.completion()]);
            found.push(Found { ops, other: Some(claim), ..Found::default() });
        }
    }
    for (send, row) in history.sends().iter().zip(0u32..).filter(|(send, _)| send.acked()) {
        let Some(txn) = send.txn().map(|txn| &history.txns()[history.txn_row(txn) as usize]) else {
            continue;
        };
        if let Some(claim) = newer(txn, send.invoke.0) {
            found.push(Found {
                unit: send.unit(),
                position: send.position(),
                ops: proof([Some(claim), Some(txn.invoke.0), Some(send.invoke.0), send.completion()]),
                send: Some(row),
                other: Some(claim),
                case: Case::Plain,
            });
        }
    }
    found
}

fn claims(analysis: &Analysis<'_>) -> BTreeMap<TransactionalId, Claims> {
    let mut list: Vec<(u32, TransactionalId, u32)> = (analysis.history.inits().iter())
        .filter(|init| init.status == Status::Ok)
        .filter_map(|init| Some((init.completion()?, init.id, init.epoch()?)))
        .collect();
    list.sort_unstable();
    let mut claims: BTreeMap<TransactionalId, Claims> = BTreeMap::new();
    for (event, id, epoch) in list {
        let of_id = claims.entry(id).or_default();
        let (highest, claim) = match of_id.last() {
            Some((_, highest, claim)) if *highest >= epoch => (*highest, *claim),
            _ => (epoch, event),
        };
        of_id.push((event, highest, claim));
    }
    claims
}

/// The epoch in which a transaction runs: its own word, or that of its process' last claim.
pub(super) fn epoch(analysis: &Analysis<'_>, txn: &TxnRow) -> Option<u32> {
    let of_claim = || {
        let inits = analysis.history.inits();
        let before = &inits[..inits.partition_point(|init| init.invoke < txn.invoke)];
        let own = |init: &&crate::history::InitRow| {
            let told = init.completion().filter(|_| init.status == Status::Ok);
            Some(init.id) == txn.id()
                && init.process == txn.process
                && told.is_some_and(|ack| ack < txn.invoke.0)
        };
        before.iter().rev().find(own).and_then(crate::history::InitRow::epoch)
    };
    txn.epoch().or_else(of_claim)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let history = analysis.history;
    let Some(claim) = found.other else { return Default::default() };
    let Some(init) = history.inits().iter().find(|init| init.completion() == Some(claim)) else {
        return Default::default();
    };
    let id = history.transactional_name(init.id);
    let first = format!(
        "{} made the transactional id {id} its own {}, with epoch {}.",
        analysis.who(claim),
        analysis.when(claim),
        init.epoch().unwrap_or_default()
    );
    let txn_of = |event: &u32| history.txns().iter().find(|txn| txn.invoke.0 == *event);
    let txn = found.ops.iter().find_map(txn_of);
    let old = txn.and_then(|txn| epoch(analysis, txn)).unwrap_or_default();
    let second = match (found.send, txn) {
        (Some(row), _) => format!("After that {}, with epoch {old}.", analysis.sent(analysis.send(row))),
        (None, Some(txn)) => format!(
            "After that {} began a transaction of epoch {old} {} and committed it.",
            analysis.who(txn.invoke.0),
            analysis.when(txn.invoke.0)
        ),
        (None, None) => String::new(),
    };
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_zombie_sends_after_its_successor_began() {
        let mut tale = tale();
        tale.producer("old").init("pay", 1).begin_as("pay", 1);
        let zombie = tale.suspend();
        tale.producer("new").init("pay", 2);
        tale.resume(zombie).producer("old").sent(1, 0).abort_txn();
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_zombie_begins_and_commits() {
        let mut tale = tale();
        tale.producer("old").init("pay", 1).producer("new").init("pay", 2);
        tale.producer("old").begin_as("pay", 1).commit_txn();
        let analysis = crate::analysis::Analysis::new(tale.history());
        assert_eq!((CHECK.find)(&analysis).len(), 1);
    }

    #[test]
    fn a_zombie_that_is_refused_is_fenced() {
        let mut tale = tale();
        tale.producer("old").init("pay", 1).producer("new").init("pay", 2);
        tale.producer("old").begin_as("pay", 1).failed(1).abort_txn();
        tale.producer("new").begin_as("pay", 2).sent(2, 0).commit_txn();
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn what_was_sent_before_the_claim_is_no_zombie() {
        let mut tale = tale();
        tale.producer("old").init("pay", 1).begin_as("pay", 1).sent(1, 0).commit_txn();
        tale.producer("new").init("pay", 2);
        tale.finds(CHECK, &[]);
    }
}
