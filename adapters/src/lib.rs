//! Real clients for the bus traits, and the providers that start real brokers.
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | [`providers`] | | `local:kafka`, `local:nats`: a cluster of real processes on loopback that never outlives its run |
//! | [`wire`] | | an administrator of a Kafka cluster without C code: leaders, coordinators, ends |
//! | [`codes`] | | error codes as data: which failed send is `fail` and which `unknown` |
//! | `kafka` | `kafka` | the bus over librdkafka |
//! | [`monitor`] | | what the nodes of a NATS cluster tell of themselves: leaders, copies |
//! | `nats` | `nats` | the bus over async-nats |
//! | [`timer`] | | the bus's clock on real time |
//!
//! Errors are typed where something can be done about them ([`providers::ProviderError`],
//! [`wire::WireError`]) and become a [`squall_bus::Error`] at the bus.

pub mod codes;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod flight;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod handles;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod monitor;
#[cfg(feature = "nats")]
pub mod nats;
pub mod providers;
pub mod timer;
pub mod wire;
