//! Guarantees that replace those in a history's head.
//!
//! A file of them is YAML (or JSON) with the two maps of the head, `configuration` and `expect`, of which any key may
//! be left out; on the command line one is `KEY=VALUE`, where a key without a map is one of `configuration`:
//! `acks=1`, `expect.delivery=at-least-once`. The keys and their values are those of the format (`FORMAT.md`).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use squall_history::{Configuration, Expect, Meta};
use std::path::Path;

/// What replaces the guarantees of a head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guarantees {
    configuration: Map<String, Value>,
    expect: Map<String, Value>,
}

/// Why guarantees cannot be used: a sentence with their source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {problem}")]
pub struct GuaranteesError {
    source_name: String,
    problem: String,
}

impl Guarantees {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no YAML, or holds a key or a value that there is not.
    pub fn file(path: &Path) -> Result<Self, GuaranteesError> {
        let name = path.display().to_string();
        let wrong = |problem: String| GuaranteesError { source_name: name.clone(), problem };
        let text =
            std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot read it: {error}")))?;
        let parsed = serde_saphyr::from_str::<Map<String, Value>>(&text);
        let mut maps = parsed.map_err(|error| wrong(error.to_string()))?;
        let mut take = |name: &str| match maps.remove(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(other) => Err(wrong(format!("`{name}` is a map of guarantees, not `{other}`"))),
        };
        let given = Self { configuration: take("configuration")?, expect: take("expect")? };
        if let Some(other) = maps.keys().next() {
            return Err(wrong(format!("there is no `{other}`; the maps are `configuration` and `expect`")));
        }
        given.try_out().map_err(wrong)?;
        Ok(given)
    }

    /// Adds one as it is written on the command line: `acks=1`, `expect.order=per-key`.
    ///
    /// # Errors
    /// When it has no `=`, or a key or a value that there is not.
    pub fn add(&mut self, text: &str) -> Result<(), GuaranteesError> {
        let wrong = |problem: String| GuaranteesError { source_name: format!("`{text}`"), problem };
        let Some((key, value)) = text.split_once('=') else {
            return Err(wrong("write KEY=VALUE, as in acks=1 or expect.delivery=at-least-once".to_owned()));
        };
        let value = parse(value);
        let map = match key.split_once('.') {
            Some(("expect", key)) => self.expect.insert(key.to_owned(), value),
            Some(("configuration", key)) => self.configuration.insert(key.to_owned(), value),
            _ => self.configuration.insert(key.to_owned(), value),
        };
        drop(map);
        self.try_out().map_err(wrong)
    }

    /// Whether they fit a head that says nothing.
    fn try_out(&self) -> Result<(), String> {
        replaced(&Configuration::default(), &self.configuration, "configuration").map(drop)?;
        replaced(&Expect::default(), &self.expect, "expect").map(drop)
    }

    /// Replaces those of a head.
    ///
    /// # Errors
    /// When a value does not fit.
    pub fn replace(&self, meta: &mut Meta) -> Result<(), GuaranteesError> {
        let wrong = |problem| GuaranteesError { source_name: "the guarantees".to_owned(), problem };
        meta.configuration =
            replaced(&meta.configuration, &self.configuration, "configuration").map_err(wrong)?;
        meta.expect = replaced(&meta.expect, &self.expect, "expect").map_err(wrong)?;
        Ok(())
    }
}

/// A value of the command line is YAML, or else a word.
fn parse(text: &str) -> Value {
    serde_saphyr::from_str::<Value>(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn replaced<T: serde::Serialize + DeserializeOwned>(
    base: &T,
    given: &Map<String, Value>,
    map: &str,
) -> Result<T, String> {
    let mut whole = match serde_json::to_value(base) {
        Ok(Value::Object(whole)) => whole,
        Ok(_) | Err(_) => Map::new(),
    };
    whole.extend(given.iter().map(|(key, value)| (key.clone(), acks_are_words(key, value))));
    let mut unknown = None;
    let value = serde_ignored::deserialize(Value::Object(whole), |path| unknown = Some(path.to_string()))
        .map_err(|error| format!("{map}: {error}"))?;
    match unknown {
        Some(key) => Err(format!("there is no guarantee `{map}.{key}`; FORMAT.md lists what there is")),
        None => Ok(value),
    }
}

/// `acks: 1` is the word.
fn acks_are_words(key: &str, value: &Value) -> Value {
    match value {
        Value::Number(number) if key == "acks" => Value::String(number.to_string()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::Acks;
    use squall_history::guarantees::{Delivery, Order};

    fn file(text: &str) -> Result<Guarantees, GuaranteesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("guarantees.yaml");
        std::fs::write(&path, text).expect("it is written");
        Guarantees::file(&path)
    }

    #[test]
    fn what_is_given_replaces_and_the_rest_stays() {
        let mut given = file("configuration: { acks: 1, idempotent: true }\nexpect: { order: per-key }")
            .expect("they are guarantees");
        given.add("expect.delivery=at-least-once").expect("it is one");
        given.add("replicas=5").expect("it is one");
        let mut meta = Meta::default();
        meta.configuration.min_insync = 1;
        given.replace(&mut meta).expect("they fit");
        let configuration = &meta.configuration;
        assert_eq!((configuration.acks, configuration.idempotent), (Acks::One, true));
        assert_eq!((configuration.replicas, configuration.min_insync), (5, 1));
        assert_eq!(
            (meta.expect.order, meta.expect.delivery),
            (Some(Order::PerKey), Some(Delivery::AtLeastOnce))
        );
    }

    #[test]
    fn what_there_is_not_is_named() {
        for (text, says) in [
            ("configuration: { akcs: 1 }", "there is no guarantee `configuration.akcs`"),
            ("configuration: { acks: 7 }", "`7` is not a kind of acks"),
            ("guarantee: {}", "there is no `guarantee`"),
            ("expect: 3", "`expect` is a map"),
            ("a: [", "line 1"),
        ] {
            let error = file(text).expect_err(text).to_string();
            assert!(error.contains(says) && error.contains("guarantees.yaml"), "{text}: {error}");
        }
        let error = Guarantees::default().add("idempotent").expect_err("no value").to_string();
        assert!(error.contains("KEY=VALUE"), "{error}");
        assert!(Guarantees::default().add("expect.ordr=per-key").is_err());
    }
}
