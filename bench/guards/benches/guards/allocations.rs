//! Allocations, counted by the allocator on the thread that asks: those of an upstream on another thread are
//! not ours.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use tikv_jemallocator::Jemalloc;

use crate::OPERATIONS;
use crate::governed::Governed;
use crate::parts::{Healthy, Records, limit_all, look_up_all};

/// The program's allocator, which counts.
pub struct Counting;

thread_local! {
    /// Allocations of this thread, and their bytes. A reallocation is one, of its new size.
    static TAKEN: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn took(bytes: usize) {
    // A thread that is at its end has nothing to count into.
    let _ = TAKEN.try_with(|taken| {
        let (count, sum) = taken.get();
        taken.set((count + 1, sum + bytes as u64));
    });
}

// SAFETY: all is handed on to jemalloc as it came; counting neither allocates nor touches memory that isn't its own.
#[allow(unsafe_code, reason = "an allocator can't be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { Jemalloc.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        unsafe { Jemalloc.realloc(memory, layout, size) }
    }
}

/// Prints the counts of each benchmark as one line of JSON: the names are those of the instruction counts.
pub fn print() {
    let (mut local, mut remote) = (Governed::in_process(), Governed::remote());
    let (mut records, mut healthy) = (Records::new(), Healthy::new());
    let counts = [
        ("governed_call in_process", counted(|| local.call_all())),
        ("governed_call remote", counted(|| remote.call_all())),
        ("journal intent_and_outcome", counted(|| records.append_all())),
        ("breaker admit_and_record", counted(|| healthy.pass_all())),
        ("limiter rate_and_concurrency", counted(|| limit_all(&local))),
        ("catalog method_and_access", counted(|| look_up_all(&local))),
    ];
    let lines = counts.map(|(name, (count, bytes))| format!("\"{name}\": [{count}, {bytes}]"));
    println!("{{\"operations\": {OPERATIONS}, \"counts\": {{{}}}}}", lines.join(", "));
}

fn counted(act: impl FnOnce()) -> (u64, u64) {
    let before = TAKEN.get();
    act();
    let after = TAKEN.get();
    (after.0 - before.0, after.1 - before.1)
}
