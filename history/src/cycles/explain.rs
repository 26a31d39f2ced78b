//! Circles in English, edge by edge.
//!
//! The caller knows what its nodes are and why it drew an edge; here is the form: who is in the circle, and for
//! every edge `a came before b, because ...`, so that a reader can check each step against the history and see
//! that the last one cannot be true together with the others.

use super::{Cycle, CycleEdge};

/// What the caller knows about its graph.
pub trait Explain {
    /// A node: `T1`, `producer-3's transaction (event 12)`.
    fn name(&self, node: u32) -> String;

    /// Why there is this edge, as a clause without a full stop: `T1 sent record 4 to orders/0 before T2 sent 5`.
    fn because(&self, edge: &CycleEdge) -> String;
}

/// The circle in one line: `T1 -ww-> T2 -wr-> T1`.
#[must_use]
pub fn circle(cycle: &Cycle, explain: &impl Explain) -> String {
    let mut line = cycle.edges.first().map(|edge| explain.name(edge.from)).unwrap_or_default();
    for edge in &cycle.edges {
        line += &format!(" -{}-> {}", edge.dependency, explain.name(edge.to));
    }
    line
}

/// The circle edge by edge, a sentence each; the last one closes the circle.
#[must_use]
pub fn english(cycle: &Cycle, explain: &impl Explain) -> Vec<String> {
    let last = cycle.edges.len().saturating_sub(1);
    let sentence = |(n, edge): (usize, &CycleEdge)| {
        let (from, to) = (explain.name(edge.from), explain.name(edge.to));
        let because = explain.because(edge);
        match n == last {
            false => format!("{from} came before {to}, because {because}."),
            true => format!("But {from} came before {to}, because {because}: a contradiction."),
        }
    };
    cycle.edges.iter().enumerate().map(sentence).collect()
}
