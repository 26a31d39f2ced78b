//! The functions of libc that a program which links this crate calls instead of libc's, and the way to libc's own.
//!
//! # Why this is sound
//!
//! This is the only module with `unsafe` code; it has three kinds of it.
//!
//! - **Definitions under libc's names** (`no_mangle`). Each has the type that the C library documents for the name,
//!   with one difference: `syscall` is variadic there and takes six words here. On the two architectures that this
//!   module is compiled for, Linux' calling conventions pass variadic words like others, and a word that the
//!   caller did not pass is read from a register or from the caller's frame, as libc's own `syscall` does; the
//!   kernel ignores it.
//! - **Writes through the caller's pointers**: `length` bytes at `buffer`, one `timespec` at `time`. Both are what the
//!   contract of the function demands of its caller, and nothing is read or kept.
//! - **Calls of libc's own functions**, found by name behind this program in the order of its libraries. The address
//!   comes from the dynamic linker under the very name whose documented type it is called with.
//!
//! Nothing here allocates, locks, panics or unwinds, and the thread's state is a plain cell: the functions may be
//! called before `main`, from any thread, and while a thread ends.
#![allow(unsafe_code)]

use crate::{MONOTONIC_START, WALL_CLOCK_START};
use libc::{
    c_char, c_int, c_long, c_uint, c_void, clockid_t, pthread_attr_t, pthread_t, size_t, ssize_t, timespec,
};
use squall_sim::runtime::ambient;
use std::{
    ffi::CStr,
    mem::transmute,
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};

type GetRandom = unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t;
type ClockGetTime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;
type ThreadMain = extern "C" fn(*mut c_void) -> *mut c_void;
type ThreadCreate =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, ThreadMain, *mut c_void) -> c_int;

/// A function of libc's own, looked up when it is needed first.
struct Real {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Real {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Its address. A process without it cannot go on: whoever called has no other way to be answered.
    fn address(&self) -> *mut c_void {
        let mut address = self.found.load(Ordering::Relaxed);
        if address.is_null() {
            // SAFETY: the name ends with a zero byte; the linker reads it and nothing else.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr().cast::<c_char>()) };
            if address.is_null() {
                std::process::abort();
            }
            self.found.store(address, Ordering::Relaxed);
        }
        address
    }
}

static GETRANDOM: Real = Real::new(c"getrandom");
static CLOCK_GETTIME: Real = Real::new(c"clock_gettime");
static SYSCALL: Real = Real::new(c"syscall");
static PTHREAD_CREATE: Real = Real::new(c"pthread_create");

/// Fills the buffer with words of the run's seed; `false` outside of a run.
///
/// # Safety
/// There are `length` writable bytes at `buffer`.
unsafe fn fill(buffer: *mut u8, length: usize) -> bool {
    if !ambient::is_inside() {
        return false;
    }
    let mut filled = 0;
    while filled < length
        && let Some(word) = ambient::entropy()
    {
        let bytes = word.to_le_bytes();
        let count = bytes.len().min(length - filled);
        // SAFETY: `filled + count` is at most `length`, and a local array does not overlap the caller's buffer.
        unsafe { buffer.add(filled).copy_from_nonoverlapping(bytes.as_ptr(), count) };
        filled += count;
    }
    true
}

/// libc's `getrandom`.
///
/// # Safety
/// As libc's: there are `length` writable bytes at `buffer`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    // SAFETY: the caller's promise is the one that `fill` needs.
    if unsafe { fill(buffer.cast(), length) } {
        return length as ssize_t;
    }
    // SAFETY: libc's own `getrandom`, with the arguments that the caller meant for it.
    unsafe { transmute::<*mut c_void, GetRandom>(GETRANDOM.address())(buffer, length, flags) }
}

/// libc's `syscall`.
///
/// # Safety
/// As libc's: what the kernel's call of this number demands.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    // SAFETY: for this number the first two words are a buffer and its length.
    if number == libc::SYS_getrandom && unsafe { fill(a as *mut u8, b as usize) } {
        return b;
    }
    // SAFETY: libc's own `syscall`, with the arguments that the caller meant for it.
    unsafe { transmute::<*mut c_void, Syscall>(SYSCALL.address())(number, a, b, c, d, e, f) }
}

/// What a clock shows when a run begins, if it is one that a run pins.
fn start_of(clock: clockid_t) -> Option<Duration> {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => Some(WALL_CLOCK_START),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME => Some(MONOTONIC_START),
        _ => None,
    }
}

/// libc's `clock_gettime`.
///
/// # Safety
/// As libc's: `time` points to a writable `timespec`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    if let Some(start) = start_of(clock)
        && let Some(now) = ambient::now()
    {
        let shown = start.saturating_add(Duration::from_nanos(now.0));
        let shown = timespec {
            tv_sec: libc::time_t::try_from(shown.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: c_long::from(shown.subsec_nanos()),
        };
        // SAFETY: the caller's promise.
        unsafe { time.write(shown) };
        return 0;
    }
    // SAFETY: libc's own `clock_gettime`, with the arguments that the caller meant for it.
    unsafe { transmute::<*mut c_void, ClockGetTime>(CLOCK_GETTIME.address())(clock, time) }
}

/// libc's `pthread_create`.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    main: ThreadMain,
    argument: *mut c_void,
) -> c_int {
    ambient::thread_started();
    let create = PTHREAD_CREATE.address();
    // SAFETY: libc's own `pthread_create`, with the arguments that the caller meant for it.
    unsafe { transmute::<*mut c_void, ThreadCreate>(create)(thread, attributes, main, argument) }
}
