//! A node's disk: per file, how much was written and how much of it is synced.
//!
//! The model keeps its own data; the disk keeps lengths, so that it can say what survives:
//! a killed process finds everything it wrote (the page cache is the operating system's), a node that lost
//! power finds what was synced and perhaps a torn piece more. A disk can be full, fail, be slow, and rot.

use super::choices::{Choices, Site, mix};
use std::time::Duration;

const TORN: Site = Site::new("disk.torn");
const WRITTEN_BACK: Site = Site::new("disk.written-back");

/// A file of one node; the model numbers its files densely, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// Why a write or sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskError {
    /// No room is left.
    Full,
    /// The device failed.
    Io,
}

/// What a node finds in a file when it comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How many bytes are there.
    pub len: u64,
    /// The last of them belong to a write that was cut short.
    pub torn: bool,
    /// Places whose bytes have rotted.
    pub rotten: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct File {
    written: u64,
    synced: u64,
    torn: bool,
    rotten: Vec<u64>,
    /// Ends of the writes that are not synced yet: where a write-back or a tear can fall.
    unsynced: Vec<u64>,
    /// Syncs asked for, each up to a length.
    pending: Vec<u64>,
    /// Bytes of what was written that take no room any more.
    discarded: u64,
}

/// One node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    files: Vec<File>,
    used: u64,
    /// How many bytes fit; `None` for no limit.
    pub capacity: Option<u64>,
    /// Every write and sync fails.
    pub failing: bool,
    /// How much longer each sync takes.
    pub slow: Duration,
    /// How long a sync takes by itself.
    pub sync_time: Duration,
    /// Whether the operating system may have written back some of what was not synced by the time of a
    /// power failure, down to a torn last write. Off: everything unsynced is lost.
    pub writes_back: bool,
}

impl Disk {
    fn file(&mut self, file: FileId) -> &mut File {
        let index = file.0 as usize;
        if index >= self.files.len() {
            self.files.resize_with(index + 1, File::default);
        }
        &mut self.files[index]
    }

    /// Appends so many bytes to the page cache. Instantaneous, as a write to a page cache is.
    pub fn append(&mut self, file: FileId, bytes: u64) -> Result<(), DiskError> {
        if self.failing {
            return Err(DiskError::Io);
        }
        if self.capacity.is_some_and(|capacity| self.used + bytes > capacity) {
            return Err(DiskError::Full);
        }
        self.used += bytes;
        let file = self.file(file);
        file.written += bytes;
        file.unsynced.push(file.written);
        Ok(())
    }

    /// Cuts the file to this length; the cut is as durable as what it leaves.
    pub fn truncate(&mut self, file: FileId, len: u64) {
        let file = self.file(file);
        // What was discarded is old, and so before the cut.
        let live = file.written - file.discarded;
        let left = live.saturating_sub(file.written.saturating_sub(len));
        let freed = live - left;
        file.written = file.written.min(len);
        file.discarded = file.written - left;
        file.synced = file.synced.min(len);
        file.torn = false;
        file.rotten.retain(|place| *place < len);
        file.unsynced.retain(|end| *end <= len);
        if file.written > file.synced && file.unsynced.last() != Some(&file.written) {
            file.unsynced.push(file.written);
        }
        self.used -= freed;
    }

    /// So many bytes, somewhere before the end of the file, are deleted: they take no room any more. Lengths and
    /// places in the file stay as they are.
    pub fn discard(&mut self, file: FileId, bytes: u64) {
        let file = self.file(file);
        let bytes = bytes.min(file.written - file.discarded);
        file.discarded += bytes;
        self.used -= bytes;
    }

    /// A sync that the caller waits for before it does anything else; it takes no time here.
    pub fn flush(&mut self, file: FileId) -> Result<(), DiskError> {
        if self.failing {
            return Err(DiskError::Io);
        }
        if let Some(file) = self.files.get_mut(file.0 as usize) {
            file.synced = file.written;
            file.unsynced.clear();
        }
        Ok(())
    }

    /// How many bytes were written, synced or not.
    #[must_use]
    pub fn written(&self, file: FileId) -> u64 {
        self.files.get(file.0 as usize).map_or(0, |file| file.written)
    }

    /// How many bytes are synced.
    #[must_use]
    pub fn synced(&self, file: FileId) -> u64 {
        self.files.get(file.0 as usize).map_or(0, |file| file.synced)
    }

    /// Whether anything was written that is not synced.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.files.iter().any(|file| file.synced < file.written)
    }

    /// Begins a sync of what is written now; `None` if the disk fails at once.
    pub(super) fn begin_sync(&mut self, file: FileId) -> Result<Duration, DiskError> {
        if self.failing {
            return Err(DiskError::Io);
        }
        let takes = self.sync_time + self.slow;
        let file = self.file(file);
        file.pending.push(file.written);
        Ok(takes)
    }

    /// Ends the oldest sync of this file.
    pub(super) fn end_sync(&mut self, file: FileId) -> Result<(), DiskError> {
        let failing = self.failing;
        let file = self.file(file);
        if file.pending.is_empty() {
            return Ok(());
        }
        let upto = file.pending.remove(0).min(file.written);
        if failing {
            return Err(DiskError::Io);
        }
        file.synced = file.synced.max(upto);
        let synced = file.synced;
        file.unsynced.retain(|end| *end > synced);
        Ok(())
    }

    /// The process is gone; the page cache stays and no sync of its will report.
    pub(super) fn kill(&mut self) {
        for file in &mut self.files {
            file.pending.clear();
        }
    }

    /// The power is gone: each file falls back to what was synced, or, where the operating system writes
    /// back, to the end of some later write or a torn piece of one, as the choices say.
    pub(super) fn power_fail(&mut self, choices: &Choices, node: u32, failure: u64) {
        self.kill();
        let mut freed = 0;
        for (number, file) in self.files.iter_mut().enumerate() {
            let entity = mix(u64::from(node), number as u64);
            let mut survives = file.synced;
            let mut torn = false;
            if self.writes_back && !file.unsynced.is_empty() {
                let writes = file.unsynced.len() as u64;
                let kept = choices.between(WRITTEN_BACK, entity, failure, 0, writes) as usize;
                let end = if kept == 0 { file.synced } else { file.unsynced[kept - 1] };
                let next = file.unsynced.get(kept).copied().unwrap_or(end);
                let piece = choices.below(TORN, entity, failure, next - end + 1);
                torn = piece > 0 && end + piece < next;
                survives = end + if torn { piece } else { 0 };
            }
            let live = file.written - file.discarded;
            let left = live.saturating_sub(file.written - survives);
            freed += live - left;
            file.written = survives;
            file.discarded = survives - left;
            file.synced = survives;
            file.torn = torn;
            file.unsynced.clear();
            file.rotten.retain(|place| *place < survives);
        }
        self.used -= freed;
    }

    /// Everything is gone: a new, empty disk of the same kind.
    pub(super) fn wipe(&mut self) {
        self.files.clear();
        self.used = 0;
    }

    /// Flips a bit at this place, synced or not.
    pub fn rot(&mut self, file: FileId, place: u64) {
        let file = self.file(file);
        if place < file.written && !file.rotten.contains(&place) {
            file.rotten.push(place);
            file.rotten.sort_unstable();
        }
    }

    /// What is in the file, as a reader finds it.
    #[must_use]
    pub fn recovered(&self, file: FileId) -> Recovered {
        match self.files.get(file.0 as usize) {
            Some(file) => Recovered { len: file.written, torn: file.torn, rotten: file.rotten.clone() },
            None => Recovered { len: 0, torn: false, rotten: Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOG: FileId = FileId(0);

    fn synced(disk: &mut Disk, file: FileId) {
        disk.begin_sync(file).expect("the disk works");
        disk.end_sync(file).expect("the disk works");
    }

    #[test]
    fn a_kill_keeps_the_page_cache_and_a_power_failure_does_not() {
        let mut disk = Disk::default();
        disk.append(LOG, 100).expect("room");
        synced(&mut disk, LOG);
        disk.append(LOG, 50).expect("room");
        disk.kill();
        assert_eq!(disk.recovered(LOG).len, 150);
        disk.power_fail(&Choices::new(1), 0, 0);
        assert_eq!(disk.recovered(LOG), Recovered { len: 100, torn: false, rotten: vec![] });
    }

    #[test]
    fn a_sync_covers_what_was_written_when_it_began() {
        let mut disk = Disk::default();
        disk.append(LOG, 10).expect("room");
        disk.begin_sync(LOG).expect("works");
        disk.append(LOG, 10).expect("room");
        disk.end_sync(LOG).expect("works");
        assert_eq!((disk.written(LOG), disk.synced(LOG)), (20, 10));
    }

    #[test]
    fn a_killed_process_hears_of_no_sync() {
        let mut disk = Disk::default();
        disk.append(LOG, 10).expect("room");
        disk.begin_sync(LOG).expect("works");
        disk.kill();
        disk.end_sync(LOG).expect("nothing to end");
        assert_eq!(disk.synced(LOG), 0);
    }

    #[test]
    fn full_and_failing_disks_refuse() {
        let mut disk = Disk { capacity: Some(10), ..Disk::default() };
        assert_eq!(disk.append(LOG, 11), Err(DiskError::Full));
        disk.append(LOG, 10).expect("just fits");
        disk.truncate(LOG, 4);
        disk.append(LOG, 6).expect("the cut made room");
        disk.begin_sync(LOG).expect("works");
        disk.failing = true;
        assert_eq!(disk.end_sync(LOG), Err(DiskError::Io));
        assert_eq!(disk.append(LOG, 0), Err(DiskError::Io));
        assert_eq!(disk.begin_sync(LOG), Err(DiskError::Io));
    }

    #[test]
    fn bits_rot_where_bytes_are() {
        let mut disk = Disk::default();
        disk.append(LOG, 10).expect("room");
        disk.rot(LOG, 3);
        disk.rot(LOG, 10);
        assert_eq!(disk.recovered(LOG).rotten, [3]);
        disk.truncate(LOG, 3);
        assert!(disk.recovered(LOG).rotten.is_empty());
    }

    proptest! {
        /// Whatever was written back, nothing synced is ever lost and nothing never written appears.
        #[test]
        fn power_failure_keeps_what_was_synced(
            writes in prop::collection::vec((1_u64..100, any::<bool>()), 1..30), seed: u64, back: bool,
        ) {
            let mut disk = Disk { writes_back: back, ..Disk::default() };
            for (bytes, sync) in writes {
                disk.append(LOG, bytes).expect("room");
                if sync { synced(&mut disk, LOG); }
            }
            let (safe, all) = (disk.synced(LOG), disk.written(LOG));
            disk.power_fail(&Choices::new(seed), 3, 0);
            let found = disk.recovered(LOG);
            prop_assert!(safe <= found.len && found.len <= all);
            prop_assert!(back || found.len == safe);
        }
    }

    #[test]
    fn write_back_tears_for_some_seeds_and_not_for_others() {
        let torn = (0..200).filter(|seed| {
            let mut disk = Disk { writes_back: true, ..Disk::default() };
            for _ in 0..3 {
                disk.append(LOG, 100).expect("room");
            }
            disk.power_fail(&Choices::new(*seed), 0, 0);
            disk.recovered(LOG).torn
        });
        assert!((20..180).contains(&torn.count()));
    }
}
