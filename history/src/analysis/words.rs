//! Events in English, for the stories of anomalies.

use super::{Analysis, Place};
use crate::{
    anomaly::{Moment, Neighbour, What},
    history::{SendRow, Status, UnitId},
};
use squall_bus::Time;
use std::time::Duration;

/// How many known positions are shown to either side of a place.
const NEIGHBOURS: usize = 3;

impl Analysis<'_> {
    /// `record 17 (key customer-4)`.
    #[must_use]
    pub(crate) fn record(&self, send: &SendRow) -> String {
        match send.key() {
            Some(key) => format!("record {} (key {})", send.value, self.history.key_name(key)),
            None => format!("record {}", send.value),
        }
    }

    /// `at 3.402s (event 12)`.
    #[must_use]
    pub(crate) fn when(&self, event: u32) -> String {
        format!("at {} ({})", short(self.history.time(event)), self.history.quoted(event))
    }

    /// Who an event is of.
    #[must_use]
    pub(crate) fn who(&self, event: u32) -> &str {
        self.history.process_name(self.history.process_of(event))
    }

    /// Who read: a process, or the final drain.
    #[must_use]
    pub(crate) fn reader(&self, event: u32) -> &str {
        match self.who(event) {
            "drain" => "the final drain",
            who => who,
        }
    }

    /// `orders/3`.
    #[must_use]
    pub(crate) fn unit(&self, unit: UnitId) -> String {
        self.history.unit_name(unit).to_string()
    }

    /// `producer-1 sent record 17 (key c) to orders, acknowledged at orders/3 position 41 at 3.402s (event 12)`.
    #[must_use]
    pub(crate) fn sent(&self, send: &SendRow) -> String {
        let (who, record) = (self.history.process_name(send.process), self.record(send));
        let topic = self.history.topic_name(send.topic);
        match (send.status, send.completion()) {
            (Status::Ok, Some(event)) => {
                let unit = send.unit().map_or_else(|| topic.to_owned(), |unit| self.unit(unit));
                let position = send.position().map(|at| format!(" position {at}")).unwrap_or_default();
                format!("{who} sent {record}, acknowledged in {unit}{position} {}", self.when(event))
            }
            (Status::Fail, Some(event)) => {
                let error = self.history.send_error(send).unwrap_or("an error");
                format!("{who} sent {record} to {topic}, which failed with {error} {}", self.when(event))
            }
            _ => format!("{who} sent {record} to {topic} {}, outcome unknown", self.when(send.invoke.0)),
        }
    }

    /// `consumer-1 read it at 4.000s (event 20)`.
    #[must_use]
    pub(crate) fn read_by(&self, event: u32) -> String {
        format!("{} read it {}", self.reader(event), self.when(event))
    }

    /// How far the final drain of a unit came, in words.
    #[must_use]
    pub(crate) fn drain_words(&self, unit: UnitId) -> String {
        let name = self.unit(unit);
        match self.units[unit.index()].drain {
            None => format!("{name} was not drained"),
            Some((event, drain)) if drain.complete => {
                format!(
                    "the final drain read all of {name} from {} to {} ({})",
                    drain.from,
                    drain.to,
                    self.history.quoted(event)
                )
            }
            Some((event, drain)) => {
                let quoted = self.history.quoted(event);
                format!("the final drain of {name} did not come to its end at {} ({quoted})", drain.to)
            }
        }
    }

    /// The known positions around a place.
    #[must_use]
    pub(crate) fn neighbourhood(&self, unit: UnitId, position: u64) -> Vec<Neighbour> {
        let places = &self.units[unit.index()].places;
        let mut list: Vec<Neighbour> = Vec::new();
        let from = places.partition_point(|place| place.position < position);
        let start = back(places, from, NEIGHBOURS);
        let mut after = 0;
        for place in &places[start..] {
            match list.last_mut() {
                Some(last) if last.position == place.position => self.join(last, place),
                _ => {
                    after += usize::from(place.position > position);
                    if after > NEIGHBOURS {
                        break;
                    }
                    let mut fresh = Neighbour {
                        position: place.position,
                        values: Vec::new(),
                        writers: Vec::new(),
                        acked: false,
                        delivered: false,
                        drained: false,
                        moments: Vec::new(),
                    };
                    self.join(&mut fresh, place);
                    list.push(fresh);
                }
            }
        }
        list
    }

    fn join(&self, neighbour: &mut Neighbour, place: &Place) {
        if let Some(value) = place.value() {
            neighbour.values.push(value);
            let writer = place.send().map_or("?", |row| self.history.process_name(self.send(row).process));
            neighbour.writers.push(writer.to_owned());
        }
        let sent = place.send().map(|row| self.send(row).invoke.0);
        let told = [
            (sent, What::Sent),
            (place.ack(), What::Acked),
            (place.delivered(), What::Delivered),
            (place.drained(), What::Drained),
        ];
        let moment = |event: u32, what| Moment {
            event,
            time: self.history.time(event).0,
            process: self.history.process_name(self.history.process_of(event)).to_owned(),
            what,
        };
        neighbour.moments.extend(told.into_iter().filter_map(|(event, what)| Some(moment(event?, what))));
        neighbour.moments.sort_by_key(|moment| moment.event);
        neighbour.acked |= place.ack().is_some();
        neighbour.delivered |= place.delivered().is_some();
        neighbour.drained |= place.drained().is_some();
    }
}

/// The index of the first place that is at most `steps` distinct positions before the place at `from`.
fn back(places: &[Place], from: usize, steps: usize) -> usize {
    let mut start = from;
    for _ in 0..steps {
        let Some(before) = start.checked_sub(1) else { break };
        let position = places[before].position;
        start = places[..start].partition_point(|place| place.position < position);
    }
    start
}

/// Seconds with milliseconds, in integers: `3.402s`.
pub(crate) fn short(time: Time) -> String {
    let ms = time.as_millis();
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}

/// Milliseconds or seconds, in integers.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{:03} s", ms / 1000, ms % 1000) }
}
