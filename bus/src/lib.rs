//! The vocabulary of Squall and the traits of a bus.
//!
//! A **bus** is a messaging system under test, simulated or real. This crate names what every bus has
//! ([`Record`], [`Topic`], [`Unit`], [`Position`], [`Outcome`], [`Error`]), what some have
//! ([`Capabilities`]), what can break ([`Fault`], [`Role`]) and the traits that the simulator and the
//! adapters of real clients implement alike:
//!
//! | trait | who holds it | what it does |
//! |---|---|---|
//! | [`Bus`] | a client process | opens producers and consumers |
//! | [`Producer`] | a client process | `ready().await`, then `send(record)` |
//! | [`Transaction`] | a client process | begin, commit, abort, offsets inside |
//! | [`Consumer`] | a client process | `next().await`, ack or commit, seek, events |
//! | [`Admin`] | a runner | topics, ends, leaders |
//! | [`Clock`] | everyone | now, sleep until |
//! | [`Cluster`] | a runner | starts client processes, breaks and heals |
//!
//! Handles are object-safe, `Send + Sync + 'static` and shared as `Arc<dyn _>`, so that a service can move
//! them into tasks and the simulator is compiled once. Futures rest on plain `std` wakers: no executor is
//! named here, and no dependency on any other room.

mod admin;
mod capabilities;
mod clock;
mod cluster;
mod completion;
mod consumer;
mod fault;
pub mod lowering;
mod outcome;
mod producer;
mod record;
mod role;

pub use admin::{Admin, Keeping, TopicSpec, TopicState};
pub use capabilities::{AckModel, Capabilities, Capability};
pub use clock::{Clock, Sleep, Time};
pub use cluster::{
    Cluster, ClusterSpec, Election, Fsync, Incarnation, LEAVING_PATIENCE, Main, Strike, StruckFault,
};
pub use completion::{Completer, Keeper, Look, Pending};
pub use consumer::{
    Assignor, Consumer, ConsumerConfig, ConsumerEvent, Delivery, GroupProtocol, Isolation, ResetPolicy,
    SLOW_CONSUMER, Subscription,
};
pub use fault::{Fault, FaultKind};
pub use outcome::{Error, ErrorClass, Outcome};
pub use producer::{Ack, Acks, ClientProfile, Producer, ProducerConfig, Sending, Transaction};
pub use record::{Header, ID_HEADER, Position, Record, Topic, Unit};
pub use role::{Role, RoleError};
pub use thin_vec::ThinVec;

use std::{future::Future, pin::Pin, sync::Arc};

/// A future on the heap: what the object-safe traits return for operations that are not on a hot path.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A client process' way into a messaging system. All handles that it opens belong to that process: when the
/// process crashes they can do nothing more.
pub trait Bus: Send + Sync + 'static {
    /// What this bus can and cannot do, as data.
    fn capabilities(&self) -> &Capabilities;
    /// The clock of this process. In the simulator it is virtual.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Opens a producer. Fails on a configuration that the bus cannot honour.
    fn producer(&self, config: ProducerConfig) -> Result<Arc<dyn Producer>, Error>;
    /// Opens a consumer. Fails on a configuration that the bus cannot honour.
    fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, Error>;
    /// Opens an administrator's handle.
    fn admin(&self) -> Arc<dyn Admin>;
}
