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

// One storm a test: in a fresh process the storms before the one in question are not confirmed.

#[test]
fn a_failing_seed_that_depends_on_the_order_of_a_set_is_told_so() {
    assert_suspected(Plant::HashOrder, "HashMap or HashSet");
}

#[test]
fn a_failing_seed_that_depends_on_the_wall_clock_is_told_so() {
    assert_suspected(Plant::Clock, "the wall clock");
}

#[test]
fn a_failing_seed_that_depends_on_random_numbers_is_told_so() {
    assert_suspected(Plant::Randomness, "random numbers");
}

#[test]
fn what_earlier_runs_left_behind_is_suspected() {
    let run = probe::storms::confirmed(Plant::Static);
    assert_eq!(run.repeats, Some(false));
    assert!(run.notes.join("").contains("a static"), "{:?}", run.notes);
}
