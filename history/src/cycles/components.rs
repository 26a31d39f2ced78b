//! Strongly connected components: Tarjan's algorithm with a stack of its own, so that a long chain of a million
//! transactions needs no deep recursion.

use super::{Dependencies, Graph};

/// Not on the stack any more: larger than every number of a visited node.
const DONE: u32 = u32::MAX;

/// The components of two nodes or more, in the graph of these dependencies and, if `within` is given, without the
/// edges between nodes that it numbers differently. Members ascend; components are ordered by their first member.
///
/// `roots` are the nodes to begin at: all that shall be in a component must be among them.
#[must_use]
pub fn components(
    graph: &Graph,
    with: Dependencies,
    roots: impl IntoIterator<Item = u32>,
    within: Option<&[u32]>,
) -> Vec<Vec<u32>> {
    let mut tarjan = Tarjan {
        graph,
        with,
        within,
        order: vec![0; graph.nodes()],
        low: vec![0; graph.nodes()],
        visited: 0,
        stack: Vec::new(),
        calls: Vec::new(),
        found: Vec::new(),
    };
    for root in roots {
        if tarjan.order[root as usize] == 0 {
            tarjan.visit_from(root);
        }
    }
    tarjan.found.sort_unstable_by_key(|members| members[0]);
    tarjan.found
}

struct Tarjan<'a> {
    graph: &'a Graph,
    with: Dependencies,
    within: Option<&'a [u32]>,
    /// The number of a node in the order of visits, from 1; 0 before its visit, [`DONE`] after its component.
    order: Vec<u32>,
    /// The smallest number that is reached from a node and still on the stack.
    low: Vec<u32>,
    visited: u32,
    stack: Vec<u32>,
    /// The nodes whose visit is under way, each with the number of its next edge.
    calls: Vec<(u32, u32)>,
    found: Vec<Vec<u32>>,
}

impl Tarjan<'_> {
    fn enter(&mut self, node: u32) {
        self.visited += 1;
        self.order[node as usize] = self.visited;
        self.low[node as usize] = self.visited;
        self.stack.push(node);
        self.calls.push((node, 0));
    }

    fn visit_from(&mut self, root: u32) {
        self.enter(root);
        while let Some((node, next)) = self.calls.pop() {
            match self.walk(node, next as usize) {
                Some((edge, to)) => {
                    self.calls.push((node, edge as u32 + 1));
                    self.enter(to);
                }
                None => self.leave(node),
            }
        }
    }

    /// Walks the edges of a node from a number on, to the first that leads to a node that was not visited: that edge's
    /// number, and the node.
    fn walk(&mut self, node: u32, next: usize) -> Option<(usize, u32)> {
        let part = self.within.map(|within| (within, within[node as usize]));
        let mut low = self.low[node as usize];
        let mut edges = self.graph.from(node).iter().enumerate().skip(next);
        let new = edges.find_map(|(number, edge)| {
            let stays = part.is_none_or(|(within, part)| within[edge.to as usize] == part);
            if !self.with.has(edge.dependency) || !stays {
                return None;
            }
            match self.order[edge.to as usize] {
                0 => return Some((number, edge.to)),
                // What is done is larger than any number and changes nothing.
                order => low = low.min(order),
            }
            None
        });
        self.low[node as usize] = low;
        new
    }

    fn lower(&mut self, node: u32, to: u32) {
        let low = &mut self.low[node as usize];
        *low = to.min(*low);
    }

    /// All edges of a node are walked: it heads a component if nothing before it can be reached.
    fn leave(&mut self, node: u32) {
        let low = self.low[node as usize];
        if low == self.order[node as usize] {
            let mut members = Vec::new();
            while let Some(member) = self.stack.pop() {
                self.order[member as usize] = DONE;
                members.push(member);
                if member == node {
                    break;
                }
            }
            if members.len() > 1 {
                members.sort_unstable();
                self.found.push(members);
            }
        }
        if let Some((caller, _)) = self.calls.last() {
            self.lower(*caller, low);
        }
    }
}
