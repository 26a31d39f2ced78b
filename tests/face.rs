//! The face stays light: with default features a user gets at most 60 crates and no C code.
//!
//! Counted on Linux, as cargo resolves it; dev-dependencies of ours do not reach users.

mod workspace;

use serde_json::Value;
use std::collections::BTreeSet;
use workspace::{cargo, metadata, text};

const MOST_CRATES: usize = 60;
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Crates whose only use in a build script is to find or build what is not Rust.
const BUILDS_C: [&str; 8] =
    ["cc", "cmake", "pkg-config", "bindgen", "vcpkg", "autotools", "system-deps", "nasm-rs"];

/// `name version` of every crate that a user of the package builds.
fn crates_of(package: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--target", PLATFORM]);
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.trim_start_matches('v')))
    };
    tree.lines().filter_map(name).collect()
}

/// The crates among these that bring C code, each with what shows it.
fn bring_c(crates: &BTreeSet<String>) -> Vec<String> {
    let metadata = metadata(&["--filter-platform", PLATFORM]);
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |package: &Value| format!("{} {}", text(&package["name"]), text(&package["version"]));
    let chosen: Vec<&Value> = packages.iter().filter(|package| crates.contains(&name(package))).collect();
    assert_eq!(chosen.len(), crates.len(), "cargo tree and cargo metadata name the same crates");
    let mut found = Vec::new();
    for package in chosen {
        if let Some(library) = package["links"].as_str() {
            found.push(format!("{} links {library}", name(package)));
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let tool = text(&dependency["name"]);
            if dependency["kind"] == "build" && dependency["optional"] == false && BUILDS_C.contains(&tool) {
                found.push(format!("{} builds with {tool}", name(package)));
            }
        }
    }
    found
}

#[test]
fn the_face_is_light() {
    let crates = crates_of("squall");
    assert!(
        crates.len() <= MOST_CRATES,
        "the face has {} crates, more than {MOST_CRATES}: {crates:#?}",
        crates.len()
    );
    let found = bring_c(&crates);
    assert!(found.is_empty(), "the face must not bring C code: {found:?}");
}

#[test]
fn a_package_that_is_not_light_is_found_out() {
    let crates = crates_of("squall-cli");
    assert!(crates.len() > MOST_CRATES, "the command line has {} crates", crates.len());
    let found = bring_c(&crates);
    assert!(found.iter().any(|found| found.starts_with("rdkafka-sys")), "{found:?}");
}
