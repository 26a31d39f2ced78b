//! What no type can say: names that exist, numbers that fit together, faults inside the run.
//!
//! Every problem is found, not just the first, and points at the value to blame: in the file, or in the
//! `--set` argument that brought it.

mod changes;
mod clients;
mod explore;
mod faults;
mod topology;

use super::{
    Scenario,
    error::Problem,
    tree::{Node, Origin, Value},
};

/// Everything that does not fit together in `scenario`, which was read from `root`.
pub(super) fn check(scenario: &Scenario, root: &Node) -> Vec<Problem> {
    let mut check = Check { scenario, root, problems: Vec::new() };
    name(&mut check);
    topology::check(&mut check);
    clients::check(&mut check);
    faults::check(&mut check);
    changes::check(&mut check);
    explore::check(&mut check);
    check.problems
}

/// The problems so far, and where to look.
struct Check<'a> {
    scenario: &'a Scenario,
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::at(self.locate(path), message).help(help));
    }

    /// The place of the value at `path`, or of the nearest one above it that exists.
    fn locate(&self, path: &Path) -> Origin {
        let (mut node, mut origin) = (self.root, self.root.origin);
        for step in &path.0 {
            let next = match &node.value {
                Value::Map(entries) => {
                    entries.iter().find(|(key, _)| key.text == *step).map(|(key, child)| (child, key.origin))
                }
                Value::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|child| (child, child.origin)),
                // A single name stands for a list of one.
                _ => None,
            };
            let Some((child, key)) = next else { break };
            origin = match child.value {
                Value::Map(_) | Value::List(_) | Value::Null => key,
                _ => child.origin,
            };
            node = child;
        }
        origin
    }
}

/// Where a value stands: keys, and indexes of lists.
#[derive(Clone)]
struct Path(Vec<String>);

impl Path {
    /// A path of keys joined by slashes, which no key of the format has.
    fn new(keys: &str) -> Self {
        Self(keys.split('/').map(str::to_owned).collect())
    }

    fn key(&self, key: impl ToString) -> Self {
        let mut path = self.clone();
        path.0.push(key.to_string());
        path
    }

    /// The entry `index` of what may be a single value.
    fn entry(&self, index: usize, check: &Check<'_>) -> Self {
        let mut node = Some(check.root);
        for step in &self.0 {
            node = node.and_then(|node| match &node.value {
                Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(step),
            });
        }
        match node.map(|node| &node.value) {
            Some(Value::List(_)) => self.key(index),
            _ => self.clone(),
        }
    }
}

fn name(check: &mut Check<'_>) {
    let name = &check.scenario.name;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 64
        || !name.chars().all(good)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        let words: String =
            name.to_lowercase().chars().map(|c| if good(c) { c } else { '-' }).take(64).collect();
        let words = words.trim_matches('-');
        let help = if words.is_empty() {
            "write lower-case words joined by hyphens, such as leader-failover".to_owned()
        } else {
            format!("write `{words}`")
        };
        check.report(
            &Path::new("name"),
            "a name is lower-case words joined by hyphens, at most 64 characters",
            help,
        );
    }
}
