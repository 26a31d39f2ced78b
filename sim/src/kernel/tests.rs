//! The kernel seen from outside: nodes that write down what reaches them.

use super::*;
use proptest::prelude::*;
use squall_bus::Time;
use std::time::Duration;

#[derive(Debug)]
struct Number(u64);

impl Digest for Number {
    fn digest(&self) -> u64 {
        self.0
    }
}

impl Message for Number {
    fn size(&self) -> u32 {
        100
    }

    /// Odd numbers stand for responses to writes.
    fn acknowledges_write(&self) -> bool {
        self.0 % 2 == 1
    }
}

#[derive(Clone, Copy, Debug)]
struct Tick(u64);

impl Digest for Tick {
    fn digest(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
enum Do {
    Connect(NodeId),
    Send(ConnId, u64),
    Close(ConnId),
    Timer(Duration, u64),
    Busy(Duration),
    Write(u64),
    Sync,
}

impl Digest for Do {
    fn digest(&self) -> u64 {
        0
    }
}

/// Nodes that write down what reaches them.
#[derive(Default)]
struct Diary(Vec<(u64, NodeId, String)>);

impl Model for Diary {
    type Msg = Number;
    type Timer = Tick;
    type Call = Do;
    type Output = ();
    type Touch = u8;

    fn on(&mut self, node: NodeId, event: Event<Number, Tick>, ctx: &mut Ctx<'_, Self>) {
        let text = match event {
            Event::Started(boot) => format!("started {boot:?} with {}", ctx.disk().written(FileId(0))),
            Event::Stopping => {
                ctx.exit();
                "stopping".to_owned()
            }
            Event::Connected(_) => "connected".to_owned(),
            Event::Accepted(..) => "accepted".to_owned(),
            Event::Message(_, Number(number)) => format!("got {number}"),
            Event::Closed(_) => "closed".to_owned(),
            Event::Timer(Tick(number)) => format!("tick {number}"),
            Event::Synced(_, result) => format!("synced {}", result.is_ok()),
        };
        self.0.push((ctx.now().as_millis(), node, text));
        ctx.touch(0);
    }

    fn call(&mut self, _: NodeId, call: Do, ctx: &mut Ctx<'_, Self>) {
        match call {
            Do::Connect(to) => {
                ctx.connect(to);
            }
            Do::Send(conn, number) => ctx.send(conn, Number(number)),
            Do::Close(conn) => ctx.close(conn),
            Do::Timer(delay, number) => {
                ctx.timer(delay, Tick(number));
            }
            Do::Busy(span) => ctx.busy(span),
            Do::Write(bytes) => ctx.disk().append(FileId(0), bytes).expect("the disk works"),
            Do::Sync => ctx.sync(FileId(0)).expect("the disk works"),
        }
    }
}

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const CONN: ConnId = ConnId(0);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two nodes, started, with links of 1 to 2 ms.
fn world(seed: u64) -> World<Diary> {
    let links = LinkSpec { latency_min: ms(1), latency_max: ms(2), bandwidth: None };
    let mut world = World::new(Diary::default(), Choices::new(seed), links);
    for label in ["a", "b"] {
        let node = world.add_node(label);
        world.start(node);
    }
    run(&mut world, 10);
    world.model_mut().0.clear();
    world
}

/// Two nodes with a connection from a to b.
fn joined(seed: u64) -> World<Diary> {
    let mut world = world(seed);
    world.call(A, Do::Connect(B));
    run(&mut world, 20);
    world.model_mut().0.clear();
    world
}

fn run(world: &mut World<Diary>, until_ms: u64) {
    while world.next_time().is_some_and(|next| next <= Time::from_millis(until_ms)) {
        world.step();
    }
    world.advance_to(Time::from_millis(until_ms));
}

fn diary(world: &World<Diary>, node: NodeId) -> Vec<&str> {
    world.model().0.iter().filter(|(_, n, _)| *n == node).map(|(_, _, text)| text.as_str()).collect()
}

#[test]
fn a_connection_is_accepted_and_established() {
    let mut world = world(1);
    world.call(A, Do::Connect(B));
    world.call(A, Do::Send(CONN, 4));
    run(&mut world, 100);
    assert_eq!(diary(&world, A), ["connected"]);
    assert_eq!(diary(&world, B), ["accepted", "got 4"]);
}

#[test]
fn a_machine_without_a_process_refuses() {
    let mut world = world(1);
    world.kill(B);
    world.call(A, Do::Connect(B));
    run(&mut world, 100);
    assert_eq!(diary(&world, A), ["closed"]);
}

#[test]
fn a_kill_is_seen_at_the_other_end_and_a_power_failure_is_not() {
    let mut killed = joined(1);
    killed.kill(B);
    run(&mut killed, 1_000);
    assert_eq!(diary(&killed, A), ["closed"]);

    let mut dark = joined(1);
    dark.power_fail(B);
    dark.call(A, Do::Send(CONN, 2));
    run(&mut dark, 10_000);
    assert!(diary(&dark, A).is_empty());
    dark.start(B);
    run(&mut dark, 60_000);
    assert_eq!(diary(&dark, A), ["closed"], "the machine is back and knows nothing of the connection");
    assert_eq!(diary(&dark, B), ["started PowerLost with 0"]);
}

#[test]
fn a_cut_holds_everything_and_healing_brings_it_in_order() {
    let mut world = joined(1);
    world.cut(A, B);
    for number in [2, 4, 6] {
        world.call(A, Do::Send(CONN, number));
    }
    run(&mut world, 5_000);
    assert!(diary(&world, B).is_empty());
    world.uncut(A, B);
    run(&mut world, 5_001);
    assert!(diary(&world, B).is_empty(), "TCP shows the healing at its next retransmission");
    world.call(A, Do::Send(CONN, 8));
    run(&mut world, 20_000);
    assert_eq!(diary(&world, B), ["got 2", "got 4", "got 6", "got 8"]);
}

#[test]
fn cuts_add_up_and_are_directed() {
    let mut world = joined(1);
    world.cut(A, B);
    world.cut(A, B);
    world.call(B, Do::Send(CONN, 2));
    world.uncut(A, B);
    world.call(A, Do::Send(CONN, 4));
    run(&mut world, 1_000);
    assert_eq!(diary(&world, A), ["got 2"]);
    assert!(diary(&world, B).is_empty());
}

#[test]
fn a_hold_is_released_at_once_and_a_delay_delays() {
    let mut held = joined(1);
    held.hold(A, B);
    held.call(A, Do::Send(CONN, 2));
    run(&mut held, 500);
    held.unhold(A, B);
    run(&mut held, 501);
    assert_eq!(diary(&held, B), ["got 2"]);

    let mut slow = joined(1);
    slow.delay(A, B, ms(300));
    slow.call(A, Do::Send(CONN, 2));
    run(&mut slow, 300);
    assert!(diary(&slow, B).is_empty());
    slow.undelay(A, B, ms(300));
    slow.call(A, Do::Send(CONN, 4));
    run(&mut slow, 330);
    assert_eq!(diary(&slow, B), ["got 2", "got 4"], "in order, also when the second was faster");
}

#[test]
fn a_lost_response_breaks_the_connection_after_the_request_went_through() {
    let mut world = joined(1);
    world.drop_responses(B, 1);
    world.call(A, Do::Send(CONN, 2));
    run(&mut world, 30);
    world.call(B, Do::Send(CONN, 4));
    world.call(B, Do::Send(CONN, 3));
    run(&mut world, 100);
    assert_eq!(diary(&world, A), ["got 4", "closed"]);
    assert_eq!(diary(&world, B), ["got 2", "closed"]);
}

#[test]
fn closing_lets_what_was_sent_arrive() {
    let mut world = joined(1);
    world.call(A, Do::Send(CONN, 2));
    world.call(A, Do::Close(CONN));
    world.call(A, Do::Send(CONN, 4));
    run(&mut world, 100);
    assert_eq!(diary(&world, B), ["got 2", "closed"]);
}

#[test]
fn a_paused_process_gets_everything_in_order_when_it_goes_on() {
    let mut world = joined(1);
    world.call(B, Do::Timer(ms(50), 1));
    world.pause(B);
    world.call(A, Do::Send(CONN, 2));
    run(&mut world, 1_000);
    assert!(diary(&world, B).is_empty());
    world.resume(B);
    world.call(A, Do::Send(CONN, 4));
    run(&mut world, 2_000);
    assert_eq!(diary(&world, B), ["got 2", "tick 1", "got 4"]);
}

#[test]
fn a_busy_process_takes_its_next_event_later() {
    let mut world = joined(1);
    world.call(B, Do::Busy(ms(500)));
    world.call(A, Do::Send(CONN, 2));
    world.call(A, Do::Send(CONN, 4));
    run(&mut world, 1_000);
    let at: Vec<u64> = world.model().0.iter().map(|(at, ..)| *at).collect();
    assert_eq!((diary(&world, B), at), (vec!["got 2", "got 4"], vec![520, 520]));
}

#[test]
fn timers_die_with_their_process() {
    let mut world = joined(1);
    world.call(B, Do::Timer(ms(50), 1));
    world.kill(B);
    world.start(B);
    run(&mut world, 1_000);
    assert_eq!(diary(&world, B), ["started Killed with 0"]);
}

#[test]
fn a_stop_is_asked_for_and_the_next_boot_is_clean() {
    let mut world = joined(1);
    world.stop(B);
    run(&mut world, 100);
    assert_eq!((diary(&world, B), diary(&world, A)), (vec!["stopping"], vec!["closed"]));
    world.start(B);
    run(&mut world, 1_000);
    assert_eq!(diary(&world, B), ["stopping", "started Clean with 0"]);
}

#[test]
fn a_power_failure_between_write_and_sync_loses_the_write() {
    let mut world = joined(1);
    world.call(B, Do::Write(10));
    world.call(B, Do::Sync);
    run(&mut world, 100);
    world.call(B, Do::Write(5));
    world.power_fail(B);
    world.start(B);
    run(&mut world, 1_000);
    assert_eq!(diary(&world, B), ["synced true", "started PowerLost with 10"]);
}

#[test]
fn a_drifting_node_fires_its_timers_by_its_own_clock() {
    let mut world = joined(1);
    let now = world.now();
    world.clock_mut(B).set_drift(now, -500_000_000);
    world.call(B, Do::Timer(ms(100), 1));
    run(&mut world, 219);
    assert!(diary(&world, B).is_empty());
    run(&mut world, 221);
    assert_eq!(diary(&world, B), ["tick 1"]);
}

struct NeverThree(u32);

impl Invariant<Diary> for NeverThree {
    fn name(&self) -> &'static str {
        "NeverThree"
    }

    fn source(&self) -> &'static str {
        "this test"
    }

    fn after(&mut self, _: &Diary, touched: &[u8], _: Time) -> Result<(), String> {
        self.0 += touched.len() as u32;
        if self.0 == 3 { Err("three events".to_owned()) } else { Ok(()) }
    }

    fn full(&self, _: &Diary) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn an_invariant_that_breaks_is_kept_with_its_time() {
    let mut world = joined(1);
    world.watch(Box::new(NeverThree(0)));
    for _ in 0..4 {
        world.call(A, Do::Send(CONN, 2));
    }
    run(&mut world, 100);
    let violation = world.violation().expect("three events came");
    assert_eq!((violation.invariant, violation.what.as_str()), ("NeverThree", "three events"));
    assert!(violation.at < Time::from_millis(30));
}

#[test]
fn one_seed_has_one_hash_and_another_has_another() {
    let hash = |seed| {
        let mut world = joined(seed);
        for number in 0..20 {
            world.call(A, Do::Send(CONN, number));
        }
        run(&mut world, 1_000);
        world.trace().hash()
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

proptest! {
    /// Under any faults a stream is in order and without a hole, up to where it broke; without a break it is whole.
    #[test]
    fn a_stream_is_in_order_or_broken(faults in prop::collection::vec((0_u8..8, 0_u64..400), 0..30), seed: u64) {
        let mut world = joined(seed);
        let (mut now, mut sent) = (20, 0);
        for (fault, wait) in faults {
            match fault {
                0 => world.cut(A, B),
                1 => world.uncut(A, B),
                2 => world.hold(A, B),
                3 => world.unhold(A, B),
                4 => world.delay(A, B, ms(wait)),
                5 => world.pause(B),
                6 => world.resume(B),
                _ => world.undelay(A, B, ms(wait)),
            }
            for _ in 0..3 {
                sent += 1;
                world.call(A, Do::Send(CONN, sent));
            }
            now += wait;
            run(&mut world, now);
        }
        for _ in 0..40 {
            world.uncut(A, B);
            world.unhold(A, B);
        }
        world.resume(B);
        run(&mut world, now + 600_000);
        let expected: Vec<String> = (1..=sent).map(|number| format!("got {number}")).collect();
        prop_assert_eq!(diary(&world, B), expected);
    }
}

#[test]
fn what_strikes_in_the_instant_of_a_start_strikes_a_process() {
    let started = || {
        let mut world = joined(1);
        world.kill(B);
        world.start(B);
        world
    };
    let lives = |mut world: World<Diary>| {
        run(&mut world, 1_000);
        (world.life(B), world.process(B), diary(&world, B).join(", "))
    };
    let mut killed = started();
    killed.kill(B);
    assert_eq!(lives(killed), (Life::Down, 2, "started Killed with 0".to_owned()));
    let mut paused = started();
    paused.pause(B);
    assert_eq!(lives(paused), (Life::Paused, 1, "started Killed with 0".to_owned()));
    let mut dark = started();
    dark.power_fail(B);
    assert_eq!(lives(dark), (Life::Off, 2, "started Killed with 0".to_owned()));
    let mut stopped = started();
    stopped.stop(B);
    stopped.start(B);
    assert_eq!(lives(stopped), (Life::Down, 2, "started Killed with 0, stopping".to_owned()));
}
