//! `G1a`: a record was read whose send had definitely failed.
//!
//! **Definition.** A reader was handed the value of a send that completed with `fail`. Outside of transactions
//! either the bus stored what it refused, or the client's table of errors calls a possible success a failure
//! (KAFKA-13574 is such a case); both are bugs.
//!
//! **Algorithm.** One walk over the sends. **Cost.** Linear. **Forbidden** always for sends without a transaction.
//!
//! **Source.** Jepsen's Kafka workload and Elle (`G1a`, aborted read).

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules, history::Status};

pub(super) const CHECK: Check = Check {
    kind: Kind::AbortedRead,
    about: "a record was read whose send had definitely failed",
    forbidden: "always outside of transactions",
    source: "Jepsen kafka, Elle: G1a",
    find,
    tell,
    rule: |rules, _| Rules::failure_is_final(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (row, send) in (0u32..).zip(analysis.history.sends()) {
        let Some((unit, index)) = analysis.first_place[row as usize] else { continue };
        let place = analysis.units[unit.index()].places[index as usize];
        if let (Status::Fail, Some(read)) = (send.status, place.read()) {
            let ops = proof([Some(send.invoke.0), send.completion(), Some(read)]);
            let position = Some(place.position);
            found.push(Found {
                unit: Some(unit),
                position,
                ops,
                send: Some(row),
                other: Some(read),
                case: Case::Plain,
            });
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(position), Some(read)) =
        (found.send, found.unit, found.position, found.other)
    else {
        return Default::default();
    };
    let seen = analysis.read_by(read);
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!("It is in the log all the same: {seen} in {} at position {position}.", analysis.unit(unit)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_refused_record_is_in_the_log() {
        // The client said that record 1 definitely failed; the drain found it.
        let mut tale = tale();
        tale.failed(1).sent(2, 1).drain(1, 0).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let mut tale = tale();
        tale.unknown(1, None).unknown(2, None).drain(1, 0).drained(1);
        tale.finds(CHECK, &[]);
    }
}
