//! Where capsules are on disk: written beside what cargo builds, read from where the user keeps them. Nothing of
//! this happens inside a run.

use super::capsule::{Capsule, SUFFIX};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// The environment variable that names one capsule to replay instead of a storm's seeds.
pub const CAPSULE_VARIABLE: &str = "SQUALL_CAPSULE";
/// What cargo puts at the root of its target directory.
const CARGO_TAG: &str = "CACHEDIR.TAG";

/// A capsule, and the file that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) path: PathBuf,
    pub(super) capsule: Capsule,
}

/// `squall/` in cargo's target directory, which is where the test runs from; without one, in the working directory.
fn folder() -> PathBuf {
    let binary = env::current_exe().unwrap_or_default();
    let target = binary.ancestors().find(|folder| folder.join(CARGO_TAG).is_file());
    let folder = target.unwrap_or(Path::new("target")).join("squall");
    let here = env::current_dir().unwrap_or_default();
    folder.strip_prefix(here).map_or(folder.clone(), Path::to_path_buf)
}

/// Writes a capsule, in the place of an older one of the same storm and seed. The error names the file.
pub(super) fn write(capsule: &Capsule) -> Result<PathBuf, String> {
    let bus = capsule.target.trim_start_matches("sim:");
    let path = folder().join(format!("{}-{bus}-{}{SUFFIX}", plain(&capsule.storm), capsule.seed));
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder())?;
        fs::write(&path, capsule.to_yaml())
    };
    write().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A name as part of a file's name.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || c == '_' {
            plain.push(c);
        } else if !plain.ends_with('-') {
            plain.push('-');
        }
    }
    plain.trim_matches('-').to_owned()
}

/// Reads one capsule. The error names the file.
pub(super) fn read(path: &Path) -> Result<Filed, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let capsule = Capsule::from_yaml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Filed { path: path.to_path_buf(), capsule })
}

/// Reads the capsule that the environment names: cargo runs a test in the folder of its package, and people name files
/// from the folder where they type, which is mostly one above it.
pub(super) fn read_named(path: &Path) -> Result<Filed, String> {
    let here = env::current_dir().unwrap_or_default();
    match above(path, &here) {
        Some(found) => read(&found),
        None if path.is_relative() => Err(format!(
            "there is no file {} in {} or a folder above it; name the file in full",
            path.display(),
            here.display()
        )),
        None => read(path),
    }
}

/// Where a relative path leads to a file from this folder or the nearest one above it.
fn above(path: &Path, folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(path)).find(|path| path.is_file())
}

/// Reads every capsule of a folder, the shortest run first.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Filed>, String> {
    let named = |error: io::Error| {
        let here = env::current_dir().unwrap_or_default();
        format!(
            "the corpus {} (from {}) cannot be read: {error}; make this folder and copy capsules there, or name another",
            folder.display(),
            here.display()
        )
    };
    let mut filed = Vec::new();
    for entry in fs::read_dir(folder).map_err(named)? {
        let path = entry.map_err(named)?.path();
        if path.to_str().is_some_and(|path| path.ends_with(SUFFIX)) {
            filed.push(read(&path)?);
        }
    }
    filed.sort_by(|one, other| (one.capsule.events, &one.path).cmp(&(other.capsule.events, &other.path)));
    Ok(filed)
}

#[cfg(test)]
mod tests {
    use super::{above, plain};
    use std::{env, fs, path::Path};

    #[test]
    fn a_name_becomes_part_of_a_files_name() {
        for (name, file) in [
            ("billing::loses_orders", "billing-loses_orders"),
            ("../it's gone/", "it-s-gone"),
            ("plain", "plain"),
        ] {
            assert_eq!(plain(name), file);
        }
    }

    #[test]
    fn a_relative_path_is_looked_for_in_this_folder_and_those_above_it() {
        let root = env::temp_dir().join(format!("squall-files-{}", std::process::id()));
        let package = root.join("services/billing");
        fs::create_dir_all(root.join("target/squall")).expect("a folder");
        fs::create_dir_all(package.join("target/squall")).expect("a folder");
        let names =
            ["one.capsule.yaml", "two.capsule.yaml"].map(|name| Path::new("target/squall").join(name));
        for file in [root.join(&names[0]), root.join(&names[1]), package.join(&names[1])] {
            fs::write(file, "").expect("a file");
        }
        assert_eq!(above(&names[0], &package), Some(root.join(&names[0])));
        assert_eq!(above(&names[1], &package), Some(package.join(&names[1])), "the nearest");
        assert_eq!(
            above(&root.join(&names[1]), &package),
            Some(root.join(&names[1])),
            "a whole path as it is"
        );
        assert_eq!(above(Path::new("three.capsule.yaml"), &package), None);
        fs::remove_dir_all(root).expect("it was made here");
    }
}
