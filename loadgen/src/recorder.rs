//! The recorder: takes what happened to each record and keeps distributions, series and the ledger.
//!
//! | distribution | from | to |
//! |---|---|---|
//! | `lag` | intended send | handed to the client |
//! | `overslept` | intended send | the pacer awake, when it slept: the generator's own error |
//! | `publish` | intended send | outcome of the send, whatever it was |
//! | `service` | handed to the client | outcome: what a closed loop would have reported; never a verdict's base |
//! | `end_to_end` | intended send | first delivery to a consumer |
//! | `handling` | delivery | handler done |
//!
//! Errors and timeouts are recorded at their elapsed time, like acks. A send that never ends is in no
//! distribution; it counts as lost, infinitely late, in [`Recorder::publish_with_losses`].

use crate::{Distribution, Due, Ledger, Quantile, Reading, Series};
use squall_bus::{Outcome, Time};
use std::time::Duration;

/// Three significant digits: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// Everything that a load run measured. One for each client, merged at the end; or one for all.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Counts.
    pub ledger: Ledger,
    /// Intended send to handed over.
    pub lag: Distribution,
    /// Intended send to awake, when the pacer slept.
    pub overslept: Distribution,
    /// Intended send to outcome.
    pub publish: Distribution,
    /// Handed over to outcome.
    pub service: Distribution,
    /// Intended send to first delivery.
    pub end_to_end: Distribution,
    /// Delivery to done.
    pub handling: Distribution,
    /// All of it over time.
    pub series: Series,
}

impl Recorder {
    /// An empty recorder whose series begins at `origin` in slices of this width.
    #[must_use]
    pub fn new(origin: Time, slice: Duration) -> Self {
        let empty = || Distribution::new(DIGITS);
        Self {
            ledger: Ledger::default(),
            lag: empty(),
            overslept: empty(),
            publish: empty(),
            service: empty(),
            end_to_end: empty(),
            handling: empty(),
            series: Series::new(origin, slice),
        }
    }

    /// An arrival fell due, whether or not it can be sent.
    pub fn offered(&mut self, due: &Due) {
        self.ledger.offered += 1;
        self.series.at(due.intended).offered += 1;
        if let Some(overslept) = due.overslept {
            self.overslept.add(overslept);
        }
    }

    /// The record that was due then was handed to the client at `at`.
    pub fn sent(&mut self, intended: Time, at: Time) {
        self.ledger.sent += 1;
        self.series.at(at).sent += 1;
        self.lag.record(intended, at);
    }

    /// The send that was due at `intended` and began at `sent` ended at `at`.
    pub fn ended<T>(&mut self, intended: Time, sent: Time, at: Time, outcome: &Outcome<T>) {
        let slice = self.series.at(at);
        match outcome {
            Outcome::Ok(_) => {
                self.ledger.acked += 1;
                slice.acked += 1;
            }
            Outcome::Fail(_) => {
                self.ledger.failed += 1;
                slice.unacked += 1;
            }
            Outcome::Unknown(..) => {
                self.ledger.unknown += 1;
                slice.unacked += 1;
            }
        }
        self.publish.record(intended, at);
        self.service.record(sent, at);
        self.series.at(intended).publish.record(intended, at);
    }

    /// The ack of the last [`ended`](Self::ended) send said that the bus had the record already.
    pub fn acked_again(&mut self) {
        self.ledger.acked_again += 1;
    }

    /// The record that was due at `intended` was delivered at `at`; `first` unless it had been before.
    pub fn received(&mut self, intended: Time, at: Time, first: bool) {
        self.series.at(at).delivered += 1;
        if first {
            self.ledger.received += 1;
            self.end_to_end.record(intended, at);
            self.series.at(intended).end_to_end.record(intended, at);
        } else {
            self.ledger.duplicates += 1;
        }
    }

    /// The workload is done with a delivery that it received at `received`.
    pub fn handled(&mut self, received: Time, at: Time) {
        self.ledger.handled += 1;
        self.handling.record(received, at);
    }

    /// Spans that ended before they began: a clock went backwards, or two clocks were mixed.
    #[must_use]
    pub fn clock_anomalies(&self) -> u64 {
        [&self.lag, &self.publish, &self.service, &self.end_to_end, &self.handling]
            .map(Distribution::backwards)
            .iter()
            .sum()
    }

    /// A quantile of the publish latency in which arrivals that were never sent, and sends that never ended, are
    /// infinitely late.
    #[must_use]
    pub fn publish_with_losses(&self, quantile: Quantile) -> Option<Reading> {
        self.publish.with_losses(quantile, self.ledger.unsent() + self.ledger.pending())
    }

    /// A quantile of the end-to-end latency in which acknowledged records that never reached a consumer are
    /// infinitely late.
    #[must_use]
    pub fn end_to_end_with_losses(&self, quantile: Quantile) -> Option<Reading> {
        self.end_to_end.with_losses(quantile, self.ledger.acked.saturating_sub(self.ledger.received))
    }

    /// Adds everything that another recorder of the same run measured.
    ///
    /// # Panics
    /// When the series began at different origins or widths: that is a bug of the caller, not of any input.
    pub fn merge(&mut self, other: Self) {
        self.ledger.merge(&other.ledger);
        self.lag.merge(&other.lag);
        self.overslept.merge(&other.overslept);
        self.publish.merge(&other.publish);
        self.service.merge(&other.service);
        self.end_to_end.merge(&other.end_to_end);
        self.handling.merge(&other.handling);
        self.series.merge(other.series);
    }
}
