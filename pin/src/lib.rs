//! Pins what the seed of a simulated run does not decide by itself: the order of a `HashMap`, random numbers, the
//! wall clock and the branches of `tokio::select!`.
//!
//! Add the crate to `[dev-dependencies]` and one line to the test:
//!
//! ```
//! use squall_pin as _; // links the overrides into this test binary
//! ```
//!
//! Nothing else changes: no flag, no patched crate, no call. The crate defines four functions of libc, and a program
//! that links it calls those instead of libc's:
//!
//! | function | who calls it | on a thread inside a run | elsewhere |
//! |---|---|---|---|
//! | `getrandom` | std (`HashMap`), getrandom 0.3 and 0.4 (rand 0.9 and 0.10, uuid) | words of the run's seed | libc's own |
//! | `syscall` | getrandom 0.2 (rand 0.8), by `SYS_getrandom` | words of the run's seed, for that number alone | libc's own |
//! | `clock_gettime` | std (`SystemTime`, `Instant`), chrono, time | the run's virtual time, for wall and monotonic clocks | libc's own |
//! | `pthread_create` | std's threads | libc's own, and it is counted | libc's own |
//!
//! A run begins at [`WALL_CLOCK_START`], and its `Instant`s agree with those of `tokio::time`. Outside of a run, and on
//! threads that no run is on, a program behaves as without this crate. Seed and time come from
//! [`squall_sim::runtime::ambient`].
//!
//! # Limits
//!
//! - Linux with glibc, linked dynamically, on x86-64 or AArch64; only x86-64 has been tried. Elsewhere the crate
//!   compiles and does nothing.
//! - `tokio::select!`, `tokio::sync::watch` and `futures::select!` mix a counter of the whole process into their
//!   seeds: their order repeats in a fresh process that runs one seed alone, not in the middle of a sweep. The
//!   same holds for statics and for fastrand, which seed themselves once for a process or a thread. A failing
//!   seed is therefore confirmed alone in a fresh process.
//! - A run needs a thread of its own (it has one under a watchdog, which is the default): std draws the keys of
//!   `HashMap` once for each thread.
//! - Threads that a service starts, `spawn_blocking` among them, are outside of virtual time and of the seed.
//! - ahash and whatever else hashes addresses differ with the address space of each process. So does what a
//!   program reads from files, sockets, its environment, the CPU's own counters (`rdtsc`, `rdrand`) or by
//!   calling the kernel without libc.
//! - CPU-time clocks pass through to libc.
//! - A binary can link only one crate that defines these functions: not madsim's or mad-turmoil's as well.

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static"),
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod overrides;

use std::time::Duration;

/// What the wall clock shows when a run begins, from the Unix epoch: 2026-01-01 00:00:00 UTC.
pub const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

/// What the monotonic clock shows when a run begins: a day, so that there are instants before the run.
pub const MONOTONIC_START: Duration = Duration::from_secs(24 * 60 * 60);
