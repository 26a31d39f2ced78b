//! The search against its definition: every permutation of a few calls is tried by brute force.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Whether some order of some subset of the calls, with all that have an end, is true to real time and legal.
fn by_permutation<M: Model>(model: &M, calls: &[Call<M::Op>]) -> bool {
    fn go<M: Model>(model: &M, calls: &[Call<M::Op>], left: &[usize], state: &M::State) -> bool {
        if left.iter().all(|call| calls[*call].end.is_none()) {
            return true;
        }
        (0..left.len()).any(|n| {
            let call = left[n];
            let late = left.iter().any(|other| calls[*other].end.is_some_and(|end| end < calls[call].begin));
            if late {
                return false;
            }
            let Some(after) = model.step(state, &calls[call].op) else { return false };
            let mut rest = left.to_vec();
            rest.remove(n);
            go(model, calls, &rest, &after)
        })
    }
    go(model, calls, &(0..calls.len()).collect::<Vec<_>>(), &model.start())
}

/// Whether an order explains its calls, and is true to real time.
fn explains<M: Model>(model: &M, calls: &[Call<M::Op>], order: &[usize]) -> bool {
    let mut state = Some(model.start());
    for (n, call) in order.iter().enumerate() {
        let in_time =
            order[n + 1..].iter().all(|later| calls[*later].end.is_none_or(|end| end > calls[*call].begin));
        state = state.filter(|_| in_time).and_then(|state| model.step(&state, &calls[*call].op));
    }
    state.is_some()
}

/// Calls at distinct moments: each op with a begin and a length, or none for an unknown outcome.
fn timed<O: Clone + std::fmt::Debug>(op: impl Strategy<Value = O>) -> impl Strategy<Value = Vec<Call<O>>> {
    let one = (op, 0u64..12, prop::option::weighted(0.8, 1u64..8));
    prop::collection::vec(one, 0..7).prop_map(|list| {
        let call = |(n, (op, begin, length)): (usize, (O, u64, Option<u64>))| {
            let n = n as u64;
            Call { op, begin: 100 * begin + n, end: length.map(|length| 100 * (begin + length) + 50 + n) }
        };
        list.into_iter().enumerate().map(call).collect()
    })
}

fn appends() -> impl Strategy<Value = Append> {
    let expected = prop_oneof![
        (0u64..5).prop_map(|position| Some(Expected::Position(position))),
        (0u64..5).prop_map(|value| Some(Expected::Value(value))),
        Just(None),
    ];
    let answer = prop_oneof![
        (1u64..6).prop_map(|position| Answer::Accepted(Some(position))),
        Just(Answer::Accepted(None)),
        Just(Answer::Rejected),
    ];
    (0u64..5, expected, answer).prop_map(|(value, expected, answer)| Append { value, expected, answer })
}

fn fence_ops() -> impl Strategy<Value = FenceOp> {
    prop_oneof![
        (0u32..4).prop_map(|epoch| FenceOp::TakeOver(Some(epoch))),
        Just(FenceOp::TakeOver(None)),
        (0u32..4).prop_map(FenceOp::Accepted),
        (0u32..4).prop_map(FenceOp::Fenced),
    ]
}

fn agrees<M: Model>(model: &M, calls: &[Call<M::Op>]) -> Result<(), TestCaseError> {
    let legal = by_permutation(model, calls);
    match judge_calls(model, calls, 1_000_000) {
        Judgement::Linearizable(order) => {
            prop_assert!(legal);
            prop_assert!(explains(model, calls, &order));
            let all = (0..calls.len()).filter(|call| calls[*call].end.is_some());
            prop_assert!(all.into_iter().all(|call| order.contains(&call)));
        }
        Judgement::Illegal(proof) => {
            prop_assert!(!legal);
            prop_assert!(explains(model, calls, &proof.longest));
            prop_assert!(!proof.longest.contains(&proof.blocked));
        }
        Judgement::Undecided => prop_assert!(false, "the budget is ample"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn conditional_appends_agree_with_every_permutation(calls in timed(appends())) {
        agrees(&Log, &calls)?;
    }

    #[test]
    fn fencing_agrees_with_every_permutation(calls in timed(fence_ops())) {
        agrees(&Fencing, &calls)?;
    }
}

/// A call at `begin..end`.
const fn call<O>(op: O, begin: u64, end: u64) -> Call<O> {
    Call { op, begin, end: Some(end) }
}

const fn publish(value: u64, expected: u64, answer: Answer) -> Append {
    Append { value, expected: Some(Expected::Position(expected)), answer }
}

#[test]
fn two_publishes_that_expect_the_same_last_sequence_are_not_both_accepted() {
    let accepted = Answer::Accepted(None);
    let calls = [call(publish(1, 0, accepted), 0, 5), call(publish(2, 0, accepted), 1, 4)];
    let Judgement::Illegal(proof) = judge_calls(&Log, &calls, 100) else { panic!("both were accepted") };
    assert_eq!(
        (proof.longest.len(), proof.state.as_str()),
        (1, "the last record is 1 at position 1 or behind it")
    );
    let calls = [call(publish(1, 0, accepted), 0, 5), call(publish(2, 0, Answer::Rejected), 1, 4)];
    assert_eq!(judge_calls(&Log, &calls, 100), Judgement::Linearizable(vec![0, 1]));
}

#[test]
fn a_lost_ack_explains_a_rejection() {
    // The second publish timed out; that the third one was rejected shows that the second one had happened.
    let first = call(publish(1, 0, Answer::Accepted(Some(1))), 0, 1);
    let unknown = Call { op: publish(2, 1, Answer::Accepted(None)), begin: 2, end: None };
    let rejected = call(publish(3, 1, Answer::Rejected), 10, 11);
    assert_eq!(judge_calls(&Log, &[first, unknown, rejected], 100), Judgement::Linearizable(vec![0, 1, 2]));
    assert!(matches!(judge_calls(&Log, &[first, rejected], 100), Judgement::Illegal(_)));
}

#[test]
fn a_zombie_that_is_accepted_after_a_takeover_is_illegal() {
    let calls = [
        call(FenceOp::TakeOver(Some(1)), 0, 1),
        call(FenceOp::TakeOver(Some(2)), 2, 3),
        call(FenceOp::Accepted(1), 4, 5),
    ];
    let Judgement::Illegal(proof) = judge_calls(&Fencing, &calls, 100) else {
        panic!("a zombie was accepted")
    };
    assert_eq!(
        (proof.longest, proof.blocked, proof.state.as_str()),
        (vec![0, 1], 2, "epoch 2 is the newest")
    );
    // While the takeover is under way it may be accepted.
    let calls = [calls[0], call(FenceOp::TakeOver(Some(2)), 2, 6), call(FenceOp::Accepted(1), 4, 5)];
    assert!(matches!(judge_calls(&Fencing, &calls, 100), Judgement::Linearizable(_)));
}

#[test]
fn out_of_budget_is_undecided() {
    // Overlapping appends, and a compare-and-set that nobody can explain: all orders of them would have to be tried.
    let hopeless = Append { value: 99, expected: Some(Expected::Value(98)), answer: Answer::Accepted(None) };
    let free = |n| Append { value: n, expected: None, answer: Answer::Accepted(None) };
    let calls: Vec<_> = [call(free(50), 0, 1)]
        .into_iter()
        .chain((2..10).map(|n| call(free(n), n, 100 + n)))
        .chain([call(hopeless, 50, 200)])
        .collect();
    assert_eq!(judge_calls(&Log, &calls, 500), Judgement::Undecided);
    assert!(matches!(judge_calls(&Log, &calls, 10_000_000), Judgement::Illegal(_)));
}

#[test]
fn parts_are_judged_apart_within_one_budget() {
    let chain = |count: u64| -> Vec<_> {
        let one = |n: u64| call(publish(n, n, Answer::Accepted(Some(n + 1))), 2 * n, 2 * n + 1);
        (0..count).map(one).collect()
    };
    let parts = BTreeMap::from([("a", chain(10)), ("b", chain(10)), ("c", chain(10))]);
    let judged = judge_parts(&Log, &parts, 25);
    let words: Vec<&str> = judged
        .values()
        .map(|judgement| match judgement {
            Judgement::Linearizable(_) => "linearizable",
            Judgement::Illegal(_) => "illegal",
            Judgement::Undecided => "undecided",
        })
        .collect();
    assert_eq!(words, ["linearizable", "linearizable", "undecided"]);
}

#[test]
fn a_long_history_of_few_overlaps_costs_a_step_a_call() {
    let one = |n: u64| call(publish(n, n, Answer::Accepted(Some(n + 1))), 2 * n, 2 * n + 1);
    let calls: Vec<_> = (0..20_000).map(one).collect();
    assert!(matches!(judge_calls(&Log, &calls, 20_000), Judgement::Linearizable(_)));
}
