//! What a nemesis did, as faults and their healing: guarantees depend on it.
//!
//! A nemesis writes two lines for each thing that it does, one when it begins and one when it is done, both `info`; both
//! are read. What it breaks is broken from the first line on, what it heals is healed with the second. `stop-`, `heal-`,
//! `recover-` and `reset-` end what `start-` or the bare word began; `resume` ends `pause`, `start` ends `kill`, and
//! `stop`, `heal` and `recover` end everything. What only looks around begins with `check`. All else breaks something.
//!
//! The nodes are those that the lines name: in a list, or as the keys of a map. Of a partition, in which each node has a
//! list of those that it does not hear, they are the nodes that do not hear half of the others. What names no node
//! (`majority`) is taken for one.
//!
//! **Source.** The nemesis packages of `jepsen.nemesis` and `jepsen.nemesis.combined`, for the words.

use super::{
    form::Form,
    op::{Op, Work},
};
use crate::{
    events::Hit,
    history::{Observation, Struck},
};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that the nemesis did, in the lines of these operations.
struct Deed<'a> {
    f: &'a str,
    first: usize,
    last: usize,
    target: String,
    /// The nodes that the lines name.
    nodes: BTreeSet<String>,
}

impl Deed<'_> {
    /// The nodes; the target itself where none is named.
    fn hit(&self) -> Vec<&str> {
        let named: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        if named.is_empty() { vec![&self.target] } else { named }
    }
}

/// What is to be told at each operation, by its index.
pub(super) fn faults(ops: &[Op]) -> BTreeMap<usize, Vec<Observation>> {
    let deeds = deeds(ops);
    let kills = deeds.iter().any(|deed| deed.f == "kill");
    let strikes = deeds.iter().filter(|deed| matches!(ends(deed.f, kills), Ends::Nothing));
    let number = numbers(strikes.flat_map(Deed::hit).collect());
    let mut told: BTreeMap<usize, Vec<Observation>> = BTreeMap::new();
    let mut open: Vec<(u32, &str)> = Vec::new();
    for (deed, id) in deeds.iter().zip(0..) {
        if deed.f.starts_with("check") {
            continue;
        }
        let ends = ends(deed.f, kills);
        let healed: Vec<u32> = open.extract_if(.., |(_, verb)| ends.has(verb)).map(|(id, _)| id).collect();
        told.entry(deed.last).or_default().extend(healed.into_iter().map(|id| Observation::Heal { id }));
        if matches!(ends, Ends::Nothing) {
            let verb = deed.f.strip_prefix("start-").unwrap_or(deed.f);
            let nodes = deed.hit().iter().filter_map(|name| number.get(name).copied()).collect();
            let (verb_name, role) = (verb.to_owned(), deed.target.clone());
            let struck = Struck { id, verb: verb_name, role, hit: Hit::Nodes(nodes) };
            told.entry(deed.first).or_default().push(Observation::Fault(struck));
            open.push((id, verb));
        }
    }
    told
}

/// The lines of the nemesis, two by two where they belong together.
fn deeds(ops: &[Op]) -> Vec<Deed<'_>> {
    let mut deeds: Vec<Deed<'_>> = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        let Work::Nemesis { f, value } = &op.work else { continue };
        let names = nodes(value);
        match deeds.last_mut() {
            Some(deed) if deed.f == f && deed.first == deed.last => {
                deed.last = index;
                deed.nodes.extend(names);
            }
            _ => {
                let target = if *value == Form::Nil { "nodes".to_owned() } else { value.shown() };
                deeds.push(Deed { f, first: index, last: index, target, nodes: names });
            }
        }
    }
    deeds
}

/// The number of each node: the one that its name ends with, if all end with one of their own; else counted by name.
fn numbers(names: BTreeSet<&str>) -> BTreeMap<&str, u32> {
    let own = |name: &str| {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok().filter(|number: &u32| *number > 0)
    };
    let all: Option<BTreeSet<u32>> = names.iter().map(|name| own(name)).collect();
    let distinct = all.is_some_and(|all| all.len() == names.len());
    let number = |(name, counted)| (name, own(name).filter(|_| distinct).unwrap_or(counted));
    names.into_iter().zip(1..).map(number).collect()
}

/// What a word of the nemesis ends.
enum Ends<'a> {
    Nothing,
    Everything,
    /// The faults with these verbs.
    These(&'a [&'a str]),
    /// The faults with this verb.
    This(&'a str),
}

impl Ends<'_> {
    fn has(&self, verb: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::These(verbs) => verbs.contains(&verb),
            Self::This(one) => *one == verb,
        }
    }
}

/// `kills`: the nemesis kills processes, which `start` then starts again.
fn ends(f: &str, kills: bool) -> Ends<'_> {
    let prefixes = ["stop-", "heal-", "recover-", "reset-"];
    match f {
        "stop" | "heal" | "recover" => Ends::Everything,
        "resume" => Ends::This("pause"),
        "start" if kills => Ends::This("kill"),
        "restart" => Ends::These(&["kill", "pause"]),
        "reset" | "reset-clock" => Ends::These(&["bump", "strobe", "bump-clock", "strobe-clock"]),
        _ => prefixes.iter().find_map(|prefix| f.strip_prefix(prefix)).map_or(Ends::Nothing, Ends::This),
    }
}

/// The nodes that a value names.
fn nodes(value: &Form) -> BTreeSet<String> {
    match value {
        Form::Map(map) => {
            let deaf = |heard: &Form| heard.list().map_or(0, <[Form]>::len) * 2 >= map.len();
            let cut_off = map.iter().any(|(_, list)| list.list().is_some());
            let cut_off: BTreeSet<String> = map
                .iter()
                .filter(|(_, list)| cut_off && deaf(list))
                .filter_map(|(node, _)| node.name())
                .collect();
            if cut_off.is_empty() {
                map.iter().filter_map(|(node, _)| node.name()).collect()
            } else {
                cut_off
            }
        }
        Form::List(list) => {
            let inner: BTreeSet<String> = list
                .iter()
                .filter(|one| matches!(one, Form::Map(_) | Form::List(_)))
                .flat_map(nodes)
                .collect();
            let named = |one: &Form| !matches!(one, Form::Text(text) if text.starts_with(':'));
            if inner.is_empty() {
                list.iter().filter(|one| named(one)).filter_map(Form::name).collect()
            } else {
                inner
            }
        }
        _ => BTreeSet::new(),
    }
}
