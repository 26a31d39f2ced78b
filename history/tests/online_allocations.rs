//! The online checker is fed beside a load generator, so it must not allocate for every record: once its table has
//! the width of the window, a hundred thousand records pass through it without one allocation.
#![expect(unsafe_code, reason = "counting allocations takes an allocator of one's own")]

use squall_bus::{Topic, Unit};
use squall_history::online::{Online, Read};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Of this thread alone: the test harness allocates in its own thread, whenever it likes.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn no_allocation_for_each_record() {
    let units: Vec<Unit> = (0..4).map(|partition| Unit::new(&Topic::new("orders"), partition)).collect();
    let mut online = Online::new(&units);
    let (session, units) = (online.session("producer-0"), online.units());
    let mut run = |from: u64, to: u64| {
        for value in from..to {
            let (unit, position) = (units[(value % 4) as usize], value / 4);
            online.sent(session, value);
            online.acked(value, Some(unit), Some(position));
            if let Some(old) = value.checked_sub(1000) {
                let (unit, position) = (units[(old % 4) as usize], old / 4);
                let read = Read { unit, position, value: Some(old), corrupt: false, drain: false };
                online.read(read);
                // A rebalance: some are delivered again.
                if old.is_multiple_of(10) {
                    online.read(read);
                }
            }
        }
    };
    run(0, 10_000);
    let before = ALLOCATIONS.get();
    run(10_000, 110_000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
