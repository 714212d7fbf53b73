//! Which packets are copied for the inspector, and the ring that the copies wait in.
//!
//! A worker draws and writes, control reads: no lock and no allocation for a packet, and memory that does not grow. When
//! the ring is full the newest sample is dropped and counted: a packet never waits for whoever looks at samples.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Words of one ring: 1 MiB, or about 9,000 NTP requests.
pub const RING_WORDS: usize = 1 << 17;
/// Words before the packet itself: `sampling.HEAD_WORDS` in Python.
pub const HEAD_WORDS: usize = 7;
/// The most that is kept of one packet.
pub const MOST_KEPT: usize = 2048;

/// Why a packet is a sample: drawn by chance.
pub const DRAWN: u8 = 1;
/// Why a packet is a sample: it comes from the network that somebody looks at.
pub const FOCUSED: u8 = 2;

/// Why a packet is a sample: drawn among those whose outcome is not ordinary.
pub const UNUSUAL: u8 = 4;

/// A sample beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// IPv6?
    pub six: bool,
    /// `DRAWN` or `UNUSUAL`, `FOCUSED` or it and one of them.
    pub why: u8,
    /// Length on the wire.
    pub size: u32,
    /// Arrival, ns since 1970.
    pub rx_ns: i64,
    /// Where it came from.
    pub source: u128,
    /// Where it was sent to; 0 when the kernel did not say.
    pub own: u128,
    /// Source port.
    pub port: u16,
    /// Our port.
    pub own_port: u16,
    /// What became of it, as the service numbers it.
    pub outcome: i32,
}

/// One writer, one reader.
pub struct Ring {
    words: Box<[AtomicU64]>,
    /// Words written and read since the start.
    written: AtomicU64,
    read: AtomicU64,
    taken: AtomicU64,
    dropped: AtomicU64,
}

impl Ring {
    /// A ring of `words` words, a power of two.
    #[must_use]
    pub fn new(words: usize) -> Self {
        let words = (0..words.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
        let zero = || AtomicU64::new(0);
        Self { words, written: zero(), read: zero(), taken: zero(), dropped: zero() }
    }

    /// Copy a sample in; false when there is no room. For the one writer.
    pub fn put(&self, head: &Head, packet: &[u8]) -> bool {
        let packet = &packet[..packet.len().min(MOST_KEPT)];
        let needed = (HEAD_WORDS + packet.len().div_ceil(8)) as u64;
        let mut at = self.written.load(Relaxed);
        if at - self.read.load(Acquire) + needed > self.words.len() as u64 {
            self.dropped.fetch_add(1, Relaxed);
            return false;
        }
        let mut write = |word: u64| {
            self.words[at as usize & (self.words.len() - 1)].store(word, Relaxed);
            at += 1;
        };
        let flags = u64::from(head.why) << 48 | u64::from(head.six) << 56;
        write(u64::from(head.size) | (packet.len() as u64) << 32 | flags);
        write(head.rx_ns as u64);
        for number in [head.source, head.own] {
            write((number >> 64) as u64);
            write(number as u64);
        }
        write(u64::from(head.port) | u64::from(head.own_port) << 16 | u64::from(head.outcome as u32) << 32);
        let mut chunks = packet.chunks_exact(8);
        for chunk in &mut chunks {
            write(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            write(u64::from_le_bytes(last));
        }
        self.taken.fetch_add(1, Relaxed);
        self.written.store(at, Release);
        true
    }

    /// The oldest sample; its bytes go to the end of `packet`. For the one reader.
    pub fn take(&self, packet: &mut Vec<u8>) -> Option<Head> {
        let mut at = self.read.load(Relaxed);
        if at == self.written.load(Acquire) {
            return None;
        }
        let mut read = || {
            let word = self.words[at as usize & (self.words.len() - 1)].load(Relaxed);
            at += 1;
            word
        };
        let first = read();
        let rx_ns = read() as i64;
        let mut number = || u128::from(read()) << 64 | u128::from(read());
        let (source, own) = (number(), number());
        let last = read();
        let mut left = (first >> 32 & 0xFFFF) as usize;
        while left > 0 {
            let bytes = read().to_le_bytes();
            let some = left.min(8);
            packet.extend_from_slice(&bytes[..some]);
            left -= some;
        }
        self.read.store(at, Release);
        Some(Head {
            six: first >> 56 & 1 == 1,
            why: (first >> 48) as u8,
            size: first as u32,
            rx_ns,
            source,
            own,
            port: last as u16,
            own_port: (last >> 16) as u16,
            outcome: (last >> 32) as u32 as i32,
        })
    }

    /// Samples copied in, and samples that found no room.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.dropped.load(Relaxed))
    }
}

/// One of each `every` packets, at a place in the block that nobody can foresee.
#[derive(Clone, Debug)]
pub struct Draw {
    every: u32,
    left: u32,
    place: u32,
    noise: u64,
}

impl Draw {
    /// Draw one in `every`, none for 0; `seed` is the start of the random phase.
    #[must_use]
    pub fn new(every: u32, seed: u64) -> Self {
        let mut draw = Self { every, left: 0, place: 0, noise: seed | 1 };
        draw.place = draw.any_place();
        draw.left = draw.place;
        draw
    }

    /// Whether the packet at hand is the one.
    pub fn hit(&mut self) -> bool {
        if self.every == 0 {
            return false;
        }
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        let rest = self.every - self.place;
        self.place = self.any_place();
        self.left = rest + self.place;
        true
    }

    /// A number from 1 to `every`.
    fn any_place(&mut self) -> u32 {
        // xorshift64*: an attacker does not see which packets are drawn, so its next number stays his guess
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        let high = self.noise.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((high * u64::from(self.every)) >> 32) as u32 + 1
    }
}

/// Every packet from one network, for a while and up to a number.
#[derive(Debug)]
pub struct Focus {
    /// IPv6?
    pub six: bool,
    /// Its address.
    pub network: u128,
    /// Its length.
    pub length: u32,
    /// When it ends, by the monotonic clock.
    pub until_mono_ns: i64,
    /// How many more.
    pub left: AtomicU64,
}

impl Focus {
    /// Whether this packet is wanted; all workers together take no more than was asked for.
    #[must_use]
    pub fn wants(&self, six: bool, source: u128, mono_ns: i64) -> bool {
        let bits = if self.six { 128 } else { 32 };
        let inside = self.length == 0 || (source ^ self.network) >> (bits - self.length.min(bits)) == 0;
        six == self.six
            && inside
            && mono_ns < self.until_mono_ns
            && self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u32) -> Head {
        Head {
            six: size % 2 == 1,
            why: DRAWN,
            size,
            rx_ns: -5,
            source: 7 << 90 | 3,
            own: 9,
            port: 123,
            own_port: 65535,
            outcome: -3,
        }
    }

    #[test]
    fn what_goes_in_comes_out_around_the_end_of_the_ring() {
        let ring = Ring::new(64);
        for size in 0..300_u32 {
            let packet: Vec<u8> = (0..size as usize % 97).map(|n| n as u8).collect();
            assert!(ring.put(&head(size), &packet));
            let mut got = Vec::new();
            assert_eq!(ring.take(&mut got), Some(head(size)));
            assert_eq!(got, packet);
        }
        assert_eq!(ring.take(&mut Vec::new()), None);
    }

    #[test]
    fn a_full_ring_drops_the_newest_and_counts_it() {
        let ring = Ring::new(32);
        let puts = (0..5).filter(|&n| ring.put(&head(n), &[0; 16])).count();
        assert_eq!(puts, 3); // 9 words each
        assert_eq!(ring.counts(), (3, 2));
        assert_eq!(ring.take(&mut Vec::new()).map(|h| h.size), Some(0));
    }

    #[test]
    fn reader_and_writer_at_once_lose_and_mix_nothing() {
        let ring = Ring::new(1 << 10);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut size = 0;
                while size < 20_000 {
                    if ring.put(&head(size), &[size as u8; 48]) {
                        size += 1;
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
            let (mut size, mut packet) = (0, Vec::new());
            while size < 20_000 {
                packet.clear();
                if let Some(got) = ring.take(&mut packet) {
                    assert_eq!((got, packet.as_slice()), (head(size), [size as u8; 48].as_slice()));
                    size += 1;
                } else {
                    std::thread::yield_now();
                }
            }
        });
    }

    #[test]
    fn exactly_one_of_each_block_is_drawn_and_not_always_the_same() {
        let mut draw = Draw::new(10, 1);
        let mut places = [0; 10];
        for _ in 0..1000 {
            let hits: Vec<usize> = (0..10).filter(|_| draw.hit()).collect();
            assert_eq!(hits.len(), 1);
            places[hits[0]] += 1;
        }
        assert!(places.iter().all(|&n| n > 50), "{places:?}");
    }

    #[test]
    fn one_in_one_is_all_and_one_in_none_is_none() {
        let (mut all, mut none) = (Draw::new(1, 5), Draw::new(0, 5));
        assert!((0..100).all(|_| all.hit()));
        assert!((0..100).all(|_| !none.hit()));
    }

    #[test]
    fn a_focus_ends_by_number_and_by_time() {
        let network = 0x0A00_0000;
        let focus = Focus { six: false, network, length: 8, until_mono_ns: 100, left: AtomicU64::new(2) };
        assert!(!focus.wants(true, network, 0), "another family");
        assert!(!focus.wants(false, 0x0B00_0000, 0), "another network");
        assert!(!focus.wants(false, network, 100), "too late");
        assert!(focus.wants(false, network + 1, 0) && focus.wants(false, network + 2, 0));
        assert!(!focus.wants(false, network + 3, 0), "enough");
    }
}
