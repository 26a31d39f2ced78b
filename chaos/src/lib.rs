//! Faults on real brokers: processes, and a proxy on each directed link.
//!
//! | module | what it is |
//! |---|---|
//! | [`links`] | all links of a cluster with the faults on them: cut, stall, delay, refuse, drop responses |
//! | [`rules`] | these faults as plain data, and whose connections they hit |
//! | [`proxy`] | one proxy: in order, or broken; never a hole |
//! | [`protocol`] | what a proxy has to know of a protocol, pluggable |
//! | [`kafka`] | Kafka's protocol, as far as that |
//! | [`nats`] | the protocol of NATS, as far as that |
//! | `live` | features `kafka`, `nats`: a live local cluster as a [`squall_bus::Cluster`] |
//!
//! Everything listens and sends on loopback; a link that would leave it is refused.

#![forbid(unsafe_code)]

mod error;
pub mod kafka;
pub mod links;
#[cfg(any(feature = "kafka", feature = "nats"))]
pub mod live;
pub mod nats;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod open;
pub mod protocol;
pub mod proxy;
pub mod rules;

pub use error::ChaosError;
#[cfg(any(feature = "kafka", feature = "nats"))]
pub use open::{BUSES, capabilities, open, profile};
