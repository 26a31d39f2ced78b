//! Raft as NATS has it (`server/raft.go`), generic over what its entries do.

pub mod message;
