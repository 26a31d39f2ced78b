//! What became of sends and transactions, beyond what their own clients were told.
//!
//! A send outside of transactions has the fate of its outcome. A send in a transaction shares the transaction's
//! fate, unless it failed by itself. A transaction of unknown outcome is committed if a reader of committed records
//! was handed one of its records by a read that succeeded; a reader of whatever is in the log proves nothing.

use super::values::Writers;
use crate::history::{DeliverRow, History, SendRow, Status};

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It happened, for good.
    Happened,
    /// It definitely did not happen, or was taken back.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl From<Status> for Fate {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Happened,
            Status::Fail => Self::Failed,
            Status::Unknown => Self::Unknown,
        }
    }
}

/// Whether a delivery belongs to a read that succeeded: without a poll; or its poll happened, and was in no
/// transaction or in one that was committed.
pub(crate) fn read_happened(history: &History, read: &DeliverRow) -> bool {
    let Some(poll) = read.poll() else { return true };
    let poll = &history.polls()[history.poll_row(poll) as usize];
    let txn = poll.txn().map(|txn| history.txns()[history.txn_row(txn) as usize].status);
    poll.status == Status::Ok && txn.is_none_or(|txn| txn == Status::Ok)
}

/// Whether a read that succeeded was handed a send's record, by the send's row.
pub(crate) fn seen(history: &History, writers: &Writers) -> Vec<bool> {
    let mut seen = vec![false; history.sends().len()];
    for read in history.delivers() {
        if let Some(row) = read.value().and_then(|value| writers.of(value)) {
            seen[row as usize] |= read_happened(history, read);
        }
    }
    seen
}

/// The fate of each transaction, by its row.
pub(crate) fn of_txns(history: &History, seen: &[bool]) -> Vec<Fate> {
    let mut fates: Vec<Fate> = history.txns().iter().map(|txn| txn.status.into()).collect();
    if !fates.is_empty() && history.meta.configuration.reads_committed() {
        for (send, seen) in history.sends().iter().zip(seen) {
            if let (Some(txn), true) = (send.txn(), seen) {
                let fate = &mut fates[history.txn_row(txn) as usize];
                if *fate == Fate::Unknown {
                    *fate = Fate::Happened;
                }
            }
        }
    }
    fates
}

/// The fate of each send, by its row.
pub(crate) fn of_sends(history: &History, txns: &[Fate]) -> Vec<Fate> {
    let fate = |send: &SendRow| match (send.status, send.txn()) {
        (Status::Fail, _) => Fate::Failed,
        (status, None) => status.into(),
        (_, Some(txn)) => txns[history.txn_row(txn) as usize],
    };
    history.sends().iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::Fate;
    use crate::{
        analysis::Analysis,
        checks::testing::{Tale, tale},
        guarantees::Isolation,
    };

    fn fates(tale: &Tale) -> Vec<Fate> {
        Analysis::new(tale.history()).fates.clone()
    }

    #[test]
    fn sends_share_the_fate_of_their_transaction() {
        let mut tale = tale();
        tale.begin().sent(1, 0).failed(2).commit_txn();
        tale.begin().sent(3, 1).abort_txn();
        tale.begin().sent(4, 2).lose_txn();
        tale.sent(5, 3);
        use Fate::{Failed, Happened, Unknown};
        assert_eq!(fates(&tale), [Happened, Failed, Failed, Unknown, Happened]);
    }

    #[test]
    fn a_reader_of_committed_records_proves_a_commit() {
        let mut tale = tale();
        tale.begin().sent(1, 0).sent(2, 1).lose_txn().read(1, 0);
        assert_eq!(fates(&tale), [Fate::Unknown; 2]);
        tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
        assert_eq!(fates(&tale), [Fate::Happened; 2]);
    }

    #[test]
    fn a_poll_that_failed_proves_nothing() {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
        tale.begin().sent(1, 0).lose_txn().poll().read(1, 0).poll_failed();
        assert_eq!(fates(&tale), [Fate::Unknown]);
    }
}
