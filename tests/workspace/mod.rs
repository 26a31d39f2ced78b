//! The workspace as cargo sees it, for the tests that hold its shape.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The output of a cargo command at the root.
pub(crate) fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// What `cargo metadata` says with these further arguments.
pub(crate) fn metadata(arguments: &[&str]) -> Value {
    let all = [&["metadata", "--format-version", "1"], arguments].concat();
    serde_json::from_str(&cargo(&all)).expect("cargo prints JSON")
}

/// One dependency of a package.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    /// The package it is on.
    pub(crate) name: String,
    /// `normal`, `dev` or `build`.
    pub(crate) kind: String,
}

/// One member of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, from the root; empty for the root itself.
    pub(crate) folder: String,
    /// Its dependencies.
    pub(crate) dependencies: Vec<Dependency>,
}

impl Package {
    /// Adds a dependency.
    pub(crate) fn depend(&mut self, name: &str, kind: &str) {
        self.dependencies.push(Dependency { name: name.to_owned(), kind: kind.to_owned() });
    }
}

/// Every member of the workspace.
pub(crate) fn members() -> Vec<Package> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(!packages.is_empty(), "a workspace has members");
    packages.iter().map(member).collect()
}

fn member(package: &Value) -> Package {
    let manifest = Path::new(text(&package["manifest_path"]));
    let folder = manifest.parent().expect("a folder").strip_prefix(root()).expect("a folder below the root");
    let mut member = Package {
        name: text(&package["name"]).to_owned(),
        folder: folder.to_str().expect("a folder's name is text").to_owned(),
        dependencies: Vec::new(),
    };
    for dependency in package["dependencies"].as_array().expect("dependencies") {
        // Cargo leaves the kind out of a normal dependency.
        member.depend(text(&dependency["name"]), dependency["kind"].as_str().unwrap_or("normal"));
    }
    member
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
