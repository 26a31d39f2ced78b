//! Scenario files: YAML to a checked [`Scenario`], or errors that name file, line, column and remedy.
//!
//! ```text
//! text ──tree──▶ nodes with places ──set──▶ nodes, some from arguments ──typed──▶ Scenario ──check──▶ Scenario
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `tree` | YAML to a tree of nodes with places; duplicate keys, alias bombs, depth and size are refused |
//! | `set` | `--set key=value` on the tree |
//! | `typed` | tree to types, with places and suggestions |
//! | [`scalar`] | durations, rates, ratios, bounds, roles: each a type with its unit |
//! | `topology`, `workload`, `membership`, `transactions`, `faults`, `changes`, `expect`, `explore` | the types |
//! | `check` | what no type can say: names that exist, numbers that fit together |
//! | `error` | problems with their places, rendered |
//!
//! The file is typed before any `--set` is applied, so an argument cannot hide an error in the file; what
//! must fit together is checked after.

mod changes;
mod check;
mod error;
mod expect;
mod explore;
mod faults;
mod membership;
pub mod scalar;
mod set;
mod suggest;
mod topology;
mod transactions;
mod tree;
mod typed;
mod workload;

pub use changes::{ChangeSpec, GrowArgs, SetArgs};
pub use error::{Finding, ScenarioError};
pub use expect::Expect;
pub use explore::{Explore, Family};
pub use faults::{DelayArgs, DropArgs, FaultSpec};
pub use membership::{Assignor, GroupProtocol};
pub use set::Override;
pub use topology::{Brokers, Fsync, TopicShape, Topology};
pub use transactions::{Forward, Isolation, Transactions};
pub use tree::MAX_FILE_BYTES;
pub use workload::{
    Arrivals, CommitPolicy, Consumers, Handler, Jitter, KeyChoice, Names, OneOrMany, PayloadKind, Producers,
    Profile, Reset, Retry, RetryBy, Workload,
};

pub use squall_history::guarantees::{Delivery, Dlq, Log, Order};
pub(crate) use {
    changes::Changes,
    error::Problem,
    faults::Verb,
    suggest::{nearest, or_list},
    transactions::forward_id,
    tree::Node,
};

use error::Source;
use scalar::Period;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs::File, io::Read, path::Path, sync::Arc};
use tree::Origin;

/// One scenario: a cluster, a workload, faults, and what must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: lower-case words joined by hyphens.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The ids of the requirements it covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
    /// The cluster and its topics.
    pub topology: Topology,
    /// What the clients do.
    pub workload: Workload,
    /// What breaks meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// What administrators change meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeSpec>,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
    /// How long, after the last fault is healed and the last record is sent, the cluster may take to recover
    /// and the consumers to drain. What is missing then is unknown. 2 minutes unless said.
    #[serde(default = "two_minutes")]
    pub recovery: Period,
    /// Within what bounds `squall explore` draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explore: Option<Explore>,
}

fn two_minutes() -> Period {
    Period::seconds(120)
}

impl Scenario {
    /// Reads a scenario from text. `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(file: &str, text: &str, overrides: &[Override]) -> Result<Self, ScenarioError> {
        let mut sources = vec![Source::new(file, text)];
        sources.extend(overrides.iter().map(|over| Source::new("--set", over.text())));
        let sources: Arc<[Source]> = sources.into();
        let fail = |problems| ScenarioError::new(&sources, problems);

        if text.len() > MAX_FILE_BYTES {
            return Err(too_large(file));
        }
        if text.trim().is_empty() {
            let problem = Problem::at(Origin::default(), "the file is empty")
                .help("a scenario begins with `name: ...`");
            return Err(fail(vec![problem]));
        }
        let mut root = Node::parse(text, 0, 0).map_err(|problem| fail(vec![problem]))?;
        let mut scenario: Self = typed::from_node(&root).map_err(|problem| fail(vec![problem]))?;
        if !overrides.is_empty() {
            for (index, over) in overrides.iter().enumerate() {
                set::apply(&mut root, over, index + 1).map_err(|problem| fail(vec![problem]))?;
            }
            scenario = typed::from_node(&root).map_err(|problem| fail(vec![problem]))?;
        }
        match check::check(&scenario, &root) {
            problems if problems.is_empty() => Ok(scenario),
            problems => Err(fail(problems)),
        }
    }

    /// Reads a scenario from bytes that should be UTF-8.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); also when the bytes are not text.
    pub fn parse_bytes(file: &str, bytes: &[u8], overrides: &[Override]) -> Result<Self, ScenarioError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(too_large(file));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text, overrides),
            Err(error) => Err(not_text(file, bytes, error.valid_up_to())),
        }
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// As [`parse_bytes`](Self::parse_bytes); also when the file cannot be read.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self, ScenarioError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX) + 1;
        let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::parse_bytes(&name, &bytes, overrides),
            Err(error) => {
                let problem = Problem::new(format!("the scenario file `{name}` cannot be read: {error}"))
                    .help("give the path of a file, or the name of a scenario in the library");
                Err(ScenarioError::file(&name, "", problem))
            }
        }
    }
}

impl Scenario {
    /// The scenario as a file: what [`parse`](Self::parse) reads as this scenario again.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // These types hold text, numbers, lists and maps with text for keys: all of it can be written.
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// Whether everything in it fits together, as in every file that was read.
    pub(crate) fn fits(&self) -> bool {
        check::check(self, &Node::nowhere()).is_empty()
    }

    /// The shape of a topic, and whether it stands in the file. A dead-letter topic `<topic>.dlq` that a
    /// consumer names need not stand there: it is shaped like its topic.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<(&TopicShape, bool)> {
        if let Some(shape) = self.topology.topics.get(name) {
            return Some((shape, true));
        }
        let source = name.strip_suffix(".dlq")?;
        let named = |group: &Consumers| {
            group.dlq.as_deref() == Some(name) && group.topic.as_slice().iter().any(|topic| topic == source)
        };
        let groups = self.workload.consumers.as_ref()?;
        let shape = self.topology.topics.get(source)?;
        groups.as_slice().iter().any(named).then_some((shape, false))
    }

    /// Every topic of a run with its shape, in order: those of the file and the dead-letter topics.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<&str, &TopicShape> {
        let mut topics: BTreeMap<&str, &TopicShape> =
            self.topology.topics.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        for group in self.workload.consumers.iter().flat_map(OneOrMany::as_slice) {
            if let Some(dlq) = &group.dlq
                && let Some((shape, _)) = self.topic(dlq)
            {
                topics.insert(dlq, shape);
            }
        }
        topics
    }

    /// The names of all client processes: `producer-1` and so on, then `consumer-1` and so on.
    #[must_use]
    pub fn client_names(&self) -> Vec<String> {
        let producers = (1..=self.producer_count().min(MAX_NAMES)).map(|number| format!("producer-{number}"));
        let consumers = (1..=self.consumer_count().min(MAX_NAMES)).map(|number| format!("consumer-{number}"));
        producers.chain(consumers).collect()
    }
}

/// No more clients of one kind are named; a checked scenario has fewer.
const MAX_NAMES: u32 = 1_000;

/// Reads another document of the library with the same care, and errors of the same kind.
pub(crate) fn read<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, ScenarioError> {
    Node::parse(text, 0, 0)
        .and_then(|node| typed::from_node(&node))
        .map_err(|problem| ScenarioError::file(file, text, problem))
}

/// Reads a document that has a scenario under the key `scenario` with the same care. `more` finds what else does not fit
/// together.
pub(crate) fn read_with_scenario<T: serde::de::DeserializeOwned>(
    file: &str,
    bytes: &[u8],
    scenario: fn(&T) -> &Scenario,
    more: fn(&T, &Node) -> Vec<Problem>,
) -> Result<T, ScenarioError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(file));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(file, bytes, error.valid_up_to()))?;
    let fail = |problems| ScenarioError::new(&Arc::from([Source::new(file, text)]), problems);
    let root = Node::parse(text, 0, 0).map_err(|problem| fail(vec![problem]))?;
    let document: T = typed::from_node(&root).map_err(|problem| fail(vec![problem]))?;
    let nowhere = Node::nowhere();
    let mut problems = check::check(scenario(&document), root.get("scenario").unwrap_or(&nowhere));
    problems.extend(more(&document, &root));
    if problems.is_empty() { Ok(document) } else { Err(fail(problems)) }
}

fn too_large(file: &str) -> ScenarioError {
    let message = format!("the file `{file}` is larger than {MAX_FILE_BYTES} bytes");
    let help = "a scenario is small: check that this is a scenario file";
    ScenarioError::file(file, "", Problem::at(Origin::default(), message).help(help))
}

/// The error for bytes that are no text, at the first that is not.
fn not_text(file: &str, bytes: &[u8], at: usize) -> ScenarioError {
    let shown: String =
        bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let byte = bytes.get(at).copied().unwrap_or_default();
    let problem = Problem::at(
        Origin { source: 0, start: at, len: 1 },
        format!("the file is not text: byte {byte:#04x} is not UTF-8"),
    )
    .help("give a scenario file: YAML, saved as UTF-8");
    ScenarioError::file(file, &shown, problem)
}

/// The JSON Schema of scenario files, for editors: what the types say, without what must fit together.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Scenario);
    schema.insert("title".to_owned(), "Squall scenario".into());
    // A schema is a JSON value and always prints.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
