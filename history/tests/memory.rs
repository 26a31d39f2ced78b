//! How much memory a judgement takes: the history as it is read from a file, and the most that judging it takes beside
//! that, in bytes a record that was sent or read. `cargo test -p squall-history --test memory -- --nocapture` prints them.
#![expect(unsafe_code, reason = "counting bytes takes an allocator of one's own")]

#[path = "../examples/generate/histories.rs"]
mod histories;

use histories::Story;
use squall_history::{History, jsonl, judge};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// What is allocated now, and the most that was.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let live = LIVE.fetch_add(size, Ordering::Relaxed) + size - layout.size();
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        PEAK.fetch_max(live, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What stays allocated behind the work, and the most that was allocated during it, beyond what was before.
fn weigh<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    let (live, peak) = (LIVE.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed));
    (done, live.saturating_sub(before), peak.saturating_sub(before))
}

/// Records that were sent or read.
fn occurrences(history: &History) -> usize {
    history.sends().len() + history.delivers().len()
}

// One test alone in this binary: another thread would be counted too.
#[test]
fn a_record_takes_a_hundred_bytes() {
    let stories = [(Story::Clean, 20_000), (Story::Faulty, 20_000), (Story::Transactions, 20_000)];
    let weighed = stories.map(|(story, records)| {
        let mut file = Vec::new();
        jsonl::write(&histories::history(story, records), &mut file).expect("memory takes it");
        let (history, kept, _) = weigh(|| jsonl::read(&file[..], "memory").expect("it can be read"));
        let (_, _, judging) = weigh(|| judge(&history));
        let each = |bytes: usize| bytes / occurrences(&history);
        println!(
            "{story:?}: {} bytes kept and {} to judge, a record sent or read",
            each(kept),
            each(judging)
        );
        (each(kept), each(judging))
    });
    assert!(weighed.iter().all(|(kept, judging)| *kept <= 100 && *judging <= 100), "{weighed:?}");
}
