//! A proxy on one directed link.
//!
//! - Whoever opens a connection gets one of its own to the other side. Bytes arrive in order, or the
//!   connection breaks; there is never a hole, whatever faults come and go.
//! - A direction that is held is not read, so what waits is bounded: at most [`MOST`] bytes here, the rest in
//!   the sockets of both sides, who feel it as back-pressure.
//! - A delayed direction delivers each piece this much after it was read, in order; a delay that shrinks
//!   does not let a later piece overtake.
//! - A connection that is opened during a cut is accepted (as the operating system would) and then waits; it
//!   reaches the other side when the link heals.
//! - A broken connection is reset (RST) towards both sides. The end of a stream (FIN) passes like a byte.
//! - If the protocol's opener speaks first, nothing is done with a connection before its first bytes told
//!   whose it is.

use crate::{
    protocol::{FirstBytes, FrameFilter, Label, Pass, Protocol},
    rules::{Aim, Budget, Direction, FaultId, Rule, Rules, Verdict},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// The most bytes that wait in one direction of one connection.
pub const MOST: usize = 1 << 20;
const PIECE: usize = 64 << 10;
/// The most bytes that are read to learn whose a connection is.
const MOST_FIRST: usize = 4 << 10;

/// A proxy that has not begun to serve.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    forward: SocketAddr,
    protocol: Arc<dyn Protocol>,
    rules: watch::Sender<Arc<Rules>>,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    open: BTreeMap<u64, Arc<Owner>>,
    next: u64,
}

/// Whose a connection is, and the way to break it.
#[derive(Default)]
struct Owner {
    label: OnceLock<Label>,
    reset: Notify,
}

impl Proxy {
    pub(crate) fn new(forward: SocketAddr, protocol: Arc<dyn Protocol>) -> Self {
        let rules = watch::Sender::new(Arc::new(Rules::default()));
        Self { shared: Arc::new(Shared { forward, protocol, rules, connections: Mutex::default() }) }
    }

    /// Serves until the task is dropped; then every connection breaks.
    pub(crate) fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut tasks = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((opener, _)) => { tasks.spawn(Connection::open(Arc::clone(&shared)).run(opener)); }
                        // Too many open files, or a connection that was gone already: others may do better.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    },
                    Some(_) = tasks.join_next() => {}
                }
            }
        }
    }

    pub(crate) fn add(&self, rule: Rule) {
        self.shared.rules.send_modify(|rules| Arc::make_mut(rules).0.push(rule));
    }

    pub(crate) fn remove(&self, is_over: impl Fn(&Rule) -> bool) {
        self.shared.rules.send_if_modified(|rules| {
            let some = rules.0.iter().any(&is_over);
            if some {
                Arc::make_mut(rules).0.retain(|rule| !is_over(rule));
            }
            some
        });
    }

    /// Breaks the connections at which it is aimed.
    pub(crate) fn reset(&self, aim: &Aim) {
        let connections = self.shared.connections();
        let hit = connections.open.values().filter(|owner| aim.hits(owner.label.get()));
        hit.for_each(|owner| owner.reset.notify_one());
    }

    /// Breaks the connections that a fault hits.
    pub(crate) fn reset_hit_by(&self, id: FaultId) {
        let rules = Arc::clone(&self.shared.rules.borrow());
        rules.0.iter().filter(|rule| rule.id == id).for_each(|rule| self.reset(&rule.aim));
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.shared.connections().open.len()
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection ended before both of its streams did.
enum Broken {
    /// A fault broke it, or one of its sides did.
    Reset,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    owner: Arc<Owner>,
    filter: Mutex<Box<dyn FrameFilter>>,
    /// What the opener said so far, until that tells whose the connection is or that it never will.
    heard: Mutex<Option<Vec<u8>>>,
    /// What the doomed requests on this connection took.
    doomed: Mutex<Vec<Arc<Budget>>>,
}

impl Connection {
    fn open(shared: Arc<Shared>) -> Self {
        let owner = Arc::new(Owner::default());
        let mut connections = shared.connections();
        connections.next += 1;
        let number = connections.next;
        connections.open.insert(number, Arc::clone(&owner));
        drop(connections);
        let filter = Mutex::new(shared.protocol.filter());
        let heard = Mutex::new(Some(Vec::new()));
        Self { shared, number, owner, filter, heard, doomed: Mutex::default() }
    }

    async fn run(self, mut opener: TcpStream) {
        let mut other = None;
        // The reset comes first: a fault that is healed with a reset must not let bytes through before.
        let served = tokio::select! {
            biased;
            () = self.owner.reset.notified() => Err(Broken::Reset),
            served = self.serve(&mut opener, &mut other) => served,
        };
        if served.is_err() {
            // With a linger of zero, dropping a socket sends a reset.
            for stream in std::iter::once(&opener).chain(&other) {
                let _ = stream.set_zero_linger();
            }
        }
    }

    async fn serve(&self, opener: &mut TcpStream, other: &mut Option<TcpStream>) -> Result<(), Broken> {
        opener.set_nodelay(true)?;
        let mut rules = self.shared.rules.subscribe();
        let first = if self.shared.protocol.opener_speaks_first() {
            self.read_first(opener).await?
        } else {
            Vec::new()
        };
        self.passage(&mut rules).await?;
        let other = other.insert(TcpStream::connect(self.shared.forward).await?);
        other.set_nodelay(true)?;
        let (from_opener, to_opener) = opener.split();
        let (from_other, to_other) = other.split();
        let mut requests = Pump::new(self, Direction::Requests);
        requests.take(&first, Duration::ZERO);
        let responses = Pump::new(self, Direction::Responses);
        tokio::try_join!(
            requests.run(from_opener, to_other, rules.clone()),
            responses.run(from_other, to_opener, rules)
        )?;
        Ok(())
    }

    /// Reads until it is known whose connection it is.
    async fn read_first(&self, opener: &mut TcpStream) -> Result<Vec<u8>, Broken> {
        let mut first = Vec::new();
        while first.len() < MOST_FIRST {
            if opener.read_buf(&mut first).await? == 0 {
                break;
            }
            match self.shared.protocol.label(&first) {
                FirstBytes::More => {}
                FirstBytes::Nobody => break,
                FirstBytes::From(label) => {
                    let _ = self.owner.label.set(label);
                    break;
                }
            }
        }
        Ok(first)
    }

    /// Waits until requests may pass.
    async fn passage(&self, rules: &mut watch::Receiver<Arc<Rules>>) -> Result<(), Broken> {
        loop {
            let verdict = self.verdict(&rules.borrow_and_update(), Direction::Requests);
            match verdict {
                Verdict { refused: true, .. } => return Err(Broken::Reset),
                Verdict { held: false, .. } => return Ok(()),
                Verdict { held: true, .. } => rules.changed().await.map_err(|_| Broken::Reset)?,
            }
        }
    }

    fn verdict(&self, rules: &Rules, direction: Direction) -> Verdict {
        rules.verdict(self.owner.label.get(), direction)
    }

    /// Looks at request bytes: whose they are, and whether their responses are doomed.
    fn see_requests(&self, bytes: &[u8]) {
        self.hear(bytes);
        let rules = Arc::clone(&self.shared.rules.borrow());
        let mut doom = |kind| match rules.doom(self.owner.label.get(), kind) {
            Some(budget) => {
                self.doomed.lock().unwrap_or_else(PoisonError::into_inner).push(budget);
                true
            }
            None => false,
        };
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).requests(bytes, &mut doom);
    }

    /// Learns whose the connection is, if that is not known.
    fn hear(&self, bytes: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = &mut *heard else { return };
        if self.owner.label.get().is_none() {
            first.extend(&bytes[..bytes.len().min(MOST_FIRST - first.len())]);
            match self.shared.protocol.label(first) {
                FirstBytes::More if first.len() < MOST_FIRST => return,
                FirstBytes::More | FirstBytes::Nobody => {}
                FirstBytes::From(label) => {
                    let _ = self.owner.label.set(label);
                }
            }
        }
        *heard = None;
    }

    /// How many of these response bytes may pass before the connection breaks.
    fn see_responses(&self, bytes: &[u8]) -> Pass {
        let pass = self.filter.lock().unwrap_or_else(PoisonError::into_inner).responses(bytes);
        if pass != Pass::All {
            // What this connection took from budgets is well spent.
            self.doomed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        pass
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections().open.remove(&self.number);
        let doomed = self.doomed.get_mut().unwrap_or_else(PoisonError::into_inner);
        doomed.drain(..).for_each(|budget| budget.give_back());
    }
}

/// One direction of a connection.
struct Pump<'a> {
    connection: &'a Connection,
    direction: Direction,
    waiting: VecDeque<Piece>,
    bytes: usize,
    /// The stream has ended, or the connection breaks behind what waits.
    end: Option<Result<(), Broken>>,
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

impl<'a> Pump<'a> {
    fn new(connection: &'a Connection, direction: Direction) -> Self {
        Self { connection, direction, waiting: VecDeque::new(), bytes: 0, end: None }
    }

    async fn run(
        mut self,
        mut reader: ReadHalf<'_>,
        mut writer: WriteHalf<'_>,
        mut rules: watch::Receiver<Arc<Rules>>,
    ) -> Result<(), Broken> {
        let mut buffer = vec![0; PIECE];
        loop {
            let verdict = self.connection.verdict(&rules.borrow_and_update(), self.direction);
            if verdict.refused {
                return Err(Broken::Reset);
            }
            let moves = !verdict.held;
            if moves
                && self.waiting.is_empty()
                && let Some(end) = self.end.take()
            {
                end?;
                writer.shutdown().await?;
                return Ok(());
            }
            let due = self.waiting.front().map(|piece| piece.due);
            let now = Instant::now();
            let writes = moves && due.is_some_and(|due| due <= now);
            let reads = moves && self.end.is_none() && self.bytes < MOST;
            tokio::select! {
                biased;
                changed = rules.changed() => changed.map_err(|_| Broken::Reset)?,
                written = writer.write(self.front()), if writes => self.written(written?),
                () = sleep_until(due.unwrap_or(now)), if moves && due.is_some() && !writes => {}
                read = reader.read(&mut buffer), if reads => match read? {
                    0 => self.end = Some(Ok(())),
                    length => self.take(&buffer[..length], verdict.delay),
                },
            }
        }
    }

    /// Takes bytes that were read.
    fn take(&mut self, bytes: &[u8], delay: Duration) {
        let mut passing = bytes;
        match self.direction {
            Direction::Requests => self.connection.see_requests(bytes),
            Direction::Responses => {
                if let Pass::Until(length) = self.connection.see_responses(bytes) {
                    passing = &bytes[..length.min(bytes.len())];
                    self.end = Some(Err(Broken::Reset));
                }
            }
        }
        if passing.is_empty() {
            return;
        }
        let last = self.waiting.back().map(|piece| piece.due);
        let due = last.map_or(Instant::now() + delay, |last| last.max(Instant::now() + delay));
        self.waiting.push_back(Piece { due, bytes: passing.to_vec(), written: 0 });
        self.bytes += passing.len();
    }

    fn front(&self) -> &[u8] {
        self.waiting.front().map_or(&[], |piece| &piece.bytes[piece.written..])
    }

    fn written(&mut self, length: usize) {
        self.bytes -= length;
        if let Some(piece) = self.waiting.front_mut() {
            piece.written += length;
            if piece.written == piece.bytes.len() {
                self.waiting.pop_front();
            }
        }
    }
}
