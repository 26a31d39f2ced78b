//! Tests of the client library: against servers that a test plays by hand, and on the whole simulated cluster.

mod connecting;
mod consuming;
mod given_up;
mod producing;
mod stage;
mod whole;
