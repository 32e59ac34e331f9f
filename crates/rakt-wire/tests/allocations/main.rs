//! What the protocols allocate, counted on the thread of each test.
//!
//! | file | asks |
//! | --- | --- |
//! | `goakt.rs` | does a call to a Go node allocate next to nothing, and what is only claimed nothing? |
//! | `native.rs` | does a small message allocate nothing, on the way out and in? |

#![expect(unsafe_code, reason = "counting allocations takes a global allocator")]
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "each test counts what its own thread allocates"
)]

#[cfg(feature = "goakt")]
mod goakt;
mod native;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same here.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Messages are sent in rounds; what the first ones allocate is for buffers that stay.
const ROUNDS: usize = 100;
/// Messages of a round.
const BATCH: usize = 50;
