//! A chart over time as inline SVG, with the faults as shaded, labelled bands and their healing as marks.

use super::axis::{Band, Span, lanes, step};
use crate::words;
use maud::{Markup, html};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 14.0;
const PLOT: f64 = 190.0;
const BOTTOM: f64 = 26.0;
const LANE: f64 = 16.0;
/// The mean width of a character of a label.
const CHARACTER: f64 = 6.1;
const MOST_LANES: usize = 4;

/// How values become heights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// By decades.
    Log,
}

/// One line of a chart: a value for each slice, or none.
pub(super) struct Line {
    pub name: &'static str,
    pub class: &'static str,
    pub values: Vec<Option<u64>>,
    pub show: fn(u64) -> String,
}

/// A chart.
pub(super) struct Chart {
    pub id: String,
    pub title: &'static str,
    pub scale: Scale,
    pub lines: Vec<Line>,
}

/// A label of a band with its place.
struct Label<'a> {
    band: &'a Band,
    text: &'a str,
    x: f64,
    lane: usize,
}

/// Where things are.
struct Frame {
    top: f64,
    end: f64,
    low: f64,
    high: f64,
    scale: Scale,
}

impl Frame {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.end).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => value / self.high,
            Scale::Log => (value.max(1.0).log10() - self.low) / (self.high - self.low),
        };
        self.bottom() - part.clamp(0.0, 1.0) * PLOT
    }

    fn bottom(&self) -> f64 {
        self.top + PLOT
    }

    fn height(&self) -> f64 {
        self.bottom() + BOTTOM
    }
}

impl Chart {
    /// The chart as a figure.
    pub(super) fn draw(&self, span: &Span) -> Markup {
        let labels = labels(span);
        let rows = labels.iter().map(|label| label.lane + 1).max().unwrap_or(0);
        let frame = self.frame(span, 6.0 + LANE * rows as f64);
        let view = format!("0 0 {WIDTH} {:.0}", frame.height());
        html! {
            figure.chart {
                figcaption { (self.title) (self.legend()) }
                div.scroll {
                    svg viewBox=(view) role="img" tabindex="0" aria-labelledby={ (self.id) "-t " (self.id) "-d" }
                        data-points=(self.points(&frame, span)) {
                        title id={ (self.id) "-t" } { (self.title) }
                        desc id={ (self.id) "-d" } { (self.describe(span)) }
                        (bands(&frame, span))
                        (self.grid(&frame))
                        (times(&frame, span))
                        @for line in &self.lines { path class={ "line " (line.class) } d=(path(line, &frame, span)) {} }
                        (marks(&frame, span, &labels))
                    }
                }
            }
        }
    }

    fn frame(&self, span: &Span, top: f64) -> Frame {
        let values =
            || self.lines.iter().flat_map(|line| line.values.iter().flatten().map(|value| *value as f64));
        let most = values().fold(0.0, f64::max);
        let (low, high) = match self.scale {
            Scale::Linear => {
                let step = step(most.max(1.0), 5.0);
                (0.0, (most.max(1.0) / step).ceil() * step)
            }
            Scale::Log => {
                let least = values().fold(f64::INFINITY, f64::min).clamp(1.0, most.max(1.0));
                let (low, high) = (least.log10().floor(), most.max(1.0).log10().ceil());
                (low, high.max(low + 1.0))
            }
        };
        Frame { top, end: span.end.max(1e-3), low, high, scale: self.scale }
    }

    fn legend(&self) -> Markup {
        html! {
            span.legend {
                @for line in self.drawn() {
                    span.key {
                        svg viewBox="0 0 22 8" width="22" height="8" aria-hidden="true" {
                            path class={ "line " (line.class) } d="M1 4h20" {}
                        }
                        (line.name)
                    }
                }
            }
        }
    }

    /// The lines that have something to show.
    fn drawn(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.values.iter().flatten().any(|value| *value > 0))
    }

    /// The chart in words, for those who hear it.
    fn describe(&self, span: &Span) -> String {
        let mut text = String::new();
        for line in self.drawn() {
            let values = || line.values.iter().flatten();
            if let (Some(least), Some(most)) = (values().min(), values().max()) {
                write!(text, "{}: {} to {}. ", line.name, (line.show)(*least), (line.show)(*most))
                    .expect("a String takes everything");
            }
        }
        for band in &span.bands {
            write!(text, "{}. ", band.title).expect("a String takes everything");
        }
        text
    }

    /// Lines across, with what they stand for.
    fn grid(&self, frame: &Frame) -> Markup {
        let show = self.lines.first().map_or(words::count as fn(u64) -> String, |line| line.show);
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = step(frame.high, 5.0);
                (0..)
                    .map(|n| f64::from(n) * step)
                    .take_while(|value| *value <= frame.high * 1.000_001)
                    .collect()
            }
            Scale::Log => {
                let (low, high) = (frame.low as i32, frame.high as i32);
                (low..=high).map(|power| 10f64.powi(power)).collect()
            }
        };
        html! {
            @for value in values {
                @let y = frame.y(value);
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y)) y2=(at(y)) {}
                text.tick x=(LEFT - 8.0) y=(at(y + 4.0)) text-anchor="end" {
                    (match self.scale {
                        Scale::Linear => show(value as u64),
                        Scale::Log => decade(value),
                    })
                }
            }
        }
    }

    /// What the script shows under the pointer: places, times, and the values as text.
    fn points(&self, frame: &Frame, span: &Span) -> String {
        let slices = self.lines.first().map_or(0, |line| line.values.len());
        let middle = |slice: usize| (slice as f64 + 0.5) * span.width;
        let lines: Vec<_> = self
            .drawn()
            .map(|line| {
                let shown = line.values.iter().map(|value| value.map(line.show)).collect::<Vec<_>>();
                serde_json::json!({ "name": line.name, "class": line.class, "values": shown })
            })
            .collect();
        serde_json::json!({
            "x": (0..slices).map(|slice| frame.x(middle(slice)).round()).collect::<Vec<_>>(),
            "t": (0..slices).map(|slice| seconds(slice as f64 * span.width)).collect::<Vec<_>>(),
            "top": frame.top,
            "bottom": frame.bottom(),
            "lines": lines,
        })
        .to_string()
    }
}

/// Places in a tenth of a pixel.
fn at(place: f64) -> String {
    format!("{place:.1}")
}

/// Seconds without needless digits.
fn seconds(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The label of a decade of nanoseconds: `1 ms`.
fn decade(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{} {unit}", words::count(value.round() as u64))
}

/// A path through the middle of each slice; broken where there is no value.
fn path(line: &Line, frame: &Frame, span: &Span) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (slice, value) in line.values.iter().enumerate() {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let (x, y) = (frame.x((slice as f64 + 0.5) * span.width), frame.y(*value as f64));
        // A lone point is drawn as a dot by the round cap of a line of no length.
        let verb = if pen_down { "L" } else { "M" };
        write!(path, "{verb}{x:.1} {y:.1}{}", if pen_down { "" } else { "h0" })
            .expect("a String takes everything");
        pen_down = true;
    }
    path
}

/// The labels of the bands: in full if they fit, shorter if those fit, else none.
fn labels(span: &Span) -> Vec<Label<'_>> {
    let x = |seconds: f64| LEFT + (seconds / span.end.max(1e-3)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    for form in 0..2 {
        let places: Vec<(f64, f64)> = span
            .bands
            .iter()
            .map(|band| {
                let width = band.labels[form].chars().count() as f64 * CHARACTER + 12.0;
                let from = x(band.from).min(WIDTH - RIGHT - width).max(LEFT);
                (from, from + width)
            })
            .collect();
        if let Some(lanes) = lanes(&places, MOST_LANES) {
            let label = |((band, place), lane): ((_, &(f64, f64)), usize)| {
                let band: &Band = band;
                Label { band, text: band.labels[form].as_str(), x: place.0, lane }
            };
            return span.bands.iter().zip(&places).zip(lanes).map(label).collect();
        }
    }
    Vec::new()
}

fn bands(frame: &Frame, span: &Span) -> Markup {
    html! {
        @for band in &span.bands {
            @let (from, to) = (frame.x(band.from), frame.x(band.to));
            g.missed[band.missed] {
                title { (band.title) }
                rect.band x=(at(from)) y=(at(frame.top)) width=(at((to - from).max(1.5))) height=(PLOT) {}
                line.strike x1=(at(from)) x2=(at(from)) y1=(at(frame.top)) y2=(at(frame.bottom())) {}
            }
        }
    }
}

/// What lies above the lines: labels, and where faults were healed and the workload was over.
fn marks(frame: &Frame, span: &Span, labels: &[Label<'_>]) -> Markup {
    html! {
        @for band in span.bands.iter().filter(|band| band.healed) {
            @let x = frame.x(band.to);
            line.heal x1=(at(x)) x2=(at(x)) y1=(at(frame.top)) y2=(at(frame.bottom())) {}
            path.heal-mark d=(format!("M{x:.1} {:.1}l-4 7h8z", frame.bottom() - 7.0)) {
                title { "healed: " (band.title) }
            }
        }
        @for label in labels {
            @let y = LANE * (label.lane as f64 + 1.0) - 3.0;
            @let x = frame.x(label.band.from);
            line.leader x1=(at(x)) x2=(at(x)) y1=(at(y - 9.0)) y2=(at(frame.top)) {}
            text.fault.missed[label.band.missed] x=(at(label.x + 4.0)) y=(at(y)) { (label.text) }
        }
        @if let Some(ends) = span.workload_ends {
            @let x = frame.x(ends);
            line.ends x1=(at(x)) x2=(at(x)) y1=(at(frame.top)) y2=(at(frame.bottom())) {}
            text.tick x=(at(x - 4.0)) y=(at(frame.top + 12.0)) text-anchor="end" { "workload over" }
        }
    }
}

fn times(frame: &Frame, span: &Span) -> Markup {
    let step = step(span.end, 12.0);
    let ticks = (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= span.end * 1.000_001);
    html! {
        @for tick in ticks {
            @let x = frame.x(tick);
            line.axis x1=(at(x)) x2=(at(x)) y1=(at(frame.bottom())) y2=(at(frame.bottom() + 4.0)) {}
            text.tick x=(at(x)) y=(at(frame.bottom() + 18.0)) text-anchor="middle" { (seconds(tick)) }
        }
        line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(frame.bottom())) y2=(at(frame.bottom())) {}
    }
}
