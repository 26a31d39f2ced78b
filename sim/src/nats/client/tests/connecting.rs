//! How a client finds a server, and another one.

use super::stage::{Manner, SECOND, Stage};
use crate::kernel::NodeId;
use std::{collections::BTreeSet, time::Duration};

#[test]
fn a_round_goes_to_every_server_and_waits_longer_and_longer() {
    let mut stage = Stage::new(3);
    stage.played().manner = Manner::Frozen;
    stage.producer(|_| {});
    stage.run(62 * SECOND);
    let accepted = stage.played().accepted.clone();
    for round in accepted.chunks_exact(3) {
        let servers: BTreeSet<NodeId> = round.iter().map(|(_, server)| *server).collect();
        assert_eq!(servers.len(), 3, "{accepted:?}");
    }
    // Five seconds for each setup, and the pause before the next: 2 ms before the second, twice that each time.
    let gaps: Vec<Duration> = accepted.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    let pause = |gap: &Duration| gap.as_millis() as i128 - 5_000;
    assert!(gaps.len() >= 10, "{gaps:?}");
    for (attempt, gap) in gaps.iter().take(10).enumerate() {
        assert!((pause(gap) - (2 << attempt)).abs() <= 2, "attempt {}: {gap:?}", attempt + 2);
    }
}

#[test]
fn a_broken_connection_is_made_again_at_once_and_what_waits_goes_out() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|_| {});
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    let before = stage.world.now();
    stage.cut();
    while stage.played().accepted.len() < 2 {
        assert!(stage.world.step(), "it never connects again");
    }
    let op = stage.send(producer, 0, 2);
    stage.run(SECOND);
    let (at, _) = *stage.played().accepted.last().expect("connected again");
    assert!(at.since(before) < Duration::from_millis(10), "{at}");
    assert_eq!((stage.values(), stage.outcome(op)), (vec![1, 2], "ok".to_owned()));
}

#[test]
fn a_frozen_server_is_left_after_three_minutes() {
    let mut stage = Stage::new(3);
    stage.producer(|_| {});
    stage.run(SECOND);
    stage.played().manner = Manner::Frozen;
    stage.run(175 * SECOND);
    assert_eq!(stage.played().accepted.len(), 1, "it stays with the frozen server");
    assert_eq!(stage.played().pings.len(), 3, "one to connect, two without an answer");
    stage.played().manner = Manner::Fine;
    stage.run(10 * SECOND);
    let (at, _) = *stage.played().accepted.last().expect("connected again");
    assert_eq!(stage.played().accepted.len(), 2);
    assert!((179_000..181_000).contains(&at.as_millis()), "three minutes after its last word: {at}");
}
