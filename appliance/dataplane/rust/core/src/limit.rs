//! How many requests a client may make: a bucket of time, leaks, and when silence makes things worse.
//!
//! The semantics are those of chrony's `ratelimit`; the arithmetic is that of `ntp_limit.py`, number by number.

use crate::ntp::Source;
use crate::prefix::PrefixTable;

/// An IPv6 /64 is a network with many machines in it: it may ask this much more often than one IPv4 address, as 2^6.
pub const NETWORK_SHIFT: u32 = 6;
/// Spacings below 2^20 ns (a millisecond) are not told apart: packets that were taken together share their time.
const CLOSEST_NS: u64 = 1 << 20;
/// Spacings above 2^37 ns (two minutes) neither: one pause shall not outweigh what came before it.
const FURTHEST_NS: u64 = 1 << 37;
/// One doubling on the scale of `log_spacing`.
pub const OCTAVE: i32 = 64;
/// An average takes over 2^-4 of the difference with each packet.
const SMOOTHING: u32 = 4;

/// The limits in force, compiled for packets.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// What a reply costs an IPv4 client, ns.
    pub cost_ns: u64,
    /// What a client can have saved, ns.
    pub cap_ns: u64,
    /// Of those over the limit one in 2^leak is answered.
    pub leak: u32,
    /// Of those that are not, one in 2^kod is told so; 0 tells nobody.
    pub kod: u32,
    /// The smallest poll in replies, log2 s.
    pub poll: i8,
    /// What a reply costs a /24 or /48, ns.
    pub prefix_cost_ns: u64,
    /// What a /24 or /48 can have saved, ns.
    pub prefix_cap_ns: u64,
    /// Who is not limited: IPv4, IPv6.
    pub exempt: [PrefixTable<()>; 2],
}

impl RateLimit {
    /// Intervals in log2 s, bursts in replies.
    #[must_use]
    pub fn new(
        (interval, burst): (i8, u32),
        (leak, kod): (u32, u32),
        (prefix_interval, prefix_burst): (i8, u32),
        exempt: [PrefixTable<()>; 2],
    ) -> Self {
        let (cost_ns, prefix_cost_ns) = (cost_ns(interval), cost_ns(prefix_interval));
        Self {
            cost_ns,
            cap_ns: cost_ns * u64::from(burst),
            leak,
            kod,
            poll: interval,
            prefix_cost_ns,
            prefix_cap_ns: prefix_cost_ns * u64::from(prefix_burst),
            exempt,
        }
    }

    /// Whether this source is not limited.
    #[must_use]
    pub fn exempts(&self, source: &Source) -> bool {
        self.exempt[usize::from(source.six)].find(source.address).is_some()
    }

    /// Whether chance lets one through that is over the limit, or silences it when `inverted`.
    #[must_use]
    pub fn leaks(&self, chance: u64, inverted: bool) -> bool {
        (chance & ((1 << self.leak) - 1) == 0) != inverted
    }

    /// Whether chance has a silenced one told so.
    #[must_use]
    pub fn kisses(&self, chance: u64) -> bool {
        self.kod > 0 && chance & ((1 << self.kod) - 1) == 0
    }
}

/// 2^interval seconds in ns.
fn cost_ns(interval: i8) -> u64 {
    let interval = i32::from(interval).clamp(-16, 17);
    if interval < 0 { 1_000_000_000 >> -interval } else { 1_000_000_000 << interval }
}

/// Take `cost` from a bucket: whether that is allowed, and the bucket afterwards.
///
/// A bucket is the moment at which it will be full again; what is missing at `now` is the time until then. More than
/// `cap` cannot be missing: the clock went backwards, or the limits became smaller, and the bucket counts as full.
#[must_use]
pub fn take(full_at: u64, now: u64, cost: u64, cap: u64) -> (bool, u64) {
    let missing = full_at.saturating_sub(now);
    let missing = if missing > cap { 0 } else { missing };
    if missing + cost <= cap { (true, now + missing + cost) } else { (false, now + missing) }
}

/// The logarithm of a spacing in steps of 1/64 octave, straight between powers of two.
#[must_use]
pub fn log_spacing(ns: u64) -> i32 {
    let ns = ns.clamp(CLOSEST_NS, FURTHEST_NS);
    let octave = ns.ilog2();
    (octave << 6) as i32 + (ns << 6 >> octave) as i32 - OCTAVE
}

/// An average, 0 before the first value, after one more value.
#[must_use]
pub fn averaged(average: i32, value: i32) -> i32 {
    if average == 0 { value } else { average + ((value - average) >> SMOOTHING) }
}

/// Whether a client asks more than twice as often when it gets no reply.
#[must_use]
pub fn insists(answered: i32, unanswered: i32) -> bool {
    answered != 0 && unanswered != 0 && unanswered + OCTAVE < answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_the_rate() {
        let (mut full_at, mut allowed) = (0, 0);
        for second in 0..100 {
            let (may, after) = take(full_at, 1_000 + second, 8, 128);
            full_at = after;
            allowed += u32::from(may);
        }
        assert_eq!(allowed, 16 + 100 / 8);
    }

    #[test]
    fn a_clock_that_went_backwards_locks_nobody_out() {
        let (_, full_at) = take(0, 1 << 50, 8, 128);
        assert_eq!(take(full_at, 5, 8, 128), (true, 13));
    }

    #[test]
    fn spacings_are_logarithms() {
        assert_eq!(log_spacing(1 << 30), 30 * OCTAVE);
        assert_eq!(log_spacing(3 << 29), 30 * OCTAVE + 32);
        assert_eq!(log_spacing(0), 20 * OCTAVE);
        assert_eq!(log_spacing(u64::MAX), 37 * OCTAVE);
    }
}
