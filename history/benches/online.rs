//! How fast the online checker is fed: a run of a million records over twelve units from four producers, a thousand in
//! flight, beside a bare scan of the same operations. The throughput is in records, each sent, acknowledged and read.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall_bus::{Topic, Unit};
use squall_history::{
    Configuration, Expect, Verdict,
    analysis::Facts,
    guarantees::Rules,
    history::{Drain, UnitId},
    online::{Online, Read},
};
use std::hint::black_box;

const RECORDS: u64 = 1_000_000;
const IN_FLIGHT: u64 = 1000;
const UNITS: u64 = 12;
const PRODUCERS: u64 = 4;

#[derive(Clone, Copy)]
enum Op {
    Sent(u64),
    Acked(u64, UnitId, u64),
    Read(Read),
}

/// The run as it happens: each record is acknowledged half a window after it was sent, and read at the end of it.
fn ops(units: &[UnitId]) -> Vec<Op> {
    let place = |value: u64| (units[(value % UNITS) as usize], value / UNITS);
    let mut list = Vec::with_capacity(3 * RECORDS as usize);
    for now in 0..RECORDS + IN_FLIGHT {
        if now < RECORDS {
            list.push(Op::Sent(now));
        }
        if let Some(value) = now.checked_sub(IN_FLIGHT / 2).filter(|value| *value < RECORDS) {
            let (unit, position) = place(value);
            list.push(Op::Acked(value, unit, position));
        }
        if let Some(value) = now.checked_sub(IN_FLIGHT) {
            let (unit, position) = place(value);
            list.push(Op::Read(Read { unit, position, value: Some(value), corrupt: false, drain: false }));
        }
    }
    list
}

fn feed(units: &[Unit], ops: &[Op]) -> Online {
    let mut online = Online::new(units);
    let sessions: Vec<_> = (0..PRODUCERS).map(|n| online.session(&format!("producer-{n}"))).collect();
    for op in ops {
        match *op {
            Op::Sent(value) => online.sent(sessions[(value % PRODUCERS) as usize], value),
            Op::Acked(value, unit, position) => online.acked(value, Some(unit), Some(position)),
            Op::Read(read) => online.read(read),
        }
    }
    online
}

/// The least that any checker must do: look at every operation once.
fn scan(ops: &[Op]) -> u64 {
    let sum = |op: &Op| match *op {
        Op::Sent(value) => value,
        Op::Acked(value, unit, position) => value ^ position ^ unit.index() as u64,
        Op::Read(read) => read.position ^ read.value.unwrap_or(0) ^ read.unit.index() as u64,
    };
    ops.iter().map(sum).fold(0, u64::wrapping_add)
}

fn benches(c: &mut Criterion) {
    let units: Vec<Unit> = (0..UNITS as u32).map(|p| Unit::new(&Topic::new("orders"), p)).collect();
    let ops = ops(&Online::new(&units).units());
    let mut online = feed(&units, &ops);
    for unit in online.units() {
        online.drained(Drain { unit, from: 0, to: RECORDS / UNITS, complete: true, node: None });
    }
    let (configuration, expect, facts) = (Configuration::default(), Expect::default(), Facts::default());
    let report = online.finish(&Rules { configuration: &configuration, expect: &expect, facts: &facts });
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.reason);

    let mut group = c.benchmark_group("online");
    group.sample_size(20).throughput(Throughput::Elements(RECORDS));
    group.bench_function("scan", |b| b.iter(|| scan(black_box(&ops))));
    group.bench_function("feed", |b| b.iter(|| feed(&units, black_box(&ops)).in_flight()));
}

criterion_group!(all, benches);
criterion_main!(all);
