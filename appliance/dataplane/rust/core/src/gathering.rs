//! When to let packets gather: a thread that is woken for every packet spends more on waking than on answering.
//!
//! As a network card holds back its interrupts under load: below the rate nothing is ever delayed, above it a packet
//! waits for a little while that its time stamps account for.

use std::time::Duration;

/// Packets between two looks at the clock.
const SAMPLE: usize = 64;
/// Packets a second of one socket from which on they gather: from here every rest finds more than one.
const BUSY_PER_S: i64 = 40_000;
/// How long that many packets take at that rate.
const SPAN_NS: i64 = SAMPLE as i64 * 1_000_000_000 / BUSY_PER_S;
/// A batch of that many is worth its wake-up: there is no need to wait for more.
const ENOUGH: usize = 16;
/// How long packets may gather. The kernel adds up to 50 µs of its own.
const REST: Duration = Duration::from_micros(50);

/// What one thread knows of its rate.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    seen: usize,
    since_ns: i64,
    busy: bool,
}

impl Gathering {
    /// How long to leave the socket alone after a batch of `got` packets; `now_ns` reads a monotonic clock.
    #[must_use]
    pub fn rest(&mut self, got: usize, now_ns: impl FnOnce() -> i64) -> Option<Duration> {
        self.seen += got;
        if !self.busy && self.seen < SAMPLE {
            return None;
        }
        let now_ns = now_ns();
        let elapsed_ns = now_ns.saturating_sub(self.since_ns);
        if self.seen >= SAMPLE || elapsed_ns > SPAN_NS {
            self.busy = self.seen as i64 * 1_000_000_000 >= elapsed_ns.saturating_mul(BUSY_PER_S);
            self.seen = 0;
            self.since_ns = now_ns;
        }
        (self.busy && got < ENOUGH).then_some(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rests after single packets that come `gap_ns` apart from `begin_ns` on.
    fn rests(gathering: &mut Gathering, begin_ns: i64, gap_ns: i64, packets: i64) -> usize {
        (0..packets).filter(|n| gathering.rest(1, || begin_ns + n * gap_ns).is_some()).count()
    }

    #[test]
    fn nothing_waits_below_the_rate() {
        assert_eq!(rests(&mut Gathering::default(), 1 << 40, 50_000, 10_000), 0);
    }

    #[test]
    fn packets_gather_above_the_rate() {
        assert!(rests(&mut Gathering::default(), 1 << 40, 10_000, 10_000) > 9_800);
    }

    #[test]
    fn a_full_batch_never_waits() {
        let mut gathering = Gathering::default();
        assert!((0..1000).all(|n| gathering.rest(ENOUGH, || n * 1000).is_none()));
    }

    #[test]
    fn the_first_packet_after_a_pause_waits_no_more() {
        let mut gathering = Gathering::default();
        rests(&mut gathering, 0, 1000, 1000);
        assert_eq!(rests(&mut gathering, 1_000_000_000, 50_000, 1000), 0);
    }
}
