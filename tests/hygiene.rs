//! What keeps the repository honest: every crate under the same lints, no path of somebody's machine in a
//! file, documents whose commands and links exist.

mod workspace;

use std::{
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
