//! The judge judged: the checks against their definitions, and against histories of which the truth is known.
//!
//! [`ROWS`] has a row for each check. Its *naive* version is the definition written down as slow as it likes, with
//! nothing of the shared analysis; on small random histories ([`small`], [`small_txns`]) both must find the same. Its *mutators*
//! plant the anomaly in a clean history ([`clean`]): all of them must be found (recall), and nothing forbidden may be
//! found before (false alarms). False positives that other tools are known for are tests of their own
//! ([`false_positives`]).
//!
//! A family's rows stand in a file of their own; to add a check is to add a row there.

mod circles;
mod clean;
mod clean_queue;
mod dice;
mod false_positives;
mod groups;
mod handling;
mod log;
mod naive;
mod order;
mod planted_in_groups;
mod planted_in_queues;
mod planted_in_transactions;
mod queue;
mod script;
mod small;
mod small_txns;
mod transactions;

use crate::{
    History, Kind, Verdict,
    analysis::Analysis,
    checks::{CHECKS, Case, Found},
    history::UnitId,
    jsonl, judge,
};
use dice::Dice;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use script::Script;

/// What names a finding, so that two lists of findings can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) unit: Option<UnitId>,
    pub(crate) position: Option<u64>,
    pub(crate) send: Option<u32>,
    pub(crate) case: Case,
}

impl Key {
    /// A finding about a send's record at a place.
    pub(crate) fn new(unit: UnitId, position: u64, send: u32, case: Case) -> Self {
        Self { unit: Some(unit), position: Some(position), send: Some(send), case }
    }
}

impl From<&Found> for Key {
    fn from(found: &Found) -> Self {
        Self { unit: found.unit, position: found.position, send: found.send, case: found.case }
    }
}

/// How the findings of the fast and the naive version must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agree {
    /// Finding by finding.
    Exactly,
    /// In how many findings there are of each case. For checks that pick one of several proofs.
    ByCase,
}

/// The test of one check.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// The definition, as slow as it likes.
    pub(crate) naive: fn(&History) -> Vec<Key>,
    pub(crate) agree: Agree,
    /// The clean history that the mutators work on, from a seed.
    pub(crate) clean: fn(u64) -> History,
    /// Each plants the anomaly, by the dice; `false` when this history has no place for it.
    pub(crate) plant: &'static [fn(&mut Script, &mut Dice) -> bool],
    /// Whether the clean history's guarantees forbid it; otherwise it must only be found.
    pub(crate) forbidden: bool,
}

/// All rows, family by family.
fn rows() -> impl Iterator<Item = &'static Row> {
    [log::ROWS, order::ROWS, transactions::ROWS, groups::ROWS, handling::ROWS, queue::ROWS]
        .into_iter()
        .flatten()
}

/// A clean history's name, and how it comes from a seed.
type Clean = (&'static str, fn(u64) -> History);

/// The clean histories.
const CLEAN: &[Clean] = &[("groups", clean::groups), ("queue", clean_queue::queue)];

/// How many clean histories of each kind are judged, and mutated by each mutator.
const SEEDS: u64 = 20;

#[test]
fn every_check_has_a_row() {
    for check in CHECKS {
        let rows = rows().filter(|row| row.kind == check.kind).count();
        assert_eq!(rows, 1, "{}", check.kind);
    }
    assert!(rows().all(|row| CHECKS.iter().any(|check| check.kind == row.kind) && !row.plant.is_empty()));
}

fn project(agree: Agree, mut keys: Vec<Key>) -> Vec<Key> {
    if agree == Agree::ByCase {
        for key in &mut keys {
            *key = Key { unit: None, position: None, send: None, case: key.case };
        }
    }
    keys.sort_unstable();
    keys
}

fn text(history: &History) -> String {
    let mut bytes = Vec::new();
    jsonl::write(history, &mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The fast version of every check finds what its definition says, and can tell it.
    #[test]
    fn fast_and_naive_agree(small in small::histories(), txns in small_txns::histories()) {
        for history in [small.0, txns.0] {
            agree(&history)?;
        }
    }
}

fn agree(history: &History) -> Result<(), TestCaseError> {
    let analysis = Analysis::new(history);
    for row in rows() {
        let Some(check) = CHECKS.iter().find(|check| check.kind == row.kind) else { continue };
        let found = (check.find)(&analysis);
        for one in &found {
            let [first, second] = (check.tell)(&analysis, one);
            prop_assert!(first.ends_with('.') && second.ends_with('.'), "{}: {first:?} {second:?}", row.kind);
            prop_assert!(!one.ops.is_empty(), "{} without a proof", row.kind);
        }
        let fast = project(row.agree, found.iter().map(Key::from).collect());
        let naive = project(row.agree, (row.naive)(history));
        prop_assert_eq!(&fast, &naive, "{}: fast, then naive", row.kind);
    }
    Ok(())
}

/// The random histories are no empty exercise: each anomaly is met in some of them.
#[test]
fn small_histories_meet_every_anomaly() {
    let mut runner = TestRunner::deterministic();
    let mut met: Vec<(Kind, u32)> = rows().map(|row| (row.kind, 0)).collect();
    for _ in 0..3000 {
        let small = small::histories().new_tree(&mut runner).expect("histories can be made").current().0;
        let txns = small_txns::histories().new_tree(&mut runner).expect("histories can be made").current().0;
        let analyses = [Analysis::new(&small), Analysis::new(&txns)];
        for (kind, count) in &mut met {
            let check = CHECKS.iter().find(|check| check.kind == *kind);
            let found = |analysis| check.is_some_and(|check| !(check.find)(analysis).is_empty());
            *count += u32::from(analyses.iter().any(found));
        }
    }
    println!("histories of 3000 that have it: {met:?}");
    let never: Vec<&(Kind, u32)> = met.iter().filter(|(_, count)| *count < 5).collect();
    assert!(never.is_empty(), "the random histories hardly ever have {never:?}");
}

/// Recall and false alarms, counted and printed.
#[test]
fn every_planted_anomaly_is_found_and_clean_histories_are_clean() {
    let mut alarms = Vec::new();
    for (name, clean) in CLEAN {
        for seed in 0..SEEDS {
            let report = judge(&clean(seed));
            if report.verdict != Verdict::Valid {
                alarms.push(format!("{name} {seed}: {}: {:#?}", report.reason, report.anomalies.first()));
            }
        }
    }
    let (mut planted, mut missed) = (0, Vec::new());
    for row in rows() {
        for (index, plant) in row.plant.iter().enumerate() {
            let mut placed = 0;
            for seed in 0..SEEDS {
                let mut script = Script::of(&(row.clean)(seed));
                if !plant(&mut script, &mut Dice::new(seed)) {
                    continue;
                }
                placed += 1;
                let report = judge(&script.history());
                let hit = report
                    .anomalies
                    .iter()
                    .find(|one| one.kind == row.kind && one.forbidden() == row.forbidden);
                if hit.is_none() {
                    missed.push(format!("{} mutator {index} seed {seed}: {}", row.kind, report.reason));
                }
            }
            assert!(placed * 2 >= SEEDS, "{} mutator {index} found a place in {placed} of {SEEDS}", row.kind);
            planted += placed;
        }
    }
    println!(
        "planted: {planted}, found: {}; clean histories: {}, false alarms: {}",
        planted - missed.len() as u64,
        CLEAN.len() as u64 * SEEDS,
        alarms.len()
    );
    assert!(alarms.is_empty(), "false alarms: {}", alarms.join("\n"));
    assert!(missed.is_empty(), "missed: {}", missed.join("\n"));
}
