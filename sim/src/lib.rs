//! The deterministic simulator.

mod bus;
mod cluster;
pub mod kafka;
pub mod kernel;
pub mod model;
mod nemesis;
pub mod runtime;
mod shared;

pub use cluster::{SimCluster, Simulation};
