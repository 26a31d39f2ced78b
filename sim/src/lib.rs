//! The deterministic simulator.

pub mod kernel;
pub mod model;
