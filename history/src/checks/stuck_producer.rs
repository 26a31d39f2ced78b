//! `stuck_producer`: a producer stood still although it had something to send and nothing was broken.
//!
//! **Definition.** A process has work while a send of its latest session has not completed; an ack is progress. From
//! when everything was healed it must not stand still with work for as long as the bound of `progress` says. A crash
//! takes its work away. One finding per process: its longest stall.
//!
//! **Algorithm.** One walk over the events with a meter per process. **Cost.** Linear.
//!
//! **Forbidden** by `progress`; without it, and where no acks are asked for, nothing is looked for
//! ([`Rules::progress`]). A producer whose sends fail at once does not stand still: see `unavailability`.
//!
//! **Evidence limit.** Where faults struck, the history must say when everything was healed.
//!
//! **Source.** redpanda/chaos `progress_during_fault`.

use super::{
    Case, Check, Found, proof,
    stall::{self, Meter, Stall},
};
use crate::{
    Kind,
    analysis::{Analysis, span},
    guarantees::Rules,
    history::{Observation, Status, What},
};
use squall_bus::Acks;

pub(super) const CHECK: Check = Check {
    kind: Kind::StuckProducer,
    about: "a producer stood still although it had something to send and nothing was broken",
    forbidden: "the bound of `progress`",
    source: "redpanda chaos: progress_during_fault",
    find,
    tell,
    rule: |rules, _| Rules::progress(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let (bound, asked) = (history.meta.expect.progress, history.meta.configuration.acks != Acks::None);
    let (Some(bound), Some(from), true) = (bound, stall::healed(analysis), asked) else { return Vec::new() };
    let mut clients = vec![(Meter::new(from, history.end()), 0); history.process_count()];
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        let (meter, session) = &mut clients[event.process.index()];
        match event.what {
            What::SendInvoke => {
                let send = &history.sends()[event.row as usize];
                if send.session > *session {
                    meter.reset(event.time, index);
                    *session = send.session;
                }
                if send.session == *session {
                    meter.add(event.time, index);
                }
            }
            What::SendDone => {
                let send = &history.sends()[event.row as usize];
                if send.session == *session {
                    meter.remove(event.time, index, send.status == Status::Ok);
                }
            }
            What::Note if history.notes()[event.row as usize].1 == Observation::Crashed => {
                meter.reset(event.time, index);
            }
            _ => {}
        }
    }
    let stalls = clients.into_iter().filter_map(|(meter, _)| meter.finish());
    let mut found: Vec<Found> =
        stalls.filter(|stall| stall.lasts >= bound).map(|stall| finding(&stall)).collect();
    found.sort_by_key(|one| one.ops.first().copied());
    found
}

fn finding(stall: &Stall) -> Found {
    let ops = proof([Some(stall.began), stall.ended]);
    Found { ops, other: stall.ended, case: Case::Plain, ..Found::default() }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(began) = found.ops.first().copied() else { return Default::default() };
    let history = analysis.history;
    let from = history.time(began).max(stall::healed(analysis).unwrap_or_default());
    let end = match found.other {
        Some(event) => {
            format!("That lasted {}, {}.", span(history.time(event).since(from)), analysis.when(event))
        }
        None => format!("No ack came in the remaining {}.", span(history.end().since(from))),
    };
    [
        format!(
            "{} had sends to complete {}, and nothing was broken.",
            analysis.who(began),
            analysis.when(began)
        ),
        end,
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        Meta,
        analysis::Analysis,
        checks::testing::{Tale, tale},
        history::Phase,
    };
    use std::time::Duration;

    fn bound(ms: u64) -> impl FnOnce(&mut Meta) {
        move |meta| meta.expect.progress = Some(Duration::from_millis(ms))
    }

    #[track_caller]
    fn stuck(tale: &Tale, expected: &[&str]) {
        let found = (CHECK.find)(&Analysis::new(tale.history()));
        let who = |event: u32| tale.history().process_name(tale.history().process_of(event));
        assert_eq!(found.iter().map(|one| who(one.ops[0])).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_send_waits_for_ever_after_the_fault_is_healed() {
        // producer-0 never hears of record 2; producer-1 goes on.
        let mut tale = tale();
        tale.configure(bound(100)).fault("kill", &[1]).sent(1, 0).send(2).at(50).phase(Phase::Healed);
        stuck(tale.producer("producer-1").at(60).sent(3, 1).at(170).sent(4, 2), &["producer-0"]);
    }

    #[test]
    fn waiting_while_it_is_broken_is_right() {
        let mut tale = tale();
        tale.configure(bound(100)).fault("kill", &[1]).send(1).at(500).phase(Phase::Healed).at(590).ok(1, 0);
        stuck(&tale, &[]);
    }

    #[test]
    fn a_crash_and_a_new_session_take_the_work_away() {
        let mut tale = tale();
        tale.configure(bound(100)).send(1).restart_producer().at(90).sent(2, 0).at(300).sent(3, 1);
        stuck(tale.send(4).client("producer-0").crashed().at(900).sent(5, 2), &[]);
    }

    #[test]
    fn a_producer_whose_sends_fail_does_not_stand_still() {
        let mut tale = tale();
        stuck(tale.configure(bound(100)).failed(1).at(80).failed(2).at(160).failed(3), &[]);
    }
}
