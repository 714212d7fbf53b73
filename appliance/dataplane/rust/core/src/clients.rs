//! What is known of each client: a table of fixed size that one worker writes and everybody may read while it does.

use std::fmt::Debug;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crate::siphash::siphash;

/// Places that a client can be in.
pub const WAYS: usize = 8;

/// What is known of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// See `memory::client_key`.
    pub key: u64,
    /// First packet, monotonic ns.
    pub first_ns: u64,
    /// Latest packet, monotonic ns.
    pub last_ns: u64,
    /// Requests from it that policy lets in.
    pub packets: u64,
    /// Those that the limiter let through.
    pub replies: u64,
    /// Those that got silence.
    pub dropped: u64,
    /// Those that were told to slow down.
    pub kisses: u64,
    /// When its bucket will be full again, monotonic ns.
    pub full_at_ns: u64,
    /// The latest packet's version (bits 3 to 5), mode (bits 0 to 2) and kind of source port (bits 6 and 7).
    pub look: u8,
    /// Whether the latest packet got no reply.
    pub silent: bool,
    /// Average spacing of packets after a reply, as `limit::log_spacing`, 0 before there is one.
    pub answered: i32,
    /// The same for packets after silence.
    pub unanswered: i32,
}

/// One client beside its key and latest packet, which stand with those of its neighbours.
///
/// `sequence` is odd while the record is written: whoever reads the same even number before and after has read one state.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Record {
    sequence: AtomicU64,
    first_ns: AtomicU64,
    packets: AtomicU64,
    replies: AtomicU64,
    dropped: AtomicU64,
    kisses: AtomicU64,
    full_at_ns: AtomicU64,
    /// look, silent, answered, unanswered: 8, 8, 16 and 16 bits from the lowest one.
    manner: AtomicU64,
}

/// Eight places: keys on one cache line, latest packets on the next, so that a search touches few of them.
///
/// Processors fetch lines in pairs of 128 bytes, and these two are one.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Slot {
    keys: [AtomicU64; WAYS],
    last_ns: [AtomicU64; WAYS],
    records: [Record; WAYS],
}

/// Memory for slots, wherever it comes from.
pub trait Room: AsRef<[Slot]> + Debug + Send + Sync {}

impl<T: AsRef<[Slot]> + Debug + Send + Sync> Room for T {}

/// Where a client's record is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    slot: usize,
    way: usize,
}

/// The clients of one worker.
///
/// A client is in one of the 8 places of a slot that a keyed hash chooses. In a full slot the client that was silent for
/// longest gives way, and is counted as forgotten.
#[derive(Debug)]
pub struct ClientTable {
    room: Box<dyn Room>,
    secret: [u8; 16],
    known: AtomicU64,
    forgotten: AtomicU64,
}

impl ClientTable {
    /// Over zeroed slots, at least one; `secret` is random, so that nobody can choose clients that push each other out.
    #[must_use]
    pub fn over(room: Box<dyn Room>, secret: [u8; 16]) -> Self {
        Self { room, secret, known: AtomicU64::new(0), forgotten: AtomicU64::new(0) }
    }

    fn slots(&self) -> &[Slot] {
        (*self.room).as_ref()
    }

    /// The place of a client and what is known of it: a new one is known by its key and `now_ns` alone.
    #[must_use]
    pub fn find(&self, key: u64, now_ns: u64) -> (Place, Client) {
        let hash = siphash::<1, 3>(&self.secret, &key.to_le_bytes());
        let number = ((u128::from(hash) * self.slots().len() as u128) >> 64) as usize;
        let slot = &self.slots()[number];
        let mut oldest = (0, u64::MAX);
        for (way, holder) in slot.keys.iter().enumerate() {
            let holder = holder.load(Relaxed);
            if holder == key {
                return (Place { slot: number, way }, slot.read(way));
            }
            // Places fill from the first one on, so behind an empty one there is nobody.
            let last_ns = if holder == 0 { 0 } else { slot.last_ns[way].load(Relaxed) };
            if holder == 0 || last_ns < oldest.1 {
                oldest = (way, last_ns);
            }
            if holder == 0 {
                break;
            }
        }
        (Place { slot: number, way: oldest.0 }, Client { key, first_ns: now_ns, last_ns: now_ns, ..Client::default() })
    }

    /// Put what is now known of a client into its place; only the worker that owns the table may.
    pub fn keep(&self, place: Place, client: &Client) {
        let slot = &self.slots()[place.slot];
        let holder = slot.keys[place.way].load(Relaxed);
        if holder != client.key {
            let counter = if holder == 0 { &self.known } else { &self.forgotten };
            counter.store(counter.load(Relaxed) + 1, Relaxed);
        }
        let record = &slot.records[place.way];
        let sequence = record.sequence.load(Relaxed);
        record.sequence.store(sequence.wrapping_add(1), Relaxed);
        fence(Release);
        slot.write(place.way, client);
        record.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// How many clients there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.slots().len() * WAYS
    }

    /// How many clients are known.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.known.load(Relaxed)
    }

    /// How many clients gave way to others.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    /// Everybody who is known, each as it was at one moment; any thread may ask.
    pub fn all(&self) -> impl Iterator<Item = Client> {
        self.slots().iter().flat_map(|slot| {
            let known = (0..WAYS).take_while(|&way| slot.keys[way].load(Relaxed) != 0);
            known.map(|way| slot.read_shared(way))
        })
    }
}

impl Slot {
    fn read(&self, way: usize) -> Client {
        let record = &self.records[way];
        let manner = record.manner.load(Relaxed);
        Client {
            key: self.keys[way].load(Relaxed),
            first_ns: record.first_ns.load(Relaxed),
            last_ns: self.last_ns[way].load(Relaxed),
            packets: record.packets.load(Relaxed),
            replies: record.replies.load(Relaxed),
            dropped: record.dropped.load(Relaxed),
            kisses: record.kisses.load(Relaxed),
            full_at_ns: record.full_at_ns.load(Relaxed),
            look: manner as u8,
            silent: manner >> 8 & 1 == 1,
            answered: (manner >> 16 & 0xFFFF) as i32,
            unanswered: (manner >> 32 & 0xFFFF) as i32,
        }
    }

    fn write(&self, way: usize, client: &Client) {
        let record = &self.records[way];
        self.keys[way].store(client.key, Relaxed);
        self.last_ns[way].store(client.last_ns, Relaxed);
        record.first_ns.store(client.first_ns, Relaxed);
        record.packets.store(client.packets, Relaxed);
        record.replies.store(client.replies, Relaxed);
        record.dropped.store(client.dropped, Relaxed);
        record.kisses.store(client.kisses, Relaxed);
        record.full_at_ns.store(client.full_at_ns, Relaxed);
        let manner = u64::from(client.look)
            | u64::from(client.silent) << 8
            | (client.answered as u64 & 0xFFFF) << 16
            | (client.unanswered as u64 & 0xFFFF) << 32;
        record.manner.store(manner, Relaxed);
    }

    /// `read` by a thread that does not write.
    fn read_shared(&self, way: usize) -> Client {
        let sequence = &self.records[way].sequence;
        loop {
            let before = sequence.load(Acquire);
            let client = self.read(way);
            fence(Acquire);
            if before.is_multiple_of(2) && sequence.load(Relaxed) == before {
                return client;
            }
            std::hint::spin_loop(); // a record is written in nanoseconds, and rarely twice in a row
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(slots: usize) -> ClientTable {
        ClientTable::over(Box::new((0..slots).map(|_| Slot::default()).collect::<Vec<_>>()), [3; 16])
    }

    fn meet(table: &ClientTable, key: u64, now_ns: u64) {
        let (place, mut client) = table.find(key, now_ns);
        client.packets += 1;
        client.last_ns = now_ns;
        table.keep(place, &client);
    }

    #[test]
    fn a_full_slot_forgets_who_was_silent_longest_and_counts_it() {
        let table = table(1);
        for key in 1..=8 {
            meet(&table, key, key);
        }
        meet(&table, 1, 20);
        assert_eq!(table.forgotten(), 0);
        meet(&table, 9, 21);
        let mut keys: Vec<u64> = table.all().map(|client| client.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((table.known(), table.forgotten(), table.room()), (8, 1, 8));
        assert_eq!(table.all().find(|client| client.key == 1).map(|client| client.packets), Some(2));
    }

    #[test]
    fn a_record_is_a_cache_line_and_so_are_the_keys() {
        assert_eq!((size_of::<Record>(), size_of::<Slot>()), (64, 640));
    }

    #[test]
    fn readers_see_whole_records_while_they_are_written() {
        let table = table(1);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                for _ in 0..200_000 {
                    for client in table.all() {
                        assert_eq!(client.packets, client.replies, "half of a write");
                        assert_eq!(client.packets, client.last_ns);
                        assert_eq!(client.key, client.first_ns);
                    }
                }
            });
            let mut round = 0;
            while !reader.is_finished() {
                round += 1;
                let (place, mut client) = table.find(1 + round % 9, 0);
                (client.packets, client.replies, client.last_ns, client.first_ns) = (round, round, round, client.key);
                table.keep(place, &client);
            }
            reader.join().unwrap();
        });
    }
}
