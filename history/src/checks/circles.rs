//! What the checks of circles share: from the circles of the analysis to findings and their stories.

use super::{Case, Found, proof};
use crate::{
    analysis::{Analysis, Circle},
    cycles::{self, Cycle, Dependency, Explain, Finding},
};

/// The findings of one kind of circle.
pub(super) fn found(analysis: &Analysis<'_>, circle: Circle) -> Vec<Found> {
    let circles = analysis.circles();
    let finding = |number: u32| match &circles.findings[number as usize] {
        Finding::Cycle { cycle, .. } => Found {
            case: match circle {
                Circle::Reads => Case::ReadsOnly,
                Circle::UnseenRealtime | Circle::UnseenTwiceRealtime => Case::InTime,
                _ => Case::Plain,
            },
            other: Some(number),
            ops: events(analysis, cycle),
            ..place(analysis, cycle)
        },
        Finding::Undecided { member, .. } => Found {
            case: if circle == Circle::Reads { Case::ReadsOutOfBudget } else { Case::OutOfBudget },
            other: Some(number),
            ops: vec![analysis.span(circles.node(*member)).0],
            ..Found::default()
        },
    };
    circles.numbers(circle).map(finding).collect()
}

/// Begins and ends of all in the circle, and the sends and reads that link them.
fn events(analysis: &Analysis<'_>, cycle: &Cycle) -> Vec<u32> {
    let circles = analysis.circles();
    let spans = cycle.edges.iter().flat_map(|edge| {
        let (begin, end) = analysis.span(circles.node(edge.from));
        [Some(begin), end]
    });
    let links = cycle.edges.iter().flat_map(|edge| match edge.dependency {
        Dependency::Ww => {
            let (before, row) = circles.writes_of(edge);
            [before, row].map(|row| Some(analysis.send(row).invoke.0))
        }
        Dependency::Wr => [Some(analysis.history.delivers()[edge.reason as usize].event), None],
        Dependency::Rw => {
            let (poll, row) = circles.unseen_of(edge);
            [analysis.history.polls()[poll as usize].completion(), Some(analysis.send(row).invoke.0)]
        }
        Dependency::Process | Dependency::Realtime => [None, None],
    });
    proof(spans.chain(links))
}

/// Where the first record of the circle stands.
fn place(analysis: &Analysis<'_>, cycle: &Cycle) -> Found {
    let row = |edge: &cycles::CycleEdge| match edge.dependency {
        Dependency::Ww => Some(analysis.circles().writes_of(edge).0),
        Dependency::Rw => Some(analysis.circles().unseen_of(edge).1),
        Dependency::Wr => {
            analysis.history.delivers()[edge.reason as usize].value().and_then(|value| analysis.writer(value))
        }
        Dependency::Process | Dependency::Realtime => None,
    };
    let Some(row) = cycle.edges.iter().find_map(row) else { return Found::default() };
    let place = analysis.first_place[row as usize];
    let position = place.map(|(unit, index)| analysis.units[unit.index()].places[index as usize].position);
    Found { unit: place.map(|(unit, _)| unit), position, send: Some(row), ..Found::default() }
}

/// Who is in the circle; then each edge with its reason, or why there is none to tell.
pub(super) fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(number) = found.other else { return Default::default() };
    match &analysis.circles().findings[number as usize] {
        Finding::Cycle { cycle, nodes, .. } => {
            let more = match nodes - cycle.edges.len() {
                0 => String::new(),
                more => format!(", of {nodes} that all depend on each other ({more} more)"),
            };
            let line = cycles::circle(cycle, analysis);
            [
                format!("No order explains this circle{more}: {line}."),
                cycles::english(cycle, analysis).join(" "),
            ]
        }
        Finding::Undecided { nodes, member, .. } => [
            format!("{nodes} operations depend on each other, among them {}.", analysis.name(*member)),
            "The budget of steps was used up before a circle of this kind was found or ruled out.".to_owned(),
        ],
    }
}
