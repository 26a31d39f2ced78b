//! The timeline of a finding's neighbourhood: a line for each position of the unit, a mark for everything that
//! happened to its records, and the faults that struck meanwhile.
//!
//! Marks stand in the order of events at equal distances: what happened within a millisecond can be told apart from
//! what happened a minute later, and the times are written below.

use crate::{FaultLog, words};
use maud::{Markup, html};
use squall_history::{Example, Moment, What};

const LEFT: f64 = 96.0;
const STEP: f64 = 30.0;
const ROW: f64 = 26.0;
const TOP: f64 = 18.0;
/// Times are written so far apart at least.
const LABEL: f64 = 74.0;

/// What stands at one place of the axis.
struct Column {
    time: u64,
    /// The fault that struck then; a moment otherwise.
    fault: Option<String>,
}

pub(super) fn timeline(example: &Example, faults: &[FaultLog]) -> Markup {
    let rows = &example.neighbourhood;
    let mut moments: Vec<(usize, &Moment)> =
        rows.iter().enumerate().flat_map(|(row, near)| near.moments.iter().map(move |m| (row, m))).collect();
    moments.sort_by_key(|(_, moment)| moment.event);
    let (Some((_, first)), Some((_, last))) = (moments.first(), moments.last()) else { return html! {} };
    let (columns, places) = columns(&moments, faults, first.time, last.time);
    let x = |column: usize| LEFT + STEP * (column as f64 + 0.5);
    let y = |row: usize| TOP + ROW * (row as f64 + 0.5);
    let (width, bottom) = (x(columns.len()) + 24.0, TOP + ROW * rows.len() as f64);
    html! {
        div.scroll {
            svg.moments viewBox={ "0 0 " (width) " " (bottom + 22.0) } width=(width) role="img" {
                title { "What happened around " (example.unit.as_deref().unwrap_or("the place")) ", in order" }
                @for (row, near) in rows.iter().enumerate() {
                    text.tick.here[example.position == Some(near.position)] x=(LEFT - 10.0) y=(y(row) + 4.0)
                        text-anchor="end" { (near.position) }
                    line.grid x1=(LEFT) x2=(width - 12.0) y1=(y(row)) y2=(y(row)) {}
                }
                @for (column, at) in columns.iter().enumerate() {
                    @if let Some(fault) = &at.fault {
                        line.struck x1=(x(column)) x2=(x(column)) y1=(TOP - 8.0) y2=(bottom) {
                            title { (fault) " at " (words::instant(at.time)) }
                        }
                    }
                }
                @for ((row, moment), column) in moments.iter().zip(&places) {
                    (mark(x(*column), y(*row), moment))
                }
                @for (column, at) in labelled(&columns) {
                    text.tick x=(x(column)) y=(bottom + 16.0) text-anchor="middle" { (words::instant(at.time)) }
                }
            }
        }
        p.note { "○ handed over, ◆ acknowledged, ▶ delivered, ■ drained; a line across is a fault that struck." }
    }
}

/// The axis, and where each moment stands on it.
fn columns(
    moments: &[(usize, &Moment)],
    faults: &[FaultLog],
    first: u64,
    last: u64,
) -> (Vec<Column>, Vec<usize>) {
    let struck = |fault: &&FaultLog| (first..=last).contains(&fault.struck.time.0);
    let mut waiting = faults.iter().filter(struck).peekable();
    let (mut columns, mut places) = (Vec::new(), Vec::new());
    for (_, moment) in moments {
        while let Some(fault) = waiting.next_if(|fault| fault.struck.time.0 <= moment.time) {
            let name = format!("{} {}", fault.struck.verb, fault.struck.role);
            columns.push(Column { time: fault.struck.time.0, fault: Some(name) });
        }
        places.push(columns.len());
        columns.push(Column { time: moment.time, fault: None });
    }
    (columns, places)
}

/// Columns so far apart that their times can be read.
fn labelled(columns: &[Column]) -> impl Iterator<Item = (usize, &Column)> {
    let every = (LABEL / STEP).ceil() as usize;
    columns.iter().enumerate().step_by(every.max(1))
}

fn mark(x: f64, y: f64, moment: &Moment) -> Markup {
    let (sign, class, did) = match moment.what {
        What::Sent => ("○", "sent", "handed it over"),
        What::Acked => ("◆", "acked", "had its ack"),
        What::Delivered => ("▶", "delivered", "was given it"),
        What::Drained => ("■", "drained", "found it"),
    };
    html! {
        text.mark.(class) x=(x) y=(y + 5.0) text-anchor="middle" {
            (sign)
            title { (moment.process) " " (did) " at " (words::instant(moment.time)) ", event " (moment.event) }
        }
    }
}
