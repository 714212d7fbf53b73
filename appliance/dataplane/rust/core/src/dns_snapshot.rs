//! What DNS answers, worked out in advance; `dns_snapshot.py` says what each field means and makes it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::dns::is_below;
use crate::dns_rate::RateLimit;

/// Room that any reply over UDP fits in; a snapshot that could need more is refused.
pub const MAX_REPLY_BYTES: usize = 2048;
/// The longest question, and all of OPT that a snapshot has no say in.
const FIXED_REPLY_BYTES: usize = 400;
/// Marks are places of an array for each worker.
pub const MAX_MARKS: u32 = 1 << 24;

/// Records that never change within a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// How many records `body` holds.
    pub answers: u16,
    /// The answer section.
    pub body: Box<[u8]>,
    /// How many records `extra` holds.
    pub additional: u16,
    /// Glue; left out when it would not fit.
    pub extra: Box<[u8]>,
}

/// The sets that names rotate through. Names of one path share one.
#[derive(Clone, Debug)]
pub struct Table {
    /// Ascending, the first is 0, one for each set.
    pub cuts: Box<[u32]>,
    /// All sets one after the other, each with its records twice over.
    pub records: Box<[u8]>,
    /// Records in an answer.
    pub size: u16,
    /// Bytes of one record.
    pub stride: usize,
    /// What is counted: `mark + 8 * set + first record`.
    pub mark: u32,
}

/// Where a name looks in a table.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Number of the table in the snapshot.
    pub table: usize,
    /// Where on the circle, as a fraction of 2^32.
    pub offset: u64,
    /// By how many places the order is turned against other names.
    pub turn: i64,
}

/// A reply without records that answer.
#[derive(Clone, Debug, Default)]
pub struct Denial {
    /// NOERROR for NODATA, NXDOMAIN or SERVFAIL.
    pub rcode: u8,
    /// Pieces of the SOA record, to be joined with a pointer to the zone.
    pub soa: Box<[Box<[u8]>]>,
    /// Content of an EDE option, or nothing.
    pub extended_error: Box<[u8]>,
}

/// A name of the zone. The lists are short: they are searched from the begin.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Sections by type.
    pub fixed: Box<[(u16, Section)]>,
    /// Rotations by type.
    pub rotating: Box<[(u16, Rotation)]>,
    /// What to say for a type that rotates but has nothing usable now.
    pub denied: Box<[(u16, Denial)]>,
    /// The CNAME that answers every other type.
    pub alias: Option<Section>,
}

/// What belongs to `qtype` in one of a node's lists.
pub(crate) fn of_type<T>(list: &[(u16, T)], qtype: u16) -> Option<&T> {
    list.iter().find(|(kind, _)| *kind == qtype).map(|(_, what)| what)
}

/// Anything by lower-case wire name.
pub type ByName<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<NameHasher>>;

/// What is handed up to somebody who knows more.
#[derive(Clone, Debug, Default)]
pub struct HandUp {
    /// Lower-case wire names: these and whatever is below them, unless it is in the zone.
    pub names: Box<[Box<[u8]>]>,
    /// Messages of these opcodes other than QUERY, one bit for each.
    pub opcodes: u16,
    /// Messages with a TSIG record.
    pub signed: bool,
}

impl HandUp {
    pub(crate) fn takes(&self, opcode: u8) -> bool {
        opcode != 0 && self.opcodes >> opcode & 1 == 1
    }
}

/// Everything needed to answer for one zone; see `AnswerSnapshot` in Python.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its lower-case wire name.
    pub zone: Box<[u8]>,
    /// Nodes by name; nothing for "no zone yet: everything is refused".
    pub names: ByName<Node>,
    /// What rotations draw from.
    pub tables: Box<[Table]>,
    /// What to say for a type that is not there.
    pub nodata: Denial,
    /// What to say for a name that is not there.
    pub nxdomain: Denial,
    /// The answer to type ANY (RFC 8482).
    pub any_section: Section,
    /// Of the SOA, for the EXPIRE option (RFC 7314); 0 for none.
    pub expire_s: u32,
    /// What the NSID option answers (RFC 5001); empty for none.
    pub nsid: Box<[u8]>,
    /// TXT sections of class CH.
    pub chaos: ByName<Section>,
    /// Those who share it draw alike.
    pub draw_secret: [u8; 16],
    /// How long one address sees the same draw; 0 draws anew for each query.
    pub slot_ns: i64,
    /// The first makes cookies, all are accepted.
    pub cookie_secrets: Box<[[u8; 16]]>,
    /// Longest reply to a client that has not shown a cookie of ours.
    pub largest_unproven: usize,
    /// What is not answered here.
    pub hand_up: HandUp,
    /// How many replies a network may be sent.
    pub rate_limit: Option<RateLimit>,
}

impl Snapshot {
    /// The snapshot, if every answer from it stays inside its tables and inside a reply.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self) -> Result<Self, &'static str> {
        for table in &self.tables {
            let set = 2 * usize::from(table.size) * table.stride;
            if table.size == 0 || table.cuts.first() != Some(&0) || !table.cuts.is_sorted() {
                return Err("a table without records, or whose cuts do not ascend from 0");
            }
            if table.records.len() != table.cuts.len() * set {
                return Err("a table whose sets are not all of one size, twice over");
            }
            let last = table.cuts.len() as u64 * 8 + u64::from(table.size);
            if u64::from(table.mark) + last > u64::from(MAX_MARKS) {
                return Err("a mark past the greatest");
            }
        }
        let rotations = || self.names.values().flat_map(|node| node.rotating.iter());
        if rotations().any(|(_, rotation)| rotation.table >= self.tables.len()) {
            return Err("a rotation of a table that is not there");
        }
        let denied = self.names.values().flat_map(|node| node.denied.iter().map(|(_, denial)| denial));
        let mut told = 0;
        for denial in denied.chain([&self.nodata, &self.nxdomain]) {
            if denial.rcode > 15 {
                return Err("a denial with an RCODE past 15");
            }
            told = told.max(denial.extended_error.len());
        }
        if FIXED_REPLY_BYTES + self.nsid.len() + told > MAX_REPLY_BYTES {
            return Err("options that no reply has room for");
        }
        if self.names.keys().any(|name| name.len() > crate::dns_query::MAX_NAME_BYTES) || self.slot_ns < 0 {
            return Err("a name of more than 255 octets, or a slot that runs backwards");
        }
        if self.names.keys().any(|name| !is_below(name, &self.zone)) {
            return Err("a name outside of the zone");
        }
        if self.rate_limit.as_ref().is_some_and(|rate| !rate.is_sound()) {
            return Err("a rate limit whose figures do not fit");
        }
        Ok(self)
    }

    /// One more than the greatest mark.
    #[must_use]
    pub fn marks(&self) -> usize {
        let after = |table: &Table| table.mark as usize + 8 * table.cuts.len() + usize::from(table.size);
        self.tables.iter().map(after).max().unwrap_or(0)
    }
}

/// A quick hash for names that only the zone's owner chooses: nobody else can put collisions into the map.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
