//! From forms to operations.

use super::{Fault, Problem, form::Form, pairs::pair};
use std::collections::BTreeSet;

/// Which line of an operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// What was read of each key: offsets, as far as they are known, and values.
pub(super) type Records = Vec<(String, Vec<(Option<u64>, Form)>)>;

/// A micro-operation. Keys are named, offsets are there if they are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Micro {
    /// A send, or an append to a list.
    Send { key: String, value: Form, offset: Option<u64> },
    /// A poll, and what it was handed, if it says so.
    Poll(Option<Records>),
    /// A read of a list, and what was in it.
    Read { key: String, list: Option<Vec<Form>> },
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    /// These. `txn`: all at once, or not at all.
    Micros { micros: Vec<Micro>, txn: bool, lists: bool },
    /// The process reads these keys from now on, perhaps from their beginnings.
    Assign { keys: Vec<String>, from_start: bool },
    /// The process joins a group that shares out these keys.
    Subscribe(Vec<String>),
    /// The process dies.
    Crash,
    /// Somebody breaks or heals something, by the nemesis' own word, and says at whom or what became of it.
    Nemesis { f: String, value: Form },
}

/// A line of a history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Op {
    pub(super) line: u64,
    pub(super) time: u64,
    pub(super) process: String,
    pub(super) side: Side,
    pub(super) work: Work,
    /// The keys that a rebalance moved during the operation.
    pub(super) rebalanced: Vec<String>,
    /// The client's own word for what went wrong.
    pub(super) error: Option<String>,
}

/// All operations, without those of which nothing can be judged, and how many these were.
pub(super) fn ops(forms: Vec<(u64, Form)>) -> Result<(Vec<Op>, usize), Fault> {
    let (mut ops, mut skipped, mut time) = (Vec::with_capacity(forms.len()), 0, 0);
    let mut others = BTreeSet::new();
    for (line, form) in forms {
        match op(line, &form, &mut time).map_err(|problem| (line, problem))? {
            Read::Op(op) => ops.push(op),
            Read::Other(f) => {
                skipped += 1;
                others.extend(f);
            }
        }
    }
    if !ops.iter().any(|op| !matches!(op.work, Work::Nemesis { .. })) {
        return Err((1, Problem::Empty(others.into_iter().collect())));
    }
    pair(&mut ops)?;
    Ok((ops, skipped))
}

/// What a form is.
enum Read {
    Op(Op),
    /// Nothing that can be judged: its `f`, if it is a client's.
    Other(Option<String>),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Op(what.into()))
}

fn op(line: u64, form: &Form, time: &mut u64) -> Result<Read, Problem> {
    if !matches!(form, Form::Map(_)) {
        return wrong(format!("it is not a map with type, f and value, but {}", form.shown()));
    }
    match form.get("time") {
        Some(Form::Int(at)) => *time = u64::try_from(*at).unwrap_or(0),
        // Parts of a nanosecond are nothing.
        Some(Form::Text(text)) => {
            let whole = text.split('.').next().and_then(|whole| whole.parse().ok());
            *time = whole.unwrap_or(*time);
        }
        _ => {}
    }
    if form.get("squall").is_some() {
        return wrong("it is the header of a history in Squall's own format, which needs no --import");
    }
    let f = form.get("f").and_then(Form::text);
    let Some(process) = form.get("process").and_then(Form::name) else { return wrong("it has no process") };
    let value = form.get("value").unwrap_or(&Form::Nil);
    let (work, side) = if process == "nemesis" {
        let Some(f) = f else { return Ok(Read::Other(None)) };
        (Work::Nemesis { f: f.to_owned(), value: value.clone() }, Side::Info)
    } else {
        let Some(f) = f else { return wrong("it has no f") };
        let side = match form.get("type").and_then(Form::text) {
            Some("invoke") => Side::Invoke,
            Some("ok") => Side::Ok,
            Some("fail") => Side::Fail,
            Some("info") => Side::Info,
            _ => return wrong("its type is not one of invoke, ok, fail and info"),
        };
        match f {
            "assign" => {
                let seek = form.get("seek-to-beginning?").or_else(|| form.get("seek-to-beginning"));
                let from_start = matches!(seek, Some(Form::Bool(true)));
                (Work::Assign { keys: keys(value)?, from_start }, side)
            }
            "subscribe" => (Work::Subscribe(keys(value)?), side),
            "crash" => (Work::Crash, side),
            "txn" | "send" | "poll" | "append" | "r" | "read" => (micros(f, value, side)?, side),
            other => return Ok(Read::Other(Some(other.to_owned()))),
        }
    };
    let rebalanced = form.get("rebalance-log").and_then(Form::list).unwrap_or_default();
    let rebalanced = rebalanced.iter().flat_map(moved).collect();
    let error = form.get("error").filter(|error| **error != Form::Nil).map(Form::shown);
    let time = *time;
    Ok(Read::Op(Op { line, time, process, side, work, rebalanced, error }))
}

fn keys(value: &Form) -> Result<Vec<String>, Problem> {
    match value {
        Form::Nil => Ok(Vec::new()),
        Form::List(list) => Ok(list.iter().filter_map(Form::name).collect()),
        other => wrong(format!("its value is not a list of keys, but {}", other.shown())),
    }
}

/// The keys of an entry of a rebalance log: a map with `keys`, a list of keys, or a key.
fn moved(entry: &Form) -> Vec<String> {
    match entry {
        Form::Map(_) => entry.get("keys").map(moved).unwrap_or_default(),
        Form::List(list) => list.iter().filter_map(Form::name).collect(),
        other => other.name().into_iter().collect(),
    }
}

fn micros(f: &str, value: &Form, side: Side) -> Result<Work, Problem> {
    let list = match value {
        Form::Nil => &[][..],
        Form::List(list) => list.as_slice(),
        other => return wrong(format!("its value is not a list of micro-operations, but {}", other.shown())),
    };
    let single = list.first().is_some_and(|first| first.text().is_some());
    let mut micros: Vec<Micro> = match single {
        true => vec![micro(list)?],
        false => list.iter().map(|one| micro(one.list().unwrap_or_default())).collect::<Result<_, _>>()?,
    };
    for micro in &mut micros {
        // A list that is not there is an empty one.
        if let (Micro::Read { list: list @ None, .. }, Side::Ok) = (micro, side) {
            *list = Some(Vec::new());
        }
    }
    // An append looks like a send once it is read, but its name tells.
    let name = |one: &Form| one.list().and_then(<[Form]>::first).and_then(Form::text).map(str::to_owned);
    let first = if single {
        list.first().and_then(Form::text).map(str::to_owned)
    } else {
        list.first().and_then(name)
    };
    let lists = match first.as_deref() {
        Some(word) => matches!(word, "append" | "r" | "read"),
        None => matches!(f, "append" | "r" | "read"),
    };
    let txn = lists || f == "txn" || micros.len() > 1;
    Ok(Work::Micros { micros, txn, lists })
}

fn micro(list: &[Form]) -> Result<Micro, Problem> {
    let shown = || Form::List(list.to_vec()).shown();
    let key = |form: &Form| form.name().ok_or_else(|| Problem::Op(format!("{} has no key", shown())));
    match (list.first().and_then(Form::text), &list[list.len().min(1)..]) {
        (Some("send"), [name, value]) => {
            let (offset, value) = placed(value);
            Ok(Micro::Send { key: key(name)?, value, offset })
        }
        (Some("append"), [name, value]) => {
            Ok(Micro::Send { key: key(name)?, value: value.clone(), offset: None })
        }
        (Some("poll"), []) => Ok(Micro::Poll(None)),
        (Some("poll"), [Form::Nil]) => Ok(Micro::Poll(None)),
        (Some("poll"), [Form::Map(map)]) => {
            let unit = |(name, records): &(Form, Form)| {
                let records = records.list().unwrap_or_default();
                Ok((key(name)?, records.iter().map(placed).collect()))
            };
            Ok(Micro::Poll(Some(map.iter().map(unit).collect::<Result<_, Problem>>()?)))
        }
        (Some("r" | "read"), [name]) => Ok(Micro::Read { key: key(name)?, list: None }),
        (Some("r" | "read"), [name, Form::Nil]) => Ok(Micro::Read { key: key(name)?, list: None }),
        (Some("r" | "read"), [name, Form::List(list)]) => {
            Ok(Micro::Read { key: key(name)?, list: Some(list.clone()) })
        }
        _ => wrong(format!("{} is no micro-operation of these workloads", shown())),
    }
}

/// `[offset, value]`, or a value alone.
fn placed(form: &Form) -> (Option<u64>, Form) {
    match form {
        Form::List(pair) => match pair.as_slice() {
            [Form::Int(offset), value] => (u64::try_from(*offset).ok(), value.clone()),
            [Form::Nil, value] => (None, value.clone()),
            _ => (None, form.clone()),
        },
        _ => (None, form.clone()),
    }
}
