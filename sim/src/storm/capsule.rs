//! Capsules: a file that replays one run of a storm anywhere, as YAML.
//!
//! It holds the seed, the faults as they were (which may be fewer than the seed draws), what the run showed, and
//! enough of the storm to tell when the capsule no longer applies to it: its name, its target, its nodes and topics.
//! The hash says whether a replay went the same way.

use super::finding::Finding;
use serde::{Deserialize, Serialize};
use squall_bus::{Fault, FaultKind, Role, Time};
use squall_history::events::Hit;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Whom a fault hit that hit nobody.
const NOBODY: &str = "nobody";
/// How the name of a capsule's file ends.
pub(super) const SUFFIX: &str = ".capsule.yaml";

/// One run of a storm, as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capsule {
    /// The version of Squall that wrote it.
    pub(super) squall: String,
    /// The name of the storm: of its test, unless it was given one.
    pub(super) storm: String,
    pub(super) target: String,
    pub(super) nodes: u32,
    /// Partitions by topic.
    pub(super) topics: BTreeMap<String, u32>,
    pub(super) seed: u64,
    pub(super) faults: Vec<Line>,
    /// What the run showed: a [`Finding`].
    pub(super) expected: String,
    /// How it was told, for readers.
    pub(super) story: Vec<String>,
    /// How many kernel events the run had: the smallest is replayed first.
    pub(super) events: u64,
    /// The hash of its kernel events, in hexadecimal digits.
    pub(super) hash: String,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) id: u32,
    /// Since the body began: `7.25s`.
    at: String,
    fault: String,
    role: String,
    #[serde(rename = "for")]
    lasts: String,
    /// Of `delay`: by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Of `drop-responses`: how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// Whom it hit, in [words](hit_words), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hit: Option<String>,
}

/// Whom a fault hit: `node 3`, `billing`.
pub(super) fn hit_words(hit: &Hit) -> String {
    match hit {
        Hit::Nobody => NOBODY.to_owned(),
        Hit::Client(name) => name.clone(),
        Hit::Nodes(nodes) => {
            let list: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            format!("{} {}", if nodes.len() == 1 { "node" } else { "nodes" }, list.join(", "))
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {} {} for {}", self.at, self.fault, self.role, self.lasts)
    }
}

impl Capsule {
    pub(super) fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("a capsule is plain text and numbers")
    }

    /// Reads a capsule; the error says where in the text it is wrong.
    pub(super) fn from_yaml(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The faults, concrete.
    pub(super) fn schedule(&self) -> Result<Vec<Fault>, String> {
        self.faults
            .iter()
            .map(|line| line.fault().map_err(|why| format!("fault {}: {why}", line.id)))
            .collect()
    }

    pub(super) fn finding(&self) -> Result<Finding, String> {
        self.expected.parse()
    }
}

impl Line {
    pub(super) fn of(fault: &Fault, hit: Option<&Hit>) -> Self {
        Self {
            id: fault.id,
            at: print(fault.at),
            fault: fault.kind.verb().to_owned(),
            role: fault.role.to_string(),
            lasts: print(Time::ZERO + fault.lasts),
            by: match fault.kind {
                FaultKind::Delay(by) => Some(print(Time::ZERO + by)),
                _ => None,
            },
            count: match fault.kind {
                FaultKind::DropResponses(count) => Some(count),
                _ => None,
            },
            hit: hit.map(hit_words),
        }
    }

    /// Whether it is known to have struck somebody.
    pub(super) fn hit_somebody(&self) -> bool {
        self.hit.as_ref().is_some_and(|hit| hit != NOBODY)
    }

    fn fault(&self) -> Result<Fault, String> {
        Ok(Fault {
            id: self.id,
            kind: self.kind()?,
            role: self.role.parse::<Role>().map_err(|error| error.to_string())?,
            at: parse(&self.at)?,
            lasts: parse(&self.lasts)?.since(Time::ZERO),
        })
    }

    fn kind(&self) -> Result<FaultKind, String> {
        let by = || -> Result<Duration, String> {
            let by = self.by.as_ref().ok_or("`delay` needs `by`, as in `by: 0.2s`")?;
            Ok(parse(by)?.since(Time::ZERO))
        };
        Ok(match &*self.fault {
            "kill" => FaultKind::Kill,
            "stop" => FaultKind::Stop,
            "restart" => FaultKind::Restart,
            "pause" => FaultKind::Pause,
            "partition" => FaultKind::Partition,
            "isolate" => FaultKind::Isolate,
            "stall" => FaultKind::Stall,
            "delay" => FaultKind::Delay(by()?),
            "drop-responses" => FaultKind::DropResponses(
                self.count.ok_or("`drop-responses` needs `count`, as in `count: 1`")?,
            ),
            "power-fail" => FaultKind::PowerFail,
            other => return Err(format!("`{other}` is no fault")),
        })
    }
}

/// Faults as the [lines](Line) of a capsule, for `#[serde(with)]`.
pub(super) mod schedule {
    use super::Line;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use squall_bus::Fault;

    pub(in crate::storm) fn serialize<S: Serializer>(faults: &[Fault], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(faults.iter().map(|fault| Line::of(fault, None)))
    }

    pub(in crate::storm) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Fault>, D::Error> {
        let lines = Vec::<Line>::deserialize(from)?;
        lines.iter().map(Line::fault).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Seconds with as many digits as it takes: `7.25s`.
pub(super) fn print(time: Time) -> String {
    let text = time.to_string();
    let digits = text.trim_end_matches('s').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}s")
}

fn parse(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{text}` is no time; write seconds, as in `7.25s`");
    let digits = text.strip_suffix('s').ok_or_else(wrong)?;
    let (seconds, rest) = digits.split_once('.').unwrap_or((digits, "0"));
    if rest.len() > 9 || !rest.bytes().chain(seconds.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    let nanos: u64 = format!("{rest:0<9}").parse().map_err(|_| wrong())?;
    let time = seconds.checked_mul(1_000_000_000).and_then(|time| time.checked_add(nanos));
    time.map(Time).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::{Capsule, Line, parse, print};
    use squall_bus::{Fault, FaultKind, Role, Time};
    use squall_history::events::Hit;
    use std::{collections::BTreeMap, time::Duration};

    fn capsule() -> Capsule {
        let kinds =
            [FaultKind::Kill, FaultKind::Delay(Duration::from_millis(250)), FaultKind::DropResponses(2)];
        let faults = (0..).zip(kinds).map(|(id, kind)| Fault {
            id,
            kind,
            role: Role::Client(format!("relay: {id}")),
            at: Time::from_millis(7_250),
            lasts: Duration::from_secs(1),
        });
        Capsule {
            squall: "0.1.0".to_owned(),
            storm: "orders::it's \"lost\"".to_owned(),
            target: "sim:kafka".to_owned(),
            nodes: 3,
            topics: BTreeMap::from([("orders".to_owned(), 3)]),
            seed: u64::MAX,
            faults: faults.map(|fault| Line::of(&fault, Some(&Hit::Nodes(vec![1, 3])))).collect(),
            expected: "anomaly unprocessed".to_owned(),
            story: vec!["shop sent record 3 (key c-3): acknowledged.".to_owned(), "# no comment".to_owned()],
            events: 1234,
            hash: "00e3".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = capsule().to_yaml();
        assert_eq!(Capsule::from_yaml(&text), Ok(capsule()), "{text}");
        assert_eq!(Capsule::from_yaml(&text).map(|read| read.to_yaml()), Ok(text));
        let schedule = capsule().schedule().expect("faults");
        assert_eq!(schedule[1].kind, FaultKind::Delay(Duration::from_millis(250)));
        assert_eq!((schedule[2].at, schedule[2].lasts), (Time::from_millis(7_250), Duration::from_secs(1)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = capsule().to_yaml();
        for (from, to, says) in [
            ("fault: kill", "fault: kil", "fault 0: `kil` is no fault"),
            ("at: 7.25s", "at: 7250ms", "`7250ms` is no time"),
            ("role: ", "role: sideways # ", "is not a role"),
            ("count: 2", "by: 1s", "needs `count`"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}: {text}");
            let error = Capsule::from_yaml(&changed).and_then(|read| read.schedule()).expect_err(from);
            assert!(error.contains(says), "{error}");
        }
        let error = Capsule::from_yaml(&text.replace("seed:", "sead:")).expect_err("no such field");
        assert!(error.contains("sead") && error.contains("line"), "{error}");
    }

    #[test]
    fn times_are_printed_as_they_are_read() {
        for (text, nanos) in
            [("0s", 0), ("7s", 7_000_000_000), ("7.000000001s", 7_000_000_001), ("0.5s", 500_000_000)]
        {
            assert_eq!(parse(text), Ok(Time(nanos)));
            assert_eq!(print(Time(nanos)), text);
        }
        assert_eq!(print(Time(10_000_000_000)), "10s");
        for text in ["", "7", "s", "7.s5", "-1s", "1.0000000001s", "99999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
