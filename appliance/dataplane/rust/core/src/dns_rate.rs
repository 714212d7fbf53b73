//! How many replies a network may be sent over UDP. `dns_rate.py` is the law, and says how it works.
//!
//! The table has a fixed size and no lock: threads change cells by compare-and-exchange.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::prefix::PrefixTable;
use crate::siphash::siphash_short;

const UNIT_NS: i64 = 16;
const TIME_BITS: u32 = 42;
const TAG_BITS: u32 = 18;
const TAG_SHIFT: u32 = u64::BITS - TAG_BITS;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const ROW_MASK: u64 = (1 << (TAG_SHIFT - TIME_BITS)) - 1;
/// What two buckets of one prefix differ in: another tag and another set.
const OTHER_KIND: u64 = 1 << 63 | 1;
const WAYS: usize = 8;
const SETS: usize = 4096;
/// A cell that others change all the time is given up after so many attempts: one reply goes uncounted.
const ATTEMPTS: usize = 8;
/// Networks over the limit that are told by name: so many times eight.
const NAMED_SETS: usize = 16;

/// What a reply is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NOERROR.
    Answer = 0,
    /// Every other RCODE.
    Error = 1,
}

/// What may become of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Pass = 0,
    /// It is not.
    Drop = 1,
    /// Something small is sent that brings a real client back by TCP or with a cookie.
    Slip = 2,
}

/// The bucket of one prefix length. Times are in units of 16 ns.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Length of the prefix.
    pub octets: usize,
    /// Time between replies.
    pub interval: u64,
    /// How far a bucket may be ahead of now and still take one more reply.
    pub tolerance: u64,
}

/// The limit as configured.
#[derive(Clone, Debug, Default)]
pub struct RateLimit {
    /// Buckets for an IPv4 address, the longest prefix first.
    pub levels4: Box<[Level]>,
    /// Buckets for an IPv6 address, the longest prefix first.
    pub levels6: Box<[Level]>,
    /// No bucket is ever further ahead of now.
    pub bound: u64,
    /// So many limited replies in a row, and the last of them slips; 0: never.
    pub slip: u64,
    /// IPv4 networks without a limit.
    pub exempt4: PrefixTable<()>,
    /// IPv6 networks without a limit.
    pub exempt6: PrefixTable<()>,
}

impl RateLimit {
    /// Whether its figures fit into cells and addresses.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let level = |one: &Level, longest| {
            (1..=longest).contains(&one.octets) && one.interval > 0 && one.tolerance + one.interval <= self.bound
        };
        self.bound < 1 << (TIME_BITS - 1)
            && self.slip <= ROW_MASK
            && self.levels4.iter().all(|one| level(one, 4))
            && self.levels6.iter().all(|one| level(one, 8))
    }

    fn is_exempt(&self, source: IpAddr) -> bool {
        match source {
            IpAddr::V4(v4) => self.exempt4.find(u128::from(u32::from(v4))).is_some(),
            IpAddr::V6(v6) => self.exempt6.find(u128::from(v6)).is_some(),
        }
    }
}

/// The eight places of a key: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// What was sent to whom.
#[derive(Debug)]
pub struct Limiter {
    key: [u8; 16],
    sets: Box<[Set]>,
    named: Box<[[Named; WAYS]]>,
}

impl Limiter {
    /// With every bucket full. Who knows `key` can choose addresses that share the buckets of others.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        let sets = (0..SETS).map(|_| Set::default()).collect();
        let named = (0..NAMED_SETS).map(|_| <[Named; WAYS]>::default()).collect();
        Self { key, sets, named }
    }

    /// Count one reply of `kind` to `source`, and say what may become of it.
    ///
    /// A reply that the address itself is too often sent is not charged to the networks around it.
    #[must_use]
    pub fn charge(&self, rate: &RateLimit, source: IpAddr, kind: Kind, mono_ns: i64) -> Verdict {
        if rate.is_exempt(source) {
            return Verdict::Pass;
        }
        let now = (mono_ns.div_euclid(UNIT_NS) as u64) & TIME_MASK;
        let (levels, first) = match source {
            IpAddr::V4(v4) => (&rate.levels4, u64::from(u32::from_le_bytes(v4.octets()))),
            IpAddr::V6(v6) => (&rate.levels6, u64::from_le_bytes(*v6.octets().first_chunk().unwrap_or(&[0; 8]))),
        };
        for level in levels {
            let mut hash = siphash_short::<1, 3>(&self.key, first, level.octets);
            if kind == Kind::Error {
                hash ^= OTHER_KIND;
            }
            let verdict = self.take(hash, level, rate, now);
            if verdict != Verdict::Pass {
                self.note(source, mono_ns);
                return verdict;
            }
        }
        Verdict::Pass
    }

    fn take(&self, hash: u64, level: &Level, rate: &RateLimit, now: u64) -> Verdict {
        let tag = (hash >> TAG_SHIFT).max(1); // an empty cell has tag 0
        let set = &self.sets[(hash % SETS as u64) as usize].0;
        let mut verdict = Verdict::Pass;
        for _ in 0..ATTEMPTS {
            let (place, cell, row, lead) = find(set, tag, rate.bound, now);
            let (row, lead) = if lead <= level.tolerance {
                verdict = Verdict::Pass;
                (row, lead + level.interval)
            } else if rate.slip > 0 && row + 1 >= rate.slip {
                verdict = Verdict::Slip;
                (0, lead)
            } else {
                verdict = Verdict::Drop;
                ((row + 1).min(ROW_MASK), lead)
            };
            let fresh = tag << TAG_SHIFT | row << TIME_BITS | ((now + lead) & TIME_MASK);
            if place.compare_exchange(cell, fresh, Relaxed, Relaxed).is_ok() {
                break;
            }
        }
        verdict
    }

    /// Remember by name the /24 or /48 that `source` is in.
    fn note(&self, source: IpAddr, mono_ns: i64) {
        let name = name(source);
        let spread = name.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let set = &self.named[spread as usize % NAMED_SETS];
        let known = set.iter().find(|entry| entry.name.load(Relaxed) == name);
        let entry = known.unwrap_or_else(|| {
            let oldest = set.iter().min_by_key(|entry| entry.last_ns.load(Relaxed)).unwrap_or(&set[0]);
            // Somebody who reads in between sees a count of nobody's, or a name that was limited 0 times.
            oldest.limited.store(0, Relaxed);
            oldest.name.store(name, Relaxed);
            oldest
        });
        entry.limited.fetch_add(1, Relaxed);
        entry.last_ns.store(mono_ns as u64, Relaxed);
    }

    /// Who was limited: octets of the network (3 or 6), how often, and the monotonic time of the last time.
    #[must_use]
    pub fn offenders(&self) -> Vec<(Vec<u8>, u64, i64)> {
        let entries = self.named.iter().flatten();
        entries
            .filter_map(|entry| {
                let (name, limited) = (entry.name.load(Relaxed), entry.limited.load(Relaxed));
                let octets = name.to_be_bytes();
                let network = if name >> 48 == 6 { &octets[2..] } else { &octets[5..] };
                (limited > 0).then(|| (network.to_vec(), limited, entry.last_ns.load(Relaxed) as i64))
            })
            .collect()
    }
}

/// The place for `tag`: its cell, how many were limited in a row, and how far ahead of `now` its bucket is.
fn find(set: &[AtomicU64; WAYS], tag: u64, bound: u64, now: u64) -> (&AtomicU64, u64, u64, u64) {
    let ahead = |cell: u64| {
        let ahead = cell.wrapping_sub(now) & TIME_MASK;
        if ahead > bound { 0 } else { ahead } // more than the bound is in the past
    };
    for place in set {
        let cell = place.load(Relaxed);
        if cell >> TAG_SHIFT == tag {
            return (place, cell, cell >> TIME_BITS & ROW_MASK, ahead(cell));
        }
    }
    let mut fullest = (&set[0], 0, u64::MAX);
    for place in set {
        let cell = place.load(Relaxed);
        let lead = ahead(cell);
        if lead < fullest.2 {
            fullest = (place, cell, lead);
        }
    }
    (fullest.0, fullest.1, 0, 0)
}

/// A network by name, and how often replies to it were limited.
#[derive(Debug, Default)]
struct Named {
    name: AtomicU64,
    limited: AtomicU64,
    last_ns: AtomicU64,
}

/// 4 or 6, and the octets of the /24 or /48, in one number that is not 0.
fn name(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(v4) => 4 << 48 | u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => 6 << 48 | (u128::from(v6) >> 80) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(slip: u64) -> RateLimit {
        // 1000 for each second and 10 at once for an address, 8 times as many for its /24
        let level = |octets, times: u64| {
            let interval = 62_500 / times;
            Level { octets, interval, tolerance: (10 * times - 1) * interval }
        };
        RateLimit { levels4: [level(4, 1), level(3, 8)].into(), bound: 625_000, slip, ..RateLimit::default() }
    }

    const SECOND: i64 = 1_000_000_000;

    fn passed(limiter: &Limiter, rate: &RateLimit, count: usize, mono_ns: i64, source: [u8; 4]) -> usize {
        let charge = || limiter.charge(rate, source.into(), Kind::Answer, mono_ns);
        (0..count).filter(|_| charge() == Verdict::Pass).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (limiter, rate) = (Limiter::new([1; 16]), rate(2));
        assert!(rate.is_sound());
        assert_eq!(passed(&limiter, &rate, 50, SECOND, [192, 0, 2, 1]), 10);
        assert_eq!(passed(&limiter, &rate, 50, SECOND + 5_000_000, [192, 0, 2, 1]), 5);
        assert_eq!(passed(&limiter, &rate, 50, 100 * SECOND, [192, 0, 2, 1]), 10);
    }

    #[test]
    fn a_network_is_limited_whoever_in_it_is_named_and_its_neighbour_is_not() {
        let (limiter, rate) = (Limiter::new([1; 16]), rate(2));
        let all: usize = (0..=255).map(|last| passed(&limiter, &rate, 10, SECOND, [192, 0, 2, last])).sum();
        assert_eq!(all, 80);
        assert_eq!(passed(&limiter, &rate, 10, SECOND, [192, 0, 3, 1]), 10);
        let offenders = limiter.offenders();
        assert_eq!(offenders, [(vec![192, 0, 2], 2560 - 80, SECOND)]);
    }

    #[test]
    fn threads_together_let_no_more_through_than_one_alone() {
        let (limiter, rate) = (Limiter::new([1; 16]), rate(0));
        let total: usize = std::thread::scope(|scope| {
            let work = || passed(&limiter, &rate, 20_000, SECOND, [192, 0, 2, 1]);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        // A cell given up after eight attempts is one reply too many: hardly ever.
        assert!((10..=14).contains(&total), "{total}");
    }

    #[test]
    fn many_forged_addresses_do_not_make_the_table_forget_who_is_over_the_limit() {
        let (limiter, rate) = (Limiter::new([1; 16]), rate(2));
        assert_eq!(passed(&limiter, &rate, 11, SECOND, [192, 0, 2, 1]), 10);
        for number in 0..50_000_u32 {
            let source = (0x0A00_0000 + 7 * number).to_be_bytes();
            passed(&limiter, &rate, 1, SECOND + i64::from(number) * 100, source);
        }
        assert_eq!(passed(&limiter, &rate, 100, SECOND + 5_000_000, [192, 0, 2, 1]), 5);
    }
}
