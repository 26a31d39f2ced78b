//! How fast a history is judged: the whole of `judge` (analysis, every check, counts) on a run without and with
//! anomalies and on one of transactions, beside a bare scan of the same columns; and its way through JSON Lines, alone
//! and together with its judgement, beside a bare search for the ends of the lines.

#[path = "../examples/generate/histories.rs"]
mod histories;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use histories::Story;
use squall_history::{History, Verdict, jsonl, judge};
use std::hint::black_box;

/// The least that any check must do: look at every send and delivery once.
fn scan(history: &History) -> u64 {
    let sends = history.sends().iter().map(|send| send.value ^ send.position().unwrap_or(0));
    let reads = history.delivers().iter().map(|read| read.position ^ read.value().unwrap_or(0));
    sends.chain(reads).fold(0, u64::wrapping_add)
}

/// The least that any reader of lines must do: look for their ends.
fn lines(file: &[u8]) -> usize {
    file.iter().filter(|byte| **byte == b'\n').count()
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("history");
    group.sample_size(20);
    // The shortest one has about two thousand operations.
    let stories = [
        ("clean", Story::Clean, 488),
        ("clean", Story::Clean, 333_333),
        ("faulty", Story::Faulty, 333_333),
        ("transactions", Story::Transactions, 333_333),
    ];
    for (name, story, records) in stories {
        // Sent, delivered and drained: three occurrences of each record.
        let history = histories::history(story, records);
        assert_eq!(judge(&history).verdict == Verdict::Valid, story != Story::Faulty, "{name}");
        let (scanned, judged) = (format!("scan/{name}"), format!("judge/{name}"));
        group.throughput(Throughput::Elements((history.sends().len() + history.delivers().len()) as u64));
        group.bench_function(BenchmarkId::new(scanned, records), |b| b.iter(|| scan(black_box(&history))));
        group.bench_function(BenchmarkId::new(judged, records), |b| b.iter(|| judge(black_box(&history))));
    }
    let history = histories::history(Story::Clean, 50_000);
    let mut file = Vec::new();
    jsonl::write(&history, &mut file).expect("memory takes it");
    group.throughput(Throughput::Elements(history.len() as u64));
    group.bench_function("jsonl/write", |b| {
        b.iter_batched_ref(
            || Vec::with_capacity(file.len()),
            |to| jsonl::write(&history, to),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("jsonl/lines", |b| b.iter(|| lines(black_box(&file))));
    group.bench_function("jsonl/read", |b| b.iter(|| jsonl::read(black_box(&file[..]), "bench")));
    group.bench_function("jsonl/check", |b| {
        b.iter(|| jsonl::read(black_box(&file[..]), "bench").map(|history| judge(&history)));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
