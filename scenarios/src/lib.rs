//! The scenario format, the plan, the runner and the scenario library.
//!
//! ```text
//! file ──format──▶ Scenario ──plan(seed)──▶ Plan ──runner──▶ History
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`format`] | scenario files: YAML to a checked [`Scenario`], errors with places, `--set`, JSON Schema |

pub mod format;

pub use format::{Override, Scenario, ScenarioError};
