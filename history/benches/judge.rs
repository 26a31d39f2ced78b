//! How fast a history is judged: the whole of `judge` (analysis, every check, counts) on a clean run, beside a bare
//! scan of the same columns, and its way through JSON Lines.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use squall_bus::{Time, Topic, Unit};
use squall_history::{
    History, Meta, Verdict,
    history::{Completion, Deliver, Drain, Handling, Invoke, Observation, Phase, ProcessId, Send},
    jsonl, judge,
};
use std::hint::black_box;

const UNITS: u64 = 12;

/// `records` records over twelve units, each sent, delivered, processed and drained; a commit for every ten.
fn clean(records: u64) -> History {
    let mut history = History::new(Meta::default());
    let (topic, group) = (history.topic("orders"), history.group("billing"));
    let producer = history.process("producer-1");
    let consumers: Vec<_> = (0..3).map(|n| history.process(&format!("consumer-{n}"))).collect();
    let units: Vec<_> =
        (0..UNITS as u32).map(|p| history.unit(&Unit::new(&Topic::new("orders"), p))).collect();
    let keys: Vec<_> = (0..UNITS * 8).map(|n| history.key(format!("customer-{n}"))).collect();
    let mut now = Time(0);
    let mut tick = || {
        now = Time(now.0 + 1000);
        now
    };
    for value in 0..records {
        let (unit, position) = (units[(value % UNITS) as usize], value / UNITS);
        let key = keys[(value % (UNITS * 8)) as usize];
        let at = tick();
        let send = Send { intended: Some(at), ..Send::new(topic, Some(key), value) };
        let op = history.invoke(at, producer, Invoke::Send(send));
        history.complete(tick(), op, Completion::Sent { unit, position: Some(position), duplicate: false });
        let consumer = consumers[(value % 3) as usize];
        let deliver = Deliver { group: Some(group), ..Deliver::new(unit, position, value) };
        history.observe(tick(), consumer, Observation::Deliver(deliver));
        let handled = Observation::Handled { group: Some(group), value, how: Handling::Ok };
        history.observe(tick(), consumer, handled);
        if value % 10 == 9 {
            let positions = vec![(unit, position + 1)];
            let op = history.invoke(tick(), consumer, Invoke::Commit { group, positions, txn: None });
            history.complete(tick(), op, Completion::Ok);
        }
    }
    history.observe(tick(), ProcessId::HARNESS, Observation::Phase(Phase::CaughtUp));
    for value in 0..records {
        let (unit, position) = (units[(value % UNITS) as usize], value / UNITS);
        let deliver = Deliver::new(unit, position, value);
        history.observe(tick(), ProcessId::DRAIN, Observation::Deliver(deliver));
    }
    for (unit, n) in units.iter().zip(0..) {
        let to = records / UNITS + u64::from(n < records % UNITS);
        history.observe(
            tick(),
            ProcessId::DRAIN,
            Observation::Drain(Drain { unit: *unit, from: 0, to, complete: true, node: None }),
        );
    }
    assert_eq!(judge(&history).verdict, Verdict::Valid, "{}", judge(&history).reason);
    history
}

/// The least that any check must do: look at every send and delivery once.
fn scan(history: &History) -> u64 {
    let sends = history.sends().iter().map(|send| send.value ^ send.position().unwrap_or(0));
    let reads = history.delivers().iter().map(|read| read.position ^ read.value().unwrap_or(0));
    sends.chain(reads).fold(0, u64::wrapping_add)
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("history");
    group.sample_size(20);
    for records in [100, 500, 333_333] {
        // Sent, delivered and drained: three occurrences of each record.
        let history = clean(records);
        group.throughput(Throughput::Elements(3 * records));
        group.bench_function(BenchmarkId::new("scan", records), |b| b.iter(|| scan(black_box(&history))));
        group.bench_function(BenchmarkId::new("judge", records), |b| b.iter(|| judge(black_box(&history))));
    }
    let history = clean(20_000);
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
    group.bench_function("jsonl/read", |b| b.iter(|| jsonl::read(black_box(&file[..]), "bench")));
}

criterion_group!(all, benches);
criterion_main!(all);
