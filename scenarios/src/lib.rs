//! The scenario format, the plan, the runner and the scenario library.
//!
//! ```text
//! file ──format──▶ Scenario ──plan(seed)──▶ Plan ──runner──▶ History
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`mod@format`] | scenario files: YAML to a checked [`Scenario`], errors with places, `--set`, JSON Schema |
//! | [`plan`] | what a seed makes of a scenario: every record and every fault with its time; payloads |
//! | [`library`] | the scenarios that come with Squall, and what each is expected to show on each target |
//! | [`runner`] | one plan on one cluster, simulated or real: what came of it as a history |
//! | [`runs`] | a scenario, a target and a seed, carried out and judged |
//! | [`capsule`] | one simulated run in a file that replays anywhere |
//! | [`replay`] | a capsule run again, and what differs from what was kept |
//! | [`shrink`] | the least that still fails, from a run that fails |
//! | [`explore`] | a scenario under a swarm of draws, until one fails; marks |
//! | [`sweep`] | the whole library over many seeds, held against the table of expected outcomes |
//! | [`fidelity`] | the models held against what real brokers did |
//! | [`bugs`] | bugs that brokers and clients had, each with the scenario that leads to it, and the hunt for them |
//! | [`guard`] | a simulated run compared with one in a fresh process |
//! | [`check`] | histories that are there already, judged |
//! | [`target`] | where a bus under test is |
//! | [`requirements`] | the ids that a scenario may say it covers |
//! | `strategies` | proptest strategies of scenarios and plans, behind the feature `proptest` |

pub mod bugs;
pub mod capsule;
pub mod check;
pub mod explore;
pub mod fidelity;
pub mod format;
pub mod guard;
pub mod library;
mod measured;
pub mod plan;
pub mod replay;
pub mod requirements;
pub mod runner;
pub mod runs;
pub mod shrink;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod sweep;
pub mod target;

pub use capsule::Capsule;
pub use format::{Override, Scenario, ScenarioError};
pub use plan::Plan;
pub use runs::Job;
pub use target::Target;
