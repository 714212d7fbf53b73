//! Counters that one thread writes and everybody may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Only one thread writes a counter: a load and a store cost less than an atomic addition.
pub fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}
