//! What keeps the repository honest: every crate under the same lints, no path of somebody's machine in a
//! file, documents whose commands and links exist, nothing in a simulated run that reaches outside.

mod workspace;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use workspace::{members, root};

/// Folders that hold what was built or run, not what was written.
const MADE: [&str; 3] = ["target", "squall-out", ".git"];

/// Every written file that is text, with its text.
fn files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name());
            if MADE.iter().any(|made| name == *made) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path, text));
            }
        }
    }
    found
}

/// The lines of a text that name a place on somebody's machine.
fn machine_paths(text: &str) -> Vec<&str> {
    let here = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    let homes = ["/home", "/Users", "/root"].map(|home| format!("{home}/"));
    text.lines().filter(|line| line.contains(&here) || homes.iter().any(|home| line.contains(home))).collect()
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    for (path, text) in files() {
        let found = machine_paths(&text);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    let planted = format!("a\nsee {}{}\nb", "/home", "/me/notes");
    assert_eq!(machine_paths(&planted).len(), 1);
}

#[test]
fn every_crate_is_under_the_workspace_lints() {
    for member in members() {
        let manifest =
            fs::read_to_string(root().join(&member.folder).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", member.name);
    }
}

#[test]
fn ci_runs_what_the_readme_says() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    let test = "cargo test --workspace";
    assert!(readme.contains(test) && ci.contains(test), "README and .ci/run name `{test}`");
}

/// The targets of the relative links of a Markdown text, without fragments.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':')).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_eq!(links("see [a](b.md#c), [d](https://e), [f](#g)"), ["b.md"]);
    for (path, text) in files() {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let folder = path.parent().expect("a folder");
        for link in links(&text) {
            assert!(Path::exists(&folder.join(link)), "{} links to {link}", path.display());
        }
    }
}

/// What reaches out of a process, or is not the same in each.
const OUTSIDE: [&str; 16] = [
    "fs::",
    "Command::new",
    "thread::spawn",
    "thread::scope",
    "thread::sleep(",
    "thread::Builder",
    "std::time::Instant",
    "SystemTime::now",
    "HashMap<",
    "HashMap::",
    "HashSet<",
    "HashSet::",
    "io::stdin",
    "io::stdout",
    "env::var",
    "env::current",
];

/// Where the simulator does so, around its runs and never inside of one: the watchdog watches from a thread, and a storm
/// reads the environment, keeps capsules and starts processes between its seeds.
const AROUND_RUNS: [&str; 5] = [
    "sim/src/runtime/watchdog.rs",
    "sim/src/storm/files.rs",
    "sim/src/storm/mod.rs",
    "sim/src/storm/processes/",
    "sim/src/storm/sweep.rs",
];

/// The one file of the simulator that has maps without an order, which cannot be walked through.
const WITHOUT_ORDER: &str = "sim/src/nats/lookup.rs";
/// What walks through a map.
const WALKS: [&str; 8] =
    [".iter", ".keys(", ".values", ".into_keys(", ".into_values(", ".drain(", ".retain(", "Deref"];

/// What of this stands in a source, its tests and comments left out.
fn reaches_outside(text: &str) -> Vec<&'static str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let alone = |line: &str, word: &str| {
        let at = line.match_indices(word).map(|(at, _)| &line[..at]);
        at.into_iter().any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    OUTSIDE.into_iter().filter(|word| lines.iter().any(|line| alone(line, word))).collect()
}

#[test]
fn nothing_inside_a_simulated_run_reaches_outside() {
    let mut seen = BTreeSet::new();
    for (path, text) in files() {
        let path = path.strip_prefix(root()).expect("a file of ours").display().to_string();
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if !path.starts_with("sim/src/") || !path.ends_with(".rs") || is_test {
            continue;
        }
        let mut found = reaches_outside(&text);
        if path == WITHOUT_ORDER {
            found.retain(|word| !word.starts_with("Hash"));
            found.extend(WALKS.iter().filter(|walk| text.contains(**walk)));
        }
        match AROUND_RUNS.iter().find(|around| path.starts_with(**around)) {
            Some(around) => seen.extend((!found.is_empty()).then_some(*around)),
            None => assert_eq!(found, [""; 0], "{path}"),
        }
    }
    assert_eq!(seen, BTreeSet::from(AROUND_RUNS), "the others need not be named");
    let planted = "// Command::new\nlet a = std::fs::read(offenv::var);\n#[cfg(test)]\nthread::spawn(f);";
    assert_eq!(reaches_outside(planted), ["fs::"]);
}
