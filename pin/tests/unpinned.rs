//! Without `squall-pin` the same probes show something else in each process: the tests beside this one bite.

mod probe;

use probe::storms::{Plant, assert_repeats, assert_suspected};

#[test]
fn equal_seeds_show_nothing_twice() {
    if probe::is_child() {
        return;
    }
    let show = || probe::in_a_fresh_process("equal_seeds_show_nothing_twice", 7);
    let (one, two) = (show(), show());
    assert_eq!(probe::equal(&one, &two), [""; 0], "{one:?}");
}

#[test]
fn a_run_says_that_it_is_not_pinned() {
    let ((), used) = probe::inside(1, || async {
        let _ = std::time::SystemTime::now();
    });
    assert_eq!(used, squall_sim::runtime::ambient::Ambient::default());
}

#[test]
fn a_failing_seed_whose_body_draws_nothing_repeats() {
    assert_repeats(Plant::Nothing);
}

#[test]
fn what_a_failing_seed_draws_behind_its_back_is_named() {
    assert_suspected(Plant::HashOrder, "HashMap or HashSet");
    assert_suspected(Plant::Clock, "the wall clock");
    assert_suspected(Plant::Randomness, "random numbers");
}

#[test]
fn what_earlier_runs_left_behind_is_suspected() {
    let run = probe::storms::confirmed(Plant::Static);
    assert_eq!(run.repeats, Some(false));
    assert!(run.notes.join("").contains("a static"), "{:?}", run.notes);
}
