//! Faults on real brokers: processes and a proxy for each directed link
