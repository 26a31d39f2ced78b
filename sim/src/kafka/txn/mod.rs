//! Transactions (rules D1 to D7): atomic writes to several partitions, with the positions of groups.
//!
//! ```text
//! producer ── InitProducerId, AddPartitions, AddOffsets, EndTxn ──▶ transaction coordinator ── its log partition
//!    │                                                                      │
//!    └── Produce, TxnOffsetCommit ──▶ partition leaders ◀── WriteTxnMarkers ┘
//!                                        │    ▲
//!                                        └────┘ Verify: does this partition belong to the open transaction?
//! ```
//!
//! - [`state`]: the states of a transactional id, what may follow what, and the record that the coordinator keeps.
//! - `transaction`: what the coordinator decides, as pure functions of that record.
//! - `coordinator`: who coordinates, and its requests. `log`: its records. `sweeps`: timeouts. `marking`: markers to every
//!   partition.
//! - `partition`: what a partition's log tells of transactions: which are open, the last stable offset, what was
//!   aborted.
//! - `verify`: a leader asks the coordinator before it lets a transaction begin in its partition.
//! - `offsets`: a group's positions within transactions, at the group's coordinator.
//!
//! Two versions are spoken ([`TransactionVersion`](super::rules::TransactionVersion)): version 1 keeps a producer's
//! epoch over its transactions, so a request of one transaction that comes late can be taken for one of the next
//! (KAFKA-17754); version 2 (KIP-890) ends each with a new epoch.
//!
//! Sources: KIP-98, KIP-360, KIP-447, KIP-890, KIP-1228; `TransactionCoordinator`, `TransactionMetadata`,
//! `ProducerStateManager` of Apache Kafka; measurements on a 4.3.0 cluster.

pub(super) mod coordinator;
mod log;
mod marking;
pub mod messages;
pub(super) mod offsets;
pub(super) mod partition;
pub mod state;
mod sweeps;
mod transaction;
pub(super) mod verify;
