//! The guard over made-up runs; over real ones in `tests/guard.rs`.

use super::{Evidence, Footprint, Parted, Shape, Step, Suspect, examine};
use crate::{
    kernel::{CHECKPOINT, Trace, mix},
    runtime::ambient::Ambient,
};
use squall_bus::Time;
use std::convert::Infallible;

/// A run whose events say these things, one each nanosecond from this time on.
fn run(whats: &[String], ambient: Ambient, record_from: Option<u64>) -> Footprint {
    let mut trace = Trace::default();
    if let Some(checkpoint) = record_from {
        trace.record_from(checkpoint);
    }
    for what in whats {
        let digest = what.bytes().fold(0, |hash, byte| mix(hash, u64::from(byte)));
        trace.note(Time(7), None, 0, digest, || what.clone());
    }
    Footprint::of(&trace, ambient)
}

fn plain(count: u64) -> Vec<String> {
    (0..count).map(|index| format!("event {index}")).collect()
}

fn examined(
    first: &[String],
    mut here: impl FnMut() -> Vec<String>,
    mut fresh: impl FnMut() -> Vec<String>,
    ambient: Ambient,
) -> Option<Parted> {
    let examined: Result<_, Infallible> =
        examine(&run(first, ambient, None), &mut |from| Ok(run(&here(), ambient, from)), &mut |from| {
            Ok(run(&fresh(), ambient, from))
        });
    match examined {
        Ok(parted) => parted,
        Err(never) => match never {},
    }
}

#[test]
fn equal_runs_are_equal_and_one_more_of_each_is_enough_to_say_so() {
    let (same, mut runs) = (plain(3 * CHECKPOINT), 0);
    let fresh = || {
        runs += 1;
        plain(3 * CHECKPOINT)
    };
    assert_eq!(examined(&same, || same.clone(), fresh, Ambient::default()), None);
    assert_eq!(runs, 1);
}

#[test]
fn a_process_that_disagrees_with_itself_is_told_though_a_fresh_one_repeats_its_first_run() {
    let (same, other) = (plain(20), plain(21));
    let parted = examined(&same, || other.clone(), || same.clone(), Ambient::default()).expect("they differ");
    assert_eq!((parted.evidence.fresh_agree, parted.evidence.here_repeats), (true, false));
    assert!(parted.to_string().contains("in a fresh process: the run is over"), "{parted}");
}

#[test]
fn the_first_event_that_differs_is_found_behind_its_checkpoint() {
    let same = plain(3 * CHECKPOINT);
    let mut swapped = same.clone();
    let at = CHECKPOINT as usize + 5;
    swapped.swap(at, at + 1);
    let parted =
        examined(&same, || same.clone(), || swapped.clone(), Ambient::default()).expect("they differ");
    assert_eq!(parted.equal_events, at as u64);
    assert_eq!(
        parted.evidence,
        Evidence {
            pinned: false,
            threads: 0,
            fresh_agree: true,
            here_repeats: true,
            shape: Some(Shape::Order)
        }
    );
    assert_eq!(parted.evidence.suspects()[0], Suspect::Static);
    let told = parted.to_string();
    assert!(told.contains("in this process: 0.000000007s - event 1029\n"), "{told}");
    assert!(told.contains("in a fresh process: 0.000000007s - event 1030\n"), "{told}");
}

#[test]
fn a_run_that_ends_early_differs_where_it_ends() {
    let (long, short) = (plain(20), plain(12));
    let parted = examined(&long, || long.clone(), || short.clone(), Ambient::default()).expect("they differ");
    assert_eq!(parted.equal_events, 12);
    assert!(parted.to_string().contains("in a fresh process: the run is over"));
}

#[test]
fn a_difference_that_moves_is_followed_and_given_up_in_the_end() {
    let (same, mut turn) = (plain(8 * CHECKPOINT), 0);
    let mut moving = || {
        turn += 1;
        let mut other = plain(8 * CHECKPOINT);
        other[(turn % 7) * CHECKPOINT as usize] = format!("planted {turn}");
        other
    };
    let mut calls = 0;
    let parted = examined(
        &same,
        || same.clone(),
        || {
            calls += 1;
            moving()
        },
        Ambient::default(),
    );
    let parted = parted.expect("they differ");
    assert!(!parted.evidence.fresh_agree);
    assert!(calls <= 2 + 2 * super::ROUNDS, "{calls} runs");
}

fn suspects(evidence: Evidence) -> Vec<Suspect> {
    evidence.suspects()
}

#[test]
fn each_kind_of_evidence_names_its_suspects() {
    use Suspect::{Clock, HashOrder, Process, Randomness, Select, Static, Thread};
    let base = Evidence { pinned: false, threads: 0, fresh_agree: false, here_repeats: false, shape: None };
    let first = |evidence| suspects(evidence)[0];
    assert_eq!(first(Evidence { shape: Some(Shape::Order), ..base }), HashOrder);
    assert_eq!(first(Evidence { shape: Some(Shape::Timing), ..base }), Clock);
    assert_eq!(first(Evidence { shape: Some(Shape::Content), ..base }), Randomness);
    assert_eq!(first(Evidence { fresh_agree: true, ..base }), Select);
    assert_eq!(first(Evidence { fresh_agree: true, here_repeats: true, ..base }), Static);
    assert_eq!(first(Evidence { here_repeats: true, ..base }), Process);
    assert_eq!(suspects(Evidence { pinned: true, threads: 2, ..base }), [Thread, Process]);
    let pinned = suspects(Evidence { pinned: true, shape: Some(Shape::Order), ..base });
    assert!(![HashOrder, Randomness, Clock].iter().any(|pinned_down| pinned.contains(pinned_down)));
}

#[test]
fn the_shape_of_a_difference_is_order_time_or_content() {
    let step = |at, what: &str| Step { index: 0, at: Time(at), what: what.to_owned(), hash: 0 };
    let (a, b, c) = (step(1, "a"), step(1, "b"), step(1, "c"));
    assert_eq!(Shape::of(&[a.clone(), b.clone()], &[b.clone(), a.clone()]), Shape::Order);
    assert_eq!(Shape::of(&[a.clone(), b.clone()], &[step(2, "a"), b.clone()]), Shape::Timing);
    let (late, other) = (step(3, "a"), step(2, "b"));
    let moved = Shape::of(&[a.clone(), other.clone()], &[other, late]);
    assert_eq!(moved, Shape::Timing, "an event that comes later, past another that stays");
    assert_eq!(Shape::of(&[a, b.clone()], &[c, b]), Shape::Content);
}

#[test]
fn a_long_payload_is_told_in_short_and_still_told_from_others() {
    let what = |end: &str| format!("call Send {}{end} then\nmore", ".".repeat(9_000));
    let steps = run(&[what("a"), what("b")], Ambient::default(), Some(0)).steps;
    assert!(steps[0].what.len() < 100 && steps[0].what.ends_with("then more"), "{}", steps[0].what);
    assert_ne!(steps[0].what, steps[1].what);
}

#[test]
fn a_footprint_reads_what_it_writes() {
    let ambient = Ambient { pinned: true, entropy: 3, threads: 1 };
    let footprint = run(&plain(2 * CHECKPOINT), ambient, Some(1));
    assert_eq!(footprint.to_string().parse(), Ok(footprint.clone()));
    assert_eq!(footprint.steps.len() as u64, CHECKPOINT);
    let cut = footprint.to_string().replace("checkpoint ", "checkpint ");
    assert_eq!(
        cut.parse::<Footprint>().map_err(|error| error.to_string()),
        Err("line 4 is not one of a footprint of this version of squall".to_owned())
    );
}
