//! The one request to a file system that no safe function makes: to shut down.

#![allow(unsafe_code, reason = "an ioctl says by its number alone what its argument is; see below")]

use rustix::ioctl::{self, Opcode, Setter, opcode};
use std::{fs::File, io};

/// FS_IOC_SHUTDOWN of Linux, which ext4 calls EXT4_IOC_SHUTDOWN: `_IOR('X', 125, __u32)`. The number says that it
/// is read from; what it does is to take the `__u32` that its argument points to.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// EXT4_GOING_FLAGS_NOLOGFLUSH: the journal is not written out before.
const NO_LOG_FLUSH: u32 = 2;

/// Shuts down the file system that holds an open folder, so that nothing is written to it any more.
pub(super) fn without_flush(folder: &File) -> io::Result<()> {
    // SAFETY: the kernel reads a `__u32` behind the pointer that it gets and keeps none of it. `Setter` hands over
    // a pointer to a `u32` that it owns for the time of the call, which is valid and aligned. A file system that
    // does not know the request refuses it (ENOTTY) without looking at the argument.
    let done = unsafe { ioctl::ioctl(folder, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
    done.map_err(io::Error::from)
}
