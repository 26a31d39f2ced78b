//! The shortest circle of one component, by breadth-first search.
//!
//! The search begins at every edge that a pattern's circle may begin with, and looks for the shortest way back. It
//! knows two states of every node, *not met yet* and *met* what the pattern needs, so the shortest way back that
//! meets it is found too. Such a way may pass a node twice. It is then no circle but several joined. If one of them
//! has both a first edge and what is needed, it is found from that edge; else one has what is needed and no first
//! edge, which is a circle of a weaker pattern. So where a pattern that needs something is implied by the patterns
//! without its first dependencies, nothing is missed.
//!
//! For a pattern whose `first` are among its `rest` and that needs nothing more, a component with a first edge
//! always has a circle, and the first search finds it.

use super::{
    CycleEdge, Dependencies, Dependency, Edge, Graph, Pattern,
    search::{Cycle, NONE},
};

/// What is searched: a component, for a pattern, in so many steps.
#[derive(Clone, Copy)]
pub(super) struct Hunt<'a> {
    pub(super) members: &'a [u32],
    pub(super) pattern: &'a Pattern,
    pub(super) budget: u64,
}

impl Hunt<'_> {
    /// Whether the need is met: 1, or 0.
    fn met(&self, dependency: Dependency) -> u32 {
        let needs = self.pattern.needs;
        u32::from(needs == Dependencies::NONE || needs.has(dependency))
    }
}

/// How a search ended.
pub(super) enum Outcome {
    Found(Cycle),
    None,
    OutOfBudget,
}

/// How a state was reached.
#[derive(Clone, Copy)]
struct Reached {
    /// The search that reached it last.
    search: u32,
    /// The state before; [`NONE`] for the first.
    before: u32,
    /// The number of the edge, among those of the node before.
    edge: u32,
}

/// Where a node belongs.
#[derive(Clone, Copy)]
struct Home {
    part: u32,
    local: u32,
}

/// The searcher. A state is twice the number of a node within its component, plus 1 once the need is met.
pub(super) struct Search<'a> {
    graph: &'a Graph,
    /// By node: its component, and its number within that.
    homes: Vec<Home>,
    reached: Vec<Reached>,
    searches: u32,
    level: Vec<u32>,
    next: Vec<u32>,
    steps: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let homes = vec![Home { part: NONE, local: 0 }; graph.nodes()];
        let (reached, level, next) = (Vec::new(), Vec::new(), Vec::new());
        Self { graph, homes, reached, searches: 0, level, next, steps: 0 }
    }

    /// The components that are searched from here on.
    pub(super) fn enter(&mut self, parts: &[Vec<u32>]) {
        self.homes.fill(Home { part: NONE, local: 0 });
        for (members, part) in parts.iter().zip(0..) {
            for (member, local) in members.iter().zip(0..) {
                self.homes[*member as usize] = Home { part, local };
            }
        }
    }

    /// The shortest circle of a component, and the steps that it took.
    pub(super) fn shortest(&mut self, hunt: Hunt<'_>) -> (Outcome, u64) {
        self.steps = 0;
        self.searches = 0;
        self.reached.clear();
        self.reached.resize(2 * hunt.members.len(), Reached { search: 0, before: NONE, edge: 0 });
        let mut best: Option<Vec<CycleEdge>> = None;
        let mut ended = false;
        'search: for from in hunt.members {
            for edge in self.graph.from(*from) {
                self.steps += 1;
                if hunt.pattern.first.has(edge.dependency) && self.stays(*from, edge.to) {
                    let limit = best.as_ref().map_or(usize::MAX, |best| best.len() - 1);
                    best = self.way_back(hunt, out(*from, edge), limit).or(best);
                }
                ended = best.as_ref().is_some_and(|best| best.len() == 2);
                if ended || self.steps > hunt.budget {
                    break 'search;
                }
            }
        }
        let shortest = ended || self.steps <= hunt.budget;
        let outcome = match best {
            Some(edges) => Outcome::Found(Cycle { edges, shortest }),
            None if shortest => Outcome::None,
            None => Outcome::OutOfBudget,
        };
        (outcome, self.steps)
    }

    /// Whether an edge stays within its component.
    fn stays(&self, from: u32, to: u32) -> bool {
        self.homes[from as usize].part == self.homes[to as usize].part
    }

    /// The shortest circle through this first edge, of at most `limit` edges, if it passes no node twice.
    fn way_back(&mut self, hunt: Hunt<'_>, first: CycleEdge, limit: usize) -> Option<Vec<CycleEdge>> {
        let goal = 2 * self.homes[first.from as usize].local + 1;
        let start = 2 * self.homes[first.to as usize].local + hunt.met(first.dependency);
        self.searches += 1;
        self.level.clear();
        self.reach(start, NONE, 0);
        self.level.push(start);
        let mut length = 1;
        while length < limit && !self.level.is_empty() && self.steps <= hunt.budget {
            length += 1;
            if self.step(hunt, goal) {
                return self.retrace(hunt, first, goal);
            }
        }
        None
    }

    /// One step from every state of the level. Whether it came to the goal.
    fn step(&mut self, hunt: Hunt<'_>, goal: u32) -> bool {
        self.next.clear();
        for i in 0..self.level.len() {
            let state = self.level[i];
            let node = hunt.members[state as usize / 2];
            let part = self.homes[node as usize].part;
            for (edge, number) in self.graph.from(node).iter().zip(0..) {
                self.steps += 1;
                if !hunt.pattern.rest.has(edge.dependency) {
                    continue;
                }
                let home = self.homes[edge.to as usize];
                if home.part != part {
                    continue;
                }
                let to = 2 * home.local + (state & 1 | hunt.met(edge.dependency));
                if self.reached[to as usize].search != self.searches {
                    self.reach(to, state, number);
                    self.next.push(to);
                }
                if to == goal {
                    return true;
                }
            }
            if self.steps > hunt.budget {
                return false;
            }
        }
        std::mem::swap(&mut self.level, &mut self.next);
        false
    }

    fn reach(&mut self, state: u32, before: u32, edge: u32) {
        self.reached[state as usize] = Reached { search: self.searches, before, edge };
    }

    /// The first edge and the way back to its origin; `None` if a node is passed twice.
    fn retrace(&self, hunt: Hunt<'_>, first: CycleEdge, goal: u32) -> Option<Vec<CycleEdge>> {
        let mut edges = Vec::new();
        let mut reached = self.reached[goal as usize];
        while reached.before != NONE {
            let node = hunt.members[reached.before as usize / 2];
            edges.push(out(node, &self.graph.from(node)[reached.edge as usize]));
            reached = self.reached[reached.before as usize];
        }
        edges.push(first);
        edges.reverse();
        let mut nodes: Vec<u32> = edges.iter().map(|edge| edge.from).collect();
        nodes.sort_unstable();
        nodes.dedup();
        (nodes.len() == edges.len()).then_some(edges)
    }
}

fn out(from: u32, edge: &Edge) -> CycleEdge {
    CycleEdge { from, to: edge.to, dependency: edge.dependency, reason: edge.reason }
}
