//! The ledger: what was offered, what became of it, and what arrived.
//!
//! Every offered record is sent or not (a run that ends, or a client that crashes, leaves some unsent); every
//! sent one is acked, failed or unknown, or still pending. Each side is counted on its own, so that a loss and a
//! duplicate never cancel out. Which record is lost is the checker's business, not this ledger's.

/// Counts of a load run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Arrivals that fell due.
    pub offered: u64,
    /// Records handed to a client.
    pub sent: u64,
    /// Sends that happened.
    pub acked: u64,
    /// Acks that say the bus had the record already.
    pub acked_again: u64,
    /// Sends that definitely did not happen.
    pub failed: u64,
    /// Sends of which nobody can tell.
    pub unknown: u64,
    /// Records handed to the workload's consumers, each once.
    pub received: u64,
    /// Deliveries of records that had been received before.
    pub duplicates: u64,
    /// Deliveries that the workload was done with.
    pub handled: u64,
}

impl Ledger {
    /// Sends without an outcome so far.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.sent.saturating_sub(self.acked + self.failed + self.unknown)
    }

    /// Arrivals that fell due and were not sent so far.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.offered.saturating_sub(self.sent)
    }

    /// The share of the offered load that was really sent, in parts per million; all of it when nothing was
    /// offered.
    #[must_use]
    pub fn achieved_ppm(&self) -> u32 {
        if self.offered == 0 {
            return 1_000_000;
        }
        let ppm = u128::from(self.sent) * 1_000_000 / u128::from(self.offered);
        u32::try_from(ppm).unwrap_or(u32::MAX)
    }

    /// Adds another ledger's counts.
    pub fn merge(&mut self, other: &Self) {
        let Self { offered, sent, acked, acked_again, failed, unknown, received, duplicates, handled } =
            other;
        self.offered += offered;
        self.sent += sent;
        self.acked += acked;
        self.acked_again += acked_again;
        self.failed += failed;
        self.unknown += unknown;
        self.received += received;
        self.duplicates += duplicates;
        self.handled += handled;
    }
}
