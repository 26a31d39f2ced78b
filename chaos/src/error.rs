//! What can go wrong while something is broken on purpose.

use squall_adapters::providers::ProviderError;
use std::{io, net::SocketAddr};

/// Why a fault could not strike or heal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// A proxy cannot listen.
    #[error("a proxy could not listen at {listen}: {source}; end the program that listens there")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A proxy would leave this machine.
    #[error("the link from {listen} to {forward} leaves this machine: proxies serve loopback addresses only")]
    NotLoopback {
        /// Where it would listen.
        listen: SocketAddr,
        /// Where it would lead.
        forward: SocketAddr,
    },
    /// There are no threads for the proxies.
    #[error("the threads of the proxies could not be started: {source}")]
    Runtime {
        /// Why not.
        source: io::Error,
    },
    /// There is no such bus to start.
    #[error("there is no local cluster of {bus}: the buses are {known}")]
    NoBus {
        /// What was asked for.
        bus: String,
        /// What there is.
        known: String,
    },
    /// The thread that starts the cluster ended early.
    #[error("the thread that starts the cluster ended early: this is a defect of squall")]
    Ended,
    /// A client of the cluster could not be made.
    #[error("a client of the cluster could not be made: {0}")]
    Bus(squall_bus::Error),
    /// A process did not do what a fault needs.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}
