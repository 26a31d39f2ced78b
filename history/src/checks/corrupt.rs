//! `corrupt`: a record was read whose payload is not what was sent.
//!
//! **Definition.** A delivery whose payload fails its checksum, or from which no value could be read. Counted once
//! per place, not per delivery.
//!
//! **Algorithm.** One walk over the deliveries. **Cost.** Linear. **Forbidden** always.
//!
//! **Source.** kgo-verifier's payload validation.

use super::{Case, Check, Found};
use crate::{Kind, analysis::Analysis, guarantees::Rules};
use std::collections::HashSet;

pub(super) const CHECK: Check = Check {
    kind: Kind::Corrupt,
    about: "a record was read whose payload is not what was sent",
    forbidden: "always",
    source: "kgo-verifier: payload validation",
    find,
    tell,
    rule: |rules, _| Rules::intact(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut places = HashSet::new();
    let mut found = Vec::new();
    for (row, read) in (0u32..).zip(analysis.history.delivers()) {
        if (analysis.history.is_corrupt(row) || read.value().is_none())
            && places.insert((read.unit, read.position))
        {
            found.push(Found {
                unit: Some(read.unit),
                position: Some(read.position),
                ops: vec![read.event],
                send: read.value().and_then(|value| analysis.writer(value)),
                other: Some(read.event),
                case: Case::Plain,
            });
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let sent = match found.send.map(|row| analysis.send(row)) {
        Some(send) => format!("{}.", analysis.sent(send)),
        None => "Every record that was sent carries a value and a checksum.".to_owned(),
    };
    let who = match analysis.who(event) {
        "drain" => "The final drain",
        who => who,
    };
    let when = analysis.when(event);
    [sent, format!("{who} read a damaged payload in {} at position {position} {when}.", analysis.unit(unit))]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_damaged_payload_is_told_once() {
        // The checksum of record 1 is wrong, twice; of another record nothing can be read.
        let mut tale = tale();
        tale.sent(1, 0).read_damaged(Some(1), 0).read_damaged(Some(1), 0).read_damaged(None, 1);
        tale.finds_at(CHECK, &[0, 1]);
    }

    #[test]
    fn an_intact_payload_is_not() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0);
        tale.finds_at(CHECK, &[]);
    }
}
