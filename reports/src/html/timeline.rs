//! The timeline of one simulated run: messages, faults and roles on one axis of virtual time.
//!
//! Every node and client has a lane. A message is a line from the lane of its sender to that of its receiver, where it
//! arrived; what arrives within one column of the picture between the same two is one line, and says how many. A fault is
//! a band across the lanes that it hit, from its strike until it was healed. A role is a bar along the lane of the
//! node that held it, from its election until the next. Everything else that a node did is a dot.
//!
//! Under the picture stands the story of what was found, and the command that shows it again.

use super::{CSS, POLICY, chip, command};
use crate::{FaultLog, Run, words};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use squall_history::events::Hit;
use std::collections::BTreeMap;

/// An event of the cluster, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEvent {
    /// When, in nanoseconds since the run began.
    pub at: u64,
    /// Whose event it is.
    pub node: String,
    /// From whom the message came, if it is one.
    pub from: Option<String>,
    /// What happened.
    pub what: String,
}

/// A role and who has it from a time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// When, in nanoseconds since the run began.
    pub at: u64,
    /// The role: `leader(orders/0)`.
    pub role: String,
    /// The node that has it from now on, from 1; `None` if nobody does.
    pub node: Option<u32>,
}

const LEFT: f64 = 110.0;
const TOP: f64 = 30.0;
const LANE: f64 = 44.0;
const COLUMNS: u64 = 1_800;
/// Marks along the axis, about.
const TICKS: f64 = 12.0;

/// Lines and dots that stand for events.
#[derive(Default)]
struct Marks {
    /// From which lane to which, in which column: how many, what the first was, and when.
    messages: BTreeMap<(u64, usize, usize), (u64, String, u64)>,
    /// In which lane and column: the same.
    dots: BTreeMap<(u64, usize), (u64, String, u64)>,
}

/// A page with the timeline of this run.
#[must_use]
pub fn timeline(run: &Run, events: &[TimelineEvent], roles: &[RoleChange]) -> String {
    let title = format!("{} on {}, seed {}", run.started.scenario, run.started.target, run.started.seed);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) " - squall timeline" }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    header {
                        p.brand { "squall timeline" }
                        h1 { (title) }
                        div.banner.(run.verdict().word()) {
                            p.verdict-line { (chip(run.verdict())) span { (run.reason()) } }
                            (command(&run.started.reproduce))
                        }
                    }
                    section { (picture(run, events, roles)) }
                    @for anomaly in run.anomalies() {
                        section {
                            h3 { (anomaly.kind) }
                            div.story { @for line in anomaly.story().lines() { p { (line) } } }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn picture(run: &Run, events: &[TimelineEvent], roles: &[RoleChange]) -> Markup {
    let lanes = lanes(events);
    let end = events.iter().map(|event| event.at).max().unwrap_or_default().max(1);
    let column = |at: u64| at.saturating_mul(COLUMNS - 1) / end;
    let x = |at: u64| LEFT + column(at.min(end)) as f64;
    let y = |lane: usize| TOP + LANE * (lane as f64 + 0.5);
    let marks = marks(events, &lanes, column);
    let (width, bottom) = (LEFT + COLUMNS as f64 + 20.0, TOP + LANE * lanes.len() as f64);
    let place = |name: &str| lanes.iter().position(|lane| lane == name);
    html! {
        div.scroll {
            svg.moments viewBox={ "0 0 " (width) " " (bottom + 26.0) } width=(width) role="img" {
                title { "Messages, faults and roles over virtual time" }
                @for (lane, name) in lanes.iter().enumerate() {
                    text.tick x=(LEFT - 10.0) y=(y(lane) + 4.0) text-anchor="end" { (name) }
                    line.grid x1=(LEFT) x2=(width - 20.0) y1=(y(lane)) y2=(y(lane)) {}
                }
                @for fault in &run.faults { (band(fault, &lanes, end, &x, &y)) }
                @for held in held(roles, end) {
                    @if let Some(lane) = place(&format!("node-{}", held.node)) {
                        rect x=(x(held.from)) y=(y(lane) + 9.0) width=((x(held.to) - x(held.from)).max(1.0)) height="5"
                            fill="currentColor" fill-opacity="0.45" {
                            title { (held.role) " from " (words::instant(held.from)) " to " (words::instant(held.to)) }
                        }
                    }
                }
                @for ((column, from, to), (count, what, at)) in &marks.messages {
                    line x1=(LEFT + *column as f64) x2=(LEFT + *column as f64) y1=(y(*from)) y2=(y(*to))
                        stroke="currentColor" stroke-opacity="0.35" {
                        title { (lanes[*from]) " to " (lanes[*to]) " at " (words::instant(*at)) ": " (what) (more(*count)) }
                    }
                    circle cx=(LEFT + *column as f64) cy=(y(*to)) r="1.6" fill="currentColor" fill-opacity="0.6" {}
                }
                @for ((column, lane), (count, what, at)) in &marks.dots {
                    circle cx=(LEFT + *column as f64) cy=(y(*lane)) r="1.6" fill="none" stroke="currentColor" stroke-opacity="0.5" {
                        title { (lanes[*lane]) " at " (words::instant(*at)) ": " (what) (more(*count)) }
                    }
                }
                @for tick in 0..=TICKS as u64 {
                    @let at = end / TICKS as u64 * tick;
                    text.tick x=(x(at)) y=(bottom + 18.0) text-anchor="middle" { (words::instant(at)) }
                }
            }
        }
        p.note { "A line is a message, from its sender to its receiver; a dot on a lane is something else that happened there; a bar under a lane is a role that the node held; a band is a fault. Point at any of them to read it." }
    }
}

fn more(count: u64) -> String {
    if count > 1 { format!(", and {} more in this place", count - 1) } else { String::new() }
}

/// The band of a fault across the lanes that it hit.
fn band(
    fault: &FaultLog,
    lanes: &[String],
    end: u64,
    x: &impl Fn(u64) -> f64,
    y: &impl Fn(usize) -> f64,
) -> Markup {
    let hit: Vec<usize> = match &fault.struck.hit {
        Hit::Nodes(nodes) => {
            let names: Vec<String> = nodes.iter().map(|node| format!("node-{node}")).collect();
            (0..lanes.len()).filter(|lane| names.contains(&lanes[*lane])).collect()
        }
        Hit::Client(client) => (0..lanes.len()).filter(|lane| lanes[*lane] == *client).collect(),
        Hit::Nobody => Vec::new(),
    };
    let (from, to) = (fault.struck.time.0, fault.healed.map_or(end, |healed| healed.0));
    let name = format!("#{} {} {}", fault.struck.id, fault.struck.verb, fault.struck.role);
    html! {
        @for lane in hit {
            rect.fault-band x=(x(from)) y=(y(lane) - LANE / 2.0 + 3.0) width=((x(to) - x(from)).max(2.0)) height=(LANE - 6.0)
                fill="crimson" fill-opacity="0.18" {
                title { (name) " from " (words::instant(from)) " to " (words::instant(to)) }
            }
            text.tick x=(x(from) + 3.0) y=(y(lane) - 10.0) { (name) }
        }
    }
}

/// The names of all who have a lane: nodes, then clients, each in the order of their names.
fn lanes(events: &[TimelineEvent]) -> Vec<String> {
    let names = events.iter().flat_map(|event| event.from.iter().chain(std::iter::once(&event.node)));
    let mut lanes: Vec<String> = names.cloned().collect();
    lanes.sort_by_key(|name| {
        let (word, number) = name.rsplit_once('-').unwrap_or((name, ""));
        (word != "node", word.to_owned(), number.parse::<u64>().unwrap_or_default(), name.clone())
    });
    lanes.dedup();
    lanes
}

fn marks(events: &[TimelineEvent], lanes: &[String], column: impl Fn(u64) -> u64) -> Marks {
    let places: BTreeMap<&str, usize> =
        lanes.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut marks = Marks::default();
    for event in events {
        let (at, to) = (column(event.at), places[event.node.as_str()]);
        let mark = match &event.from {
            Some(from) => marks.messages.entry((at, places[from.as_str()], to)).or_default(),
            None => marks.dots.entry((at, to)).or_default(),
        };
        if mark.0 == 0 {
            (mark.1, mark.2) = (event.what.clone(), event.at);
        }
        mark.0 += 1;
    }
    marks
}

/// A role that a node held for a time.
struct Held<'a> {
    role: &'a str,
    node: u32,
    from: u64,
    to: u64,
}

fn held(roles: &[RoleChange], end: u64) -> Vec<Held<'_>> {
    let of = |change: &RoleChange, next: Option<&RoleChange>| (change.at, next.map_or(end, |next| next.at));
    let mut all = Vec::new();
    for (place, change) in roles.iter().enumerate() {
        let Some(node) = change.node else { continue };
        let next = roles[place + 1..].iter().find(|next| next.role == change.role);
        let (from, to) = of(change, next);
        all.push(Held { role: &change.role, node, from, to });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, node: &str, from: Option<&str>) -> TimelineEvent {
        TimelineEvent { at, node: node.to_owned(), from: from.map(str::to_owned), what: format!("<at {at}>") }
    }

    #[test]
    fn nodes_have_the_first_lanes_by_number() {
        let events =
            [event(0, "producer-1", None), event(1, "node-10", Some("node-2")), event(2, "drain", None)];
        assert_eq!(lanes(&events), ["node-2", "node-10", "drain", "producer-1"]);
    }

    #[test]
    fn what_arrives_in_one_column_is_one_line() {
        let events = [
            event(0, "b", Some("a")),
            event(1, "b", Some("a")),
            event(1_000, "b", Some("a")),
            event(1_000, "b", None),
        ];
        let marks = marks(&events, &lanes(&events), |at| at / 10);
        let counts: Vec<u64> = marks.messages.values().map(|mark| mark.0).collect();
        assert_eq!((counts, marks.dots.len()), (vec![2, 1], 1));
    }

    #[test]
    fn a_role_is_held_until_the_next_election_of_that_role() {
        let change = |at, role: &str, node| RoleChange { at, role: role.to_owned(), node };
        let roles =
            [change(1, "a", Some(1)), change(2, "b", Some(3)), change(5, "a", None), change(7, "a", Some(2))];
        let spans: Vec<_> = held(&roles, 9).iter().map(|held| (held.node, held.from, held.to)).collect();
        assert_eq!(spans, [(1, 1, 5), (3, 2, 9), (2, 7, 9)]);
    }
}
