//! The search for circles: patterns, the budget, and the walk over patterns and components.

use super::{
    Dependencies, Dependency, Graph, components,
    shortest::{Hunt, Outcome, Search},
};

/// Which circles are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// One edge is one of these.
    pub first: Dependencies,
    /// All others are among these.
    pub rest: Dependencies,
    /// One edge, perhaps the first, is one of these; empty if nothing more is needed.
    pub needs: Dependencies,
    /// Not searched in a component where one of these patterns (bit *n* for number *n*) was found.
    pub implied_by: u32,
}

/// How long to search, in steps: one edge looked at is one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For one component and one pattern.
    pub each: u64,
    /// For the whole graph.
    pub total: u64,
}

/// About a second of work.
impl Default for Budget {
    fn default() -> Self {
        Self { each: 20_000_000, total: 60_000_000 }
    }
}

/// One edge of a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleEdge {
    /// What came before.
    pub from: u32,
    /// What came later.
    pub to: u32,
    /// Why.
    pub dependency: Dependency,
    /// The caller's number for the reason.
    pub reason: u32,
}

/// A circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Its edges: each begins where the one before ends, the first one where the last one ends.
    pub edges: Vec<CycleEdge>,
    /// Whether no circle of this pattern in the component is shorter. `false` when the budget was used up.
    pub shortest: bool,
}

/// What was found in one component for one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A circle.
    Cycle {
        /// The number of the pattern.
        pattern: usize,
        /// How many nodes the component has.
        nodes: usize,
        /// The circle.
        cycle: Cycle,
    },
    /// The budget was used up before any circle was found, and before it was certain that there is none.
    Undecided {
        /// The number of the pattern.
        pattern: usize,
        /// How many nodes the component has.
        nodes: usize,
        /// The first of them.
        member: u32,
    },
}

/// No component.
pub(super) const NONE: u32 = u32::MAX;

/// Finds circles: at most one per pattern and component, in the order of patterns, then of first members.
///
/// # Panics
/// With more than 32 patterns: a mistake of the calling program.
#[must_use]
pub fn find(graph: &Graph, patterns: &[Pattern], budget: Budget) -> Vec<Finding> {
    assert!(patterns.len() <= 32, "{} patterns are more than 32", patterns.len());
    let all = patterns.iter().fold(Dependencies::NONE, |set, pattern| set.or(pattern.first).or(pattern.rest));
    let whole = components(graph, all, 0..graph.nodes() as u32, None);
    if whole.is_empty() {
        return Vec::new();
    }
    let mut of = vec![NONE; graph.nodes()];
    number(&mut of, &whole);
    let mut reported = vec![0u32; graph.nodes()];
    let mut search = Search::new(graph);
    let (mut left, mut findings) = (budget.total, Vec::new());
    let (mut parts, mut parts_with) = (whole.clone(), all);
    search.enter(&parts);
    for (pattern, number) in patterns.iter().zip(0..) {
        let with = pattern.first.or(pattern.rest);
        if with != parts_with {
            parts = match with == all {
                true => whole.clone(),
                false => components(graph, with, whole.iter().flatten().copied(), Some(&of)),
            };
            parts_with = with;
            search.enter(&parts);
        }
        for members in &parts {
            if members.iter().any(|node| reported[*node as usize] & pattern.implied_by != 0) {
                continue;
            }
            let allowed = budget.each.min(left);
            let (outcome, steps) = search.shortest(Hunt { members, pattern, budget: allowed });
            left -= steps.min(left);
            let nodes = members.len();
            match outcome {
                Outcome::None => {}
                Outcome::OutOfBudget => {
                    findings.push(Finding::Undecided { pattern: number, nodes, member: members[0] });
                }
                Outcome::Found(cycle) => {
                    for edge in &cycle.edges {
                        reported[edge.from as usize] |= 1 << number;
                    }
                    findings.push(Finding::Cycle { pattern: number, nodes, cycle });
                }
            }
        }
    }
    findings
}

/// Writes down the number of every member's component.
fn number(of: &mut [u32], parts: &[Vec<u32>]) {
    for (members, number) in parts.iter().zip(0..) {
        for member in members {
            of[*member as usize] = number;
        }
    }
}
