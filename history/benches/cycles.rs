//! How fast circles are found: a clean graph of a million transactions and five million edges, the same with one
//! planted circle, and one giant component of that size. A bare scan of the edges in the same run is the measure.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use squall_history::cycles::{Budget, Dependencies, Dependency, Finding, Graph, Links, Pattern, find};
use std::hint::black_box;

const NODES: u32 = 1_000_000;
const EDGES: u32 = 5;
const WW: Dependencies = Dependencies::of(&[Dependency::Ww]);
const WR: Dependencies = Dependencies::of(&[Dependency::Wr]);
const TIME: Dependencies = Dependencies::of(&[Dependency::Process, Dependency::Realtime]);
const NONE: Dependencies = Dependencies::NONE;

/// G0, G1c, and both with the order of time.
const PATTERNS: [Pattern; 4] = [
    Pattern { first: WW, rest: WW, needs: NONE, implied_by: 0 },
    Pattern { first: WR, rest: WW.or(WR), needs: NONE, implied_by: 0 },
    Pattern { first: TIME, rest: WW.or(TIME), needs: NONE, implied_by: 1 },
    Pattern { first: TIME, rest: WW.or(WR).or(TIME), needs: WR, implied_by: 2 },
];

/// What transactions mostly do: each comes before a few that follow soon, `reach` nodes ahead at most.
fn forward(reach: u32) -> Links {
    use Dependency::{Process, Realtime, Wr, Ww};
    let (mut links, mut state) = (Links::new(NODES as usize), 1u64);
    for node in 0..NODES {
        for kind in [Ww, Wr, Process, Realtime, Wr].into_iter().take(EDGES as usize) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let to = node + 1 + (state >> 33) as u32 % reach;
            links.link(node, to.min(NODES - 1), kind, 0);
        }
    }
    links
}

fn planted() -> Graph {
    let mut links = forward(100);
    links.link(500_000, 500_040, Dependency::Ww, 0);
    links.link(500_040, 500_000, Dependency::Ww, 0);
    links.build()
}

fn giant() -> Graph {
    let mut links = forward(100);
    links.link(NODES - 1, 0, Dependency::Wr, 0);
    links.build()
}

/// The least that any search must do: look at every edge once.
fn scan(graph: &Graph) -> u64 {
    graph.edges().fold(0, |sum, (from, edge)| sum.wrapping_add(u64::from(from ^ edge.to)))
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("cycles");
    group.sample_size(10);
    group.throughput(Throughput::Elements(u64::from(NODES * EDGES)));
    for (name, graph) in [("clean", forward(100).build()), ("planted", planted()), ("giant", giant())] {
        let found = find(&graph, &PATTERNS, Budget::default());
        let cycles = found.iter().filter(|one| matches!(one, Finding::Cycle { .. })).count();
        assert_eq!(cycles > 0, name != "clean", "{name}: {found:?}");
        group.bench_function(BenchmarkId::new("scan", name), |b| b.iter(|| scan(black_box(&graph))));
        group.bench_function(BenchmarkId::new("find", name), |b| {
            b.iter(|| find(black_box(&graph), &PATTERNS, Budget::default()));
        });
    }
    let links = forward(100);
    group.bench_function("build", |b| b.iter(|| black_box(&links).build()));
}

criterion_group!(all, benches);
criterion_main!(all);
