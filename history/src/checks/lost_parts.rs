//! What `lost_prefix`, `lost_middle` and `lost_postfix` share: where in the sends of its writer a lost record stands.
//!
//! Lost records are those of `lost_write` and `unseen` whose unit is known. A writer's sends are those of one producer
//! session to one unit, in the order in which they were made; they are held against the first and the last of them
//! that was read and is not lost. Without any such there is no middle and no prefix: all is postfix.

use super::{Case, Found, lost_write, unseen};
use crate::{
    analysis::Analysis,
    history::{SendRow, UnitId},
};
use std::collections::HashMap;

/// Which part of its writer's sends a lost record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Prefix,
    Middle,
    Postfix,
}

/// The first and the last row of a writer that was read.
type Span = (u32, u32);

/// All that is lost, as the checks of losses share it.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// What `lost_write` finds.
    pub(super) writes: Vec<Found>,
    /// What `unseen` finds.
    pub(super) unseen: Vec<Found>,
    /// All of it whose unit is known, in the order of the sends.
    parts: Vec<(Part, Found)>,
}

impl Lost {
    pub(crate) fn of(analysis: &Analysis<'_>) -> Self {
        let (writes, unseen) = (lost_write::find(analysis), unseen::find(analysis));
        let parts = parts(analysis, writes.iter().chain(&unseen).cloned().collect());
        Self { writes, unseen, parts }
    }
}

/// What is lost in one part of its writers' sends.
pub(super) fn found(analysis: &Analysis<'_>, part: Part) -> Vec<Found> {
    let here = analysis.lost().parts.iter().filter(|(other, _)| *other == part);
    here.map(|(_, found)| found.clone()).collect()
}

fn parts(analysis: &Analysis<'_>, mut lost: Vec<Found>) -> Vec<(Part, Found)> {
    if lost.is_empty() {
        return Vec::new();
    }
    lost.sort_by_key(|one| one.send);
    let spans = spans(analysis, &lost);
    let part = |mut one: Found| {
        let (row, unit) = one.send.zip(one.unit)?;
        let span = spans.get(&(analysis.session_of[row as usize], unit)).copied();
        let part = match span {
            Some((first, _)) if row < first => Part::Prefix,
            Some((_, last)) if row < last => Part::Middle,
            _ => Part::Postfix,
        };
        one.other = span.map(|(first, last)| if part == Part::Prefix { first } else { last });
        one.case = match analysis.units[unit.index()].complete_drain() {
            Some(_) => Case::Drained,
            None => Case::Plain,
        };
        Some((part, one))
    };
    lost.into_iter().filter_map(part).collect()
}

/// What was read of each writer. Only asked, never walked.
fn spans(analysis: &Analysis<'_>, lost: &[Found]) -> HashMap<(u32, UnitId), Span> {
    let mut is_lost = vec![false; analysis.seen.len()];
    for row in lost.iter().filter_map(|one| one.send) {
        is_lost[row as usize] = true;
    }
    let mut spans: HashMap<(u32, UnitId), Span> = HashMap::new();
    for (row, unit) in (0u32..).zip(&analysis.unit_of) {
        if let (Some(unit), true, false) = (unit, analysis.seen[row as usize], is_lost[row as usize]) {
            let span = spans.entry((analysis.session_of[row as usize], *unit)).or_insert((row, row));
            span.1 = row;
        }
    }
    spans
}

pub(super) fn tell(analysis: &Analysis<'_>, found: &Found, part: Part) -> [String; 2] {
    let Some(send) = found.send.map(|row| analysis.send(row)) else { return Default::default() };
    let who = analysis.history.process_name(send.process);
    let other = found.other.map(|row| analysis.send(row));
    let quoted = |send: &SendRow| analysis.history.quoted(send.invoke.0);
    let other = other.map(|other| format!("{} ({})", analysis.record(other), quoted(other)));
    let second = match (part, other) {
        (Part::Prefix, Some(first)) => {
            format!("The first record of {who} there that was read is {first}, which it sent later.")
        }
        (Part::Middle, Some(last)) => {
            format!("{who} sent {last} there later, and that was read: this is loss, not lag.")
        }
        (_, Some(last)) => {
            format!("The last record of {who} there that was read is {last}, which it sent earlier.")
        }
        (_, None) => format!("Nothing that {who} sent there was read."),
    };
    [format!("{}.", analysis.sent(send)), second]
}
