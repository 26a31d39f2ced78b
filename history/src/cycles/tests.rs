//! Circles against their definition: every simple circle of small random graphs is walked by brute force.

use super::*;
use proptest::prelude::*;

const WW: Dependencies = Dependencies::of(&[Dependency::Ww]);
const WR: Dependencies = Dependencies::of(&[Dependency::Wr]);
const RW: Dependencies = Dependencies::of(&[Dependency::Rw]);
const REALTIME: Dependencies = Dependencies::of(&[Dependency::Realtime]);

const G0: Pattern = Pattern { first: WW, rest: WW, needs: Dependencies::NONE, implied_by: 0 };
const G1C: Pattern = Pattern { first: WR, rest: WW.or(WR), needs: Dependencies::NONE, implied_by: 0 };
const G_SINGLE: Pattern = Pattern { first: RW, rest: WW.or(WR), needs: Dependencies::NONE, implied_by: 0 };
const G1C_REALTIME: Pattern =
    Pattern { first: REALTIME, rest: WW.or(WR).or(REALTIME), needs: WR, implied_by: 0 };
const PATTERNS: [Pattern; 4] = [G0, G1C, G_SINGLE, G1C_REALTIME];

/// Edges `(from, to, dependency)`.
type Sketch = Vec<(u32, u32, Dependency)>;

fn graph(nodes: usize, sketch: &[(u32, u32, Dependency)]) -> Graph {
    let mut links = Links::new(nodes);
    for (from, to, dependency) in sketch {
        links.link(*from, *to, *dependency, 0);
    }
    links.build()
}

/// The lengths of all simple circles of a pattern, from the definition.
fn lengths(nodes: u32, sketch: &Sketch, pattern: &Pattern) -> Vec<usize> {
    fn walk(sketch: &Sketch, way: &mut Vec<(u32, u32, Dependency)>, visit: &mut dyn FnMut(&Sketch)) {
        let (start, at) = (way[0].0, way[way.len() - 1].1);
        if at == start {
            return visit(way);
        }
        if way[..way.len()].iter().any(|edge| edge.0 == at) {
            return;
        }
        for edge in sketch.iter().filter(|edge| edge.0 == at && edge.1 != at) {
            way.push(*edge);
            walk(sketch, way, visit);
            way.pop();
        }
    }
    let mut lengths = Vec::new();
    for first in sketch.iter().filter(|edge| edge.0 != edge.1 && pattern.first.has(edge.2) && edge.0 < nodes)
    {
        walk(sketch, &mut vec![*first], &mut |way| {
            let rest = way[1..].iter().all(|edge| pattern.rest.has(edge.2));
            let met = pattern.needs == Dependencies::NONE || way.iter().any(|edge| pattern.needs.has(edge.2));
            if rest && met {
                lengths.push(way.len());
            }
        });
    }
    lengths.sort_unstable();
    lengths
}

fn is_circle_of(cycle: &Cycle, sketch: &Sketch, pattern: &Pattern) -> bool {
    let edges = &cycle.edges;
    let joined = (0..edges.len()).all(|n| edges[n].to == edges[(n + 1) % edges.len()].from);
    let real = edges.iter().all(|edge| sketch.contains(&(edge.from, edge.to, edge.dependency)));
    let first = pattern.first.has(edges[0].dependency);
    let rest = edges[1..].iter().all(|edge| pattern.rest.has(edge.dependency));
    let met =
        pattern.needs == Dependencies::NONE || edges.iter().any(|edge| pattern.needs.has(edge.dependency));
    joined && real && first && rest && met
}

fn sketches() -> impl Strategy<Value = Sketch> {
    use Dependency::{Realtime, Rw, Wr, Ww};
    let dependency = prop::sample::select(vec![Ww, Wr, Rw, Realtime]);
    prop::collection::vec((0u32..6, 0u32..6, dependency), 0..14)
}

proptest! {
    #[test]
    fn the_shortest_circle_of_each_pattern_is_found(sketch in sketches()) {
        let found = find(&graph(6, &sketch), &PATTERNS, Budget::default());
        for (pattern, number) in PATTERNS.iter().zip(0..) {
            let naive = lengths(6, &sketch, pattern);
            let mut best = None;
            for finding in &found {
                let Finding::Cycle { pattern: of, cycle, .. } = finding else { panic!("the budget is ample") };
                if *of == number {
                    prop_assert!(is_circle_of(cycle, &sketch, pattern), "{cycle:?}");
                    prop_assert!(cycle.shortest);
                    best = Some(best.map_or(cycle.edges.len(), |best: usize| best.min(cycle.edges.len())));
                }
            }
            if pattern.needs == Dependencies::NONE {
                prop_assert_eq!(best, naive.first().copied());
            } else if best.is_some() {
                prop_assert!(naive.contains(&best.unwrap_or_default()));
            } else if !naive.is_empty() {
                // What is not found as such is joined of simpler circles, and these are found.
                let loose = Pattern { needs: Dependencies::NONE, ..G1C_REALTIME };
                let simpler = !lengths(6, &sketch, &G1C).is_empty() || !lengths(6, &sketch, &loose).is_empty();
                prop_assert!(simpler);
            }
        }
    }

    #[test]
    fn components_are_the_sets_of_nodes_that_reach_each_other(sketch in sketches()) {
        let graph = graph(6, &sketch);
        let reach = |from: u32| {
            let (mut seen, mut stack) = ([false; 6], vec![from]);
            while let Some(node) = stack.pop() {
                for edge in graph.from(node).iter().filter(|edge| WW.or(WR).has(edge.dependency)) {
                    if !std::mem::replace(&mut seen[edge.to as usize], true) {
                        stack.push(edge.to);
                    }
                }
            }
            seen
        };
        let reached: Vec<[bool; 6]> = (0..6).map(reach).collect();
        let mut naive: Vec<Vec<u32>> = (0..6usize)
            .map(|a| (0..6u32).filter(|b| reached[a][*b as usize] && reached[*b as usize][a]).collect())
            .filter(|members: &Vec<u32>| members.len() > 1)
            .collect();
        naive.sort();
        naive.dedup();
        prop_assert_eq!(components(&graph, WW.or(WR), 0..6, None), naive);
    }

    #[test]
    fn links_of_real_time_reach_exactly_what_began_after_an_end(order in prop::collection::vec(0u32..5, 0..16)) {
        // The first mention of a transaction is its begin, the second its end.
        let mut moments = Vec::new();
        let (mut begun, mut ended) = ([None; 5], [None; 5]);
        for (at, node) in order.iter().enumerate() {
            let slot = *node as usize;
            if begun[slot].is_none() {
                begun[slot] = Some(at);
                moments.push(Moment::Begin(*node));
            } else if ended[slot].is_none() {
                ended[slot] = Some(at);
                moments.push(Moment::End(*node));
            }
        }
        let mut links = Links::new(5);
        link_time(&mut links, Dependency::Realtime, moments);
        let graph = links.build();
        for from in 0..5u32 {
            let (mut seen, mut stack) = ([false; 5], vec![from]);
            while let Some(node) = stack.pop() {
                for edge in graph.from(node) {
                    if !std::mem::replace(&mut seen[edge.to as usize], true) {
                        stack.push(edge.to);
                    }
                }
            }
            for to in 0..5usize {
                let before = ended[from as usize].zip(begun[to]).is_some_and(|(end, begin)| end < begin);
                prop_assert_eq!(seen[to], before, "{} to {}", from, to);
            }
        }
        // No link says what the others say already.
        for (from, edge) in graph.edges() {
            let other = graph.from(from).iter().filter(|other| other.to != edge.to);
            for middle in other {
                prop_assert!(!graph.from(middle.to).iter().any(|last| last.to == edge.to));
            }
        }
    }
}

#[test]
fn a_circle_without_budget_is_undecided_and_with_a_small_one_any_circle_will_do() {
    use Dependency::Ww;
    let ring: Sketch = (0..100).map(|n| (n, (n + 1) % 100, Ww)).chain([(50, 49, Ww)]).collect();
    let graph = graph(100, &ring);
    let search = |each| find(&graph, &[G0], Budget { each, total: 1000 });
    assert_eq!(search(10), [Finding::Undecided { pattern: 0, nodes: 100, member: 0 }]);
    let length = |findings: &[Finding]| match findings {
        [Finding::Cycle { cycle, .. }] => (cycle.edges.len(), cycle.shortest),
        other => panic!("{other:?}"),
    };
    assert_eq!(length(&search(150)), (100, false));
    let ample = find(&graph, &[G0], Budget::default());
    assert_eq!(length(&ample), (2, true));
}

#[test]
fn the_whole_budget_is_shared_by_all_components() {
    use Dependency::Ww;
    let pairs: Sketch = (0..10).flat_map(|n| [(2 * n, 2 * n + 1, Ww), (2 * n + 1, 2 * n, Ww)]).collect();
    let findings = find(&graph(20, &pairs), &[G0], Budget { each: 100, total: 11 });
    let undecided = findings.iter().filter(|one| matches!(one, Finding::Undecided { .. })).count();
    assert_eq!((findings.len(), undecided > 0 && undecided < 10), (10, true));
}

#[test]
fn a_pattern_that_is_implied_is_not_searched() {
    use Dependency::{Wr, Ww};
    let sketch = [(0, 1, Wr), (1, 0, Wr), (1, 2, Ww), (2, 1, Wr), (3, 4, Ww), (4, 3, Wr)];
    let only = Pattern { rest: WR, ..G1C };
    let patterns = [only, Pattern { implied_by: 1, ..G1C }];
    let found: Vec<(usize, u32)> = find(&graph(5, &sketch), &patterns, Budget::default())
        .iter()
        .map(|finding| match finding {
            Finding::Cycle { pattern, cycle, .. } => (*pattern, cycle.edges[0].from.min(cycle.edges[1].from)),
            Finding::Undecided { .. } => panic!("the budget is ample"),
        })
        .collect();
    assert_eq!(found, [(0, 0), (1, 3)]);
}

#[test]
fn a_chain_of_a_million_needs_no_deep_recursion() {
    let mut links = Links::new(1_000_000);
    for node in 1..1_000_000 {
        links.link(node - 1, node, Dependency::Realtime, 0);
    }
    links.link(999_999, 0, Dependency::Ww, 0);
    let graph = links.build();
    assert_eq!(components(&graph, WW.or(REALTIME), 0..1_000_000, None)[0].len(), 1_000_000);
    assert_eq!(components(&graph, REALTIME, 0..1_000_000, None), Vec::<Vec<u32>>::new());
}

#[test]
fn a_circle_is_told_edge_by_edge() {
    struct Tale;
    impl Explain for Tale {
        fn name(&self, node: u32) -> String {
            format!("T{node}")
        }
        fn because(&self, edge: &CycleEdge) -> String {
            let (from, to) = (self.name(edge.from), self.name(edge.to));
            match edge.dependency {
                Dependency::Ww => format!("{from} sent record 1 to orders/0 before {to} sent record 2"),
                _ => format!("{to} read record 3, which {from} sent"),
            }
        }
    }
    let graph = graph(3, &[(1, 2, Dependency::Ww), (2, 1, Dependency::Wr)]);
    let [Finding::Cycle { cycle, .. }] = &find(&graph, &[G1C], Budget::default())[..] else { panic!() };
    insta::assert_snapshot!(format!("{}\n{}", circle(cycle, &Tale), english(cycle, &Tale).join("\n")));
}
