//! A record's bytes: JSON that a person can read, with the value id first and a checksum last.
//!
//! ```json
//! {"value":2000000017,"id":"evt-2000000017","time":"2026-01-01T00:00:01.250000000Z",
//!  "type":"order.created","customer_id":"customer-3","order_id":"order-2-10",...,"sum":"8c1f0a9b2d3e4f50"}
//! ```
//!
//! The checksum is FNV-1a over all bytes before `,"sum"`. Each of its steps is a bijection, so every change of
//! a single byte is noticed, and others all but surely. Times are the intended ones, on a calendar that begins
//! at 2026-01-01 UTC: no clock is read.

use super::shop::Event;
use bytes::Bytes;
use squall_bus::Time;
use std::fmt::Write as _;

const HEAD: &str = r#"{"value":"#;
const TAIL: &str = r#","sum":""#;
/// The tail, sixteen hexadecimal digits, a quote and a brace.
const TAIL_BYTES: usize = TAIL.len() + 18;

/// Why bytes are not a payload of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// They do not look like a payload at all.
    #[error("the bytes are not a payload of a plan: somebody else wrote them, or their ends are damaged")]
    Foreign,
    /// They look like one, but the checksum does not fit.
    #[error("the payload is damaged: its checksum is {found:016x} and should be {expected:016x}")]
    Corrupt {
        /// The value id that it claims; it may be what is damaged.
        value: Option<u64>,
        /// The checksum of the bytes.
        expected: u64,
        /// The checksum it carries.
        found: u64,
    },
}

/// The payload of the record `value`.
pub(super) fn encode(value: u64, at: Time, event: &Event) -> Bytes {
    let mut text = String::with_capacity(320);
    // Writing into a string cannot fail.
    let _ = write!(text, r#"{HEAD}{value},"id":"evt-{value}","time":"{}","#, Calendar(at));
    event.write(&mut text);
    let sum = checksum(text.as_bytes());
    let _ = write!(text, r#"{TAIL}{sum:016x}"}}"#);
    Bytes::from(text)
}

/// The payload of a record that no producer of the plan sends: the value id and nothing else.
#[must_use]
pub fn plain(value: u64, at: Time) -> Bytes {
    let text = format!(r#"{HEAD}{value},"id":"evt-{value}","time":"{}""#, Calendar(at));
    let sum = checksum(text.as_bytes());
    Bytes::from(format!(r#"{text}{TAIL}{sum:016x}"}}"#))
}

/// The value id of a payload.
///
/// # Errors
/// When it is not a payload, or damaged.
pub fn decode(payload: &[u8]) -> Result<u64, PayloadError> {
    let split = payload.len().checked_sub(TAIL_BYTES).ok_or(PayloadError::Foreign)?;
    let (body, tail) = payload.split_at(split);
    let digits = tail.strip_prefix(TAIL.as_bytes()).and_then(|rest| rest.strip_suffix(b"\"}"));
    let found = digits.and_then(hexadecimal).ok_or(PayloadError::Foreign)?;
    let value = body.strip_prefix(HEAD.as_bytes()).and_then(leading_number);
    let expected = checksum(body);
    match value {
        Some(value) if expected == found => Ok(value),
        None if expected == found => Err(PayloadError::Foreign),
        value => Err(PayloadError::Corrupt { value, expected, found }),
    }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let lower = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| lower)?, 16).ok()
}

fn leading_number(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()
}

/// A time as a date of 2026 and later, in UTC.
struct Calendar(Time);

impl std::fmt::Display for Calendar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, nanos) = (self.0.0 / 1_000_000_000, self.0.0 % 1_000_000_000);
        let (mut days, clock) = (seconds / 86_400, seconds % 86_400);
        let mut year = 2026;
        let leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let mut month = 1;
        for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
        write!(f, "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z", days + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let day = |days: u64| Calendar(Time(days * 86_400_000_000_000)).to_string();
        assert_eq!(day(0), "2026-01-01T00:00:00.000000000Z");
        assert_eq!(day(58), "2026-02-28T00:00:00.000000000Z");
        assert_eq!(day(364), "2026-12-31T00:00:00.000000000Z");
        assert_eq!(day(365 + 365 + 59), "2028-02-29T00:00:00.000000000Z");
        assert_eq!(day(365 + 365 + 366), "2029-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn what_others_wrote_is_foreign() {
        for bytes in [&b""[..], b"{}", b"hello, world: this is long enough to hold a tail"] {
            assert_eq!(decode(bytes), Err(PayloadError::Foreign));
        }
    }
}
