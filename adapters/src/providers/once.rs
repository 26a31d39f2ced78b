//! What is fetched once: it is in the cache folder under a name that it gets only when it is complete.

use super::ProviderError;
use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The file or folder `name` of the cache folder. If it is not there, `fill` gets an empty folder beside it and
/// answers which of the things that it put there it is. A lock on `name.lock` keeps two processes from doing so
/// at the same time.
pub(super) fn once(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<PathBuf, ProviderError>,
) -> Result<PathBuf, ProviderError> {
    let finished = cache.join(name);
    if finished.exists() {
        return Ok(finished);
    }
    let path = cache.join(format!("{name}.lock"));
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = opened.map_err(ProviderError::io(format!("open {}", path.display())))?;
    lock.lock().map_err(ProviderError::io(format!("lock {}", path.display())))?;
    if finished.exists() {
        return Ok(finished);
    }
    let draft = cache.join(format!("{name}.part"));
    if draft.exists() {
        let removed = fs::remove_dir_all(&draft);
        removed.map_err(ProviderError::io(format!("remove the unfinished {}", draft.display())))?;
    }
    fs::create_dir_all(&draft).map_err(ProviderError::io(format!("make the folder {}", draft.display())))?;
    let filled = fill(&draft)?;
    let renamed = fs::rename(&filled, &finished);
    renamed.map_err(ProviderError::io(format!("rename {} to {}", filled.display(), finished.display())))?;
    // What else is in the draft is of no use; the next fetch would clear it away too.
    let _ = fs::remove_dir_all(&draft);
    Ok(finished)
}

/// A program on a search path.
pub(super) fn on_path(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The last lines that say something, on one line.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, thread};

    #[test]
    fn what_is_there_is_not_fetched_again_even_when_several_want_it() {
        let cache = tempfile::tempdir().expect("a folder");
        let filled = Mutex::new(0);
        let want = || {
            once(cache.path(), "thing-1", |draft| {
                *filled.lock().expect("no panic") += 1;
                fs::write(draft.join("thing"), "x").expect("it is written");
                fs::write(draft.join("waste"), "y").expect("it is written");
                Ok(draft.join("thing"))
            })
        };
        thread::scope(|scope| {
            let wanting: Vec<_> = (0..4).map(|_| scope.spawn(want)).collect();
            for wanted in wanting {
                let path = wanted.join().expect("no panic").expect("it is there");
                assert_eq!(fs::read_to_string(path).expect("it is read"), "x");
            }
        });
        assert_eq!(*filled.lock().expect("no panic"), 1);
        assert!(!cache.path().join("thing-1.part").exists());
    }

    #[test]
    fn what_was_left_unfinished_is_cleared_away_and_fetched_again() {
        let cache = tempfile::tempdir().expect("a folder");
        let failed = once(cache.path(), "thing", |draft| {
            fs::write(draft.join("half"), "").expect("it is written");
            Err(ProviderError::NoCache)
        });
        assert!(failed.is_err() && !cache.path().join("thing").exists());
        let done = once(cache.path(), "thing", |draft| {
            assert!(!draft.join("half").exists());
            fs::write(draft.join("whole"), "").expect("it is written");
            Ok(draft.join("whole"))
        });
        assert!(done.expect("it is there").is_file());
    }
}
