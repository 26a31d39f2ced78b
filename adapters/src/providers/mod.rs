//! Providers: how real brokers come to be.
//!
//! | module | what it does |
//! |---|---|
//! | [`kafka`] | `local:kafka`: some nodes of Apache Kafka in KRaft mode on loopback |
//! | [`jars`] | finds or fetches the jars that these nodes are made of |
//! | [`java_program`] | a Java program of Squall's own, run against these jars |
//! | [`nats`] | `local:nats`: some nodes of NATS with JetStream on loopback |
//! | [`nats_server`] | finds or fetches the program that these nodes run |
//! | [`running`] | the nodes of a cluster, whatever they are |
//! | [`link`] | the directed links of a cluster, where proxies can listen |
//! | [`process`] | a node's process: start, stop, kill, pause, resume |
//! | [`guard`] | sees to it that no node outlives the run |
//! | [`disks`] | disks that nodes have to themselves, which can lose their power |
//! | [`ports`] | ports that no other run takes at the same time |
//! | [`state`] | brokers that stay up between commands |
//! | [`buses`] | the buses by their names, and what is lacking for one |
//! | `turn` | one local cluster at a time |
//!
//! Everything listens on loopback only. Providers block; async callers use a blocking thread.

pub mod buses;
pub mod disks;
mod error;
pub mod guard;
pub mod jars;
pub mod java_program;
pub mod kafka;
mod kafka_files;
pub mod link;
pub mod nats;
mod nats_files;
pub mod nats_server;
mod once;
pub mod ports;
pub mod process;
pub mod running;
pub mod state;
mod turn;

pub use buses::{BUSES, lacking, skips_for_want_of_brokers, version};
pub use error::ProviderError;

use std::{env, fs, path::PathBuf};

/// Takes one line about what takes long.
pub type Progress<'a> = &'a dyn Fn(&str);

/// The folder that keeps what is fetched once: `$SQUALL_CACHE`, else `$XDG_CACHE_HOME/squall`, else
/// `~/.cache/squall`. It is made if it is not there.
pub fn cache_folder() -> Result<PathBuf, ProviderError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("SQUALL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("squall")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/squall")))
        .ok_or(ProviderError::NoCache)?;
    let made = fs::create_dir_all(&folder);
    made.map_err(ProviderError::io(format!("make the cache folder {}", folder.display())))?;
    Ok(folder)
}
