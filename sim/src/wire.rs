//! Plain data on its way from one process to another, for `#[serde(with)]`: what is text already goes as text, and what
//! a process has as a static is found again by its name.

/// A value as what it prints, and reads again.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A time as its nanoseconds.
pub(crate) mod time {
    use serde::{Deserialize, Deserializer, Serializer};
    use squall_bus::Time;

    pub(crate) fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        u64::deserialize(from).map(Time)
    }
}

/// An invariant that does not hold, by the invariant's name.
pub(crate) mod violation {
    use crate::{kafka, kernel::Violation, nats};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use squall_bus::Time;

    pub(crate) fn serialize<S: Serializer>(violation: &Violation, to: S) -> Result<S::Ok, S::Error> {
        (violation.invariant, violation.at.0, &violation.what).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Violation, D::Error> {
        let (name, at, what) = <(String, u64, String)>::deserialize(from)?;
        let (invariant, source) =
            known(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no invariant")))?;
        Ok(Violation { invariant, source, at: Time(at), what })
    }

    fn known(name: &str) -> Option<(&'static str, &'static str)> {
        let kafka = kafka::invariants::all().into_iter().map(|one| (one.name(), one.source()));
        let nats = nats::invariants::all().into_iter().map(|one| (one.name(), one.source()));
        kafka.chain(nats).find(|(known, _)| *known == name)
    }
}

#[cfg(test)]
mod tests {
    use crate::{kafka, kernel::Violation, runtime::Broken};
    use squall_bus::Time;

    #[test]
    fn every_cause_of_a_broken_run_is_read_as_it_was_written() {
        let invariant = &kafka::invariants::all()[0];
        let violation = Violation {
            invariant: invariant.name(),
            source: invariant.source(),
            at: Time(u64::MAX),
            what: "node 1 has two \"leaders\"\nof orders/0".to_owned(),
        };
        for broken in [
            Broken::TooManyEvents { events: 7, at: Time(9) },
            Broken::EndlessYield { process: Some("billing".to_owned()) },
            Broken::BlockingCall { process: None },
            Broken::Stalled,
            Broken::Panicked { process: "billing".to_owned(), message: "no such table".to_owned() },
            Broken::Invariant(violation),
        ] {
            let text = serde_json::to_string(&broken).expect("plain data");
            assert!(!text.contains('\n'), "it goes on one line: {text}");
            assert_eq!(serde_json::from_str::<Broken>(&text).expect("what was written"), broken);
        }
        let unknown = serde_json::from_str::<Broken>(r#"{"Invariant":["NoSuch",1,"x"]}"#);
        assert!(unknown.is_err_and(|error| error.to_string().contains("`NoSuch` is no invariant")));
    }
}
