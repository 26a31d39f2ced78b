//! `squall check`.
//!
//! Every file is judged on its own; one that cannot be read is told on standard error, and the others are judged all
//! the same. The worst exit code counts.

use crate::{
    Failure,
    args::CheckArgs,
    show::{as_error, say},
};
use serde::Serialize;
use squall_history::{
    Kind, Verdict,
    checks::{self, CHECKS},
    verdict::VACUOUS,
};
use squall_reports::{Exporter, Folder, Run, Runs, Text, check_json};
use squall_scenarios::check::{Check, Guarantees, Import};
use std::io::{IsTerminal, stdout};

#[derive(Serialize)]
struct Listed {
    checks: Vec<ListedCheck>,
}

#[derive(Serialize)]
struct ListedCheck {
    id: &'static str,
    about: &'static str,
    forbidden: &'static str,
    source: &'static str,
}

pub(crate) fn check(args: &CheckArgs) -> Result<u8, Failure> {
    if args.list {
        return list(args.json);
    }
    let check = how(args)?;
    let mut runs = Runs::new("check", "");
    let mut unread = Vec::new();
    for file in &args.files {
        match check.file(file) {
            Ok(run) => runs.runs.push(run),
            Err(error) => {
                eprintln!("{}", as_error(&error.to_string()));
                unread.push((file.display().to_string(), error.line(), error.to_string()));
            }
        }
    }
    print(args, &runs, &unread)?;
    let worst = runs.runs.iter().map(Run::verdict).fold(Verdict::Valid, Verdict::worst);
    let unread = if unread.is_empty() { Verdict::Valid } else { Verdict::Unsupported };
    Ok(worst.worst(unread).exit_code())
}

/// How to judge, from the arguments.
fn how(args: &CheckArgs) -> Result<Check, Failure> {
    let mut guarantees = match &args.guarantees {
        Some(file) => Guarantees::file(file).map_err(Failure::input)?,
        None => Guarantees::default(),
    };
    let mut words = Vec::new();
    if let Some(file) = &args.guarantees {
        words.extend(["--guarantees".to_owned(), file.display().to_string()]);
    }
    for text in &args.guarantee {
        guarantees.add(text).map_err(Failure::input)?;
        words.extend(["--guarantee".to_owned(), text.clone()]);
    }
    for kind in &args.ignore {
        words.extend(["--ignore".to_owned(), kind.to_string()]);
    }
    // The parser of the arguments knows one tool only.
    let import = args.import.as_ref().map(|_| Import::Jepsen);
    if let Some(tool) = &args.import {
        words.extend(["--import".to_owned(), tool.clone()]);
    }
    Ok(Check { import, guarantees, ignore: args.ignore.clone(), words })
}

fn print(args: &CheckArgs, runs: &Runs, unread: &[(String, Option<u64>, String)]) -> Result<(), Failure> {
    if let Some(out) = &args.out {
        Folder::create(out).and_then(|folder| folder.reports(runs)).map_err(Failure::input)?;
    }
    if args.json {
        say(format_args!("{}", check_json(runs, unread).map_err(Failure::broken)?))?;
    } else if !runs.runs.is_empty() {
        let text = Text { color: stdout().is_terminal() }.export(runs).map_err(Failure::broken)?;
        say(format_args!("{}", text.trim_end()))?;
        if let Some(out) = &args.out {
            say(format_args!("report: {}", out.join("report.html").display()))?;
        }
    }
    Ok(())
}

/// Every check there is.
fn list(json: bool) -> Result<u8, Failure> {
    let listed = |check: &checks::Check| ListedCheck {
        id: check.kind.id(),
        about: check.about,
        forbidden: check.forbidden,
        source: check.source,
    };
    let [about, forbidden, source] = VACUOUS;
    let vacuous = ListedCheck { id: Kind::Vacuous.id(), about, forbidden, source };
    let checks: Vec<ListedCheck> = CHECKS.iter().map(listed).chain([vacuous]).collect();
    if json {
        say(format_args!("{}", serde_json::to_string(&Listed { checks }).map_err(Failure::broken)?))?;
        return Ok(0);
    }
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    for check in checks {
        say(format_args!("{:width$}  {}", check.id, check.about))?;
        say(format_args!("{:width$}  forbidden: {}", "", check.forbidden))?;
        say(format_args!("{:width$}  source: {}", "", check.source))?;
    }
    Ok(0)
}
