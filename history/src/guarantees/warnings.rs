//! Where the expectations ask more than the configuration promises: `explain` and the start of a run say so.

use super::{CommitPolicy, Configuration, Delivery, Dlq, Expect, Log, Order};
use squall_bus::Acks;
use std::fmt;

/// One expectation that the configuration does not promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// Nothing acknowledged may be lost, but acks do not come from all.
    AcksTooWeak(Acks),
    /// Nothing acknowledged may be lost, but one copy is enough for an ack.
    OneCopyIsEnough,
    /// Nothing acknowledged may be lost, but unclean elections lose records.
    UncleanElections,
    /// Every record must be processed, but commits run ahead of processing.
    CommitsRunAhead(CommitPolicy),
    /// No record may be processed twice, but commits follow processing.
    CommitsFollow,
    /// Every record must be processed once, but there are no transactions.
    NoTransactions,
    /// The log must hold each record once, but producers are not idempotent.
    NotIdempotent,
    /// Records of one key must keep their order, but retries overtake.
    RetriesOvertake,
    /// The dead-letter topic must hold the poison, but there is none.
    NoDlq,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcksTooWeak(acks) => write!(
                f,
                "`expect.delivery` demands that no acknowledged record is lost, but acks={acks} does not promise that; set acks to all"
            ),
            Self::OneCopyIsEnough => f.write_str(
                "`expect.delivery` demands that no acknowledged record is lost, but with min_insync 1 a single copy is acknowledged; set min_insync to 2",
            ),
            Self::UncleanElections => f.write_str(
                "`expect.delivery` demands that no acknowledged record is lost, but unclean elections lose records; turn them off",
            ),
            Self::CommitsRunAhead(policy) => write!(
                f,
                "`expect.delivery` demands that every record is processed, but {} may pass a record that is not; commit after processing",
                match policy {
                    CommitPolicy::BeforeProcessing => "a commit before processing",
                    _ => "a commit on a timer",
                }
            ),
            Self::CommitsFollow => f.write_str(
                "`expect.delivery` demands that no record is processed twice, but a commit after processing repeats records after a crash; commit before processing",
            ),
            Self::NoTransactions => f.write_str(
                "`expect.delivery: exactly-once` demands one effect per record, but a consumer without transactions may lose or repeat one at a crash; expect at-least-once",
            ),
            Self::NotIdempotent => f.write_str(
                "`expect.log: exactly-once` demands no duplicates, but retries of producers that are not idempotent duplicate; set idempotent to true",
            ),
            Self::RetriesOvertake => f.write_str(
                "`expect.order: per-key` demands the order of sends, but retries with several requests in flight may overtake; set idempotent to true, or max_in_flight to 1",
            ),
            Self::NoDlq => f.write_str(
                "`expect.dlq` speaks of a dead-letter topic, but the consumers have none; set dlq",
            ),
        }
    }
}

/// Where `expect` asks more than `configuration` promises.
#[must_use]
pub fn warnings(configuration: &Configuration, expect: &Expect) -> Vec<Warning> {
    let mut list = Vec::new();
    let mut warn = |when: bool, warning: Warning| {
        if when {
            list.push(warning);
        }
    };
    let keeps = expect.at_least_once();
    let after = configuration.commit == CommitPolicy::AfterProcessing;
    let exactly = expect.delivery == Some(Delivery::ExactlyOnce);
    warn(keeps && configuration.acks != Acks::All, Warning::AcksTooWeak(configuration.acks));
    let one_copy = configuration.min_insync <= 1 && configuration.replicas > 1;
    warn(keeps && configuration.acks == Acks::All && one_copy, Warning::OneCopyIsEnough);
    warn(keeps && configuration.unclean_election, Warning::UncleanElections);
    warn(exactly, Warning::NoTransactions);
    warn(keeps && !exactly && !after, Warning::CommitsRunAhead(configuration.commit));
    let once = expect.delivery == Some(Delivery::AtMostOnce);
    warn(once && configuration.commit != CommitPolicy::BeforeProcessing, Warning::CommitsFollow);
    warn(expect.log == Some(Log::ExactlyOnce) && !configuration.idempotent, Warning::NotIdempotent);
    let per_key = expect.order == Some(Order::PerKey);
    warn(per_key && !configuration.keeps_send_order(), Warning::RetriesOvertake);
    warn(expect.dlq == Some(Dlq::ExactlyThePoison) && configuration.dlq.is_none(), Warning::NoDlq);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_set_up_asks_no_more_than_is_promised() {
        let configuration =
            Configuration { idempotent: true, dlq: Some("dead".into()), ..Configuration::default() };
        let expect = Expect {
            delivery: Some(Delivery::AtLeastOnce),
            log: Some(Log::ExactlyOnce),
            order: Some(Order::PerKey),
            dlq: Some(Dlq::ExactlyThePoison),
            ..Expect::default()
        };
        assert_eq!(warnings(&configuration, &expect), []);
    }

    #[test]
    fn every_warning_says_what_to_do() {
        let weak = Configuration {
            acks: Acks::One,
            unclean_election: true,
            commit: CommitPolicy::Auto,
            ..Configuration::default()
        };
        let lone = Configuration { min_insync: 1, ..Configuration::default() };
        let all = Expect {
            delivery: Some(Delivery::AtLeastOnce),
            log: Some(Log::ExactlyOnce),
            order: Some(Order::PerKey),
            dlq: Some(Dlq::ExactlyThePoison),
            ..Expect::default()
        };
        let only = |delivery| Expect { delivery: Some(delivery), ..Expect::default() };
        let mut text = String::new();
        for (configuration, expect) in [
            (&weak, &all),
            (&lone, &only(Delivery::AtLeastOnce)),
            (&lone, &only(Delivery::AtMostOnce)),
            (&Configuration::default(), &only(Delivery::ExactlyOnce)),
        ] {
            for warning in warnings(configuration, expect) {
                text.push_str(&format!("{warning}\n"));
            }
        }
        insta::assert_snapshot!(text);
    }
}
