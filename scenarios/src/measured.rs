//! What the load engine measured, in the plain data of reports.

use squall_history::impact::Impact;
use squall_loadgen::{Counter, Distribution, Limits, Quantile, Reading, Recorder, Slice, Warning};
use squall_reports::{AfterFault, Doubt, Measured, Percentiles, Point, Series};
use std::time::Duration;

/// Copies a recorder's measurements, and tells what happened after each fault.
pub(crate) fn measured(run: &Recorder, impacts: &[Impact]) -> Measured {
    let per_second = |count: fn(&Slice) -> u64| {
        let last = run.series.slices().filter(|(_, slice)| count(slice) > 0).last();
        let lasts = last.map(|(begin, _)| (begin + run.series.width()).since(run.series.origin()));
        let all = run.series.slices().map(|(_, slice)| count(slice)).sum();
        lasts.map_or(0, |lasts| rate(all, lasts))
    };
    Measured {
        offered: run.ledger.offered,
        publish: percentiles(&run.publish),
        publish_with_losses: with_losses(
            run.publish.count() + run.ledger.unsent() + run.ledger.pending(),
            |quantile| run.publish_with_losses(quantile),
        ),
        service: percentiles(&run.service),
        end_to_end: percentiles(&run.end_to_end),
        end_to_end_with_losses: with_losses(run.end_to_end.count().max(run.ledger.acked), |quantile| {
            run.end_to_end_with_losses(quantile)
        }),
        handling: percentiles(&run.handling),
        lag: percentiles(&run.lag),
        doubts: Warning::of(run, &Limits::default()).iter().map(doubt).collect(),
        acked_per_s: per_second(|slice| slice.acked),
        delivered_per_s: per_second(|slice| slice.delivered),
        after_faults: impacts.iter().map(|impact| after_fault(run, impact)).collect(),
        series: Series {
            origin: run.series.origin().0,
            width: nanos(run.series.width()),
            points: run.series.slices().map(|(_, slice)| point(slice)).collect(),
        },
    }
}

fn after_fault(run: &Recorder, impact: &Impact) -> AfterFault {
    let (from, to) = (impact.from, impact.to);
    let slice = run.series.during(from, to);
    let lasts = to.since(from);
    AfterFault {
        id: impact.fault,
        from: from.0,
        to: to.0,
        unavailable: impact.unavailable.map(nanos),
        worst_unit: impact.worst_unit.clone(),
        duplicates: impact.duplicates,
        acked_per_s: rate(slice.acked, lasts),
        delivered_per_s: rate(slice.delivered, lasts),
        publish: percentiles(&slice.publish),
        end_to_end: percentiles(&slice.end_to_end),
    }
}

/// So many in this time, a second.
fn rate(count: u64, lasts: Duration) -> u64 {
    let nanos = lasts.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn percentiles<C: Counter>(of: &Distribution<C>) -> Percentiles {
    let at = |quantile| of.quantile(quantile).map(nanos);
    Percentiles {
        count: of.count(),
        p50: at(Quantile::P50),
        p95: at(Quantile::P95),
        p99: at(Quantile::P99),
        p999: at(Quantile::P999),
        max: at(Quantile::MAX),
    }
}

fn with_losses(count: u64, reading: impl Fn(Quantile) -> Option<Reading>) -> Percentiles {
    let at = |quantile| match reading(quantile) {
        Some(Reading::After(span)) => Some(nanos(span)),
        Some(Reading::Never) | None => None,
    };
    Percentiles {
        count,
        p50: at(Quantile::P50),
        p95: at(Quantile::P95),
        p99: at(Quantile::P99),
        p999: at(Quantile::P999),
        max: at(Quantile::MAX),
    }
}

fn point(slice: &squall_loadgen::Slice) -> Point {
    Point {
        offered: slice.offered,
        sent: slice.sent,
        acked: slice.acked,
        unacked: slice.unacked,
        delivered: slice.delivered,
        publish: percentiles(&slice.publish),
        end_to_end: percentiles(&slice.end_to_end),
    }
}

fn doubt(warning: &Warning) -> Doubt {
    Doubt { what: warning.to_string(), remedy: warning.remedy().to_owned(), distorts: warning.distorts() }
}
