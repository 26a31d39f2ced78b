//! What `squall-pin` overrides is overridden in the tests that link it, and in no other binary: not in the `squall`
//! command, and not in the tests of any room.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod workspace;

use object::{Object as _, ObjectSymbol as _, ReadCache};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};
use workspace::{metadata, text};

/// The functions of libc that `squall-pin` defines.
const OVERRIDES: [&str; 4] = ["clock_gettime", "getrandom", "pthread_create", "syscall"];
/// The crate that defines them.
const PIN: &str = "squall-pin";

/// Those of the overrides that this binary defines itself; `None` for a file that is no binary.
fn defined(path: &Path) -> Option<Vec<String>> {
    let cache = ReadCache::new(fs::File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    let symbols = file.symbols().chain(file.dynamic_symbols()).filter(object::ObjectSymbol::is_definition);
    let names = symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    let names: BTreeSet<String> = names.filter(|name| OVERRIDES.contains(&&**name)).collect();
    Some(names.into_iter().collect())
}

/// The binaries that were built beside this test, the newest of each name: its tests, and the command if it is there.
fn binaries() -> BTreeMap<String, PathBuf> {
    let this = std::env::current_exe().expect("this test");
    let folder = this.parent().expect("a folder");
    let mut newest: BTreeMap<String, (SystemTime, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        let Some((name, _)) = path.file_name().and_then(|name| name.to_str()?.rsplit_once('-')) else {
            continue;
        };
        let Ok(built) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        if path.extension().is_none() && newest.get(name).is_none_or(|(known, _)| *known < built) {
            newest.insert(name.to_owned(), (built, path));
        }
    }
    newest.into_iter().map(|(name, (_, path))| (name, path)).collect()
}

/// The names of all binaries of packages that may link the overrides.
fn may_link_them() -> BTreeSet<String> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let uses = |package: &&serde_json::Value| {
        let mut dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        text(&package["name"]) == PIN || dependencies.any(|dependency| text(&dependency["name"]) == PIN)
    };
    let targets = packages.filter(uses).flat_map(|package| package["targets"].as_array().expect("targets"));
    targets.map(|target| text(&target["name"]).replace('-', "_")).collect()
}

#[test]
fn no_binary_defines_the_overrides_unless_its_package_asks_for_them() {
    let (binaries, may) = (binaries(), may_link_them());
    assert!(binaries.contains_key("overrides"), "this test is among them: {binaries:?}");
    for (name, path) in &binaries {
        let defined = defined(path).unwrap_or_default();
        assert!(defined.is_empty() || may.contains(name), "{} defines {defined:?}", path.display());
    }
    // The command is there once it was built; its own tests build it.
    let command = std::env::current_exe().expect("this test").with_file_name("").join("../squall");
    assert_eq!(defined(&command).unwrap_or_default(), [""; 0]);
    // The tests with the overrides are there once they were built: the search finds what it looks for.
    if let Some(pinned) = binaries.get("pinned") {
        assert_eq!(defined(pinned).expect("a binary"), OVERRIDES);
    }
}
