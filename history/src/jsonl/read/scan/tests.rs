//! Both ways of reading a line say the same, and the lines that are meant to be plain are.

use super::*;
use crate::jsonl::{
    tests::random::{build, sample, steps},
    write,
};
use proptest::prelude::*;
use std::fmt::Debug;

fn lines(history: &crate::History) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    write(history, &mut bytes).expect("memory takes it");
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Whether the body is plain; if so, serde must read the same.
fn agree<'a, T: Plain<'a> + PartialEq + Debug>(line: &Line<'a>) -> bool {
    let Some(body) = line.body::<T>() else { return false };
    assert_eq!(Some(body), serde_json::from_slice(line.bytes).ok());
    true
}

/// Whether the head is plain and the body of one of the kinds; serde must read the same.
fn is_plain(bytes: &[u8]) -> bool {
    let line = Line::new(bytes);
    let head = line.head();
    if head.is_some() {
        assert_eq!(head, serde_json::from_slice(bytes).ok());
    }
    let bodies = [
        agree::<SendInvoke<'_>>(&line),
        agree::<SendOk<'_>>(&line),
        agree::<Done>(&line),
        agree::<TxnInvoke<'_>>(&line),
        agree::<PollInvoke<'_>>(&line),
        agree::<SettleInvoke>(&line),
        agree::<DeliverLine<'_>>(&line),
        agree::<HandledLine<'_>>(&line),
    ];
    head.is_some() && bodies.contains(&true)
}

/// What a byte may become: all that JSON treats in its own way.
const BYTES: &[u8] = b"\"\\{}[],:0129-+.eE tfn\t\r\n\x00\x1f\x7f\x80\xc3";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn serde_reads_the_same_in_every_line(steps in steps()) {
        for line in lines(&build(&steps)) {
            is_plain(&line);
        }
    }

    #[test]
    fn serde_reads_the_same_in_damaged_lines(
        changes in prop::collection::vec((0u8..3, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        for mut line in lines(&sample()) {
            for (what, at, byte) in &changes {
                let (at, byte) = (at.index(line.len()), BYTES[byte.index(BYTES.len())]);
                match what {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    _ if line.len() > 1 => drop(line.remove(at)),
                    _ => {}
                }
            }
            is_plain(&line);
        }
    }
}

#[test]
fn what_makes_up_most_of_a_file_is_plain() {
    for line in [
        r#"{"index":0,"time":1,"process":"p","type":"invoke","f":"send","topic":"t","key":"k","value":1,"session":0,"intended":5}"#,
        r#"{"index":1,"time":3,"process":"p","type":"ok","f":"send","invoke":0,"unit":"t/0","position":4}"#,
        r#"{"index":2,"time":3,"process":"c","type":"ok","f":"deliver","group":"g","unit":"t/0","position":4,"value":1}"#,
        r#"{"index":3,"time":3,"process":"c","type":"ok","f":"handled","group":"g","value":1,"how":"ok"}"#,
        r#"{ "index": 4, "time": 3, "process": "c", "type": "ok", "f": "commit", "invoke": 7 }"#,
        r#"{"f":"settle","type":"invoke","process":"c","time":9999999999999999999,"index":5,"delivery":2,"how":"ack"}"#,
        r#"{"index":6,"time":3,"process":"c","type":"invoke","f":"poll","group":"g","txn":5}"#,
        r#"{"index":7,"time":3,"process":"c","type":"invoke","f":"txn","id":"billing-1","epoch":3}"#,
        r#"{"index":8,"time":3,"process":"p","type":"ok","f":"send","invoke":0,"duplicate":true}"#,
    ] {
        assert!(is_plain(line.as_bytes()), "{line}");
    }
}

#[test]
fn what_is_not_plain_is_left_to_serde() {
    let head = r#""index":0,"time":1,"process":"p","type":"invoke","f":"send""#;
    for body in [
        r#""topic":"t","value":1,"later":[1]"#,
        r#""topic":"t","value":1,"value":2"#,
        r#""topic":"t","value":01"#,
        r#""topic":"t","value":-1"#,
        r#""topic":"t","value":1.0"#,
        r#""topic":"t","value":18446744073709551615"#,
        r#""topic":"t","value":null"#,
        r#""topic":"\u0074","value":1"#,
        "\"topic\":\"t\t\",\"value\":1",
        r#""topic":"t","value":1,"partition":4294967296"#,
        r#""topic":"t","value":1,"id":"m""#,
        r#""topic":"t""#,
        r#""topic":"t","value":1,"#,
    ] {
        assert!(!is_plain(format!("{{{head},{body}}}\n").as_bytes()), "{body}");
        assert!(!is_plain(format!("{{{head},{body}}} 1\n").as_bytes()), "{body} and more");
    }
}
