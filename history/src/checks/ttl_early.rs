//! `ttl_early`: a message vanished before its time to live was over.
//!
//! **Definition.** A message that may live for a time was acknowledged, no consumer acknowledged it or gave it up, nor
//! did the bus after its last delivery, and before its time, counted from when it was sent, was over, either the bus said that it expired, or the final
//! drain of its unit finished without it.
//!
//! **Algorithm.** One walk over the sends. **Cost.** Linear.
//!
//! **Forbidden** always ([`Rules::lifetime`]).
//!
//! **Evidence limit.** It needs a bound on the clocks, which is taken off, and a drain that is soon enough.
//!
//! **Source.** The message machine of the reference.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, before, span},
    guarantees::Rules,
    history::{Advice, Observation, SettleRow, Settlement, UnitId},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const CHECK: Check = Check {
    kind: Kind::TtlEarly,
    about: "a message vanished before its time to live was over",
    forbidden: "always",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, _| Rules::lifetime(rules, false),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let Some(bound) = analysis.facts.clock_bound.filter(|_| analysis.anything_dies()) else {
        return Vec::new();
    };
    let history = analysis.history;
    let mut expired: BTreeMap<(UnitId, u64), u32> = BTreeMap::new();
    let mut given_up: BTreeSet<(UnitId, u64)> = BTreeSet::new();
    for (event, note) in history.notes() {
        match note {
            Observation::Advisory { unit, position, what: Advice::Expired, .. } => {
                expired.entry((*unit, *position)).or_insert(*event);
            }
            Observation::Advisory { unit, position, .. } => drop(given_up.insert((*unit, *position))),
            _ => {}
        }
    }
    let kept = kept(analysis);
    let mut found = Vec::new();
    for row in 0..history.sends().len() as u32 {
        let send = analysis.send(row);
        let place = send.unit().zip(send.position());
        let (Some(life), Some((unit, position))) = (analysis.time_to_live(row), place) else { continue };
        if !analysis.happened(row)
            || analysis.twin(row).is_some()
            || kept[row as usize]
            || analysis.deletions.took(row).is_some()
            || given_up.contains(&(unit, position))
        {
            continue;
        }
        let until = before(history.time(send.invoke.0) + life, bound);
        let said = expired.get(&(unit, position)).copied();
        let drain = analysis.units[unit.index()]
            .drain
            .filter(|(_, drain)| drain.complete && (drain.from..drain.to).contains(&position));
        let gone =
            said.into_iter().chain(drain.map(|(event, _)| event)).find(|event| history.time(*event) < until);
        found.extend(gone.map(|event| Found {
            unit: Some(unit),
            position: Some(position),
            ops: proof([Some(send.invoke.0), send.completion(), Some(event)]),
            send: Some(row),
            other: Some(event),
            case: Case::Plain,
        }));
    }
    found
}

/// The records that the final drain read, or that a consumer settled for good: they did not vanish by themselves.
fn kept(analysis: &Analysis<'_>) -> Vec<bool> {
    let history = analysis.history;
    let mut kept = vec![false; history.sends().len()];
    let mut keep = |value: Option<u64>| {
        if let Some(row) = value.and_then(|value| analysis.writer(value)) {
            kept[row as usize] = true;
        }
    };
    history.delivers().iter().filter(|read| read.drained()).for_each(|read| keep(read.value()));
    let final_ = |one: &&SettleRow| matches!(one.how, Settlement::Ack | Settlement::Term);
    history.settles().iter().filter(final_).for_each(|one| keep(analysis.read(one.delivery).value()));
    for (_, note) in history.notes() {
        if let Observation::Acked { value, .. } = note {
            keep(Some(*value));
        }
    }
    kept
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(event)) = (found.send, found.other) else { return Default::default() };
    let life = analysis.time_to_live(row).unwrap_or_default();
    let said = match &analysis.history.notes()[analysis.history.event(event).row as usize].1 {
        Observation::Advisory { .. } => "the bus said that it expired",
        _ => "the final drain came to its end without it",
    };
    [
        format!("{}; it may live for {}.", analysis.sent(analysis.send(row)), span(life)),
        format!("Before that was over {said}, {}.", analysis.when(event)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{
            Case,
            testing::{Tale, tale},
        },
        history::Advice,
    };
    use std::time::Duration;

    fn queue() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.clock_bound = Some(Duration::from_millis(5)));
        tale.with(|extra| extra.ttl = Some(Duration::from_millis(100))).sent(1, 0).sent(2, 1);
        tale
    }

    #[test]
    fn a_message_is_gone_at_half_its_time() {
        // It may live for 100 ms; the drain is over at 50 ms, and has record 2 only.
        queue().at(49).drain(2, 1).drained(2).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn the_bus_says_so_too_early() {
        queue().at(49).advised(0, Advice::Expired).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn when_its_time_is_over_it_may_go() {
        queue().at(99).advised(0, Advice::Expired).drain(2, 1).drained(2).finds(CHECK, &[]);
    }

    #[test]
    fn what_is_acknowledged_may_go() {
        queue().read(1, 0).acks_unconfirmed(1).drain(2, 1).drained(2).finds(CHECK, &[]);
    }
}
