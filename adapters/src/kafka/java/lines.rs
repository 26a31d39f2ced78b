//! Lines: fields with tabs between them, each encoded as in a URL's query; bytes in hexadecimal, `-` where there are none.

use bytes::Bytes;
use std::fmt::Write as _;

/// The fields as a line, its end included.
pub(super) fn line(fields: &[String]) -> String {
    let mut line = String::new();
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            line.push('\t');
        }
        for byte in field.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*') {
                line.push(char::from(byte));
            } else {
                // Writing to a text cannot fail.
                let _ = write!(line, "%{byte:02X}");
            }
        }
    }
    line.push('\n');
    line
}

/// The fields of a line. What is no code stands for itself.
pub(super) fn fields(line: &str) -> Vec<String> {
    line.trim_end_matches(['\r', '\n']).split('\t').map(decoded).collect()
}

fn decoded(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(byte) = bytes.get(place) {
        let code = bytes.get(place + 1..place + 3).filter(|_| *byte == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        out.push(code.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        place += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes as a field.
pub(super) fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a field; `None` where there are none.
pub(super) fn bytes(field: &str) -> Option<Bytes> {
    if field == "-" {
        return None;
    }
    let pairs = field.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let said = ["send", "", "a\tb\nc %+ü", "-"].map(str::to_owned);
        assert_eq!(fields(&line(&said)), said);
        assert_eq!(line(&said).matches('\n').count(), 1);
        assert_eq!(fields("a+b\t%41%zz"), ["a b", "A%zz"], "as Java writes it");
    }

    #[test]
    fn bytes_and_their_absence_differ() {
        assert_eq!(hex(None), "-");
        assert_eq!((hex(Some(b"")), bytes("")), (String::new(), Some(Bytes::new())));
        assert_eq!(bytes(&hex(Some(&[0, 9, 255]))).as_deref(), Some(&[0, 9, 255][..]));
        assert_eq!((bytes("-"), bytes("zz")), (None, None));
    }
}
