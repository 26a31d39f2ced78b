//! Many seeds of faults: clean by the rules of NATS 2.15, and for every invariant a rule whose change breaks it.

use super::*;
use crate::{
    kernel::Site,
    nats::rules::{CommitBy, Dedup, Sync},
};

const VIA: Site = Site::new("test.via");
const FAULT: Site = Site::new("test.fault");

/// Publishes twenty a second, some of them twice, while a fault a few seconds long follows the other; the first
/// invariant that breaks.
fn storm(mut lab: Lab, rounds: u64, power: bool) -> Option<&'static str> {
    let choices = lab.world.choices().clone();
    let servers = lab.nats().brokers();
    lab.quiet = true;
    lab.topic("t", &[]);
    lab.start();
    let mut heal: Option<(u64, NodeId)> = None;
    for round in 0..rounds {
        let draw = |site, ordinal, bound| choices.below(site, round, ordinal, bound);
        let via = NodeId(draw(VIA, 0, u64::from(servers)) as u32);
        let id = u128::from(round - draw(VIA, 1, 3).min(round));
        lab.publish(via, draw(VIA, 2, 2) as u32, Some(id));
        lab.run(millis(50));
        if round % 100 == 0 {
            if let Some((kind, node)) = heal.take() {
                repair(&mut lab, kind, node);
            }
        } else if round % 100 == 30 && round + 100 < rounds {
            let node = match draw(FAULT, 0, 2) {
                0 => NodeId(draw(FAULT, 1, u64::from(servers)) as u32),
                _ => lab.nats().resolve(&Role::Leader(lab.unit())).first().copied().unwrap_or(NodeId(0)),
            };
            let kind = draw(FAULT, 2, if power { 5 } else { 4 });
            breach(&mut lab, kind, node);
            heal = Some((kind, node));
        }
        if lab.world.violation().is_some() {
            break;
        }
    }
    lab.run(secs(30));
    lab.world.check_all();
    lab.world.violation().map(|violation| violation.invariant)
}

fn breach(lab: &mut Lab, kind: u64, node: NodeId) {
    match kind {
        0 => lab.world.kill(node),
        1 => lab.partition(node),
        2 => lab.delay_all(true),
        3 => lab.world.pause(node),
        _ => lab.world.power_fail(node),
    }
}

fn repair(lab: &mut Lab, kind: u64, node: NodeId) {
    match kind {
        1 => lab.heal(node),
        2 => lab.delay_all(false),
        3 => lab.world.resume(node),
        _ => lab.world.start(node),
    }
}

const ROUNDS: u64 = 1_000;

/// Some seed breaks this invariant.
fn breaks(invariant: &str, servers: u32, rules: &Rules) {
    let broken = (0..60).any(|seed| {
        let lab = Lab::watched(seed, servers, rules.clone(), |name| name == invariant);
        storm(lab, ROUNDS, false).is_some()
    });
    assert!(broken, "{invariant} does not bite");
}

#[test]
fn n16_every_seed_is_clean() {
    for seed in 0..20 {
        assert_eq!(storm(Lab::bare(seed, 3, nats_2_15()), ROUNDS, false), None, "seed {seed}");
    }
    for seed in 0..5 {
        assert_eq!(
            storm(Lab::bare(seed, 5, nats_2_15()), ROUNDS, false),
            None,
            "seed {seed} of five servers"
        );
    }
}

#[test]
fn n16_a_full_look_after_every_event_agrees() {
    for seed in 0..3 {
        let mut lab = Lab::bare(seed, 3, nats_2_15());
        lab.world.check_fully();
        assert_eq!(storm(lab, 200, false), None, "seed {seed}");
    }
}

#[test]
fn n17_a_loss_of_power_breaks_nothing_that_it_may_not() {
    for seed in 0..10 {
        assert_eq!(storm(Lab::bare(seed, 3, nats_2_15()), ROUNDS, true), None, "seed {seed}");
    }
}

#[test]
fn n17_with_sync_always_a_loss_of_power_loses_nothing() {
    for seed in 0..10 {
        let rules = Rules { sync: Sync::Always, ..nats_2_15() };
        assert_eq!(storm(Lab::bare(seed, 3, rules), ROUNDS, true), None, "seed {seed}");
    }
}

#[test]
fn election_safety_needs_one_vote_a_term() {
    breaks("ElectionSafety", 5, &Rules { vote_once: false, ..nats_2_15() });
}

#[test]
fn log_matching_needs_the_check_of_the_entry_before() {
    breaks("LogMatching", 3, &Rules { check_previous: false, ..nats_2_15() });
}

#[test]
fn leader_completeness_needs_votes_for_complete_logs_only() {
    breaks("LeaderCompleteness", 3, &Rules { vote_checks_log: false, ..nats_2_15() });
}

#[test]
fn state_machine_safety_needs_a_majority() {
    breaks("StateMachineSafety", 3, &Rules { commit_by: CommitBy::LeaderOnly, ..nats_2_15() });
}

#[test]
fn acked_messages_need_ids_that_count_when_stored() {
    breaks("AckedMessages", 3, &Rules { dedup: Dedup::AtReceipt, ..nats_2_15() });
}

#[test]
fn deduplication_needs_ids() {
    breaks("Deduplication", 3, &Rules { dedup: Dedup::Off, ..nats_2_15() });
}
