//! One bucket for each network that asks, an IPv4 /24 or an IPv6 /48, shared by all workers without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limit::take;
use crate::siphash::siphash;

/// Cells that a network can be in: one cache line.
const WAYS: usize = 8;
/// Time in a cell counts 2^14 ns.
const TICK_SHIFT: u32 = 14;
const TIME: u64 = (1 << 48) - 1;
/// Workers that meet in one cell try again, but not for ever: one reply too many is better than waiting.
const TRIES: usize = 4;

/// A fixed number of cells: 16 bits of the hash of a network, and when its bucket will be full again.
///
/// A network is in one of the 8 cells of a line. Where there is no room it takes the cell whose bucket is the fullest, so
/// that what is forgotten first is a network that hardly asks. Two networks that share line and 16 bits share a bucket.
#[derive(Debug)]
pub struct PrefixBuckets {
    cells: Box<[AtomicU64]>,
    secret: [u8; 16],
}

impl PrefixBuckets {
    /// Over zeroed cells, a multiple of 8; `secret` is random, so that nobody can choose what shares a bucket.
    #[must_use]
    pub fn over(cells: Box<[AtomicU64]>, secret: [u8; 16]) -> Self {
        Self { cells, secret }
    }

    /// Take one reply's cost from the bucket of a network; whether that is allowed.
    #[must_use]
    pub fn take(&self, network: u64, now_ns: u64, cost_ns: u64, cap_ns: u64) -> bool {
        let hash = siphash::<1, 3>(&self.secret, &network.to_le_bytes());
        let lines = (self.cells.len() / WAYS) as u128;
        let line = ((u128::from(hash) * lines) >> 64) as usize * WAYS;
        let Some(cells) = self.cells.get(line..line + WAYS) else { return true };
        let tag = hash & 0xFFFF;
        let now = now_ns >> TICK_SHIFT;
        for _ in 0..TRIES {
            let (cell, seen, full_at) = choose(cells, tag);
            let (allowed, after) = take(full_at, now, cost_ns >> TICK_SHIFT, cap_ns >> TICK_SHIFT);
            if !allowed {
                return false;
            }
            if cell.compare_exchange(seen, tag << 48 | after & TIME, Relaxed, Relaxed).is_ok() {
                return true;
            }
        }
        true
    }

    /// What the cells hold, for tests.
    pub fn cells(&self) -> impl Iterator<Item = u64> {
        self.cells.iter().map(|cell| cell.load(Relaxed))
    }
}

/// The cell of the network, or the one it takes over; what stands there, and when the network's bucket is full.
fn choose(cells: &[AtomicU64], tag: u64) -> (&AtomicU64, u64, u64) {
    let mut best = (&cells[0], 0, u64::MAX);
    for cell in cells {
        let seen = cell.load(Relaxed);
        if seen >> 48 == tag {
            return (cell, seen, seen & TIME);
        }
        if seen & TIME < best.2 {
            best = (cell, seen, seen & TIME);
        }
    }
    (best.0, best.1, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_together_take_no_more_than_the_burst() {
        let cells = (0..64).map(|_| AtomicU64::new(0)).collect();
        let buckets = PrefixBuckets::over(cells, [7; 16]);
        let second = 1_000_000_000;
        let allowed: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| buckets.take(5, second, second, 100 * second)).count()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        // Lost races let a few more through; a thousand would mean that nobody counts.
        assert!((100..400).contains(&allowed), "{allowed}");
        assert!(!buckets.take(5, second, second, 100 * second));
        assert!(buckets.take(6, second, second, 100 * second));
    }
}
