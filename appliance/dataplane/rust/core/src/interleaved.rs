//! Interleaved mode of one packet thread: when the replies to its clients really left (RFC 9769 section 2).
//!
//! `ntp_interleaved.py` is the law and says why.

use std::collections::VecDeque;

use crate::ntp::ntp_from_unix_ns;

/// Exchanges that one thread remembers.
pub const CAPACITY: usize = 16384;
/// A receive time before more than this many others was taken before the clock was set back.
pub const DISORDER: usize = 16;
/// A kernel's transmit time later than this after ours belongs to another time scale.
pub const LATEST_STAMP_NS: i64 = 1_000_000_000;
/// How far the wall clock and the monotonic one may seem to move apart without a step.
pub const STEP_NS: i64 = 10_000_000;

/// How long a reply of version 4 may be: a header, and perhaps one of the MACs.
const REPLY_SIZES: [usize; 3] = [48, 68, 72];

#[derive(Clone, Copy, Debug)]
struct Exchange {
    receive: u64,
    /// None when it was told already.
    transmit: Option<u64>,
    client: u128,
    tx_ns: i64,
    correction_ns: i64,
}

/// The exchanges of clients in interleaved mode, in the order of our receive times.
#[derive(Debug)]
pub struct Interleaved {
    capacity: usize,
    exchanges: VecDeque<Exchange>,
    apart_ns: Option<i64>,
}

impl Default for Interleaved {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl Interleaved {
    /// Room for `capacity` exchanges, taken once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(DISORDER + 1);
        Self { capacity, exchanges: VecDeque::with_capacity(capacity), apart_ns: None }
    }

    /// How many exchanges are remembered, told or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    fn find(&self, receive: u64) -> Result<usize, usize> {
        self.exchanges.binary_search_by_key(&receive, |exchange| exchange.receive)
    }

    /// When our reply left to what we received at `receive` from this client; told once.
    pub fn take(&mut self, receive: u64, client: u128) -> Option<u64> {
        let at = self.find(receive).ok()?;
        let exchange = &mut self.exchanges[at];
        if exchange.client == client { exchange.transmit.take() } else { None }
    }

    /// Keep when the reply leaves to what we received at `receive`.
    pub fn remember(&mut self, receive: u64, transmit: u64, client: u128, tx_ns: i64, correction_ns: i64) {
        let Err(mut at) = self.find(receive) else {
            // Two in one tick of the clock: the first one keeps it, the second gets basic mode.
            return;
        };
        if self.exchanges.len() - at > DISORDER {
            self.forget();
            at = 0;
        } else if self.exchanges.len() == self.capacity {
            self.exchanges.pop_front();
            at -= 1;
        }
        self.exchanges.insert(at, Exchange { receive, transmit: Some(transmit), client, tx_ns, correction_ns });
    }

    /// The kernel told when the reply left, ns since 1970; false when it is not of use.
    pub fn stamped(&mut self, receive: u64, tx_ns: i64) -> bool {
        let Ok(at) = self.find(receive) else {
            return false;
        };
        let exchange = &mut self.exchanges[at];
        let later_ns = i128::from(tx_ns) - i128::from(exchange.tx_ns);
        if exchange.transmit.is_none() || !(0..=i128::from(LATEST_STAMP_NS)).contains(&later_ns) {
            return false;
        }
        exchange.transmit = Some(ntp_from_unix_ns(i128::from(tx_ns) + i128::from(exchange.correction_ns)) & !1);
        true
    }

    /// The kernel sent `frame` at `tx_ns`: note it for the reply at its end, if that is one of ours.
    ///
    /// A reply is known by its receive time, so no header of a lower layer needs to be understood.
    pub fn stamp_in(&mut self, frame: &[u8], tx_ns: i64) -> bool {
        REPLY_SIZES.iter().any(|&size| {
            let Some(at) = frame.len().checked_sub(size) else {
                return false;
            };
            let mut receive = [0; 8];
            receive.copy_from_slice(&frame[at + 32..at + 40]);
            self.stamped(u64::from_be_bytes(receive), tx_ns)
        })
    }

    /// Forget everything when the clock was set since the last call.
    pub fn watch_clock(&mut self, wall_ns: i64, mono_ns: i64) {
        let apart_ns = wall_ns.saturating_sub(mono_ns);
        if self.apart_ns.is_some_and(|before| apart_ns.saturating_sub(before).saturating_abs() > STEP_NS) {
            self.forget();
        }
        self.apart_ns = Some(apart_ns);
    }

    /// Everybody gets basic mode next.
    pub fn forget(&mut self) {
        self.exchanges.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_told_once_and_to_its_client_only() {
        let mut interleaved = Interleaved::default();
        interleaved.remember(11, 20, 1, 0, 0);
        assert_eq!(interleaved.take(11, 2), None);
        assert_eq!(interleaved.take(11, 1), Some(20));
        assert_eq!(interleaved.take(11, 1), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut interleaved = Interleaved::new(20);
        for receive in 0..30 {
            interleaved.remember(receive, receive + 1, 1, 0, 0);
        }
        assert_eq!((interleaved.len(), interleaved.take(9, 1), interleaved.take(10, 1)), (20, None, Some(11)));
    }

    #[test]
    fn a_clock_that_was_set_back_ends_what_was_before() {
        let mut interleaved = Interleaved::default();
        for receive in 100..117 {
            interleaved.remember(receive, 1, 1, 0, 0);
        }
        interleaved.remember(101, 2, 1, 0, 0); // known already
        assert_eq!(interleaved.len(), 17);
        interleaved.remember(50, 2, 1, 0, 0);
        assert_eq!((interleaved.len(), interleaved.take(50, 1)), (1, Some(2)));
        interleaved.remember(60, 2, 1, 0, 0);
        interleaved.watch_clock(1_000, 0);
        interleaved.watch_clock(2_000, 0);
        assert_eq!(interleaved.len(), 2);
        interleaved.watch_clock(2_000 + STEP_NS + 1, 0);
        assert!(interleaved.is_empty());
    }

    #[test]
    fn a_stamp_of_another_time_scale_is_not_used() {
        let mut interleaved = Interleaved::default();
        interleaved.remember(11, 20, 1, 1_000, 0);
        assert!(!interleaved.stamped(11, 37_000_000_000));
        assert!(!interleaved.stamped(11, 999));
        assert!(!interleaved.stamped(12, 1_001));
        assert!(interleaved.stamped(11, 1_001));
        assert_eq!(interleaved.take(11, 1), Some(ntp_from_unix_ns(1_001) & !1));
        assert!(!interleaved.stamped(11, 1_001));
    }
}
