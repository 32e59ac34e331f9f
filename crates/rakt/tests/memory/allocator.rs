//! An allocator that counts, by thread and by side: the threads of a runtime are one side.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Whom a thread belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    /// Every thread that is in none of the runtimes made by [`runtime`].
    Neither,
    Near,
    Far,
}

struct Counting;

/// Allocations by side.
static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// Bytes allocated and not freed, by side.
static BYTES: [AtomicI64; 3] = [const { AtomicI64::new(0) }; 3];

thread_local! {
    static SIDE: Cell<Side> = const { Cell::new(Side::Neither) };
    static HERE: Cell<i64> = const { Cell::new(0) };
}

fn note(bytes: i64) -> usize {
    let side = SIDE.try_with(Cell::get).unwrap_or(Side::Neither) as usize;
    BYTES[side].fetch_add(bytes, Ordering::Relaxed);
    // A thread that ends frees what no test counts.
    let _ = HERE.try_with(|here| here.set(here.get() + bytes));
    side
}

// SAFETY: every call goes on to the system's allocator unchanged; counting has no other effect.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNTS[note(layout.size() as i64)].fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations so far of the threads of one side.
pub(crate) fn count(side: Side) -> u64 {
    COUNTS[side as usize].load(Ordering::Relaxed)
}

/// Bytes that the threads of one side have allocated and not freed.
pub(crate) fn bytes(side: Side) -> i64 {
    BYTES[side as usize].load(Ordering::Relaxed)
}

/// Bytes that all threads have allocated and not freed.
pub(crate) fn everywhere() -> i64 {
    BYTES.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
}

/// Bytes that this thread has allocated and not freed, for tests whose runtime has no other. Only differences mean
/// something: it may free what others have allocated.
pub(crate) fn here() -> i64 {
    HERE.get()
}

/// A runtime whose threads are one side.
pub(crate) fn runtime(side: Side) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || SIDE.set(side))
        .build()
        .expect("a runtime")
}
