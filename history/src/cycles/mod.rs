//! Cycles among transactions: what may not go in a circle, and the shortest circle that does.
//!
//! Nodes are transactions (or single operations), numbered from 0. A [`Dependency`] from `a` to `b` says that `a`
//! came before `b`: it wrote before (`ww`), was read by (`wr`), did not see (`rw`), or was simply done before, in one
//! process or in real time. An order of all transactions exists only if nothing goes in a circle; which
//! dependencies a circle is made of says which anomaly it is, and a [`Pattern`] says that as data.
//!
//! [`find`] works in three steps, each on the result of the one before:
//!
//! 1. the strongly connected components of the whole graph (Tarjan 1972, without recursion): a clean history has
//!    none of two nodes or more, and is done after one linear pass;
//! 2. per pattern, the components of the graph of its own dependencies, within those of step 1;
//! 3. per component, breadth-first searches for the shortest circle of the pattern, counted in steps. When the
//!    [`Budget`] is used up, the best circle so far is the answer; without any the component is
//!    [`Finding::Undecided`]: that is missing evidence, never silence.
//!
//! A component in which a pattern was found is not searched for the patterns that this one implies.
//!
//! **Cost.** Linear in nodes and edges, and the budget. No part of it is quadratic in a giant component.
//!
//! **Sources.** Adya, "Weak Consistency" (1999), for the dependencies and the names G0, G1c, G-single, G2; Kingsbury
//! and Alvaro, "Elle" (2020), for finding them in what clients saw.

mod components;
mod explain;
mod graph;
mod realtime;
mod search;
mod shortest;

pub use components::components;
pub use explain::{Explain, circle, english};
pub use graph::{Dependencies, Dependency, Edge, Graph, Links};
pub use realtime::{Moment, link_time};
pub use search::{Budget, Cycle, CycleEdge, Finding, Pattern, find};

#[cfg(test)]
mod tests;
