//! The online checker: lost, duplicate, order and completeness of a run of any length, judged while it runs.
//!
//! [`judge`](crate::judge) wants the whole history; a run of hours at 100,000 records a second has none that fits.
//! [`Online`] is fed what happens, as it happens, and forgets a record as soon as it is both completed and read.
//! One checker judges the records of one topic, whose units are named at the start; the values are counters (one
//! for the run, or one for each producer), so that the set of all values is a few ranges.
//!
//! | kind | what is found | as soon as |
//! |---|---|---|
//! | `lost_write` | acknowledged at a place that the unit was read beyond, read by nobody | the end |
//! | `unseen` | acknowledged, read by nobody, and nothing behind it either | the end |
//! | `duplicate` | acknowledged and read at two places, or read at a second place beyond all that was read | it is read |
//! | `nonmonotonic_send` | read behind a record that its session sent later, both read for the first time in log order | it is read |
//! | `unexpected` | a value that nobody sent | it is read |
//! | `G1a` | a value whose send failed | it is read |
//! | `corrupt` | a payload that is not what was sent | it is read |
//!
//! **Agreement.** Every finding is one of the offline checks. Where each place of a unit is read first in the order
//! of the log (consumers may go back and read again), nothing escapes: the counts are those of the offline checks,
//! except that `nonmonotonic_send` counts the records that were overtaken, not those that overtook. A place that is
//! read first *below* the highest one read is known by its record alone: it takes a loss back, and if the record was
//! read before it passes for a redelivery.
//!
//! **Evidence limits.** What was read and vanished later (`lost_write` after a final drain) and a place that held two
//! records (`inconsistent_offsets`) need the whole log: the first is not found, the second is found as the loss of
//! the record whose place was taken. A place whose payload could not be read counts as read (and is `corrupt`): a
//! record that a later reader makes out there passes for a redelivery, if it was read elsewhere before.
//!
//! **Memory** is bounded by sessions times units, plus the records in flight: sent and not completed, acknowledged
//! and not read, of unknown outcome and not read. When these, with the pieces of the sets of values, exceed
//! [`Online::limit`], records sent from then on are not judged until half of them are settled; the report counts
//! them and is `unknown`. Findings are counted; the first few are kept. Of those that may come again, 4,096 are
//! remembered, so that a redelivery does not count twice.
//!
//! **Cost.** One or two probes of a hash table an event, no allocation once the table has its size.
//!
//! ```
//! use squall_bus::{Topic, Unit};
//! use squall_history::{Configuration, Expect, Verdict, analysis::Facts, guarantees::Rules, online::{Online, Read}};
//!
//! let mut online = Online::new(&[Unit::new(&Topic::new("orders"), 0)]);
//! let (session, unit) = (online.session("producer-0"), online.units()[0]);
//! for value in 0..3 {
//!     online.sent(session, value);
//!     online.acked(value, Some(unit), Some(value));
//! }
//! for value in [0, 2] {
//!     online.read(Read { unit, position: value, value: Some(value), corrupt: false, drain: false });
//! }
//! let (configuration, expect, facts) = (Configuration::default(), Expect::default(), Facts::default());
//! let report = online.finish(&Rules { configuration: &configuration, expect: &expect, facts: &facts });
//! assert_eq!((report.verdict, report.anomalies[0].kind.id()), (Verdict::Invalid, "lost_write"));
//! ```

mod findings;
mod finish;
mod ranges;
mod window;

use crate::{
    Kind,
    history::{Drain, UnitId},
    verdict::Counts,
};
use findings::Findings;
use ranges::Ranges;
use squall_bus::Unit;
use window::{Flight, State, Window};

/// A producer session, as [`Online::session`] numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u32);

/// A record reaches a reader: a consumer of the workload, or the final drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The unit.
    pub unit: UnitId,
    /// The place.
    pub position: u64,
    /// The value; `None` when it could not be read out of the payload.
    pub value: Option<u64>,
    /// The payload is not what a record of this value must carry.
    pub corrupt: bool,
    /// The final drain reads, not a consumer.
    pub drain: bool,
}

/// What is known of a unit.
#[derive(Clone, Debug)]
struct UnitState {
    name: String,
    highest_read: Option<u64>,
    /// An ack, a reader or the drain named it.
    met: bool,
    drain: Option<Drain>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Online {
    units: Vec<UnitState>,
    sessions: Vec<String>,
    /// Per session and unit: the latest send, as its ordinal from 1, among the records read in log order.
    latest: Vec<u64>,
    window: Window,
    issued: Ranges,
    failed: Ranges,
    unjudged: Ranges,
    limit: usize,
    overflowing: bool,
    /// Sends that were not judged for want of memory.
    skipped: u64,
    /// Completions that name no send, or a second one for it.
    strays: u64,
    /// A value that was sent twice.
    clash: Option<u64>,
    counts: Counts,
    findings: Findings,
}

impl Online {
    /// How many records may be in flight by default: about a million, in at most 100 MB.
    pub const LIMIT: usize = 1 << 20;

    /// A checker of the records of these units, which are those of one topic.
    #[must_use]
    pub fn new(units: &[Unit]) -> Self {
        let state =
            |unit: &Unit| UnitState { name: unit.to_string(), highest_read: None, met: false, drain: None };
        Self {
            units: units.iter().map(state).collect(),
            sessions: Vec::new(),
            latest: Vec::new(),
            window: Window::new(),
            issued: Ranges::default(),
            failed: Ranges::default(),
            unjudged: Ranges::default(),
            limit: Self::LIMIT,
            overflowing: false,
            skipped: 0,
            strays: 0,
            clash: None,
            counts: Counts::default(),
            findings: Findings::default(),
        }
    }

    /// The same with another limit on the records in flight.
    #[must_use]
    pub fn limit(self, records: usize) -> Self {
        Self { limit: records, ..self }
    }

    /// The units, in the order in which they were named at the start.
    #[must_use]
    pub fn units(&self) -> Vec<UnitId> {
        (0..self.units.len() as u32).map(UnitId::from).collect()
    }

    /// A producer session begins: the sends of one session keep their order where the configuration says so.
    pub fn session(&mut self, process: &str) -> SessionId {
        let session = SessionId(self.sessions.len() as u32);
        self.sessions.push(process.to_owned());
        self.latest.resize(self.sessions.len() * self.units.len(), 0);
        session
    }

    /// A send begins. Values are below 2^64 - 1, and no two sends have the same.
    pub fn sent(&mut self, session: SessionId, value: u64) {
        self.counts.sent += 1;
        let cost = self.cost();
        self.overflowing = if self.overflowing { cost > self.limit / 2 } else { cost >= self.limit };
        let ordinal = self.counts.sent;
        if self.overflowing {
            self.skipped += 1;
            self.unjudged.insert(value);
        } else if self.issued.insert(value) {
            let (position, unit, state) = (None, None, State::Sent);
            self.window.insert(Flight { value, ordinal, position, unit, session, state });
        } else {
            self.clash.get_or_insert(value);
        }
    }

    /// A send is acknowledged: in this unit and at this place, as far as the ack says so.
    pub fn acked(&mut self, value: u64, unit: Option<UnitId>, position: Option<u64>) {
        self.counts.acked += 1;
        if let Some(unit) = unit {
            self.units[unit.index()].met = true;
        }
        self.complete(value, State::Acked, unit, position);
    }

    /// Nobody knows how a send ended; the client may have learned its place.
    pub fn unknown(&mut self, value: u64, place: Option<(UnitId, u64)>) {
        self.counts.unknown += 1;
        self.complete(
            value,
            State::Unknown,
            place.map(|(unit, _)| unit),
            place.map(|(_, position)| position),
        );
    }

    fn complete(&mut self, value: u64, state: State, unit: Option<UnitId>, position: Option<u64>) {
        match self.window.get_mut(value) {
            Some(flight) if flight.state == State::Sent => {
                *flight = Flight { state, unit, position, ..*flight };
            }
            Some(flight) if flight.state == State::Read => {
                let read = flight.unit.zip(flight.position);
                self.window.remove(value);
                if let (Some(learned), Some(read)) = (unit.zip(position), read)
                    && learned != read
                {
                    self.duplicate(value, learned, read);
                }
            }
            _ => self.stray(value),
        }
    }

    /// A send failed: it definitely did not happen.
    pub fn failed(&mut self, value: u64) {
        self.counts.failed += 1;
        match self.window.get_mut(value).map(|flight| *flight) {
            Some(flight) if matches!(flight.state, State::Sent | State::Read) => {
                self.window.remove(value);
                self.failed.insert(value);
                if let Some(place) = flight.unit.zip(flight.position) {
                    self.aborted_read(value, place);
                }
            }
            _ => self.stray(value),
        }
    }

    fn stray(&mut self, value: u64) {
        self.strays += u64::from(!self.unjudged.contains(value));
    }

    /// A record reaches a reader.
    pub fn read(&mut self, read: Read) {
        let unit = &mut self.units[read.unit.index()];
        let ahead = unit.highest_read.is_none_or(|highest| read.position > highest);
        unit.met = true;
        if ahead {
            unit.highest_read = Some(read.position);
        }
        let count = if read.drain { &mut self.counts.drained } else { &mut self.counts.delivered };
        *count += 1;
        if read.corrupt || read.value.is_none() {
            self.corrupt(&read);
        }
        let Some(value) = read.value.filter(|value| *value != u64::MAX) else { return };
        match self.window.get_mut(value).map(|flight| *flight) {
            Some(flight) => self.read_in_flight(flight, &read, ahead),
            None => self.read_settled(value, &read, ahead),
        }
    }

    fn read_in_flight(&mut self, flight: Flight, read: &Read, ahead: bool) {
        let (known, place) = (flight.unit.zip(flight.position), (read.unit, read.position));
        if flight.state == State::Read {
            match known {
                Some(known) if known != place => self.duplicate(flight.value, known, place),
                _ => self.redelivered(read),
            }
            return;
        }
        if flight.state != State::Sent {
            self.window.remove(flight.value);
        } else if let Some(flight) = self.window.get_mut(flight.value) {
            *flight = Flight {
                state: State::Read,
                unit: Some(read.unit),
                position: Some(read.position),
                ..*flight
            };
        }
        if let Some(known) = known.filter(|known| *known != place) {
            self.duplicate(flight.value, known, place);
        }
        if ahead {
            self.ordered(&flight, place);
        }
    }

    /// A reader is handed a record that is not in flight: one that failed, was read before, or was never sent.
    fn read_settled(&mut self, value: u64, read: &Read, ahead: bool) {
        let place = (read.unit, read.position);
        if self.unjudged.contains(value) {
            return;
        }
        if self.failed.contains(value) {
            if !self.aborted_read(value, place) && ahead {
                self.read_again(value, place);
            }
        } else if !self.issued.contains(value) {
            self.unexpected(value, place);
        } else if ahead {
            self.read_again(value, place);
        } else {
            self.redelivered(read);
        }
    }

    fn redelivered(&mut self, read: &Read) {
        self.counts.redelivered += u64::from(!read.drain);
    }

    /// A record is read for the first time, beyond all that was read of its unit: no later send of its session may
    /// have been read there.
    fn ordered(&mut self, flight: &Flight, place: (UnitId, u64)) {
        let slot = flight.session.0 as usize * self.units.len() + place.0.index();
        let latest = &mut self.latest[slot];
        if *latest <= flight.ordinal {
            *latest = flight.ordinal;
        } else {
            self.overtaken(flight, place);
        }
    }

    /// What counts against the limit: the records in flight and the pieces of the sets of values.
    fn cost(&self) -> usize {
        self.window.len() + self.issued.pieces() + self.failed.pieces()
    }

    /// How many records are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// How much memory the checker takes, in bytes, without the few findings that it keeps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // A node of the tree holds up to eleven pieces of 16 bytes.
        const PIECE: usize = 64;
        let pieces = self.issued.pieces() + self.failed.pieces() + self.unjudged.pieces();
        let tables =
            self.latest.capacity() * size_of::<u64>() + self.units.capacity() * size_of::<UnitState>();
        self.window.bytes() + tables + pieces * PIECE
    }

    /// What was counted so far. A record is `redelivered` when it was read before, by whomever.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many anomalies of a kind were found so far. Losses are known at the end only.
    #[must_use]
    pub fn found(&self, kind: Kind) -> u64 {
        self.findings.count(kind)
    }
}

#[cfg(test)]
mod tests;
