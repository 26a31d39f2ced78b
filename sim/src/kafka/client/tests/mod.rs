//! The clients against brokers that a test plays: what they send, when, and what they make of the answers.
//! Outcomes and times are those measured on a real Kafka 4.3.0 with librdkafka 2.12.1 and the Java client 4.3.0.

mod adding;
mod beats;
mod brokers;
mod closing;
mod connecting;
mod consuming;
mod coordinator;
mod defaults;
mod failures;
mod idempotence;
mod late_answers;
mod lost_responses;
mod membership;
mod moves;
mod positions;
mod rebalances;
mod searches;
mod stage;
mod transactions;
mod truncations;
mod whole;
mod whole_epochs;
mod whole_groups;
mod whole_storms;
