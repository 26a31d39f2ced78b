//! Lines: a list of texts in JSON each; bytes in hexadecimal, `-` where there are none.

use bytes::Bytes;
use data_encoding::HEXLOWER;

/// The fields as a line, its end included.
pub(super) fn line(fields: &[String]) -> String {
    let mut line = serde_json::to_string(fields).expect("a list of texts is JSON");
    line.push('\n');
    line
}

/// The fields of a line; none of what is no line of the program's.
pub(super) fn fields(line: &str) -> Vec<String> {
    serde_json::from_str(line).unwrap_or_default()
}

/// Bytes as a field.
pub(super) fn hex(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| HEXLOWER.encode(bytes))
}

/// The bytes of a field; `None` where there are none.
pub(super) fn bytes(field: &str) -> Option<Bytes> {
    HEXLOWER.decode(field.as_bytes()).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let said = ["send", "", "a\tb\nc %+\u{fc}\"", "-"].map(str::to_owned);
        assert_eq!(fields(&line(&said)), said);
        assert_eq!(line(&said).matches('\n').count(), 1);
        assert!(fields("no line").is_empty());
    }

    #[test]
    fn bytes_and_their_absence_differ() {
        assert_eq!(hex(None), "-");
        assert_eq!((hex(Some(b"")), bytes("")), (String::new(), Some(Bytes::new())));
        assert_eq!(bytes(&hex(Some(&[0, 9, 255]))).as_deref(), Some(&[0, 9, 255][..]));
        assert_eq!((bytes("-"), bytes("zz")), (None, None));
    }
}
