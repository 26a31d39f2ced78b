//! Failover and loss of power.
