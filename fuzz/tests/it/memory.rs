//! How much memory one call holds at its worst, counted by the allocator for this thread.

#![expect(
    unsafe_code,
    reason = "an allocator that counts can't be written without"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // A thread that ends frees what it can no longer count.
        let _ending = HELD.try_with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn add(bytes: usize) {
    // A thread that ends can no longer count.
    let _ending = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ending = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something and answers what it held at its worst, beyond what was held before.
pub(crate) fn held_by<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let result = what();
    (result, MOST.with(Cell::get).saturating_sub(before))
}

#[test]
fn what_a_call_holds_is_counted() {
    let (_, held) = held_by(|| drop(vec![1_u8; 100_000]));
    assert!((100_000..110_000).contains(&held), "{held}");
}
