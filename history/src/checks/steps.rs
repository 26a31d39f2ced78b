//! What the four checks of polls share: findings and stories of a reader's wrong steps.

use super::{Case, Found, proof};
use crate::analysis::{Analysis, Step};

/// The wrong steps within operations or between them that leave records out, or go back.
pub(super) fn found(analysis: &Analysis<'_>, internal: bool, skips: bool) -> Vec<Found> {
    let steps =
        analysis.steps.iter().filter(|step| step.internal == internal && step.skipped.is_some() == skips);
    let found = steps.map(|step| {
        let read = &analysis.history.delivers()[step.delivery as usize];
        let places = &analysis.units[step.unit.index()].places;
        let place = step.skipped.map(|index| places[index as usize]);
        let writer = || read.value().and_then(|value| analysis.writer(value));
        Found {
            unit: Some(step.unit),
            position: Some(place.map_or(read.position, |place| place.position)),
            ops: proof([Some(step.since), Some(read.event), place.and_then(|place| place.read())]),
            send: place.map_or_else(writer, |place| place.send()),
            other: Some(read.event),
            case: if step.assigned { Case::Assigned } else { Case::Plain },
        }
    });
    found.collect()
}

/// The step that a finding is about.
fn step<'a>(analysis: &'a Analysis<'_>, found: &Found) -> Option<&'a Step> {
    let row = analysis.history.deliver_row(found.other?)?;
    let index = analysis.steps.binary_search_by_key(&row, |step| step.delivery).ok()?;
    analysis.steps.get(index)
}

pub(super) fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(step), Some(event)) = (step(analysis, found), found.other) else { return Default::default() };
    let (history, unit) = (analysis.history, analysis.unit(step.unit));
    let read = &history.delivers()[step.delivery as usize];
    let place = format!("at position {} {}", read.position, analysis.when(event));
    let since = match history.deliver_row(step.since) {
        Some(row) => format!("had read {unit} up to position {}", history.delivers()[row as usize].position),
        None => format!("was to go on in {unit} at position {}", step.expected),
    };
    let first = format!("{} {since} {}.", analysis.who(event), analysis.when(step.since));
    let how = if step.internal { "In the same operation it" } else { "Its next operation" };
    if step.skipped.is_none() {
        return [first, format!("{how} went back: it delivered the record {place}.")];
    }
    let between = analysis.units[step.unit.index()].between(step.expected, read.position);
    let values: Vec<String> = between
        .iter()
        .filter(|place| analysis.had_to_be_read(place))
        .filter_map(|place| place.value().map(|value| value.to_string()))
        .collect();
    let (shown, more) = (values.iter().take(8).cloned().collect::<Vec<_>>().join(", "), values.len() > 8);
    let more = if more { format!(", ... ({} in all)", values.len()) } else { String::new() };
    [first, format!("{how} went on {place}, and left out what others read: {shown}{more}.")]
}
