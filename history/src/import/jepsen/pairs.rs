//! What an operation's completion tells is what was done, from its invocation on.
//!
//! A completion names the micro-operations of its invocation again, with what is known of them now. One that names none
//! says only how they ended; one that failed or is in doubt may name the first of them only. Where the value of a send
//! is another one, that of the completion counts.

use super::{
    Fault, Problem,
    op::{Micro, Op, Side, Work},
};
use std::collections::BTreeMap;

/// Gives each invocation and its completion the same micro-operations.
pub(super) fn pair(ops: &mut [Op]) -> Result<(), Fault> {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..ops.len() {
        let op = &ops[index];
        let Work::Micros { micros: told, txn, lists } = &op.work else { continue };
        if op.side == Side::Invoke {
            // What the process had open before never ends.
            open.insert(op.process.clone(), index);
            continue;
        }
        let Some(invoke) = open.remove(&op.process) else { continue };
        let Work::Micros { micros: begun, txn: was_txn, lists: were_lists } = &ops[invoke].work else {
            continue;
        };
        let micros = merged(begun, told, op.side).map_err(|problem| (op.line, problem))?;
        let lists = if told.is_empty() { *were_lists } else { *lists };
        let work = Work::Micros { txn: *txn || *was_txn || micros.len() > 1, lists, micros };
        ops[invoke].work = work.clone();
        ops[index].work = work;
    }
    Ok(())
}

fn merged(begun: &[Micro], told: &[Micro], side: Side) -> Result<Vec<Micro>, Problem> {
    let partial = told.is_empty() || matches!(side, Side::Fail | Side::Info);
    let fits = told.len() >= begun.len() || partial;
    if !fits || !told.iter().zip(begun).all(|(told, begun)| alike(told, begun)) {
        return Err(Problem::Mismatch(format!("{} of them, then {}", begun.len(), told.len())));
    }
    let rest = begun.get(told.len()..).unwrap_or_default();
    Ok(told.iter().chain(rest).cloned().collect())
}

/// Whether one micro-operation can be the completion of another.
fn alike(one: &Micro, other: &Micro) -> bool {
    match (one, other) {
        (Micro::Send { key, .. }, Micro::Send { key: other, .. })
        | (Micro::Read { key, .. }, Micro::Read { key: other, .. }) => key == other,
        (Micro::Poll(_), Micro::Poll(_)) => true,
        _ => false,
    }
}
