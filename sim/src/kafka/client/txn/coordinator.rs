//! Who coordinates a producer's transactions, and how it learns that somebody else does.
//!
//! | | librdkafka | Java |
//! |---|---|---|
//! | the connection to the coordinator | is kept at all times, attempt after attempt | is made for a request |
//! | it is lost, or an attempt to connect fails | asks who coordinates 0.5 s later, unless it is about to | asks, after a back-off |
//! | the answer is the same as before | waits for the next attempt to connect | waits for it, too |
//! | the answer is another | connects to that one at once, without a back-off | the same |
//! | the answer is an error, or the coordinator says that it is none (15, 16) | asks again 0.5 s later | after a back-off |
//!
//! So when a coordinator dies, librdkafka learns of its successor half a second after one of its own attempts to
//! connect to the dead one, and these come with a back-off that has grown to ten seconds by the time that the cluster
//! has elected somebody: a transaction that was open is ended up to ten seconds after that. A broker that has an
//! acks=all produce request of this producer parked answers the question when that is answered.
//!
//! Source: librdkafka's `rdkafka_txnmgr.c` (`rd_kafka_txn_coord_monitor_cb`, `rd_kafka_txn_coord_set`), its debug log
//! while coordinators of Kafka 4.3.0 were killed, and Java's `TransactionManager` and `Sender`.

use super::{Step, Transactions};
use crate::{
    kafka::{
        Shared,
        client::{Io, net::Happened, producer::Producer},
        protocol::RequestBody,
        txn::messages::TxnRequest,
    },
    kernel::NodeId,
};

impl Transactions {
    /// Whether a request of this kind is under way; the search for the coordinator goes on beside the others.
    pub(super) fn under_way(&mut self, step: &Step) -> &mut bool {
        if *step == Step::FindCoordinator { &mut self.searching } else { &mut self.in_flight }
    }
}

impl Producer {
    /// A request waits for the coordinator to be known.
    pub(super) fn need_coordinator(&mut self, io: &mut dyn Io) {
        if self.txn.as_ref().is_some_and(|txn| txn.search_at.is_none()) {
            self.search(io);
        }
    }

    fn search(&mut self, io: &mut dyn Io) {
        let Some(txn) = &self.txn else { return };
        if txn.searching {
            return;
        }
        let request = TxnRequest::FindCoordinator(txn.id);
        if !self.ask_any(Step::FindCoordinator, RequestBody::Txn(request), io) {
            self.search_later(io);
        }
    }

    /// Asks who coordinates, if it is time to.
    pub(super) fn search_when_due(&mut self, io: &mut dyn Io) {
        let now = io.now();
        if self.txn.as_mut().is_some_and(|txn| txn.search_at.take_if(|at| *at <= now).is_some()) {
            self.search(io);
        }
    }

    /// Asks in a while, unless it is about to; `false` if nobody watches.
    fn search_later(&mut self, io: &mut dyn Io) -> bool {
        let Some(after) = self.settings.library.coordinator_search else { return false };
        let Some(txn) = &mut self.txn else { return false };
        let at = *txn.search_at.get_or_insert(io.now() + after);
        self.wake_txn(at, io);
        true
    }

    /// Somebody has said who coordinates, or that nobody does.
    pub(super) fn search_answered(&mut self, node: Option<NodeId>, io: &mut dyn Io, shared: &Shared) {
        let Some(node) = node else { return self.coordinator_is_none(io) };
        if let Some(txn) = &mut self.txn {
            txn.coordinator_known = true;
        }
        if let Some(lost) = self.net.conns.retarget(node, io)
            && let Happened::Lost(lost) = self.net.lost(Some(lost), io)
        {
            self.connection_lost(lost, io, shared);
        }
        self.keep_connected(io);
    }

    /// The question who coordinates went down with its connection.
    pub(super) fn search_unanswered(&mut self, io: &mut dyn Io) {
        if self.settings.library.coordinator_search.is_some() {
            self.coordinator_is_none(io);
        } else {
            self.txn_back_off(true, None, io);
        }
    }

    /// Nobody is known to coordinate.
    pub(super) fn coordinator_is_none(&mut self, io: &mut dyn Io) {
        if let Some(txn) = &mut self.txn {
            txn.coordinator_known = false;
        }
        if !self.search_later(io) {
            self.txn_back_off(false, None, io);
        }
    }

    /// The connection to the coordinator is gone, or an attempt to make it failed.
    pub(in crate::kafka::client) fn txn_coordinator_lost(&mut self, io: &mut dyn Io) {
        if self.fatal.is_some() || self.txn.as_ref().is_none_or(|txn| !txn.coordinator_known) {
            return;
        }
        if self.search_later(io) {
            return self.keep_connected(io);
        }
        if let Some(txn) = &mut self.txn {
            txn.coordinator_known = false;
        }
        self.txn_back_off(true, None, io);
    }

    fn keep_connected(&mut self, io: &mut dyn Io) {
        if self.settings.library.coordinator_search.is_some() {
            let slot = self.net.conns.coordinator();
            self.net.conns.want(slot, io);
        }
    }
}
