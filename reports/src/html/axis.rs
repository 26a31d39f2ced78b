//! Axes: from values to places in a chart. Floats are fine here: they place ink and decide nothing.

use crate::{FaultLog, Run, Series, progress};
use squall_history::events::Hit;

/// The part of time that a run's charts share, and what happened in it. Seconds since the workload began.
pub(super) struct Span {
    /// The width of a slice.
    pub width: f64,
    /// The end.
    pub end: f64,
    /// When the workload was over and the drain began, if that is in it.
    pub workload_ends: Option<f64>,
    /// The faults.
    pub bands: Vec<Band>,
}

/// A fault in time.
pub(super) struct Band {
    /// When it struck.
    pub from: f64,
    /// When it was healed, or until where it is drawn.
    pub to: f64,
    /// Whether `to` is when it was healed.
    pub healed: bool,
    /// Whether it hit nobody.
    pub missed: bool,
    /// Its label, and a shorter one.
    pub labels: [String; 2],
    /// All about it, in a line.
    pub title: String,
}

impl Span {
    pub(super) fn of(run: &Run, series: &Series) -> Self {
        let since = |nanos: u64| nanos.saturating_sub(series.origin) as f64 / 1e9;
        let width = series.width as f64 / 1e9;
        let struck = run.faults.iter().map(|fault| since(fault.healed.unwrap_or(fault.struck.time).0));
        let end = struck.fold(width * series.points.len() as f64, f64::max);
        let lasts = run.plan.as_ref().map(|plan| plan.lasts.0 as f64 / 1e9);
        let bands = run
            .faults
            .iter()
            .map(|fault| {
                let planned = run.plan.iter().flat_map(|plan| &plan.faults).find(|f| f.id == fault.struck.id);
                let over_at_once = planned.is_some_and(|planned| planned.lasts.0 == 0);
                let from = since(fault.struck.time.0);
                let to = match fault.healed {
                    Some(healed) => since(healed.0),
                    None if over_at_once || fault.struck.hit == Hit::Nobody => from,
                    None => end,
                };
                Band::of(fault, from, to)
            })
            .collect();
        Self { width, end, workload_ends: lasts.filter(|lasts| *lasts < end - width / 2.0), bands }
    }
}

impl Band {
    fn of(fault: &FaultLog, from: f64, to: f64) -> Self {
        let struck = &fault.struck;
        let missed = struck.hit == Hit::Nobody;
        let ends = if fault.healed.is_some() { format!(", healed at {to:.1} s") } else { String::new() };
        Self {
            from,
            to,
            healed: fault.healed.is_some(),
            missed,
            labels: [
                short(&format!("#{} {} {}", struck.id, struck.verb, struck.role)),
                short(&format!("#{} {}", struck.id, struck.verb)),
            ],
            title: format!(
                "#{} {} {} {} at {from:.1} s{ends}",
                struck.id,
                struck.verb,
                struck.role,
                progress::hit(&struck.hit)
            ),
        }
    }
}

/// A label of at most 48 characters.
fn short(label: &str) -> String {
    match label.char_indices().nth(47) {
        Some((end, last)) if end + last.len_utf8() < label.len() => format!("{}…", &label[..end]),
        _ => label.to_owned(),
    }
}

/// The least of 1, 2 and 5 times a power of ten that divides `range` into at most `most` steps.
pub(super) fn step(range: f64, most: f64) -> f64 {
    let least = (range / most).max(1e-9);
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(power)
}

/// In which lane each label stands, so that none touches another: the first lane that is free at its place. `None`
/// when they need more than `most` lanes.
pub(super) fn lanes(labels: &[(f64, f64)], most: usize) -> Option<Vec<usize>> {
    let mut free_from: Vec<f64> = Vec::new();
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| labels[*a].0.total_cmp(&labels[*b].0));
    let mut lanes = vec![0; labels.len()];
    for index in order {
        let (from, to) = labels[index];
        let lane = free_from.iter().position(|free| *free <= from).unwrap_or(free_from.len());
        if lane == most {
            return None;
        }
        if lane == free_from.len() {
            free_from.push(0.0);
        }
        free_from[lane] = to;
        lanes[index] = lane;
    }
    Some(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([60.0, 100.0, 7.0, 0.3].map(|range| step(range, 10.0)), [10.0, 10.0, 1.0, 0.05]);
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(short(&"é".repeat(48)), "é".repeat(48));
        assert_eq!(short(&"é".repeat(49)), format!("{}…", "é".repeat(47)));
    }

    #[test]
    fn labels_that_touch_stand_in_different_lanes() {
        assert_eq!(lanes(&[(0.0, 10.0), (20.0, 30.0), (5.0, 25.0)], 4), Some(vec![0, 0, 1]));
        assert_eq!(lanes(&[(0.0, 10.0), (1.0, 11.0), (2.0, 12.0)], 2), None);
    }
}
