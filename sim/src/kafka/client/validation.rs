//! Whether a position still means what it meant: consumers with leader epochs (rule B6, KIP-320).
//!
//! - A position knows the leader epoch of the record before it. When the partition's leader epoch is another than the
//!   one that the position was found good under, the new leader is asked where that epoch ends in its log
//!   (OffsetForLeaderEpoch) before anything more is fetched.
//! - It ends at the position or behind it: the log is the one that was read so far.
//! - It ends before, or the leader knows no epoch at all: what was read last is cut off, and other records have or
//!   will have its offsets. Both libraries go on where the epoch ends, and by the reset policy only if there is no epoch.
//!   The caller hears of a `Reset`.
//!
//! Source: `SubscriptionState.maybeCompleteValidation` of the Java client, `rd_kafka_offset_validate` of librdkafka.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{EpochEnd, EpochPartition, RequestBody},
};
use super::{
    Io,
    connections::Slot,
    consumer::{Asked, Consumer},
    fetcher::{Place, Reading},
    net::What,
};
use squall_bus::{ConsumerEvent, Position};

impl Reading {
    /// The epoch that the leader has to be asked about before this is read on, under this leader epoch.
    pub(super) fn to_validate(&self, leader_epoch: u32) -> Option<u32> {
        self.epoch.filter(|_| self.valid_under != Some(leader_epoch))
    }
}

impl Consumer {
    /// Asks the leader where the epoch of a position ends.
    pub(super) fn validate(
        &mut self,
        place: u32,
        leader: Slot,
        leader_epoch: u32,
        asked_epoch: u32,
        io: &mut dyn Io,
    ) {
        let reading = &mut self.units[place as usize];
        reading.listing = true;
        let at = EpochPartition {
            id: reading.id,
            current_leader_epoch: Some(leader_epoch),
            leader_epoch: asked_epoch,
        };
        let what = What::Client(Asked::EpochEnd(place, reading.version, leader_epoch));
        let timeout = self.net.request_timeout();
        self.net.conns.send(leader, RequestBody::OffsetForLeaderEpoch(vec![at]), what, timeout, io);
    }

    /// The leader said where the epoch ends.
    pub(super) fn validated(
        &mut self,
        place: u32,
        version: u32,
        leader_epoch: u32,
        ends: &[EpochEnd],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let spec = self.reset_spec();
        let Some(reading) = self.reading(place, version) else { return };
        reading.listing = false;
        let (Place::At(position), Some(found)) = (reading.place, ends.first()) else { return };
        if found.error != ErrorCode::None {
            return self.reading_failed(place, found.error, None, io);
        }
        reading.valid_under = Some(leader_epoch);
        match found.end {
            Some((_, end)) if end >= position => {}
            Some((epoch, end)) => {
                reading.place = Place::At(end);
                reading.epoch = Some(epoch);
                let unit = shared.names.unit(reading.id);
                let (from, to) = (Some(Position(position)), Position(end));
                self.tell(ConsumerEvent::Reset { unit, from, to }, io);
            }
            None => reading.place = Place::Listing { from: Some(position), spec, announce: true },
        }
    }
}
