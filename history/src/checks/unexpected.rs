//! `unexpected`: a record was read that nobody sent there.
//!
//! **Definition.** A reader was handed a readable value that no send of the run attempted, or one that was sent to
//! another topic; except in a dead-letter topic that the bus itself fills (`dead_lettering`).
//!
//! **Algorithm.** One walk over the places. **Cost.** Linear.
//!
//! **Forbidden** always. **Evidence limit.** Topics must be fresh: a record of an earlier run is unexpected too.
//!
//! **Source.** Jepsen's total-queue (`unexpected`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, own_dlq},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::Unexpected,
    about: "a record was read that nobody sent there",
    forbidden: "always",
    source: "Jepsen total-queue: unexpected",
    find,
    tell,
    rule: |rules, _| Rules::only_what_was_sent(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let own_dlq = own_dlq(analysis.history);
    for (unit, log) in analysis.logs() {
        let topic = analysis.history.unit_topic(unit);
        for place in log.places.iter().filter(|place| place.value().is_some()) {
            if own_dlq == Some(topic) && place.value().is_some_and(|value| analysis.writer(value).is_some()) {
                continue;
            }
            let sent_here = place.send().is_some_and(|row| analysis.send(row).topic == topic);
            if let (false, Some(read)) = (sent_here, place.read()) {
                let (unit, position) = (Some(unit), Some(place.position));
                let sent = place.send().map(|row| analysis.send(row).invoke.0);
                let ops = proof([Some(read), sent]);
                found.push(Found {
                    unit,
                    position,
                    ops,
                    send: place.send(),
                    other: Some(read),
                    case: Case::Plain,
                });
            }
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let place = analysis.units[unit.index()].between(position, position.saturating_add(1));
    let place = place.iter().find(|place| place.read() == Some(event));
    let value = place.and_then(crate::analysis::Place::value).unwrap_or_default();
    let who = match analysis.who(event) {
        "drain" => "The final drain",
        who => who,
    };
    let read = format!(
        "{who} read record {value} in {} at position {position} {}.",
        analysis.unit(unit),
        analysis.when(event)
    );
    let sent = match found.send.map(|row| analysis.send(row)) {
        Some(send) => format!("It was sent elsewhere: {}.", analysis.sent(send)),
        None => "No send of this run carried that value.".to_owned(),
    };
    [read, sent]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_value_that_nobody_sent() {
        // Record 9 comes from nowhere.
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).read(9, 1);
        tale.finds_at(CHECK, &[1]);
    }

    #[test]
    fn a_value_that_was_sent_to_another_topic() {
        let mut tale = tale();
        tale.dead(2, None, 0).read(2, 0);
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn an_unknown_send_that_surfaces_is_expected() {
        let mut tale = tale();
        tale.unknown(1, None).read(1, 0);
        tale.finds_at(CHECK, &[]);
    }
}
