//! The graph: compressed rows of edges, each with its dependency and the caller's reason for it.

use std::fmt;

/// Why one transaction came before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Dependency {
    /// It wrote a version, and the other wrote the next one.
    Ww = 1,
    /// It wrote what the other read.
    Wr = 2,
    /// It read a version, and the other wrote the next one.
    Rw = 4,
    /// One process did both, one after the other.
    Process = 8,
    /// It was over before the other began.
    Realtime = 16,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ww => "ww",
            Self::Wr => "wr",
            Self::Rw => "rw",
            Self::Process => "process",
            Self::Realtime => "realtime",
        })
    }
}

/// A set of dependencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dependencies(u8);

impl Dependencies {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    #[must_use]
    pub const fn of(list: &[Dependency]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < list.len() {
            bits |= list[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Whether a dependency is among them.
    #[must_use]
    pub const fn has(self, dependency: Dependency) -> bool {
        self.0 & dependency as u8 != 0
    }

    /// Those of either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An edge to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node that came later.
    pub to: u32,
    /// The caller's number for the reason: a row of its own table.
    pub reason: u32,
    /// What kind of reason it is.
    pub dependency: Dependency,
}

/// Edges in the order in which they are found; [`Links::build`] makes the graph of them.
#[derive(Clone, Debug, Default)]
pub struct Links {
    nodes: usize,
    list: Vec<(u32, Edge)>,
}

impl Links {
    /// No edges among this many nodes.
    #[must_use]
    pub const fn new(nodes: usize) -> Self {
        Self { nodes, list: Vec::new() }
    }

    /// `from` came before `to`. An edge from a node to itself says nothing and is left out, and so is one that only
    /// repeats the edge added last.
    ///
    /// # Panics
    /// When a node is not below the number of nodes: a mistake of the calling program.
    pub fn link(&mut self, from: u32, to: u32, dependency: Dependency, reason: u32) {
        assert!((from.max(to) as usize) < self.nodes, "no node {} among {}", from.max(to), self.nodes);
        let same = |(last_from, last): &(u32, Edge)| {
            (*last_from, last.to, last.dependency) == (from, to, dependency)
        };
        if from != to && !self.list.last().is_some_and(same) {
            self.list.push((from, Edge { to, reason, dependency }));
        }
    }

    /// How many edges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The graph: a counting sort by origin, which keeps the order of the edges of one origin.
    #[must_use]
    pub fn build(&self) -> Graph {
        let mut starts = vec![0; self.nodes + 1];
        for (from, _) in &self.list {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..self.nodes {
            starts[node + 1] += starts[node];
        }
        let blank = Edge { to: 0, reason: 0, dependency: Dependency::Ww };
        let (mut next, mut edges) = (starts.clone(), vec![blank; self.list.len()]);
        for (from, edge) in &self.list {
            let slot = &mut next[*from as usize];
            edges[*slot] = *edge;
            *slot += 1;
        }
        Graph { starts, edges }
    }
}

/// A directed graph that no longer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    starts: Vec<usize>,
    edges: Vec<Edge>,
}

impl Graph {
    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The edges from a node.
    #[must_use]
    pub fn from(&self, node: u32) -> &[Edge] {
        let node = node as usize;
        &self.edges[self.starts[node]..self.starts[node + 1]]
    }

    /// All edges with their origins.
    pub fn edges(&self) -> impl Iterator<Item = (u32, Edge)> + '_ {
        (0..self.nodes() as u32).flat_map(|node| self.from(node).iter().map(move |edge| (node, *edge)))
    }
}
