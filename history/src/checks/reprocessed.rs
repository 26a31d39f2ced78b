//! `reprocessed`: a record was processed successfully more than once.
//!
//! **Definition.** Two or more handlers of one logical consumer ended well with the same value: after a redelivery, or
//! because the record stands twice in the log.
//!
//! **Algorithm.** One walk over the records each consumer touched. **Cost.** Linear.
//!
//! **Forbidden** only when a scenario demands at most or exactly once ([`Rules::no_repeat`]).
//!
//! **Source.** Jepsen's Kafka workload (consume counts).

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules, history::Handling};

pub(super) const CHECK: Check = Check {
    kind: Kind::Reprocessed,
    about: "a record was processed successfully more than once",
    forbidden: "`delivery: at-most-once`, `delivery: exactly-once`",
    source: "Jepsen kafka: consume counts",
    find,
    tell,
    rule: |rules, _| Rules::no_repeat(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let repeats = analysis.consumers.iter().any(|one| one.touches.iter().any(|touch| touch.handled > 1));
    if !repeats {
        return found;
    }
    // Per record and consumer the first two successes: the second one makes the finding.
    for consumer in &analysis.consumers {
        let mut first = vec![None; consumer.touches.len()];
        let mut told = vec![false; consumer.touches.len()];
        for handled in analysis.history.handled() {
            let Some(row) = analysis.writer(handled.value) else { continue };
            if handled.group != consumer.group || handled.how != Handling::Ok || told[row as usize] {
                continue;
            }
            match first[row as usize] {
                None => first[row as usize] = Some(handled.event),
                Some(before) => {
                    told[row as usize] = true;
                    let place = analysis.first_place[row as usize];
                    found.push(Found {
                        unit: place.map(|(unit, _)| unit),
                        position: place.map(|(unit, index)| {
                            analysis.units[unit.index()].places[index as usize].position
                        }),
                        ops: proof([Some(before), Some(handled.event)]),
                        send: Some(row),
                        other: None,
                        case: Case::Plain,
                    });
                }
            }
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), [one, two]) = (found.send, &found.ops[..]) else { return Default::default() };
    [
        format!(
            "{} processed {} {}.",
            analysis.who(*one),
            analysis.record(analysis.send(row)),
            analysis.when(*one)
        ),
        format!("{} processed it again {}.", analysis.who(*two), analysis.when(*two)),
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
    fn a_crash_between_the_effect_and_the_commit() {
        // consumer-0 processes record 1 and dies; consumer-1 gets it again.
        let mut tale = tale();
        tale.sent(1, 0)
            .read(1, 0)
            .handled(1, Handling::Ok)
            .by("consumer-1")
            .read(1, 0)
            .handled(1, Handling::Ok);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn attempts_that_failed_are_no_effects() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Retry(1)).handled(1, Handling::Ok);
        tale.finds(CHECK, &[]);
    }
}
