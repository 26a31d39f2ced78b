//! Clean histories are valid, whatever happens in them; what is taken out of one is missed.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use squall_history::{
    Kind, Verdict, judge,
    strategies::{Happening, happenings, histories, history},
};

/// The same cases every time.
fn runner() -> TestRunner {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn generated_histories_are_valid() {
    runner()
        .run(&histories(40), |history| {
            let report = judge(&history);
            prop_assert_eq!(report.verdict, Verdict::Valid, "{}", report.reason);
            Ok(())
        })
        .expect("nothing is found in a clean history");
}

#[test]
fn written_and_read_back_they_are_judged_alike() {
    runner()
        .run(&histories(20), |history| {
            let mut file = Vec::new();
            squall_history::jsonl::write(&history, &mut file).expect("memory takes it");
            let read = squall_history::jsonl::read(&file[..], "generated")
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(judge(&read), judge(&history));
            Ok(())
        })
        .expect("the file says it all");
}

#[test]
fn records_that_are_processed_twice_are_found_where_exactly_once_is_demanded_and_shrink_to_one_crash() {
    let found = runner().run(&happenings(40), |happenings| {
        let mut history = history(&happenings);
        history.meta.expect.delivery = Some(squall_history::guarantees::Delivery::ExactlyOnce);
        let twice = judge(&history)
            .anomalies
            .iter()
            .any(|anomaly| anomaly.forbidden() && anomaly.kind == Kind::Reprocessed);
        prop_assert!(!twice);
        Ok(())
    });
    let Err(TestError::Fail(_, smallest)) = found else { panic!("a crash before the commit is found") };
    let crashes = smallest.iter().filter(|one| matches!(one, Happening::CrashedBeforeCommit(_))).count();
    // proptest takes things out first and makes them simpler then, so something harmless may stay.
    assert!(crashes == 1 && smallest.len() <= 4, "{smallest:?}");
}
