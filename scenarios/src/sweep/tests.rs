use super::{Held, Row, Sweep, rows};
use crate::{Target, library::Outcome};
use squall_history::{Kind, Verdict};
use std::collections::BTreeSet;

fn row(scenario: &str, bus: &str) -> Row {
    let rows = rows(&[scenario.to_owned()], &[Target::Sim(bus.to_owned())]).expect("the library");
    rows.into_iter().next().expect("a row")
}

fn sweep(rows: Vec<Row>, seeds: u64, keep: u64) -> Sweep {
    Sweep { rows, first: 1, seeds, threads: 2, keep }
}

#[test]
fn every_row_is_run_with_every_seed_and_an_unsupported_one_once() {
    let rows = vec![row("storm", "kafka"), row("slow-consumer", "kafka"), row("storm", "nats")];
    let sweep = Sweep { first: 5, ..sweep(rows, 3, 4) };
    let runs: Vec<_> = (0..).map_while(|place| sweep.run_at(place)).collect();
    assert_eq!(runs, [(0, 5), (1, 5), (2, 5), (0, 6), (2, 6), (0, 7), (2, 7)]);
    assert_eq!(sweep.runs(), 7);
    assert_eq!(
        sweep.chosen(),
        BTreeSet::from([(0, 5), (2, 5), (0, 6), (2, 7)]),
        "spread over rows and seeds"
    );
    let all = Sweep { keep: 100, ..sweep };
    assert_eq!(all.chosen().len(), 6, "each once, and the unsupported one leaves nothing");
}

#[test]
fn a_run_that_the_table_does_not_speak_of_is_found_with_its_command() {
    let expects = |verdict, finds: &[Kind]| Row {
        expected: Outcome { verdict, finds: finds.to_vec(), lacks: None },
        ..row("lone-leader-acks1", "kafka")
    };
    for (row, held, verdict) in [
        (expects(Verdict::Invalid, &[Kind::LostWrite]), None, Verdict::Valid),
        (
            expects(Verdict::Valid, &[]),
            Some(Held::Differs("invalid lost_write".to_owned())),
            Verdict::Invalid,
        ),
        (
            expects(Verdict::Invalid, &[Kind::Duplicate]),
            Some(Held::Differs("invalid lost_write".to_owned())),
            Verdict::Invalid,
        ),
        (
            expects(Verdict::Invalid, &[Kind::LostWrite, Kind::Duplicate]),
            Some(Held::Lacks(vec![Kind::Duplicate])),
            Verdict::Invalid,
        ),
    ] {
        let swept = sweep(vec![row], 1, 0).run(&|_| {});
        assert_eq!(swept.groups.first().map(|group| group.held.clone()), held, "{swept}");
        assert_eq!(swept.verdict().0, verdict, "{swept}");
        if held.is_some() {
            let command = "reproduce: squall run lone-leader-acks1 --on sim:kafka --seed 1";
            assert!(swept.to_string().contains(command), "{swept}");
        }
    }
}

#[test]
fn a_row_may_lack_what_it_is_there_for_with_some_seeds_but_not_with_all() {
    let clean = Row {
        expected: Outcome { verdict: Verdict::Invalid, finds: vec![Kind::LostWrite], lacks: None },
        ..row("leader-failover", "kafka")
    };
    let swept = sweep(vec![clean], 2, 0).run(&|_| {});
    assert_eq!((swept.differ(), swept.verdict().0), (0, Verdict::Invalid), "{swept}");
    assert!(swept.to_string().contains("2 runs without lost_write, 0 as expected"), "{swept}");
    // One seed that shows it is enough.
    let mut shown = swept.clone();
    shown.groups[0].as_expected = 1;
    assert_eq!(shown.verdict().0, Verdict::Valid);
}

#[test]
fn kept_footprints_are_those_of_a_run_alone() {
    let swept =
        sweep(vec![row("leader-failover", "kafka"), row("leader-failover", "nats")], 2, 2).run(&|_| {});
    assert_eq!(swept.kept.len(), 2);
    for kept in &swept.kept {
        assert_eq!(
            crate::guard::footprint(&kept.job, None).as_ref(),
            Ok(&kept.footprint),
            "{}",
            kept.job.reproduce()
        );
    }
}
