//! Tables: the database of the services of a trial, in memory, with transactions.
//!
//! A [`Table`] belongs to the trial and survives the crash of every service, as a database does. Services read and
//! write it through a [`Transaction`], which belongs to one incarnation of one service:
//!
//! - Reads see what is committed, and what the transaction itself has written. They take a round trip.
//! - Writes are kept in the transaction until [`commit`](Transaction::commit), which takes effect for all tables at
//!   once, after half of its round trip. A crash before that leaves nothing; a crash behind it leaves a service
//!   that does not know that it committed.
//! - A commit fails with `CONFLICT`, and nothing is written, when a row that the transaction read has been
//!   committed by another since, or when a table that it read as a whole has. So committed transactions are
//!   serializable.
//!
//! A transaction that outlived its service waits for ever and writes nothing. Rows are counted: how often a key was
//! committed shows effects that happened twice.

use super::trial::Service;
use squall_bus::{Error, ErrorClass};
use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// From a service to the database, or back.
const TRIP: Duration = Duration::from_micros(500);

/// What a key must be.
pub trait Key: Ord + Clone + Send + Sync + 'static {}
impl<K: Ord + Clone + Send + Sync + 'static> Key for K {}
/// What a row must be.
pub trait Value: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Value for V {}

/// A row as it was last committed.
struct Row<V> {
    /// `None` once it is deleted.
    value: Option<V>,
    /// How many commits wrote it.
    writes: u64,
}

struct Rows<K, V> {
    rows: BTreeMap<K, Row<V>>,
    /// How many commits wrote any of it.
    writes: u64,
}

/// A table of a trial: made by [`Trial::table`](super::Trial::table), read by checks, written by
/// [transactions](Transaction). Cheap to clone; all clones are the same table.
pub struct Table<K, V> {
    name: Arc<str>,
    rows: Arc<Mutex<Rows<K, V>>>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), rows: Arc::clone(&self.rows) }
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.name)
    }
}

impl<K: Key, V: Value> Table<K, V> {
    pub(super) fn new(name: &str) -> Self {
        let rows = Rows { rows: BTreeMap::new(), writes: 0 };
        Self { name: Arc::from(name), rows: Arc::new(Mutex::new(rows)) }
    }

    fn lock(&self) -> MutexGuard<'_, Rows<K, V>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The committed row of a key. For checks: a service reads in a transaction.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        self.lock().rows.get(key).and_then(|row| row.value.clone())
    }

    /// The committed rows. For checks: a service reads in a transaction.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<K, V> {
        let rows = self.lock();
        let kept = rows.rows.iter().filter_map(|(key, row)| Some((key.clone(), row.value.clone()?)));
        kept.collect()
    }

    /// How many transactions have written or deleted this key and committed.
    #[must_use]
    pub fn writes(&self, key: &K) -> u64 {
        self.lock().rows.get(key).map_or(0, |row| row.writes)
    }
}

/// What a transaction did with one table.
struct Part<K, V> {
    table: Table<K, V>,
    /// Of each key that was read: how many commits had written it then.
    read: BTreeMap<K, u64>,
    /// The same of the table, if it was read as a whole.
    read_all: Option<u64>,
    written: BTreeMap<K, Option<V>>,
}

/// A [`Part`] of whatever types.
trait AnyPart: Send + Sync {
    /// Whether what was read is still so.
    fn holds(&self) -> bool;
    fn apply(&mut self);
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<K: Key, V: Value> AnyPart for Part<K, V> {
    fn holds(&self) -> bool {
        let whole = self.read_all.is_none_or(|writes| self.table.lock().writes == writes);
        whole && self.read.iter().all(|(key, writes)| self.table.writes(key) == *writes)
    }

    fn apply(&mut self) {
        let mut rows = self.table.lock();
        rows.writes += u64::from(!self.written.is_empty());
        for (key, value) in std::mem::take(&mut self.written) {
            let row = rows.rows.entry(key).or_insert(Row { value: None, writes: 0 });
            row.value = value;
            row.writes += 1;
        }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// A transaction of one service over any tables of the trial. Dropping it takes everything back.
pub struct Transaction {
    service: Service,
    parts: Vec<Box<dyn AnyPart>>,
}

impl Transaction {
    pub(super) fn new(service: Service) -> Self {
        Self { service, parts: Vec::new() }
    }

    /// To the database, or back. Never ends for a service that is dead.
    async fn trip(&self) {
        self.service.clock().sleep(TRIP).await;
    }

    fn part<K: Key, V: Value>(&mut self, table: &Table<K, V>) -> &mut Part<K, V> {
        let is_it = |part: &mut Box<dyn AnyPart>| {
            let part = part.as_any().downcast_ref::<Part<K, V>>();
            part.is_some_and(|part| Arc::ptr_eq(&part.table.rows, &table.rows))
        };
        let place = self.parts.iter_mut().position(is_it).unwrap_or_else(|| {
            let (read, written) = (BTreeMap::new(), BTreeMap::new());
            self.parts.push(Box::new(Part { table: table.clone(), read, read_all: None, written }));
            self.parts.len() - 1
        });
        self.parts[place].as_any().downcast_mut().expect("found by its types, or just made")
    }

    /// The row of a key: as this transaction wrote it, or else as it is committed.
    pub async fn get<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: &K) -> Option<V> {
        self.trip().await;
        self.trip().await;
        let part = self.part(table);
        if let Some(value) = part.written.get(key) {
            return value.clone();
        }
        part.read.entry(key.clone()).or_insert_with(|| table.writes(key));
        table.get(key)
    }

    /// All rows: as this transaction wrote them, or else as they are committed.
    pub async fn rows<K: Key, V: Value>(&mut self, table: &Table<K, V>) -> BTreeMap<K, V> {
        self.trip().await;
        self.trip().await;
        let part = self.part(table);
        part.read_all.get_or_insert(table.lock().writes);
        let mut rows = table.rows();
        for (key, value) in &part.written {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        rows
    }

    /// Writes a row, new or not, once this is committed.
    pub fn put<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: K, value: V) {
        self.part(table).written.insert(key, Some(value));
    }

    /// Deletes a row, if there is one, once this is committed.
    pub fn delete<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: K) {
        self.part(table).written.insert(key, None);
    }

    /// Makes all of it happen, or nothing.
    ///
    /// # Errors
    /// `CONFLICT`, retriable with a new transaction: what this one read has been committed by another since.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.trip().await;
        // A task that leaked out of its service gets here when the service died while it was on its way.
        if !self.service.is_alive() {
            return std::future::pending().await;
        }
        let holds = self.parts.iter().all(|part| part.holds());
        if holds {
            self.parts.iter_mut().for_each(|part| part.apply());
        }
        self.trip().await;
        if holds { Ok(()) } else { Err(conflict()) }
    }
}

fn conflict() -> Error {
    let message = "another transaction committed what this one had read: begin again";
    Error::new(ErrorClass::Retriable, "CONFLICT", message)
}
