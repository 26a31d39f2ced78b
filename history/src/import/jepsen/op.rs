//! From forms to operations.

use super::{Fault, Problem, form::Form};

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

/// All operations of clients, and how many others there were.
pub(super) fn ops(forms: Vec<(u64, Form)>) -> Result<(Vec<Op>, usize), Fault> {
    let (mut ops, mut skipped, mut time) = (Vec::with_capacity(forms.len()), 0, 0);
    for (line, form) in forms {
        match op(line, &form, &mut time).map_err(|problem| (line, problem))? {
            Some(op) => ops.push(op),
            None => skipped += 1,
        }
    }
    if ops.is_empty() {
        return Err((1, Problem::Empty));
    }
    Ok((ops, skipped))
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Op(what.into()))
}

fn op(line: u64, form: &Form, time: &mut u64) -> Result<Option<Op>, Problem> {
    if !matches!(form, Form::Map(_)) {
        return wrong(format!("it is not a map with type, f and value, but {}", form.shown()));
    }
    if let Some(Form::Int(at)) = form.get("time") {
        *time = u64::try_from(*at).unwrap_or(0);
    }
    let Some(process) = form.get("process").and_then(Form::name) else { return wrong("it has no process") };
    let Some(f) = form.get("f").and_then(Form::text) else { return wrong("it has no f") };
    let side = match form.get("type").and_then(Form::text) {
        Some("invoke") => Side::Invoke,
        Some("ok") => Side::Ok,
        Some("fail") => Side::Fail,
        Some("info") => Side::Info,
        _ => return wrong("its type is not one of invoke, ok, fail and info"),
    };
    if process == "nemesis" || f == "debug-topic-partitions" {
        return Ok(None);
    }
    let value = form.get("value").unwrap_or(&Form::Nil);
    let work = match f {
        "assign" => {
            let from_start = matches!(form.get("seek-to-beginning?"), Some(Form::Bool(true)));
            Work::Assign { keys: keys(value)?, from_start }
        }
        "subscribe" => Work::Subscribe(keys(value)?),
        "crash" => Work::Crash,
        "txn" | "send" | "poll" | "append" | "r" | "read" => micros(f, value)?,
        other => {
            return wrong(format!(
                "f is `{other}`; only txn, send, poll, append, r, assign, subscribe and crash can be judged"
            ));
        }
    };
    let rebalanced = form.get("rebalance-log").and_then(Form::list).unwrap_or_default();
    let rebalanced = rebalanced.iter().flat_map(moved).collect();
    let error = form.get("error").filter(|error| **error != Form::Nil).map(Form::shown);
    let time = *time;
    let process = process.strip_prefix(':').unwrap_or(&process).to_owned();
    Ok(Some(Op { line, time, process, side, work, rebalanced, error }))
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

fn micros(f: &str, value: &Form) -> Result<Work, Problem> {
    let list = match value {
        Form::Nil => &[][..],
        Form::List(list) => list.as_slice(),
        other => return wrong(format!("its value is not a list of micro-operations, but {}", other.shown())),
    };
    let single = list.first().is_some_and(|first| first.text().is_some());
    let micros: Vec<Micro> = match single {
        true => vec![micro(list)?],
        false => list.iter().map(|one| micro(one.list().unwrap_or_default())).collect::<Result<_, _>>()?,
    };
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
