//! A history that can be edited: its lines as JSON, which refer to each other by ids that survive insertions.

use super::text;
use crate::{History, jsonl};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The fields that name another event.
const REFERENCES: [&str; 4] = ["invoke", "txn", "poll", "delivery"];

/// An editable history. Events are named by ids: those of the history that it was made of, and new ones.
#[derive(Clone)]
pub(crate) struct Script {
    header: Value,
    events: Vec<(u64, Value)>,
    next: u64,
}

impl Script {
    pub(crate) fn of(history: &History) -> Self {
        let text = text(history);
        let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
        let header = lines.next().expect("a history has a header");
        let events: Vec<(u64, Value)> = (0..).zip(lines).collect();
        let next = events.len() as u64;
        Self { header, events, next }
    }

    /// The history that it says now. Events get new indexes; their times stay, so inserted ones have their
    /// neighbours'.
    pub(crate) fn history(&self) -> History {
        let ids = self.events.iter().map(|(id, _)| *id).zip(0u64..);
        let indexes: BTreeMap<u64, u64> = ids.collect();
        let mut text = self.header.to_string() + "\n";
        for (at, (_, event)) in self.events.iter().enumerate() {
            let mut event = event.clone();
            event["index"] = json!(at);
            for field in REFERENCES {
                if let Some(id) = event.get(field).and_then(Value::as_u64) {
                    event[field] =
                        json!(indexes.get(&id).expect("no event refers to one that was taken away"));
                }
            }
            text += &(event.to_string() + "\n");
        }
        jsonl::read(text.as_bytes(), "script").expect("an edited history can be read")
    }

    /// What the configuration says under a name, to change it.
    pub(crate) fn configuration(&mut self, name: &str) -> &mut Value {
        &mut self.header["configuration"][name]
    }

    /// What the scenario expects under a name, to change it.
    pub(crate) fn expect(&mut self, name: &str) -> &mut Value {
        &mut self.header["expect"][name]
    }

    /// This event and all after it happen so many nanoseconds later.
    pub(crate) fn later(&mut self, id: u64, span: u64) {
        let at = self.at(id);
        for (_, event) in &mut self.events[at..] {
            event["time"] = json!(number(event, "time") + span);
        }
    }

    /// The ids of the events that are so, in their order.
    pub(crate) fn all(&self, so: impl Fn(&Value) -> bool) -> Vec<u64> {
        self.events.iter().filter(|(_, event)| so(event)).map(|(id, _)| *id).collect()
    }

    /// The first event that is so.
    pub(crate) fn first(&self, so: impl Fn(&Value) -> bool) -> Option<u64> {
        self.all(so).first().copied()
    }

    /// An event by its id.
    pub(crate) fn get(&self, id: u64) -> &Value {
        &self.events[self.at(id)].1
    }

    /// An event by its id, to change it.
    pub(crate) fn edit(&mut self, id: u64) -> &mut Value {
        let at = self.at(id);
        &mut self.events[at].1
    }

    /// Where an event stands.
    pub(crate) fn at(&self, id: u64) -> usize {
        self.events.iter().position(|(known, _)| *known == id).expect("the event is there")
    }

    /// Takes away all events that are so. Nothing may refer to them.
    pub(crate) fn remove(&mut self, so: impl Fn(&Value) -> bool) {
        self.events.retain(|(_, event)| !so(event));
    }

    /// Puts an event right before another one, at its time.
    pub(crate) fn before(&mut self, id: u64, event: Value) -> u64 {
        let at = self.at(id);
        self.insert(at, event)
    }

    /// Puts an event right after another one, at its time.
    pub(crate) fn after(&mut self, id: u64, event: Value) -> u64 {
        let at = self.at(id);
        self.insert(at + 1, event)
    }

    /// Puts an event at the end.
    pub(crate) fn push(&mut self, event: Value) -> u64 {
        self.insert(self.events.len(), event)
    }

    fn insert(&mut self, at: usize, mut event: Value) -> u64 {
        let neighbour = at.checked_sub(1).or(Some(0)).and_then(|at| self.events.get(at));
        if event.get("time").is_none() {
            event["time"] = neighbour.map_or(json!(0), |(_, event)| event["time"].clone());
        }
        for (field, default) in [("type", "ok"), ("process", "harness")] {
            if event.get(field).is_none() {
                event[field] = json!(default);
            }
        }
        self.next += 1;
        self.events.insert(at, (self.next, event));
        self.next
    }

    /// The first event of the final drain; every history of ours has one.
    pub(crate) fn drain(&self) -> u64 {
        self.first(|event| event["process"] == "drain").expect("a clean history is drained")
    }

    /// A value that nobody sent yet.
    pub(crate) fn fresh(&self) -> u64 {
        let sent = self.events.iter().filter(|(_, event)| is(event, "invoke", "send"));
        sent.filter_map(|(_, event)| event["value"].as_u64())
            .filter(|value| *value < 1 << 40)
            .max()
            .map_or(1, |v| v + 1)
    }

    /// Puts an acknowledged send before an event: (id of its invocation, id of its ack).
    pub(crate) fn send_before(
        &mut self,
        id: u64,
        process: &str,
        unit: &str,
        value: u64,
        position: u64,
    ) -> (u64, u64) {
        let topic = unit.split('/').next().unwrap_or(unit);
        let send = json!({"f": "send", "type": "invoke", "process": process, "topic": topic, "value": value, "key": "planted"});
        let invoke = self.before(id, send);
        let ack =
            json!({"f": "send", "process": process, "invoke": invoke, "unit": unit, "position": position});
        let ok = self.before(id, ack);
        (invoke, ok)
    }

    /// The places that were acknowledged to plain producers and drained: (unit, position, value), in order.
    pub(crate) fn drained(&self) -> Vec<(String, u64, u64)> {
        let acked = |value: &Value| self.ack_of(value.as_u64().unwrap_or(u64::MAX)).is_some();
        let reads = self.events.iter().map(|(_, event)| event);
        let whole = reads.filter(|event| is_drain_read(event) && event.get("node").is_none());
        let orders =
            whole.filter(|event| text_of(event, "unit").starts_with("orders/") && acked(&event["value"]));
        orders
            .map(|event| (text_of(event, "unit"), number(event, "position"), number(event, "value")))
            .collect()
    }

    /// The successful completion of a plain send of a value.
    pub(crate) fn ack_of(&self, value: u64) -> Option<u64> {
        let invoke = self.first(|event| {
            is(event, "invoke", "send") && event["value"] == value && event.get("txn").is_none()
        })?;
        self.first(|event| is(event, "ok", "send") && event["invoke"] == invoke)
    }
}

/// Whether an event is of this side and kind.
pub(crate) fn is(event: &Value, side: &str, f: &str) -> bool {
    event["type"] == side && event["f"] == f
}

/// Whether the final drain read something.
pub(crate) fn is_drain_read(event: &Value) -> bool {
    event["process"] == "drain" && event["f"] == "deliver"
}

/// A number that a line must have.
pub(crate) fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().expect("the line has the number")
}

/// A text that a line must have.
pub(crate) fn text_of(event: &Value, field: &str) -> String {
    event[field].as_str().expect("the line has the text").to_owned()
}
