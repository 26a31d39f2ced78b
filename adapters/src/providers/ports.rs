//! Ports that no other run takes at the same time.
//!
//! Ports are handed out in blocks of [`BLOCK`] between [`FROM`] and [`TO`]. That is below the range from
//! which the operating system takes the ports of outgoing connections, so a node that restarts finds its
//! port free. A block belongs to whoever holds the lock on its file in the cache folder; the lock ends with
//! the process, however that ends. A block with a port that somebody listens on is passed over.

use super::ProviderError;
use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    path::Path,
};

/// How many ports a block has.
pub const BLOCK: u16 = 32;
/// The first port that is handed out.
pub const FROM: u16 = 16_384;
/// The port behind the last one that is handed out.
pub const TO: u16 = 32_768;

/// A block of ports that is this process' own until it is dropped.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    taken: u16,
    _lock: File,
}

impl Ports {
    /// Reserves a block; its lock lives in `cache`. Starts looking at a random block.
    pub fn reserve(cache: &Path) -> Result<Self, ProviderError> {
        let folder = cache.join("ports");
        let made = fs::create_dir_all(&folder);
        made.map_err(ProviderError::io(format!("make the folder {}", folder.display())))?;
        let blocks = u64::from((TO - FROM) / BLOCK);
        let start = RandomState::new().hash_one(std::process::id()) % blocks;
        for step in 0..blocks {
            let block = u16::try_from((start + step) % blocks).unwrap_or_default();
            let first = FROM + block * BLOCK;
            let path = folder.join(format!("{first}.lock"));
            let opened = File::options().create(true).truncate(false).write(true).open(&path);
            let lock = opened.map_err(ProviderError::io(format!("open {}", path.display())))?;
            if lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free) {
                return Ok(Self { first, taken: 0, _lock: lock });
            }
        }
        Err(ProviderError::NoPorts { wanted: BLOCK, from: FROM, to: TO })
    }

    /// The next port of the block.
    pub fn take(&mut self) -> Result<u16, ProviderError> {
        if self.taken == BLOCK {
            return Err(ProviderError::NoPorts {
                wanted: BLOCK + 1,
                from: self.first,
                to: self.first + BLOCK,
            });
        }
        self.taken += 1;
        Ok(self.first + self.taken - 1)
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_get_different_ports() {
        let cache = tempfile::tempdir().expect("a folder");
        let mut runs: Vec<Ports> =
            (0..8).map(|_| Ports::reserve(cache.path()).expect("a free block")).collect();
        let mut firsts: Vec<u16> = runs.iter_mut().map(|run| run.take().expect("a port")).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 8);
        assert!(firsts.iter().all(|port| (FROM..TO).contains(port)));
    }

    #[test]
    fn a_block_has_an_end() {
        let cache = tempfile::tempdir().expect("a folder");
        let mut run = Ports::reserve(cache.path()).expect("a free block");
        assert!((0..BLOCK).all(|_| run.take().is_ok()));
        assert!(run.take().is_err());
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        assert!(!is_free(listener.local_addr().expect("its address").port()));
    }
}
