//! Fetching: from a position to records that wait for the caller.
//!
//! - One fetch at a time to each broker, for all units that it leads and that have a position; it waits at the
//!   broker for up to `fetch.wait`. A unit that joins while one is in flight waits for the next one.
//! - No fetch begins while [`prefetch`](squall_bus::ConsumerConfig::prefetch) records wait; one that is in flight
//!   may bring more.
//! - A unit without a position asks its leader for its first or next offset (ListOffsets). OFFSET_OUT_OF_RANGE
//!   does the same, by the reset policy, and says so (`Reset`).
//! - The reader's last leader epoch goes along (KIP-320): a log that diverges below the position sets it back to
//!   where the logs part, and says so.
//! - Whatever was asked for before a seek or a new assignment carries an old version and is dropped.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{
        Batch, FetchPartition, FetchRequest, FetchedPartition, ListOffsetsPartition, ListedOffset,
        OffsetSpec, PartitionId, RequestBody,
    },
};
use super::{
    Io, Timer,
    batch::records,
    connections::Slot,
    consumer::{Asked, Consumer},
    filter::Filter,
    net::What,
    own,
};
use crate::{
    kernel::{Site, mix},
    model::Output,
};
use squall_bus::{ConsumerEvent, Position, Record, Time};
use std::sync::Arc;

const BACK_OFF: Site = Site::new("kafka.client.fetch-backoff");

/// Where a reader is in a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The group has to be asked.
    Unknown,
    /// The leader has to be asked.
    Listing {
        /// The position that turned out impossible.
        from: Option<u64>,
        spec: OffsetSpec,
        /// Whether the caller is told.
        announce: bool,
    },
    /// The next offset to fetch.
    At(u64),
}

/// A unit that is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) id: PartitionId,
    /// What was asked for under another version does not concern it.
    pub(crate) version: u32,
    pub(crate) place: Place,
    /// A ListOffsets is in flight.
    pub(crate) listing: bool,
    /// The leader epoch of the last record fetched.
    pub(crate) epoch: Option<u32>,
    failures: u32,
    not_before: Time,
    /// Behind the last record handed out, and that record's leader epoch.
    pub(crate) handed: Option<u64>,
    pub(crate) handed_epoch: Option<u32>,
    /// Behind the last record that the caller is done with, by its asking for the next.
    pub(crate) done: Option<u64>,
    /// What was committed automatically.
    pub(crate) committed: Option<u64>,
}

impl Reading {
    pub(crate) fn new(id: PartitionId, version: u32, place: Place) -> Self {
        Self {
            id,
            version,
            place,
            listing: false,
            epoch: None,
            failures: 0,
            not_before: Time::ZERO,
            handed: None,
            handed_epoch: None,
            done: None,
            committed: None,
        }
    }
}

/// Records of one batch that wait for the caller.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The unit, by its place.
    pub(crate) unit: u32,
    pub(crate) version: u32,
    batch: Arc<Batch>,
    base_offset: u64,
    epoch: u32,
    next: u32,
}

impl Chunk {
    fn remaining(&self) -> u32 {
        records(&self.batch).len() as u32 - self.next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next record with its offset and leader epoch.
    pub(crate) fn next(&mut self) -> (Record, u64, u32) {
        let record = records(&self.batch)[self.next as usize].clone();
        let offset = self.base_offset + u64::from(self.next);
        self.next += 1;
        (record, offset, self.epoch)
    }
}

impl Consumer {
    /// Asks for whatever may be asked for now.
    pub(super) fn fetch(&mut self, io: &mut dyn Io) {
        if self.units.is_empty() || self.closing.is_some() {
            return;
        }
        let now = io.now();
        let mut later: Option<Time> = None;
        let mut wanted: Vec<(Slot, u32)> = Vec::new();
        let has_room = self.ready_records < self.settings.config.prefetch;
        for place in 0..self.units.len() {
            let reading = &self.units[place];
            let (id, version) = (reading.id, reading.version);
            if reading.place == Place::Unknown || reading.listing {
                continue;
            }
            if reading.not_before > now {
                later = Some(later.map_or(reading.not_before, |at| at.min(reading.not_before)));
                continue;
            }
            let Some(leader) = self.net.metadata.leader(id) else {
                self.net.refresh(io);
                continue;
            };
            if !self.net.conns.is_up(leader) {
                self.net.leader_unreachable(leader, io);
                self.net.conns.want(leader, io);
                continue;
            }
            match self.units[place].place {
                Place::Unknown => {}
                Place::Listing { spec, .. } => self.list(place as u32, version, id, leader, spec, io),
                Place::At(_) if has_room && !self.fetching[leader as usize] => {
                    wanted.push((leader, place as u32));
                }
                Place::At(_) => {}
            }
        }
        if !wanted.is_empty() {
            for slot in 0..self.fetching.len() as Slot {
                self.fetch_from(slot, &wanted, io);
            }
        }
        if let Some(at) = later
            && self.fetch_at.is_none_or(|armed| at < armed)
        {
            self.fetch_at = Some(at);
            io.timer(at.since(now), Timer::Fetch);
        }
    }

    fn fetch_from(&mut self, slot: Slot, wanted: &[(Slot, u32)], io: &mut dyn Io) {
        let library = &self.settings.library;
        let wanted = wanted.iter().filter(|(leader, _)| *leader == slot);
        let units = wanted.clone().count();
        if units == 0 {
            return;
        }
        let (mut asked, mut partitions) = (Vec::with_capacity(units), Vec::with_capacity(units));
        for (_, place) in wanted {
            let reading = &self.units[*place as usize];
            let Place::At(offset) = reading.place else { continue };
            asked.push((*place, reading.version));
            partitions.push(FetchPartition {
                id: reading.id,
                current_leader_epoch: self.net.metadata.partition(reading.id).map(|view| view.epoch),
                offset,
                last_fetched_epoch: reading.epoch,
                max_bytes: library.partition_max_bytes,
            });
        }
        self.fetching[slot as usize] = true;
        let timeout = library.fetch_wait + self.net.request_timeout();
        let request = FetchRequest {
            replica: None,
            isolation: self.settings.isolation(),
            max_wait: library.fetch_wait,
            min_bytes: library.fetch_min_bytes,
            max_bytes: library.fetch_max_bytes,
            partitions: Arc::new(partitions),
        };
        self.net.conns.send(
            slot,
            RequestBody::Fetch(request),
            What::Client(Asked::Fetch(asked)),
            timeout,
            io,
        );
    }

    fn list(
        &mut self,
        place: u32,
        version: u32,
        id: PartitionId,
        leader: Slot,
        at: OffsetSpec,
        io: &mut dyn Io,
    ) {
        self.units[place as usize].listing = true;
        let current_leader_epoch = self.net.metadata.partition(id).map(|view| view.epoch);
        let body = RequestBody::ListOffsets(vec![ListOffsetsPartition { id, current_leader_epoch, at }]);
        let (what, timeout) = (What::Client(Asked::ListOffsets(place, version)), self.net.request_timeout());
        self.net.conns.send(leader, body, what, timeout, io);
    }

    /// A fetch was answered.
    pub(super) fn fetched(
        &mut self,
        asked: &[(u32, u32)],
        partitions: Vec<FetchedPartition>,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let was_empty = self.ready.is_empty();
        for partition in partitions {
            let place = asked.iter().copied().find(|(place, version)| {
                self.units
                    .get(*place as usize)
                    .is_some_and(|reading| reading.id == partition.id && reading.version == *version)
            });
            if let Some((place, _)) = place {
                self.fetched_one(place, partition, io, shared);
            }
        }
        if was_empty && !self.ready.is_empty() {
            io.emit(Output::Readable(io.node()));
        }
    }

    fn fetched_one(&mut self, place: u32, partition: FetchedPartition, io: &mut dyn Io, shared: &Shared) {
        let Place::At(position) = self.units[place as usize].place else { return };
        match partition.error {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let listing =
                    Place::Listing { from: Some(position), spec: self.reset_spec(), announce: true };
                self.units[place as usize].place = listing;
                return;
            }
            error => return self.reading_failed(place, error, partition.leader, io),
        }
        self.units[place as usize].failures = 0;
        if let Some((epoch, end)) = partition.diverging {
            return self.diverged(place, position, epoch, end, io, shared);
        }
        let reading = &mut self.units[place as usize];
        let mut position = position;
        let mut filter = Filter::new(partition.aborted);
        for entry in partition.entries {
            let end = entry.end_offset();
            let visible = filter.shows(&entry);
            if end <= position {
                continue;
            }
            let skip = position.saturating_sub(entry.base_offset) as u32;
            reading.epoch = Some(entry.epoch);
            position = end;
            if !visible {
                continue;
            }
            let chunk = Chunk {
                unit: place,
                version: reading.version,
                base_offset: entry.base_offset,
                epoch: entry.epoch,
                next: skip,
                batch: entry.batch,
            };
            if (skip as usize) < records(&chunk.batch).len() {
                self.ready_records += chunk.remaining();
                self.ready.push_back(chunk);
            }
        }
        reading.place = Place::At(position);
    }

    /// The log parts from what was read below the position: on from there.
    fn diverged(
        &mut self,
        place: u32,
        position: u64,
        epoch: u32,
        end: u64,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let to = end.min(position);
        let reading = &mut self.units[place as usize];
        reading.place = Place::At(to);
        reading.epoch = Some(epoch);
        let unit = shared.names.unit(reading.id);
        self.tell(ConsumerEvent::Reset { unit, from: Some(Position(position)), to: Position(to) }, io);
    }

    fn reading_failed(
        &mut self,
        place: u32,
        error: ErrorCode,
        hint: Option<super::super::protocol::LeaderHint>,
        io: &mut dyn Io,
    ) {
        let entity = mix(own(io.node()), self.units[place as usize].id.word());
        let rule = self.settings.library.fetch_retry;
        let reading = &mut self.units[place as usize];
        let drawn = io.choices().draw(BACK_OFF, entity, u64::from(reading.failures)) as u32;
        let news = hint.is_some_and(|hint| self.net.metadata.learn_leader(reading.id, hint));
        if !news {
            reading.not_before = io.now() + rule.delay(reading.failures, drawn);
        }
        reading.failures += 1;
        if error != ErrorCode::OffsetNotAvailable {
            self.net.refresh(io);
        }
    }

    /// An offset was asked for and answered.
    pub(super) fn listed(
        &mut self,
        place: u32,
        version: u32,
        offsets: &[ListedOffset],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(reading) = self.reading(place, version) else { return };
        reading.listing = false;
        let (Place::Listing { from, announce, .. }, Some(listed)) = (reading.place, offsets.first()) else {
            return;
        };
        if listed.error.is_error() {
            return self.reading_failed(place, listed.error, None, io);
        }
        reading.place = Place::At(listed.offset);
        reading.epoch = None;
        reading.failures = 0;
        if announce {
            let unit = shared.names.unit(reading.id);
            let (from, to) = (from.map(Position), Position(listed.offset));
            self.tell(ConsumerEvent::Reset { unit, from, to }, io);
        }
    }

    /// Drops records whose unit is no longer read, or read elsewhere.
    pub(super) fn drop_stale(&mut self) {
        let units = &self.units;
        self.ready.retain(|chunk| {
            units.get(chunk.unit as usize).is_some_and(|reading| reading.version == chunk.version)
        });
        self.ready_records = self.ready.iter().map(Chunk::remaining).sum();
    }
}
