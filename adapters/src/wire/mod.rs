//! A few requests of Kafka's protocol, written by hand: what an administrator of a test needs, without C code
//! and without a client that has a mind of its own (no retries, no cached metadata, no other node than asked).
//!
//! | request | version | asked of |
//! |---|---|---|
//! | Metadata | 7 | any node |
//! | DescribeQuorum | 0 | any node |
//! | FindCoordinator | 2 | any node |
//! | ListGroups | 2 | a coordinator |
//! | CreateTopics | 4 | any node |
//! | ListOffsets | 5 | the leader |
//! | OffsetFetch | 7 | the coordinator |
//! | DeleteTopics | 3 | any node |
//! | CreatePartitions | 1 | any node |
//! | IncrementalAlterConfigs | 0 | any node |
//! | DeleteRecords | 1 | the leader |
//!
//! All of these are in Kafka 3.3 to 4.3. Plain TCP only. [`Connection`] blocks;
//! [`WireAdmin`] implements the bus's administrator over it on threads of its own.

mod admin;
mod changes;
mod codec;
pub mod codes;
mod connection;
mod coordinators;
mod requests;

pub use admin::WireAdmin;
pub use connection::{Connection, WireError};
pub use requests::{Metadata, MetadataTopic, MetadataUnit, Quorum};
