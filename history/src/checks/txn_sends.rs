//! What `int_nonmonotonic_send` and `int_send_skip` share: the sends of one transaction to one unit that follow each
//! other, with the places where their records stand.

use super::nonmonotonic_send::standing;
use crate::{
    analysis::{Analysis, Buckets, Place},
    history::UnitId,
};

/// Two sends of one transaction to one unit, one right after the other.
pub(super) struct Pair {
    pub(super) unit: UnitId,
    /// The rows of the sends, and where their records stand.
    pub(super) earlier: (u32, Place),
    pub(super) later: (u32, Place),
}

/// All such pairs, in the order of the later sends.
pub(super) fn pairs(analysis: &Analysis<'_>) -> Vec<Pair> {
    let history = analysis.history;
    if history.txns().is_empty() {
        return Vec::new();
    }
    let by_txn = Buckets::new(history.txns().len(), history.sends().len(), |row| {
        history.sends()[row].txn().map(|txn| history.txn_row(txn) as usize)
    });
    let mut pairs = Vec::new();
    for txn in 0..by_txn.len() {
        let mut last: Vec<(UnitId, u32, Place)> = Vec::new();
        for row in by_txn.of(txn) {
            let Some((unit, place)) = standing(analysis, *row) else { continue };
            match last.iter_mut().find(|(other, ..)| *other == unit) {
                Some(known) => {
                    pairs.push(Pair { unit, earlier: (known.1, known.2), later: (*row, place) });
                    *known = (unit, *row, place);
                }
                None => last.push((unit, *row, place)),
            }
        }
    }
    pairs.sort_by_key(|pair| pair.later.0);
    pairs
}
