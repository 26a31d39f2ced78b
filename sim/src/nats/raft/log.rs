//! A member's log on its disk: what was written, and what of it survives a loss of power.

use super::message::{Entry, Op};
use crate::kernel::{Boot, Disk, DiskError, FileId};
use std::sync::Arc;

/// A log that is begun has room for so many entries.
const FIRST_ROOM: usize = 32;

/// Where an entry ends that is yet to be written.
const UNWRITTEN: u64 = u64::MAX;

/// An entry in a file.
#[derive(Clone, Debug)]
struct Written {
    entry: Arc<Entry>,
    /// Where it ends in the file.
    end: u64,
    /// What was known to be committed when it was written; it is written along.
    commit: u64,
}

/// A log. Indices count from 1; 0 is before the first entry. The members of a group share their entries.
#[derive(Clone, Debug)]
pub struct Log {
    file: FileId,
    entries: Vec<Written>,
    /// How often something was cut off.
    cuts: u64,
}

impl Log {
    /// An empty log in this file.
    #[must_use]
    pub const fn new(file: FileId) -> Self {
        Self { file, entries: Vec::new(), cuts: 0 }
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// The index of the last entry.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The term of the last entry; 0 if there is none.
    #[must_use]
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.entry.term)
    }

    /// The term of the entry at this index; 0 before the first, `None` behind the last.
    #[must_use]
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == 0 { Some(0) } else { self.entry(index).map(|entry| entry.term) }
    }

    /// The entry at this index.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<&Arc<Entry>> {
        self.entries.get((index as usize).checked_sub(1)?).map(|written| &written.entry)
    }

    /// The entries behind this index.
    pub fn behind(&self, index: u64) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.get(index as usize..).unwrap_or_default().iter().map(|written| &written.entry)
    }

    /// What the log itself says to be committed.
    #[must_use]
    pub fn known_commit(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.commit).min(self.last())
    }

    /// A process that stops in good order leaves a snapshot: what it knows to be committed.
    pub fn note_commit(&mut self, commit: u64) {
        if let Some(last) = self.entries.last_mut() {
            last.commit = last.commit.max(commit);
        }
    }

    /// How often something was cut off: as long as this stands, entries are where they were.
    #[must_use]
    pub const fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Writes an entry, and what is known to be committed.
    ///
    /// # Errors
    ///
    /// What the disk says; the entry is not in the log then.
    pub fn append(&mut self, entry: Arc<Entry>, commit: u64, disk: &mut Disk) -> Result<(), DiskError> {
        disk.append(self.file, u64::from(entry.op.bytes()))?;
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(FIRST_ROOM);
        }
        self.entries.push(Written { entry, end: disk.written(self.file), commit });
        Ok(())
    }

    /// Puts a committed entry there before any process ran; [`settle`](Self::settle) writes it to the disk.
    pub fn preset(&mut self, term: u64, op: Op) {
        let commit = self.last() + 1;
        self.entries.push(Written { entry: Arc::new(Entry { term, op }), end: UNWRITTEN, commit });
    }

    /// Writes what was [preset](Self::preset).
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn settle(&mut self, disk: &mut Disk) -> Result<(), DiskError> {
        for preset in self.entries.iter_mut().filter(|written| written.end == UNWRITTEN) {
            disk.append(self.file, u64::from(preset.entry.op.bytes()))?;
            preset.end = disk.written(self.file);
        }
        Ok(())
    }

    /// Cuts off everything behind this index.
    pub fn truncate(&mut self, index: u64, disk: &mut Disk) {
        let keep = (index as usize).min(self.entries.len());
        self.cuts += 1;
        self.entries.truncate(keep);
        disk.truncate(self.file, self.entries.last().map_or(0, |last| last.end));
    }

    /// The index up to which everything is synced.
    #[must_use]
    pub fn synced(&self, disk: &Disk) -> u64 {
        let synced = disk.synced(self.file);
        self.written_upto(synced)
    }

    /// The index of the last entry that ends there or before.
    fn written_upto(&self, place: u64) -> u64 {
        self.entries.partition_point(|written| written.end <= place) as u64
    }

    /// A new process reads the log: whole entries up to the first rotten one.
    pub fn recover(&mut self, boot: Boot, disk: &mut Disk) {
        if boot == Boot::Fresh {
            self.cuts += 1;
            self.entries.clear();
            return;
        }
        let found = disk.recovered(self.file);
        let sound = found.rotten.first().copied().unwrap_or(u64::MAX).min(found.len);
        self.truncate(self.written_upto(sound), disk);
    }
}
