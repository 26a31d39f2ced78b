//! The jars of Apache Kafka: found in the cache folder, or fetched into it once.
//!
//! - They are in `kafka-4.3.0/` of the cache folder ([`super::cache_folder`]); a folder of that name is
//!   complete, because it gets its name only when everything is in it.
//! - If it is not there, `mvn dependency:copy-dependencies` fills a folder beside it (54 MB, some seconds), in
//!   one process at a time.
//! - Java is `$JAVA_HOME/bin/java`, else `java` on PATH, and must be 17 or later. Maven is needed only for
//!   fetching. What is missing is named together with the remedy.

use super::{
    Progress, ProviderError,
    once::{last_lines, on_path, once},
};
use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The version of Apache Kafka that the provider starts.
pub const KAFKA_VERSION: &str = "4.3.0";
const LOG4J_VERSION: &str = "2.25.1";

const JAVA_REMEDY: &str =
    "install a Java 17 runtime (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME";
const MAVEN_REMEDY: &str = "it fetches the jars of Apache Kafka once: install Maven (Debian: apt-get install \
     maven), or point SQUALL_CACHE at a folder that holds the jars";

/// The Java runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Java(PathBuf);

impl Java {
    /// Finds Java as `JAVA_HOME` or PATH say, and asks its version.
    pub fn find() -> Result<Self, ProviderError> {
        Self::find_in(env::var_os("JAVA_HOME").as_deref(), env::var_os("PATH").as_deref())
    }

    fn find_in(home: Option<&OsStr>, path: Option<&OsStr>) -> Result<Self, ProviderError> {
        let missing = |place| ProviderError::Missing { program: "java", place, remedy: JAVA_REMEDY };
        let java = match home.filter(|home| !home.is_empty()) {
            Some(home) => {
                let java = Path::new(home).join("bin/java");
                let place = format!("at {}, where JAVA_HOME points", java.display());
                if java.is_file() { java } else { return Err(missing(place)) }
            }
            None => on_path("java", path).ok_or_else(|| missing("on PATH".to_owned()))?,
        };
        let output = Command::new(&java).arg("-version").output();
        let output = output.map_err(ProviderError::io(format!("run {} -version", java.display())))?;
        match major_version(&String::from_utf8_lossy(&output.stderr)) {
            Some(found) if found < 17 => Err(ProviderError::OldJava { java, found }),
            _ => Ok(Self(java)),
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.0
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, `java version "1.8.0_402"` is 8.
fn major_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted.split(['.', '-', '_', '+']).map(|number| number.parse::<u32>().ok());
    match numbers.next()?? {
        1 => numbers.next()?,
        major => Some(major),
    }
}

/// The folder with the jars; fetches them if they are not in `cache`. Says one line to `progress` before
/// what takes long.
pub fn ensure(cache: &Path, progress: Progress<'_>) -> Result<PathBuf, ProviderError> {
    let name = name();
    let finished = cache.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }
    let maven = maven()?;
    once(cache, &name, |draft| {
        progress(&format!("fetching Apache Kafka {KAFKA_VERSION} with Maven (54 MB, once)"));
        fetch(&maven, draft)?;
        Ok(draft.join("libs"))
    })
}

/// Whether the jars are in `cache`, or can be fetched.
pub(super) fn check(cache: &Path) -> Result<(), ProviderError> {
    if cache.join(name()).is_dir() { Ok(()) } else { maven().map(drop) }
}

fn name() -> String {
    format!("kafka-{KAFKA_VERSION}")
}

fn maven() -> Result<PathBuf, ProviderError> {
    on_path("mvn", env::var_os("PATH").as_deref()).ok_or_else(|| ProviderError::Missing {
        program: "mvn",
        place: "on PATH".to_owned(),
        remedy: MAVEN_REMEDY,
    })
}

/// Fills `draft/libs`.
fn fetch(maven: &Path, draft: &Path) -> Result<(), ProviderError> {
    let pom = draft.join("pom.xml");
    fs::write(&pom, pom_xml()).map_err(ProviderError::io(format!("write {}", pom.display())))?;
    let output = Command::new(maven)
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"])
        .current_dir(draft)
        .stdin(Stdio::null())
        .output()
        .map_err(ProviderError::io(format!("run {}", maven.display())))?;
    let has_kafka = draft.join(format!("libs/kafka_2.13-{KAFKA_VERSION}.jar")).is_file();
    if output.status.success() && has_kafka {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ProviderError::Fetch {
        folder: draft.to_owned(),
        output: last_lines(&String::from_utf8_lossy(&said)),
    })
}

fn pom_xml() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let dependencies = [
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        dependency("org.apache.logging.log4j", "log4j-core", LOG4J_VERSION),
    ]
    .concat();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>squall</groupId>\n  <artifactId>kafka-jars</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_of_java() {
        for (text, major) in [
            ("openjdk version \"17.0.15\" 2025-04-15", Some(17)),
            ("java version \"1.8.0_402\"", Some(8)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("something else", None),
        ] {
            assert_eq!(major_version(text), major, "{text}");
        }
    }

    #[test]
    fn a_missing_java_is_named_with_its_remedy() {
        let empty = tempfile::tempdir().expect("a folder");
        let on_path = Java::find_in(None, Some(empty.path().as_os_str())).expect_err("no java").to_string();
        assert_eq!(
            on_path,
            "java was not found on PATH: install a Java 17 runtime (Debian: apt-get install \
             openjdk-17-jre-headless), or set JAVA_HOME"
        );
        let at_home = Java::find_in(Some(empty.path().as_os_str()), None).expect_err("no java").to_string();
        assert!(at_home.contains("where JAVA_HOME points"), "{at_home}");
    }

    #[test]
    fn a_finished_folder_needs_no_maven() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = cache.path().join(format!("kafka-{KAFKA_VERSION}"));
        fs::create_dir(&folder).expect("it is made");
        let silent = |line: &str| panic!("nothing takes long: {line}");
        assert_eq!(ensure(cache.path(), &silent).expect("it is there"), folder);
    }

    #[test]
    fn a_failed_fetch_says_what_maven_said() {
        let cache = tempfile::tempdir().expect("a folder");
        let maven = cache.path().join("mvn");
        fs::write(&maven, "#!/bin/sh\necho no such host; exit 1\n").expect("it is written");
        let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&maven, runnable).expect("it can be run");
        let error = fetch(&maven, cache.path()).expect_err("it fails").to_string();
        assert!(error.contains("no such host"), "{error}");
    }
}
