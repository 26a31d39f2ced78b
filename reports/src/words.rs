//! Numbers as people read them.

/// What stands where there is no value.
pub(crate) const NONE: &str = "-";

/// `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span in three significant digits: `0 ms`, `812 ns`, `1.23 ms`, `12.3 s`, `4,500 s`.
pub(crate) fn span(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0 => return "0 ms".to_owned(),
        1..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let whole = nanos / unit;
    match whole {
        0..10 => format!("{whole}.{:02} {name}", nanos % unit * 100 / unit),
        10..100 => format!("{whole}.{} {name}", nanos % unit * 10 / unit),
        _ => format!("{} {name}", count(whole)),
    }
}

/// A span that may be infinite or absent.
pub(crate) fn span_or(nanos: Option<u64>, none: &str) -> String {
    nanos.map_or_else(|| none.to_owned(), span)
}

/// Milliseconds as a span.
pub(crate) fn millis(ms: Option<u64>) -> String {
    span_or(ms.map(|ms| ms.saturating_mul(1_000_000)), NONE)
}

/// A point in time, in seconds to the millisecond: `10.004 s`.
pub(crate) fn instant(nanos: u64) -> String {
    let ms = nanos / 1_000_000;
    format!("{}.{:03} s", count(ms / 1_000), ms % 1_000)
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_groups_of_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn spans_have_three_digits() {
        let spans =
            [0, 999, 1_230, 45_678, 999_999, 1_000_000, 987_654_321, 1_240_000_000, 4_500_000_000_000];
        assert_eq!(
            spans.map(span),
            ["0 ms", "999 ns", "1.23 µs", "45.6 µs", "999 µs", "1.00 ms", "987 ms", "1.24 s", "4,500 s"]
        );
    }

    #[test]
    fn instants_have_milliseconds() {
        assert_eq!(instant(10_004_999_999), "10.004 s");
    }
}
