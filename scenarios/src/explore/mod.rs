//! Exploration: the same scenario under a swarm of draws, until one fails.
//!
//! ```text
//! Scenario ──draw(seed)──▶ concrete Scenario ──plan(seed)──▶ run ──▶ Ran ──sweep──▶ Summary
//! ```
//!
//! - Each seed draws a cluster, a workload and faults of its own within the bounds of the scenario
//!   ([`Explore`](crate::format::Explore)): a plain [`Scenario`](crate::Scenario) in which nothing is left to draw but what its plan draws. What a seed
//!   draws depends on the seed, the scenario and the target alone: not on other seeds, threads or time.
//! - A draw is within the fault budget of its configuration, or beyond it ([`Budget`]). Within, everything that the
//!   scenario expects must hold; beyond, only what the configuration promises by itself.
//! - Failures are grouped by kind; the first of each is kept as a [`Job`](crate::Job) that runs it again. What is found and
//!   allowed is no failure: it is counted apart, by kind and by budget.
//! - Marks are counted over all seeds. Those that the scenario requires must be reached.
//!
//! | module | what it does |
//! |---|---|
//! | `draw` | the swarm: what a seed makes of the bounds |
//! | `strikes` | which faults strike, when and whom |
//! | `budget` | how many faults the configuration is made to survive |
//! | `sweep` | many seeds on all cores, and when to stop |
//! | `summary` | what a sweep found: groups of failures, marks, the verdict |
//! | `show` | the summary as text |

mod budget;
mod draw;
mod show;
mod strikes;
mod summary;
mod sweep;

pub use budget::{Budget, Class};
pub use draw::{Draw, Preset, draw};
pub(crate) use show::{count, plain, seconds};
pub use summary::{Allowed, Failure, Group, Summary, Tally};
pub use sweep::{Exploration, Explored, Limit, Progress};
