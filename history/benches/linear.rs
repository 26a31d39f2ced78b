//! How fast linearizability is searched: conditional appends to one log and to many, by clients whose calls overlap by
//! ten and by fifty, with lost answers, and one history that no order explains. The throughput is in calls.
//!
//! The measure is what the search cannot do without: the model stepped once through each call, in an order that is known
//! to explain them (`step`), and the begins and ends brought into the order of time (`sort`).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use squall_history::linear::{
    Answer, Append, Call, Expected, Judgement, Log, Model, judge_calls, judge_parts,
};
use std::{collections::BTreeMap, hint::black_box};

const CALLS: u64 = 50_000;
const PARTS: u64 = 100;
const BUDGET: u64 = 100_000_000;

/// What a history is like.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// How many calls are under way at a time.
    overlap: u64,
    /// Of so many calls the answer of one is lost; 0: none is.
    lost: u64,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "one-by-one", overlap: 1, lost: 0 },
    Shape { name: "overlap-10", overlap: 10, lost: 0 },
    Shape { name: "overlap-50", overlap: 50, lost: 0 },
    Shape { name: "overlap-10-lost", overlap: 10, lost: 100 },
];

/// Compare-and-set calls in the order in which they take effect. Each begins and ends around that moment; two of three
/// are accepted, and the third is rejected because its expectation is stale.
fn calls(shape: Shape, count: u64) -> Vec<Call<Append>> {
    let (mut state, mut last) = (1u64, None);
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below.max(1)
    };
    let mut list = Vec::with_capacity(count as usize);
    for value in 0..count {
        let accepted = value % 3 != 2;
        let expected = if accepted { last } else { Some(u64::MAX) };
        let answer = if accepted { Answer::Accepted(None) } else { Answer::Rejected };
        if accepted {
            last = Some(value);
        }
        // Moments are distinct: their last digits are the call's own.
        let span = (shape.overlap - 1) * 1000;
        let moment = |at: u64| at * 2 * count + 2 * value;
        let at = 1_000_000 + value * 1000;
        let end = moment(at + 1 + random(span / 2 + 1)) + 1;
        let is_lost = shape.lost > 0 && value % shape.lost == 1 && accepted;
        let begin = moment(at - random(span / 2 + 1));
        let op = Append { value, expected: expected.map(Expected::Value), answer };
        list.push(Call { op, begin, end: (!is_lost).then_some(end) });
    }
    list
}

/// The model through every call in the order in which they took effect.
fn step(calls: &[Call<Append>]) -> bool {
    let all = calls.iter().try_fold(Log.start(), |state, call| Log.step(&state, &call.op));
    all.is_some()
}

fn sort(calls: &[Call<Append>]) -> usize {
    let ends = calls.iter().filter_map(|call| call.end);
    let mut moments: Vec<u64> = calls.iter().map(|call| call.begin).chain(ends).collect();
    moments.sort_unstable();
    moments.len()
}

fn legal(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Linearizable(_))
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear");
    group.sample_size(10).throughput(Throughput::Elements(CALLS));
    for shape in SHAPES {
        let list = calls(shape, CALLS);
        assert!(step(&list) && legal(&judge_calls(&Log, &list, BUDGET)), "{}", shape.name);
        group.bench_function(BenchmarkId::new("step", shape.name), |b| b.iter(|| step(black_box(&list))));
        group.bench_function(BenchmarkId::new("sort", shape.name), |b| b.iter(|| sort(black_box(&list))));
        group.bench_function(BenchmarkId::new("judge", shape.name), |b| {
            b.iter(|| judge_calls(&Log, black_box(&list), BUDGET));
        });
    }
    let parts: BTreeMap<u64, _> = (0..PARTS).map(|part| (part, calls(SHAPES[1], CALLS / PARTS))).collect();
    assert!(judge_parts(&Log, &parts, BUDGET).values().all(legal));
    group.bench_function("judge/parts", |b| b.iter(|| judge_parts(&Log, black_box(&parts), BUDGET)));
    // The last call expects what never was.
    let mut illegal = calls(SHAPES[1], CALLS);
    let hopeless = illegal.iter_mut().rfind(|call| matches!(call.op.answer, Answer::Accepted(_)));
    hopeless.expect("there is one").op.expected = Some(Expected::Value(u64::MAX - 1));
    assert!(matches!(judge_calls(&Log, &illegal, BUDGET), Judgement::Illegal(_)));
    group.bench_function("judge/illegal", |b| b.iter(|| judge_calls(&Log, black_box(&illegal), BUDGET)));
}

criterion_group!(all, benches);
criterion_main!(all);
