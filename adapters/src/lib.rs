//! Real clients for the bus traits, and the providers that start real brokers.
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | [`providers`] | | `local:kafka`: a cluster of real processes on loopback that never outlives its run |
//! | [`wire`] | | an administrator of a Kafka cluster without C code: leaders, coordinators, ends |
//! | [`codes`] | | Kafka's error codes as data: which failed send is `fail` and which `unknown` |
//! | `kafka` | `kafka` | the bus over librdkafka |
//! | [`timer`] | | the bus's clock on real time |
//!
//! Errors are typed where something can be done about them ([`providers::ProviderError`],
//! [`wire::WireError`]) and become a [`squall_bus::Error`] at the bus.

#![forbid(unsafe_code)]

pub mod codes;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod providers;
pub mod timer;
pub mod wire;
