//! The connection to the program: lines go out from any thread, a thread of its own hands what comes in to the client
//! that it is for.

use super::lines;
use crate::providers::{Progress, ProviderError, java_program::JavaProgram};
use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The program.
const CLIENTS: &str = include_str!("Clients.java");
/// How long it may take until its classes are loaded.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The clients of Kafka's own Java library that a run has: one process for all of them. It ends with the last of these
/// handles and of the clients that came from them.
#[derive(Clone)]
pub struct JavaClients(Arc<Link>);

impl fmt::Debug for JavaClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JavaClients")
    }
}

impl JavaClients {
    /// Starts the process and waits until it is ready to open clients of the cluster at these addresses.
    ///
    /// # Errors
    /// When there is no Java or it has no compiler, or the process does not begin its work.
    pub fn start(bootstrap: &str, progress: Progress<'_>) -> Result<Self, ProviderError> {
        progress("starting clients of Kafka's own Java library");
        let (program, stream) = JavaProgram::start("Clients", CLIENTS, &[bootstrap], progress)?;
        let io = |error| ProviderError::io("talk to the Java clients")(error);
        let writer = stream.try_clone().map_err(io)?;
        stream.set_read_timeout(Some(READY_WITHIN)).map_err(io)?;
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).map_err(io)?;
        if lines::fields(&first) != ["ready"] {
            return Err(ProviderError::Program { name: "Clients".to_owned(), log: program.log_tail() });
        }
        reader.get_ref().set_read_timeout(None).map_err(io)?;
        let doors: Arc<Mutex<Doors>> = Arc::default();
        let answers = Arc::clone(&doors);
        let listening = move || listen(reader, &answers);
        thread::Builder::new().name("squall-java".to_owned()).spawn(listening).map_err(io)?;
        let link = Link { writer: Mutex::new(writer), doors, next: AtomicU64::new(1), _program: program };
        Ok(Self(Arc::new(link)))
    }

    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.0)
    }
}

/// Where the answers to a client go.
pub(super) trait Door: Send + Sync {
    /// An answer: its verb, and what it says behind the client's handle.
    fn answer(&self, verb: &str, says: &[String]);
    /// The program is gone: there will be no answers.
    fn gone(&self);
}

type Doors = BTreeMap<u64, Arc<dyn Door>>;

/// The connection.
pub(super) struct Link {
    writer: Mutex<TcpStream>,
    doors: Arc<Mutex<Doors>>,
    next: AtomicU64,
    _program: JavaProgram,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// The handle of another client.
    pub(super) fn handle(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Opens a door for the client of a handle: the answers to it go there until the client ends.
    pub(super) fn open<D: Door + 'static>(&self, handle: u64, door: &Arc<D>) {
        let door: Arc<D> = Arc::clone(door);
        lock(&self.doors).insert(handle, door);
    }

    /// Says something to a client: what it is to do, the number of the call, and the rest.
    pub(super) fn say(&self, handle: u64, verb: &str, call: u64, rest: impl IntoIterator<Item = String>) {
        let mut fields = vec![verb.to_owned(), handle.to_string(), call.to_string()];
        fields.extend(rest);
        let line = lines::line(&fields);
        // When the program is gone its clients hear of it from who listens.
        let _ = lock(&self.writer).write_all(line.as_bytes());
    }

    /// Closes a client's door, and ends the client without ceremony.
    pub(super) fn end(&self, handle: u64) {
        if self.forget(handle) {
            self.say(handle, "end", 0, []);
        }
    }

    /// Closes the door of a client that has ended by itself. Whether it was open.
    pub(super) fn forget(&self, handle: u64) -> bool {
        lock(&self.doors).remove(&handle).is_some()
    }
}

/// Hands out answers until the program is gone.
fn listen(reader: BufReader<TcpStream>, doors: &Mutex<Doors>) {
    for line in reader.lines().map_while(Result::ok) {
        let fields = lines::fields(&line);
        let Some((verb, handle)) = fields.first().zip(fields.get(1)) else { continue };
        let door = handle.parse().ok().and_then(|handle: u64| lock(doors).get(&handle).cloned());
        if let Some(door) = door {
            door.answer(verb, &fields[2..]);
        }
    }
    let open = std::mem::take(&mut *lock(doors));
    open.into_values().for_each(|door| door.gone());
}
