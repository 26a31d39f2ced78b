//! How what the model did is held against what the real brokers did.
//!
//! - Verdicts: each of the model's is one of the real ones.
//! - Classes: what every real run showed, the model showed at least once; what every run of the model showed, some real
//!   run did; an anomaly that the model ever showed, some real run did. What a situation calls chance is left out.
//! - The worst unavailability, and the longest that a record was unread: the ranges over the runs touch, when the real
//!   one is stretched by two seconds and by two fifths both ways; real machines are busy, and the draws of few runs do
//!   not reach the ends of a range. How long records were unread is left out where no real run says it.
//! - A deviation of the situation takes its class out, and must be seen.
//!
//! One more run on real brokers is held against all runs that are known already, on real brokers and of the model:
//! [`strays`].

use super::{Observed, Situation};
use std::{collections::BTreeSet, fmt};

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The class; `verdict`, `unavailable` and `unread` are classes too.
    pub class: String,
    /// What of it the real brokers showed.
    pub real: String,
    /// What the model showed.
    pub model: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} on real brokers, {} in the model", self.class, self.real, self.model)
    }
}

/// What differs between runs on real brokers and runs of the model, besides the known deviations; and those of them
/// that are no longer seen.
#[must_use]
pub fn differences(situation: &Situation, real: &[Observed], model: &[Observed]) -> Vec<Difference> {
    let found = everything(situation, real, model);
    let known = |class: &str| situation.deviations.iter().any(|deviation| deviation.class == class);
    let seen: BTreeSet<&str> = found.iter().map(|difference| difference.class.as_str()).collect();
    let gone = situation.deviations.iter().filter(|deviation| !seen.contains(deviation.class.as_str()));
    let gone: Vec<Difference> = gone
        .map(|deviation| Difference {
            class: deviation.class.clone(),
            real: "the same".to_owned(),
            model: "so the deviation is gone: take it out of the situation; the same".to_owned(),
        })
        .collect();
    found.into_iter().filter(|difference| !known(&difference.class)).chain(gone).collect()
}

/// What one more run on real brokers showed that none of the known ones did, on real brokers or in the model; and what
/// it lacks that all of these had. Classes that the situation leaves to chance are left out. Times are held on both
/// sides, with the same room for busy machines as above: a run that is over sooner than any known one has not met what
/// the situation is about. So the known runs have to show the whole range; the model has many more of them
/// ([`SEEDS_OF_A_DAY`](super::SEEDS_OF_A_DAY)).
#[must_use]
pub fn strays(situation: &Situation, fresh: &Observed, known: &[Observed]) -> Vec<Difference> {
    let one = std::slice::from_ref(fresh);
    let mut found = Vec::new();
    if known.iter().all(|run| run.verdict != fresh.verdict) {
        let words: BTreeSet<&str> = known.iter().map(|run| run.verdict.word()).collect();
        found.push(Difference {
            class: "verdict".to_owned(),
            real: fresh.verdict.word().to_owned(),
            model: format!("{} before, or", words.into_iter().collect::<Vec<_>>().join(" or ")),
        });
    }
    let all: BTreeSet<&String> = known.iter().chain(one).flat_map(|run| &run.classes).collect();
    for class in all.into_iter().filter(|class| !situation.chance.contains(class)) {
        let count = known.iter().filter(|run| run.classes.contains(class)).count();
        let shown = fresh.classes.contains(class);
        if (shown && count == 0) || (!shown && count == known.len()) {
            found.push(Difference {
                class: class.clone(),
                real: format!("in {} of 1 runs", u8::from(shown)),
                model: format!("in {count} of {} runs before, or", known.len()),
            });
        }
    }
    found.extend(spans("unavailable", unavailable(one), unavailable(known)));
    found.extend(spans("unread", unread(one), unread(known)));
    found
}

/// What differs, known or not.
pub(super) fn everything(situation: &Situation, real: &[Observed], model: &[Observed]) -> Vec<Difference> {
    let mut found = Vec::new();
    found.extend(verdicts(real, model));
    found.extend(classes(situation, real, model));
    found.extend(spans("unavailable", unavailable(real), unavailable(model)));
    if unread(real).is_some() {
        found.extend(spans("unread", unread(real), unread(model)));
    }
    found
}

fn verdicts(real: &[Observed], model: &[Observed]) -> Option<Difference> {
    let words =
        |runs: &[Observed]| -> BTreeSet<&'static str> { runs.iter().map(|run| run.verdict.word()).collect() };
    let (real, model) = (words(real), words(model));
    let list = |words: BTreeSet<&str>| words.into_iter().collect::<Vec<_>>().join(" or ");
    (!model.is_subset(&real)).then(|| Difference {
        class: "verdict".to_owned(),
        real: list(real),
        model: list(model),
    })
}

fn classes(situation: &Situation, real: &[Observed], model: &[Observed]) -> Vec<Difference> {
    let all: BTreeSet<&String> = real.iter().chain(model).flat_map(|run| &run.classes).collect();
    let mut found = Vec::new();
    for class in all.into_iter().filter(|class| !situation.chance.contains(class)) {
        let count = |runs: &[Observed]| runs.iter().filter(|run| run.classes.contains(class)).count();
        let (in_real, in_model) = (count(real), count(model));
        let missing = in_real == real.len() && in_model == 0;
        let invented = in_real == 0 && (in_model == model.len() || class.starts_with("found "));
        if missing || invented {
            found.push(Difference {
                class: class.clone(),
                real: format!("in {in_real} of {} runs", real.len()),
                model: format!("in {in_model} of {}", model.len()),
            });
        }
    }
    found
}

/// The least and the greatest of some spans, in milliseconds.
type Range = Option<(u64, u64)>;

fn spans(class: &str, real: Range, model: Range) -> Option<Difference> {
    let touch = match (real, model) {
        (Some((real_low, real_high)), Some((low, high))) => {
            high >= (real_low * 5 / 7).saturating_sub(2_000) && low <= real_high * 7 / 5 + 2_000
        }
        (real, model) => real.is_none() == model.is_none(),
    };
    (!touch).then(|| Difference { class: class.to_owned(), real: told(real), model: told(model) })
}

/// The worst unavailability.
pub(super) fn unavailable(runs: &[Observed]) -> Range {
    range(runs.iter().filter_map(|run| run.unavailable_ms))
}

/// The longest that a record was unread.
pub(super) fn unread(runs: &[Observed]) -> Range {
    range(runs.iter().filter_map(|run| run.unread_ms))
}

fn range(spans: impl Iterator<Item = u64> + Clone) -> Range {
    Some((spans.clone().min()?, spans.max()?))
}

/// `8.7 to 11.0 s`.
pub(super) fn told(range: Range) -> String {
    let tenths = |millis: u64| format!("{}.{}", millis / 1_000, millis % 1_000 / 100);
    match range {
        None => "never".to_owned(),
        Some((low, high)) if tenths(low) == tenths(high) => format!("{} s", tenths(low)),
        Some((low, high)) => format!("{} to {} s", tenths(low), tenths(high)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Deviation, entries};
    use super::*;
    use squall_history::Verdict;

    fn run(classes: &[&str], unavailable_ms: u64) -> Observed {
        Observed {
            seed: 1,
            verdict: Verdict::Valid,
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            unavailable_ms: Some(unavailable_ms),
            unread_ms: None,
            sent: 10,
            acked: 10,
            found: Vec::new(),
        }
    }

    fn situation() -> Situation {
        let mut situation = entries()[0].situation().expect("sound");
        situation.deviations.clear();
        situation.chance.clear();
        situation
    }

    fn told(situation: &Situation, real: &[Observed], model: &[Observed]) -> Vec<String> {
        differences(situation, real, model).into_iter().map(|difference| difference.class).collect()
    }

    #[test]
    fn the_same_is_no_difference() {
        let runs = [run(&["sends acked"], 9_000), run(&["sends acked", "sends unknown"], 11_000)];
        assert_eq!(told(&situation(), &runs, &runs), [""; 0]);
    }

    #[test]
    fn what_every_real_run_shows_the_model_must_show_once() {
        let real = [run(&["found duplicate"], 0), run(&["found duplicate"], 0)];
        assert_eq!(told(&situation(), &real, &[run(&[], 0)]), ["found duplicate"]);
        assert_eq!(told(&situation(), &real, &[run(&[], 0), run(&["found duplicate"], 0)]), [""; 0]);
    }

    #[test]
    fn what_no_real_run_shows_the_model_must_not_show_always_and_an_anomaly_never() {
        let real = [run(&[], 0)];
        let sometimes = |class: &str| [run(&[class], 0), run(&[], 0)];
        assert_eq!(told(&situation(), &real, &[run(&["sends unknown"], 0)]), ["sends unknown"]);
        assert_eq!(told(&situation(), &real, &sometimes("sends unknown")), [""; 0]);
        assert_eq!(told(&situation(), &real, &sometimes("found lost_write")), ["found lost_write"]);
        let chance = Situation { chance: vec!["found lost_write".to_owned()], ..situation() };
        assert_eq!(told(&chance, &real, &sometimes("found lost_write")), [""; 0]);
    }

    #[test]
    fn times_may_differ_as_machines_do_and_no_more() {
        let real = [run(&[], 9_000), run(&[], 11_000)];
        assert_eq!(told(&situation(), &real, &[run(&[], 17_000)]), [""; 0]);
        assert_eq!(told(&situation(), &real, &[run(&[], 18_000)]), ["unavailable"]);
        assert_eq!(told(&situation(), &real, &[run(&[], 4_000)]), ["unavailable"]);
        assert_eq!(told(&situation(), &real, &[run(&[], 4_500)]), [""; 0]);
    }

    #[test]
    fn how_long_records_are_unread_counts_where_a_real_run_says_it() {
        let unread = |millis: u64| [Observed { unread_ms: Some(millis), ..run(&[], 0) }];
        assert_eq!(told(&situation(), &unread(9_000), &unread(15_000)), ["unread"]);
        assert_eq!(told(&situation(), &unread(9_000), &unread(14_000)), [""; 0]);
        assert_eq!(told(&situation(), &unread(9_000), &[run(&[], 0)]), ["unread"]);
        assert_eq!(told(&situation(), &[run(&[], 0)], &unread(15_000)), [""; 0]);
    }

    #[test]
    fn one_more_run_strays_by_what_was_never_seen_and_by_what_was_always_seen() {
        let known = [run(&["sends acked", "sends unknown"], 9_000), run(&["sends acked"], 12_000)];
        let told = |fresh: Observed| -> Vec<String> {
            strays(&situation(), &fresh, &known).into_iter().map(|stray| stray.class).collect()
        };
        assert_eq!(told(run(&["sends acked"], 10_000)), [""; 0]);
        assert_eq!(told(run(&["sends acked", "sends unknown"], 10_000)), [""; 0]);
        assert_eq!(told(run(&["sends acked", "found duplicate"], 10_000)), ["found duplicate"]);
        assert_eq!(told(run(&[], 10_000)), ["sends acked"]);
        assert_eq!(told(run(&["sends acked"], 30_000)), ["unavailable"]);
        assert_eq!(told(run(&["sends acked"], 1_000)), ["unavailable"]);
        let invalid = Observed { verdict: Verdict::Invalid, ..run(&["sends acked"], 10_000) };
        assert_eq!(told(invalid), ["verdict"]);
    }

    #[test]
    fn another_verdict_is_a_difference() {
        let real = [run(&[], 0)];
        let model = [Observed { verdict: Verdict::Invalid, ..run(&[], 0) }];
        assert_eq!(told(&situation(), &real, &model), ["verdict"]);
    }

    #[test]
    fn a_known_deviation_is_none_until_it_is_gone() {
        let known = Situation {
            deviations: vec![Deviation { class: "sends unknown".to_owned(), reason: "a reason".to_owned() }],
            ..situation()
        };
        let real = [run(&["sends unknown"], 0)];
        assert_eq!(told(&known, &real, &[run(&[], 0)]), [""; 0]);
        let gone = differences(&known, &real, &real);
        assert!(gone[0].to_string().contains("the deviation is gone"), "{}", gone[0]);
    }
}
