//! Fetching: from a position to records that wait for the caller.
//!
//! - One fetch at a time to each broker, for all units that it leads and that have a position; it waits at the
//!   broker for up to `fetch.wait`. A unit that joins while one is in flight waits for the next one.
//! - No fetch begins while [`prefetch`](squall_bus::ConsumerConfig::prefetch) records wait; one that is in flight
//!   may bring more.
//! - A unit without a position asks its leader for its first or next offset (ListOffsets). OFFSET_OUT_OF_RANGE
//!   does the same, by the reset policy, and says so (`Reset`).
//! - After a change of the leader a position is fetched from once it is known to be good
//!   ([`validation`](super::validation)).
//! - A leader may name a replica in the consumer's rack (KIP-392): that one is read from while the metadata is young,
//!   until it answers with an error; then the leader is asked again.
//! - Whatever was asked for before a seek or a new assignment carries an old version and is dropped.

use super::super::{
    Shared, answers,
    error::ErrorCode,
    protocol::{
        Entry, FetchPartition, FetchRequest, FetchedPartition, ListOffsetsPartition, ListedOffset,
        OffsetSpec, PartitionId, RequestBody,
    },
};
use super::{
    Io, Timer,
    batch::records,
    connections::Slot,
    consumer::{Asked, Consumer},
    filter::Filter,
    metadata::PartitionView,
    net::What,
    own,
};
use crate::{
    kernel::{NodeId, Site, mix},
    model::Output,
};
use squall_bus::{ConsumerEvent, Position, Record, ThinVec, Time};
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
    /// A ListOffsets or OffsetForLeaderEpoch is in flight.
    pub(crate) listing: bool,
    /// The leader epoch of the last record fetched.
    pub(crate) epoch: Option<u32>,
    /// The leader epoch under which the position is known to be good.
    pub(crate) valid_under: Option<u32>,
    /// The replica to read from instead of the leader, until then.
    near: Option<(NodeId, Time)>,
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
            valid_under: None,
            near: None,
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
    entry: Entry,
    /// The index of the next record among those that are left in the batch.
    next: u32,
}

/// So many values are looked at together.
const AHEAD: u32 = 16;

/// A caller reads a record's value, and by then it may have left the processor's caches: the values of the next few
/// records are asked for at once, which takes no longer than one.
#[inline]
fn look_ahead(records: &[Record], next: u32) {
    let next = records.iter().skip(next as usize).take(AHEAD as usize);
    std::hint::black_box(next.fold(0, |all, record| all | record.value.first().copied().unwrap_or_default()));
}

impl Chunk {
    fn remaining(&self) -> u32 {
        self.entry.left() - self.next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Steps over the next record.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Next<'_> {
        let records = records(&self.entry.batch);
        if self.next.is_multiple_of(AHEAD) {
            look_ahead(records, self.next);
        }
        let place = self.entry.place(self.next);
        self.next += 1;
        Next {
            record: &records[place as usize],
            offset: self.entry.base_offset + u64::from(place),
            epoch: self.entry.epoch,
        }
    }
}

/// A record for the caller, where it lies.
pub(crate) struct Next<'a> {
    record: &'a Record,
    pub(crate) offset: u64,
    pub(crate) epoch: u32,
}

impl Next<'_> {
    /// The caller's own, out of this partition.
    #[inline(always)]
    pub(crate) fn record(&self, partition: u32) -> Record {
        let Record { topic, key, value, headers, .. } = self.record;
        Record {
            topic: topic.clone(),
            partition: Some(partition),
            key: key.clone(),
            value: value.clone(),
            // Mostly there are none, and an empty list is made faster than copied.
            headers: if headers.is_empty() { ThinVec::new() } else { headers.clone() },
        }
    }
}

/// The fetch from one broker: what is asked for, or was before it was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetching {
    pub(super) in_flight: bool,
    /// Which units, by place and version.
    asked: Vec<(u32, u32)>,
    /// Where to read, in the same order. When the broker has answered nobody has it but we.
    request: Arc<Vec<FetchPartition>>,
}

impl Consumer {
    /// Asks for whatever may be asked for now.
    pub(super) fn fetch(&mut self, io: &mut dyn Io) {
        if self.units.is_empty() || self.closing.is_some() {
            return;
        }
        let now = io.now();
        let mut later: Option<Time> = None;
        let mut wanted = std::mem::take(&mut self.wanted);
        let has_room = self.ready_records < self.settings.config.prefetch;
        let (mut all_asked, mut joined) = (true, false);
        for place in 0..self.units.len() {
            let reading = &self.units[place];
            let (id, version) = (reading.id, reading.version);
            if reading.place == Place::Unknown || reading.listing {
                continue;
            }
            if reading.not_before > now {
                later = Some(later.map_or(reading.not_before, |at| at.min(reading.not_before)));
                all_asked = false;
                continue;
            }
            // A replica in its rack is read from for a while only.
            all_asked &= reading.near.is_none();
            let Some(PartitionView { leader: Some(NodeId(leader)), epoch }) = self.net.metadata.partition(id)
            else {
                self.net.refresh(io);
                all_asked = false;
                continue;
            };
            if !self.net.conns.is_up(leader) {
                all_asked = false;
                self.net.leader_unreachable(leader, io);
                self.net.conns.want(leader, io);
                continue;
            }
            match self.units[place].place {
                Place::Unknown => {}
                Place::Listing { spec, .. } => self.list(place as u32, version, id, leader, spec, io),
                Place::At(_) => match self.units[place].to_validate(epoch) {
                    Some(asked) => self.validate(place as u32, leader, epoch, asked, io),
                    None => match self.read_from(place, leader, io) {
                        Ok(from) if self.fetches[from as usize].in_flight => {
                            joined |= !self.fetches[from as usize].asked.contains(&(place as u32, version));
                        }
                        Ok(from) if has_room => wanted.push((from, place as u32)),
                        Ok(_) => all_asked = false,
                        Err(at) => later = Some(later.map_or(at, |known| known.min(at))),
                    },
                },
            }
        }
        if !wanted.is_empty() {
            for slot in 0..self.fetches.len() as Slot {
                self.fetch_from(slot, &wanted, io);
            }
            wanted.clear();
        }
        self.wanted = wanted;
        self.all_asked = all_asked;
        self.steady = all_asked && !joined;
        if let Some(at) = later
            && self.fetch_at.is_none_or(|armed| at < armed)
        {
            self.fetch_at = Some(at);
            io.timer(at.since(now), Timer::Fetch);
        }
    }

    fn fetch_from(&mut self, slot: Slot, wanted: &[(Slot, u32)], io: &mut dyn Io) {
        if !wanted.iter().any(|(leader, _)| *leader == slot) {
            return;
        }
        let max_bytes = self.settings.library.partition_max_bytes;
        let Fetching { asked, request, .. } = &mut self.fetches[slot as usize];
        asked.clear();
        if Arc::get_mut(request).is_none() {
            *request = Arc::default();
        }
        let places = Arc::make_mut(request);
        places.clear();
        for (_, place) in wanted.iter().filter(|(leader, _)| *leader == slot) {
            let reading = &mut self.units[*place as usize];
            let Place::At(offset) = reading.place else { continue };
            asked.push((*place, reading.version));
            let current_leader_epoch = self.net.metadata.partition(reading.id).map(|view| view.epoch);
            reading.valid_under = current_leader_epoch;
            places.push(FetchPartition {
                id: reading.id,
                current_leader_epoch,
                offset,
                last_fetched_epoch: None,
                max_bytes,
                log_start: 0,
            });
        }
        self.send_fetch(slot, io);
    }

    /// Asks a broker that has just answered for what is behind that. If nothing else is to be asked for and nothing but
    /// positions has changed, it is the same request; `false` if that cannot be said.
    pub(super) fn fetch_again(&mut self, slot: Slot, io: &mut dyn Io) -> bool {
        if self.closing.is_some() || self.ready_records >= self.settings.config.prefetch {
            return false;
        }
        let (now, Fetching { asked, request, .. }) = (io.now(), &mut self.fetches[slot as usize]);
        for ((place, version), at) in asked.iter().zip(Arc::make_mut(request)) {
            let Some(reading) = self.units.get_mut(*place as usize) else { return false };
            let Place::At(position) = reading.place else { return false };
            let Some(view) = self.net.metadata.partition(reading.id) else { return false };
            let is_led = view.leader == Some(NodeId(slot)) && at.current_leader_epoch == Some(view.epoch);
            let is_good = reading.version == *version && reading.to_validate(view.epoch).is_none();
            let is_free = !reading.listing && reading.near.is_none() && reading.not_before <= now;
            if !is_led || !is_good || !is_free {
                return false;
            }
            reading.valid_under = Some(view.epoch);
            at.offset = position;
        }
        self.send_fetch(slot, io);
        true
    }

    fn send_fetch(&mut self, slot: Slot, io: &mut dyn Io) {
        let (library, fetching) = (&self.settings.library, &mut self.fetches[slot as usize]);
        fetching.in_flight = true;
        let timeout = library.fetch_wait + self.net.request_timeout();
        let request = FetchRequest {
            replica: None,
            isolation: self.settings.isolation(),
            max_wait: library.fetch_wait,
            min_bytes: library.fetch_min_bytes,
            max_bytes: library.fetch_max_bytes,
            partitions: Arc::clone(&fetching.request),
            rack: self.settings.config.rack.and_then(|node| node.checked_sub(1)).map(NodeId),
            topic_ids: self.net.metadata.topic_ids(),
        };
        self.net.conns.send(slot, RequestBody::Fetch(request), What::Client(Asked::Fetch), timeout, io);
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
    pub(super) fn fetched(&mut self, slot: Slot, mut partitions: Vec<FetchedPartition>, io: &mut dyn Io) {
        let was_empty = self.ready.is_empty();
        let fetching = &mut self.fetches[slot as usize];
        fetching.in_flight = false;
        let asked = std::mem::take(&mut fetching.asked);
        let mut as_ever = self.steady;
        for partition in partitions.drain(..) {
            as_ever &= !partition.error.is_error() && partition.preferred.is_none();
            let place = asked.iter().copied().find(|(place, version)| {
                self.units
                    .get(*place as usize)
                    .is_some_and(|reading| reading.id == partition.id && reading.version == *version)
            });
            if let Some((place, _)) = place {
                self.fetched_one(place, partition, io);
            }
        }
        answers::keep(partitions);
        self.fetches[slot as usize].asked = asked;
        self.again = as_ever.then_some(slot);
        if was_empty && !self.ready.is_empty() {
            io.emit(Output::Readable(io.node()));
        }
    }

    fn fetched_one(&mut self, place: u32, partition: FetchedPartition, io: &mut dyn Io) {
        let Place::At(position) = self.units[place as usize].place else { return };
        match partition.error {
            ErrorCode::None => {}
            _ if self.units[place as usize].near.take().is_some() => return,
            ErrorCode::OffsetOutOfRange => {
                let listing =
                    Place::Listing { from: Some(position), spec: self.reset_spec(), announce: true };
                self.units[place as usize].place = listing;
                return;
            }
            error => return self.reading_failed(place, error, partition.leader, io),
        }
        self.units[place as usize].failures = 0;
        let near_until = io.now() + self.settings.library.connecting.metadata_age;
        let reading = &mut self.units[place as usize];
        if let Some(node) = partition.preferred {
            reading.near = Some((node, near_until));
            self.net.conns.want(node.0, io);
            return;
        }
        let mut position = position;
        let mut filter = Filter::new(partition.aborted);
        for entry in partition.entries {
            let end = entry.end_offset();
            let visible = filter.shows(&entry);
            if end <= position {
                continue;
            }
            let next = entry.index_at(position);
            reading.epoch = Some(entry.epoch);
            position = end;
            if !visible {
                continue;
            }
            let chunk = Chunk { unit: place, version: reading.version, entry, next };
            if !chunk.is_empty() && !records(&chunk.entry.batch).is_empty() {
                self.ready_records += chunk.remaining();
                self.ready.push_back(chunk);
            }
        }
        reading.place = Place::At(position);
    }

    /// Whom to read a unit from: the replica that the leader named, for as long as the metadata is believed, else the
    /// leader. One that cannot be reached is forgotten; the leader is asked again a little later (`Err`).
    fn read_from(&mut self, place: usize, leader: Slot, io: &mut dyn Io) -> Result<Slot, Time> {
        if self.units[place].near.is_none() {
            return Ok(leader);
        }
        let (now, rule) = (io.now(), self.settings.library.fetch_retry);
        let reading = &mut self.units[place];
        match reading.near {
            Some((node, until)) if until > now && self.net.conns.is_up(node.0) => Ok(node.0),
            Some((node, until)) if until > now => {
                reading.near = None;
                reading.not_before = now + rule.delay(0, u32::MAX / 2);
                self.net.conns.want(node.0, io);
                Err(reading.not_before)
            }
            _ => {
                reading.near = None;
                Ok(leader)
            }
        }
    }

    pub(super) fn reading_failed(
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
