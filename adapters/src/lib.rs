//! Real clients for the bus traits and the providers that start real brokers
