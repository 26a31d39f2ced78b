//! With `squall-pin` linked, a seed decides what a service takes from its surroundings, in every process.

mod probe;

use probe::storms::{Plant, assert_repeats, assert_suspected};
use squall_pin as _;
use squall_sim::runtime::ambient::Ambient;
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant, SystemTime},
};

#[test]
fn equal_seeds_show_the_same_in_every_process_and_other_seeds_show_others() {
    if probe::is_child() {
        return;
    }
    let show = |seed| {
        probe::in_a_fresh_process(
            "equal_seeds_show_the_same_in_every_process_and_other_seeds_show_others",
            seed,
        )
    };
    let (seven, again, eight) = (show(7), show(7), show(8));
    assert_eq!(seven, again);
    assert_eq!(probe::equal(&seven, &eight), [""; 0], "{seven:?}");
}

#[test]
fn clocks_show_virtual_time_and_agree_with_tokio() {
    let ((wall, monotonic, tokio, start), _) = probe::inside(3, || async {
        let (wall, monotonic, tokio) = (SystemTime::now(), Instant::now(), tokio::time::Instant::now());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        (wall.elapsed(), monotonic.elapsed(), tokio.into_std() == monotonic, wall)
    });
    assert_eq!(wall.expect("time goes on"), monotonic);
    assert_eq!(monotonic, Duration::from_secs(3_600));
    assert!(tokio);
    let since = start.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    assert!(
        (squall_pin::WALL_CLOCK_START..squall_pin::WALL_CLOCK_START + Duration::from_secs(60))
            .contains(&since)
    );
}

#[test]
fn a_run_in_the_same_process_has_the_same_random_numbers_again() {
    let draw = |seed| {
        probe::inside(seed, || async {
            let keys: HashMap<u32, ()> = (0..40).map(|key| (key, ())).collect();
            let order: Vec<u32> = keys.into_keys().collect();
            (
                order,
                rand_0_8::random::<u64>(),
                rand_0_9::random::<u64>(),
                rand_0_10::random::<u64>(),
                uuid::Uuid::new_v4(),
            )
        })
        .0
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5).0, draw(6).0);
}

#[test]
fn outside_of_a_run_nothing_is_pinned() {
    let began = Instant::now();
    thread::sleep(Duration::from_millis(5));
    assert!(began.elapsed() >= Duration::from_millis(5));
    assert_ne!(uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let here = || uuid::Uuid::new_v4();
    let ((inside, elsewhere), _) =
        probe::inside(1, move || async move { (here(), thread::spawn(here).join().expect("no panic")) });
    let ((again, elsewhere_again), _) =
        probe::inside(1, move || async move { (here(), thread::spawn(here).join().expect("no panic")) });
    assert_eq!(inside, again);
    assert_ne!(elsewhere, elsewhere_again, "a thread of the service's is outside");
}

#[test]
fn what_a_run_uses_is_counted() {
    let ((), nothing) = probe::inside(1, || async {});
    assert_eq!(nothing, Ambient { pinned: true, ..Ambient::default() });
    let ((), used) = probe::inside(1, || async {
        let _ = (SystemTime::now(), uuid::Uuid::new_v4());
        drop(thread::spawn(|| {}).join());
    });
    assert_eq!((used.entropy, used.threads), (2, 1), "a UUID is two words");
}

#[test]
fn a_failing_seed_repeats_though_its_body_draws_at_random() {
    for plant in [Plant::Nothing, Plant::HashOrder, Plant::Randomness, Plant::Clock] {
        assert_repeats(plant);
    }
}

#[test]
fn a_thread_that_decides_is_named() {
    assert_suspected(Plant::Thread, "a thread");
}

#[test]
fn branches_whose_order_depends_on_runs_before_are_named() {
    assert_suspected(Plant::Select, "tokio::select!");
}
