//! A Java program of Squall's own, run against the jars of Apache Kafka: one source file, which Java compiles as it
//! starts.
//!
//! - It needs the compiler, so a JDK and not only the runtime that the brokers need; [`lacking`] tells.
//! - It is given a port of loopback as its first argument and connects to it: that connection is how one talks to it.
//! - Its process ends with the [`JavaProgram`], and also when this process is killed (see [`super::guard`]).

use super::{
    Progress, ProviderError, cache_folder,
    guard::{Guard, redirect},
    jars::{self, Java},
    kafka_files::{class_path, log4j2},
    process::NodeProcess,
    running::Running,
};
use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, OnceLock},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long it may take to compile and to connect.
const CONNECTS_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A running program. It ends when this is dropped.
#[derive(Debug)]
pub struct JavaProgram {
    process: NodeProcess,
    _guard: Arc<Guard>,
}

impl JavaProgram {
    /// Starts the program of this name (its main class) and waits until it has connected. `source` is its only file;
    /// the arguments come behind the port.
    ///
    /// # Errors
    /// When Java, its compiler or the jars are missing, or the program ends or does not connect in time.
    pub fn start(
        name: &str,
        source: &str,
        arguments: &[&str],
        progress: Progress<'_>,
    ) -> Result<(Self, TcpStream), ProviderError> {
        let java = Java::find()?;
        compiler(&java)?;
        let jars = jars::ensure(&cache_folder()?, progress)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(ProviderError::io("listen"))?;
        let port = listener.local_addr().map_err(ProviderError::io("listen"))?.port();
        let (folder, guard) = Running::folder_of_a_run("squall-java-")?;
        let write = |file: &PathBuf, text: &str| {
            fs::write(file, text).map_err(ProviderError::io(format!("write {}", file.display())))
        };
        let (file, settings, log) =
            (folder.join(format!("{name}.java")), folder.join("log4j2.xml"), folder.join("log"));
        write(&file, source)?;
        write(&settings, &log4j2(&log))?;
        let mut logging = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        logging.push(&settings);
        let mut all =
            vec!["-Xmx256m".into(), "-XX:+UseSerialGC".into(), "-XX:TieredStopAtLevel=1".into(), logging];
        all.extend(class_path(&jars));
        all.extend([file.into_os_string(), port.to_string().into()]);
        all.extend(arguments.iter().map(Into::into));
        let mut command = redirect(java.program(), all, &folder.join("output"));
        command.current_dir(&folder);
        let process = NodeProcess::new(name, command, folder.join("output"), Arc::clone(&guard));
        process.start()?;
        let program = Self { process, _guard: guard };
        let stream = program.accept(&listener)?;
        Ok((program, stream))
    }

    /// The end of what it says, for a message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    fn accept(&self, listener: &TcpListener) -> Result<TcpStream, ProviderError> {
        listener.set_nonblocking(true).map_err(ProviderError::io("listen"))?;
        let end = Instant::now() + CONNECTS_WITHIN;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
                    return ready.map(|()| stream).map_err(ProviderError::io("talk to a Java program"));
                }
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Err(ProviderError::io("accept the connection of a Java program")(error));
                }
                Err(_) if !self.process.is_alive() || Instant::now() > end => {
                    let (name, log) = (self.process.name().to_owned(), self.process.log_tail());
                    return Err(ProviderError::Program { name, log });
                }
                Err(_) => sleep(POLL),
            }
        }
    }
}

impl Drop for JavaProgram {
    fn drop(&mut self) {
        // The guard ends what could not be ended here.
        let _ = self.process.kill();
    }
}

/// Why no Java program can be run here, as a sentence with the remedy; `None` if one can.
#[must_use]
pub fn lacking() -> Option<&'static str> {
    static LACKING: OnceLock<Option<String>> = OnceLock::new();
    let found = || Java::find().and_then(|java| compiler(&java));
    LACKING.get_or_init(|| found().err().map(|error| error.to_string())).as_deref()
}

/// For tests with clients of `profile: java` on real brokers: whether to skip, having said why. With the environment
/// variable `CI` set nothing may be skipped.
///
/// # Panics
/// When something is lacking and `CI` is set.
#[must_use]
pub fn skips_for_want_of_java_clients() -> bool {
    let Some(why) = lacking() else { return false };
    assert!(std::env::var_os("CI").is_none(), "no Java clients can be started: {why}");
    eprintln!("SKIPPED: no Java clients can be started: {why}");
    true
}

/// Checks that this Java can compile.
pub(super) fn compiler(java: &Java) -> Result<(), ProviderError> {
    let output = Command::new(java.program()).arg("--list-modules").output();
    let output =
        output.map_err(ProviderError::io(format!("run {} --list-modules", java.program().display())))?;
    let modules = String::from_utf8_lossy(&output.stdout);
    if modules.lines().any(|module| module.starts_with("jdk.compiler")) {
        return Ok(());
    }
    Err(ProviderError::Missing {
        program: "the compiler of Java",
        place: format!("in {}", java.program().display()),
        remedy: "clients of `profile: java` are compiled as they start: install a Java 17 development kit (Debian: \
                 apt-get install openjdk-17-jdk-headless), or set JAVA_HOME",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{process::is_alive, skips_for_want_of_brokers};
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_program_is_compiled_connects_and_ends_with_its_handle() {
        if skips_for_want_of_brokers("kafka") || skips_for_want_of_java_clients() {
            return;
        }
        let source = r#"
            final class Hello {
                public static void main(String[] arguments) throws Exception {
                    var socket = new java.net.Socket("127.0.0.1", Integer.parseInt(arguments[0]));
                    socket.getOutputStream().write((arguments[1] + "\n").getBytes());
                    Thread.sleep(600_000);
                }
            }"#;
        let (program, stream) = JavaProgram::start("Hello", source, &["you"], &|_| ()).expect("it starts");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("a line");
        assert_eq!(line, "you\n");
        let watched = program.process.watched().expect("it lives");
        drop(program);
        assert!(!is_alive(watched));
    }

    #[test]
    fn a_program_that_does_not_compile_says_why() {
        if skips_for_want_of_brokers("kafka") || skips_for_want_of_java_clients() {
            return;
        }
        let error = JavaProgram::start("Wrong", "final class Wrong { int x = ; }", &[], &|_| ())
            .expect_err("it cannot start")
            .to_string();
        assert!(error.contains("illegal start of expression"), "{error}");
    }
}
