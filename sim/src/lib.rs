//! The deterministic simulator: a bus, its client libraries and the user's own async code, all on one thread, in
//! virtual time, from one seed.
//!
//! | module | what it does |
//! |---|---|
//! | [`bugs`] | bugs that brokers and clients had, each a change of one rule |
//! | [`kernel`] | the clock, the event heap, choices, network, disks, node clocks, the trace, invariants |
//! | [`kafka`] | Kafka: brokers, controllers, groups, and the client libraries |
//! | [`nats`] | NATS with JetStream: servers, Raft groups, streams, consumers, and the client library |
//! | [`io`] | what a client library's state machine may touch |
//! | [`minimize`] | delta debugging: as few items and as small numbers as still fail |
//! | [`model`] | what the simulated bus asks of a model, whichever broker it models |
//! | [`runtime`] | the user's async code: a stock tokio with paused time, processes, the watchdog |
//! | [`guard`] | two runs of one plan compared: the first event that differs, and the likely cause |
//! | [`nodes`] | sets of nodes, as bits |
//! | `bus`, `cluster`, `nemesis` | the bus traits, the cluster and its faults over all that |
//! | `shared`, `sends` | the world behind its lock, and who waits for what in it |
//! | [`settings`] | what a scenario may say about the brokers of a bus |
//! | [`storm`] | a user's service under many seeds of faults, recorded and judged |
//! | `strategies` | proptest strategies, behind the feature `proptest` |
//! | `wire` | plain data on its way to another process |
//! | `targets` | simulated clusters by the name of their bus: [`open`] |

pub mod bugs;
mod bus;
mod cluster;
mod few;
pub mod guard;
mod interner;
pub mod io;
pub mod kafka;
pub mod kernel;
pub mod minimize;
pub mod model;
pub mod nats;
mod nemesis;
pub mod nodes;
pub mod runtime;
mod sends;
pub mod settings;
mod shared;
pub mod storm;
#[cfg(feature = "proptest")]
pub mod strategies;
mod targets;
mod wire;
mod words;

pub use cluster::{SimCluster, Simulation};
pub use targets::{BUSES, Simulated, SimulatedMain, capabilities, open};
