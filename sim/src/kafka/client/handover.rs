//! How units come and go in a rebalance (rule E4).
//!
//! - **Eager**: when a rebalance begins, everything is handed back (`Revoked`), the caller deals with that, the member
//!   rejoins and is dealt a new set (`Assigned`).
//! - **Cooperative**: the member rejoins at once and reads on. Of what it is dealt only the difference is told: what it
//!   lacks is `Revoked`, what is new is `Assigned`, also when nothing is. After a revocation it joins once more, so that
//!   the taker gets what was given up in a second round.
//! - **Lost**: the membership is gone, and everything with it, whatever the assignor.
//!
//! Source: `ConsumerCoordinator` of Apache Kafka, `rdkafka_cgrp.c`; measured on both.

use super::super::{Shared, protocol::PartitionId};
use super::{
    Io,
    consumer::Consumer,
    fetcher::{Place, Reading},
    group::Phase,
};
use squall_bus::{ConsumerEvent, Unit};

impl Consumer {
    /// A rebalance begins.
    pub(super) fn release(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.commit_automatically(io);
        let Some(member) = &mut self.member else { return };
        if member.cooperative || self.units.is_empty() {
            return member.phase = Phase::Join;
        }
        member.phase = Phase::Releasing;
        let units = self.take_units(shared);
        self.tell_assignment(ConsumerEvent::Revoked(units), io);
    }

    /// The membership is gone: somebody else may own everything already.
    pub(super) fn lose(&mut self, forget_id: bool, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &mut self.member else { return };
        member.generation = -1;
        if forget_id {
            member.id = None;
        }
        member.phase = if self.units.is_empty() { Phase::Join } else { Phase::Releasing };
        if !shared.rules.clients_forget_lost_positions && !self.units.is_empty() {
            self.leftover = self.units.iter().filter_map(|reading| self.progress(reading)).collect();
        }
        let units = self.take_units(shared);
        if !units.is_empty() {
            self.tell_assignment(ConsumerEvent::Lost(units), io);
        }
    }

    fn take_units(&mut self, shared: &Shared) -> Vec<Unit> {
        let units = self.unit_names(shared);
        self.units.clear();
        self.hold(None);
        self.drop_stale();
        units
    }

    /// These are read from now on, and nothing else.
    pub(super) fn take_on(&mut self, partitions: &[PartitionId], io: &mut dyn Io) {
        self.units.clear();
        self.drop_stale();
        self.read_also(partitions, io);
    }

    /// These are read too.
    pub(super) fn read_also(&mut self, partitions: &[PartitionId], io: &mut dyn Io) {
        self.version += 1;
        let version = self.version;
        self.units.extend(partitions.iter().map(|id| Reading::new(*id, version, Place::Unknown)));
        for id in partitions {
            if self.net.metadata.follow(id.topic).1 {
                self.net.ask_at_once(io);
            }
        }
    }

    /// A cooperative assignment: only the difference counts.
    pub(super) fn adjust(&mut self, partitions: &[PartitionId], io: &mut dyn Io, shared: &Shared) {
        let owned: Vec<PartitionId> = self.units.iter().map(|reading| reading.id).collect();
        let revoked: Vec<PartitionId> = owned.iter().filter(|id| !partitions.contains(id)).copied().collect();
        let added: Vec<PartitionId> = partitions.iter().filter(|id| !owned.contains(id)).copied().collect();
        if !revoked.is_empty() {
            self.give_up(&revoked, io, shared);
            if let Some(member) = &mut self.member {
                member.phase = Phase::Releasing;
            }
        }
        self.read_also(&added, io);
        if revoked.is_empty() || !added.is_empty() || self.settings.library.tells_empty_assignment {
            let units = added.iter().map(|id| (shared.names.unit(*id), None)).collect();
            self.tell_assignment(ConsumerEvent::Assigned(units), io);
        }
    }

    /// Gives some units up in good order and reads on in the others.
    pub(super) fn give_up(&mut self, revoked: &[PartitionId], io: &mut dyn Io, shared: &Shared) {
        self.commit_automatically(io);
        let held = self.held();
        let before: Vec<PartitionId> = self.units.iter().map(|reading| reading.id).collect();
        self.units.retain(|reading| !revoked.contains(&reading.id));
        // Places have changed: what was asked for at the old ones is not for those who are there now.
        self.version += 1;
        for reading in &mut self.units {
            reading.version = self.version;
            reading.listing = false;
        }
        self.move_ready(&before);
        self.hold(held);
        let units = revoked.iter().map(|id| shared.names.unit(*id)).collect();
        self.tell_assignment(ConsumerEvent::Revoked(units), io);
    }

    /// Records that wait for the caller follow their units to their new places, or go with them.
    fn move_ready(&mut self, before: &[PartitionId]) {
        let units = &self.units;
        for chunk in &mut self.ready {
            let id = before[chunk.unit as usize];
            if let Some(place) = units.iter().position(|reading| reading.id == id) {
                chunk.unit = place as u32;
                chunk.version = units[place].version;
            } else {
                chunk.unit = u32::MAX;
            }
        }
        self.drop_stale();
    }
}
