//! Without `squall-pin` the same probes show something else in each process: the tests beside this one bite.

mod probe;

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
