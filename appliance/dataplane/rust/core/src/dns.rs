//! DNS: one query in, one reply out, over UDP. `dns_decide.py` is the law.
//!
//! There is one way for every query here: what Python's quick way saves costs nothing in this language.

use std::net::IpAddr;

use crate::dns_query::{CLIENT_SUBNET, COOKIE, EXPIRE, EXTENDED_ERROR, HEADER_BYTES, MAX_NAME_BYTES, NSID};
use crate::dns_query::{Query, parse_query};
use crate::dns_snapshot::{Denial, MAX_REPLY_BYTES, Node, Rotation, Section, Snapshot, of_type};
use crate::siphash::siphash;

/// A reply has at most this many bytes (DNS flag day 2020).
pub const UDP_LIMIT: usize = 1232;
/// The same for clients without EDNS.
pub const UDP_LIMIT_PLAIN: usize = 512;

/// Outcome of a packet that gets no reply; every other outcome is an RCODE.
pub const DROP: i16 = -1;

const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
const NOTAUTH: u8 = 9;
const BADVERS: u8 = 16;

const OPCODE_QUERY: u8 = 0;
const OPCODE_NOTIFY: u8 = 4;

const CLASS_IN: u16 = 1;
const CLASS_CH: u16 = 3;
const CLASS_ANY: u16 = 255;

const SOA: u16 = 6;
const TXT: u16 = 16;
const OPT: u16 = 41;
const TKEY: u16 = 249;
const TSIG: u16 = 250;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const MAILB: u16 = 253;
const MAILA: u16 = 254;
const ANY: u16 = 255;

/// EDE 18, Prohibited, and 20, Not Authoritative (RFC 8914 section 4).
const PROHIBITED: &[u8] = &[0, 18];
const NOT_AUTHORITATIVE: &[u8] = &[0, 20];
const BADKEY: u8 = 17;
const FUDGE_S: u16 = 300;

/// RFC 9018 section 4.3: how far a cookie may lie in the future, and from what age on a new one is made.
const COOKIE_AHEAD_S: i32 = 300;
const COOKIE_RENEW_S: i32 = 1800;
const COOKIE_BYTES: usize = 24;
/// Owner, type, class, TTL and length of an OPT record.
const OPT_BYTES: usize = 11;

/// Room for one reply.
pub type Room = [u8; MAX_REPLY_BYTES];

/// What was decided about one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// An RCODE, or `DROP`.
    pub outcome: i16,
    /// The type that was asked for, 0 when unknown.
    pub qtype: u16,
    /// Mark of the answer drawn.
    pub mark: Option<u32>,
    /// Bytes of the reply; 0 for none.
    pub length: usize,
}

/// Where and when a query came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The client's address. (Who listens must drop source port 0 before.)
    pub source: IpAddr,
    /// Wall clock, ns since 1970: chooses the time slot and dates cookies.
    pub now_ns: i64,
    /// Number of this query, used as the slot when the snapshot has none.
    pub sequence: u64,
}

/// Answer one query into `room`.
#[must_use]
pub fn answer(query: &[u8], arrival: Arrival, snapshot: &Snapshot, room: &mut Room) -> Answer {
    if query.len() < HEADER_BYTES || query[2] & 0x80 != 0 {
        return Answer { outcome: DROP, qtype: 0, mark: None, length: 0 };
    }
    let opcode = query[2] >> 3 & 15;
    let mut out = Out { room, at: 0 };
    if opcode != OPCODE_QUERY && opcode != OPCODE_NOTIFY {
        return out.bare(query, NOTIMP, 0x78);
    }
    let Ok(asked) = parse_query(query) else { return out.bare(query, FORMERR, 0x79) };
    let mut reply = Reply { query, asked: &asked, arrival, snapshot, out };
    if asked.edns.is_some_and(|edns| edns.version != 0) {
        return reply.refuse(BADVERS, &[]);
    }
    if let Some(at) = asked.tsig_at {
        return reply.unknown_key(at);
    }
    if opcode == OPCODE_NOTIFY {
        return reply.refuse(REFUSED, &[]);
    }
    if asked.name.is_empty() {
        return reply.refuse(NOERROR, &[]);
    }
    reply.question()
}

/// 64 bits for the client address `source` in time slot `slot`: the low half is u, the high half r.
fn draw(secret: &[u8; 16], source: IpAddr, slot: u64) -> u64 {
    let mut data = [0; 24];
    let size = put_address(&mut data, source);
    data[size..size + 8].copy_from_slice(&slot.to_be_bytes());
    siphash::<1, 3>(secret, &data[..size + 8])
}

fn put_address(to: &mut [u8], address: IpAddr) -> usize {
    match address {
        IpAddr::V4(v4) => {
            to[..4].copy_from_slice(&v4.octets());
            4
        }
        IpAddr::V6(v6) => {
            to[..16].copy_from_slice(&v6.octets());
            16
        }
    }
}

/// The records that a draw selects, and the mark to count them by.
fn pick<'a>(snapshot: &'a Snapshot, rotation: &Rotation, drawn: u64) -> (&'a [u8], u32, u16) {
    let table = &snapshot.tables[rotation.table];
    let position = (drawn & 0xFFFF_FFFF) + rotation.offset;
    let at = position as u32;
    let index = table.cuts.partition_point(|&cut| cut <= at) - 1;
    let size = u64::from(table.size);
    let turned = (((drawn >> 32) * size) >> 32) as i64 + (position >> 32) as i64 - rotation.turn;
    let first = turned.rem_euclid(size as i64) as usize;
    let bytes = usize::from(table.size) * table.stride;
    let begin = 2 * index * bytes + first * table.stride;
    (&table.records[begin..begin + bytes], table.mark + 8 * index as u32 + first as u32, table.size)
}

/// Whether a lower-case wire name is `zone` or below it, on a label boundary.
pub(crate) fn is_below(mut name: &[u8], zone: &[u8]) -> bool {
    while name.len() > zone.len() {
        name = name.get(1 + usize::from(name[0])..).unwrap_or_default();
    }
    name == zone
}

/// Writes into the room. A checked snapshot leaves enough of it.
struct Out<'a> {
    room: &'a mut Room,
    at: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.room[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn put_u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    fn put_option(&mut self, code: u16, value: &[u8]) {
        self.put_u16(code);
        self.put_u16(value.len() as u16);
        self.put(value);
    }

    /// A header alone: for what could not be read, or not even its kind understood.
    fn bare(&mut self, query: &[u8], rcode: u8, kept: u8) -> Answer {
        self.put(&[query[0], query[1], 0x80 | query[2] & kept, rcode]);
        self.put(&[0; 8]);
        Answer { outcome: i16::from(rcode), qtype: 0, mark: None, length: self.at }
    }
}

/// What a reply's flags say beside what the query's did.
const AA: u8 = 4;
const TC: u8 = 2;

/// The OPT record of a reply, before it is written: its length decides what fits.
#[derive(Default)]
struct Tail<'a> {
    present: bool,
    rcode_high: u8,
    dnssec_ok: bool,
    nsid: &'a [u8],
    subnet: Option<&'a [u8]>,
    expire_s: u32,
    cookie: Option<[u8; COOKIE_BYTES]>,
    extended_error: &'a [u8],
}

impl Tail<'_> {
    fn options(&self) -> usize {
        let of = |value: usize| if value == 0 { 0 } else { 4 + value };
        of(self.nsid.len())
            + of(self.subnet.map_or(0, <[u8]>::len))
            + of(if self.expire_s == 0 { 0 } else { 4 })
            + of(self.cookie.map_or(0, |cookie| cookie.len()))
            + of(self.extended_error.len())
    }

    fn len(&self) -> usize {
        if self.present { OPT_BYTES + self.options() } else { 0 }
    }

    fn write(&self, out: &mut Out<'_>) {
        if !self.present {
            return;
        }
        let [high, low] = (UDP_LIMIT as u16).to_be_bytes();
        let dnssec_ok = if self.dnssec_ok { 0x80 } else { 0 };
        out.put(&[0, 0, OPT as u8, high, low, self.rcode_high, 0, dnssec_ok, 0]);
        out.put_u16(self.options() as u16);
        if !self.nsid.is_empty() {
            out.put_option(NSID, self.nsid);
        }
        if let Some(subnet) = self.subnet {
            // Its scope is 0 already, or it would have been refused: the answer does not depend on where the client is.
            out.put_option(CLIENT_SUBNET, subnet);
        }
        if self.expire_s != 0 {
            out.put_option(EXPIRE, &self.expire_s.to_be_bytes());
        }
        if let Some(cookie) = self.cookie {
            out.put_option(COOKIE, &cookie);
        }
        if !self.extended_error.is_empty() {
            out.put_option(EXTENDED_ERROR, self.extended_error);
        }
    }
}

/// Puts the reply to one parsed query together.
struct Reply<'a> {
    query: &'a [u8],
    asked: &'a Query<'a>,
    arrival: Arrival,
    snapshot: &'a Snapshot,
    out: Out<'a>,
}

impl<'a> Reply<'a> {
    /// The decision table for a question of opcode QUERY.
    fn question(&mut self) -> Answer {
        let (qtype, qclass, snapshot) = (self.asked.qtype, self.asked.qclass, self.snapshot);
        let mut lower = [0; MAX_NAME_BYTES];
        let name = &mut lower[..self.asked.name.len()];
        name.copy_from_slice(self.asked.name);
        // No length byte looks like a letter: labels have at most 63 octets.
        name.make_ascii_lowercase();
        let name = &*name;
        match qtype {
            OPT | TSIG | TKEY => return self.out.bare(self.query, FORMERR, 0x79),
            MAILA | MAILB => return self.refuse(NOTIMP, &[]),
            _ => {}
        }
        if qclass == CLASS_CH {
            let shown = snapshot.chaos.get(name).filter(|_| qtype == TXT || qtype == ANY);
            return match shown {
                Some(section) => self.section(section, 0),
                None => self.refuse(REFUSED, &[]),
            };
        }
        match qtype {
            AXFR => return self.refuse(NOTIMP, &[]), // RFC 5936 section 4.2: not defined over UDP
            // RFC 1995 section 3: the client's SOA belongs into the authority section.
            IXFR if self.asked.authority == 0 => return self.out.bare(self.query, FORMERR, 0x79),
            IXFR => return self.refuse(REFUSED, PROHIBITED),
            _ => {}
        }
        let served = (qclass == CLASS_IN || qclass == CLASS_ANY) && !snapshot.names.is_empty();
        let aa = if qclass == CLASS_IN { AA } else { 0 };
        let Some(node) = snapshot.names.get(name).filter(|_| served) else {
            if served && is_below(name, &snapshot.zone) {
                return self.denial(&snapshot.nxdomain, aa);
            }
            return self.refuse(REFUSED, NOT_AUTHORITATIVE);
        };
        self.node(node, qtype, aa)
    }

    fn node(&mut self, node: &'a Node, qtype: u16, aa: u8) -> Answer {
        let snapshot = self.snapshot;
        if let Some(rotation) = of_type(&node.rotating, qtype) {
            let slot = match snapshot.slot_ns {
                0 => self.arrival.sequence,
                length => self.arrival.now_ns.div_euclid(length) as u64,
            };
            let drawn = draw(&snapshot.draw_secret, self.arrival.source, slot);
            let (records, mark, size) = pick(snapshot, rotation, drawn);
            return self.records((size, records), (0, &[]), aa, Some(mark));
        }
        if let Some(section) = of_type(&node.fixed, qtype) {
            return self.section(section, aa);
        }
        let bare = node.fixed.is_empty() && node.rotating.is_empty() && node.denied.is_empty() && node.alias.is_none();
        if qtype == ANY && !bare {
            return self.section(&snapshot.any_section, aa);
        }
        if let Some(alias) = &node.alias {
            return self.section(alias, aa);
        }
        self.denial(of_type(&node.denied, qtype).unwrap_or(&snapshot.nodata), aa)
    }

    /// An answer; glue is left out when it does not fit, and everything is when the answer does not (TC).
    fn records(&mut self, answers: (u16, &[u8]), extra: (u16, &[u8]), aa: u8, mark: Option<u32>) -> Answer {
        let tail = self.tail(NOERROR, &[]);
        let extra = if self.fits(answers.1.len() + extra.1.len(), &tail) { extra } else { (0, &[][..]) };
        if !self.fits(answers.1.len(), &tail) {
            return self.message(NOERROR, [0, 0, 0], &tail, aa | TC, None, |_| {});
        }
        self.message(NOERROR, [answers.0, 0, extra.0], &tail, aa, mark, |out| {
            out.put(answers.1);
            out.put(extra.1);
        })
    }

    fn section(&mut self, section: &Section, aa: u8) -> Answer {
        self.records((section.answers, &section.body), (section.additional, &section.extra), aa, None)
    }

    /// NODATA, NXDOMAIN or SERVFAIL with the SOA that says for how long (RFC 2308).
    fn denial(&mut self, denial: &'a Denial, aa: u8) -> Answer {
        let pieces = denial.soa.iter().map(|piece| piece.len()).sum::<usize>();
        let size = pieces + 2 * denial.soa.len().saturating_sub(1);
        let tail = self.tail(denial.rcode, &denial.extended_error);
        if !self.fits(size, &tail) {
            return self.message(denial.rcode, [0, 0, 0], &tail, aa | TC, None, |_| {});
        }
        // The name may be long and the zone's name is its end: the pointer is the same for every spelling of it.
        let pointer = 0xC000 | (HEADER_BYTES + self.asked.name.len() - self.snapshot.zone.len()) as u16;
        self.message(denial.rcode, [0, u16::from(size > 0), 0], &tail, aa, None, |out| {
            for (i, piece) in denial.soa.iter().enumerate() {
                if i > 0 {
                    out.put_u16(pointer);
                }
                out.put(piece);
            }
        })
    }

    /// The question, if there is one, and nothing else; never authoritative.
    fn refuse(&mut self, rcode: u8, extended_error: &'a [u8]) -> Answer {
        let tail = self.tail(rcode, extended_error);
        self.message(rcode, [0, 0, 0], &tail, 0, None, |_| {})
    }

    /// We have no TSIG keys: NOTAUTH, and an unsigned TSIG record that says BADKEY (RFC 8945 section 5.2.1) if it fits.
    fn unknown_key(&mut self, at: usize) -> Answer {
        let (key, after) = plain_name(self.query, at);
        let (algorithm, _) = plain_name(self.query, after + 10);
        let data = algorithm.len() + 16;
        let tail = self.tail(NOTAUTH, &[]);
        if !self.fits(key.len() + 10 + data, &tail) {
            return self.refuse(NOTAUTH, &[]);
        }
        let signed_s = (self.arrival.now_ns.div_euclid(1_000_000_000) as u64).to_be_bytes();
        let id = [self.query[0], self.query[1]];
        let answer = self.message(NOTAUTH, [0, 0, 1], &tail, 0, None, |_| {});
        let out = &mut self.out;
        out.put(key);
        out.put_u16(TSIG);
        out.put_u16(CLASS_ANY);
        out.put(&[0; 4]);
        out.put_u16(data as u16);
        out.put(algorithm);
        out.put(&signed_s[2..]);
        out.put_u16(FUDGE_S);
        out.put_u16(0);
        out.put(&id);
        out.put(&[0, BADKEY, 0, 0]);
        Answer { length: out.at, ..answer }
    }

    fn tail(&self, rcode: u8, extended_error: &'a [u8]) -> Tail<'a> {
        let Some(edns) = &self.asked.edns else { return Tail::default() };
        let tail = Tail { present: true, rcode_high: rcode >> 4, dnssec_ok: edns.dnssec_ok, ..Tail::default() };
        if rcode == BADVERS {
            return tail;
        }
        let snapshot = self.snapshot;
        let expire = edns.expire && self.asked.qtype == SOA && self.asked.name.eq_ignore_ascii_case(&snapshot.zone);
        let client = edns.cookie.filter(|_| !snapshot.cookie_secrets.is_empty());
        Tail {
            nsid: if edns.nsid { &snapshot.nsid } else { &[] },
            subnet: edns.subnet,
            expire_s: if expire { snapshot.expire_s } else { 0 },
            cookie: client.map(|cookie| answer_cookie(cookie, self.arrival, &snapshot.cookie_secrets)),
            extended_error,
            ..tail
        }
    }

    fn fits(&self, size: usize, tail: &Tail<'_>) -> bool {
        let limit = self
            .asked
            .edns
            .map_or(UDP_LIMIT_PLAIN, |edns| usize::from(edns.udp_size).clamp(UDP_LIMIT_PLAIN, UDP_LIMIT));
        self.asked.question_end + size + tail.len() <= limit
    }

    fn message(
        &mut self,
        rcode: u8,
        counts: [u16; 3],
        tail: &Tail<'_>,
        flags: u8,
        mark: Option<u32>,
        body: impl FnOnce(&mut Out<'_>),
    ) -> Answer {
        let (query, asked, out) = (self.query, self.asked, &mut self.out);
        let [answers, authority, additional] = counts;
        out.put(&[query[0], query[1], 0x80 | query[2] & 0x79 | flags, rcode & 15]);
        out.put_u16(u16::from(!asked.name.is_empty()));
        out.put_u16(answers);
        out.put_u16(authority);
        out.put_u16(additional.wrapping_add(u16::from(tail.present)));
        out.put(&query[HEADER_BYTES..asked.question_end]);
        body(out);
        tail.write(out);
        Answer { outcome: i16::from(rcode), qtype: asked.qtype, mark, length: out.at }
    }
}

/// The name at `at` if it is written out, else the root; and the offset after it.
fn plain_name(query: &[u8], mut at: usize) -> (&[u8], usize) {
    let begin = at;
    while let Some(&length) = query.get(at).filter(|length| **length < 64) {
        if length == 0 {
            return (&query[begin..=at], at + 1);
        }
        at += 1 + usize::from(length);
    }
    (&[0], (at + 2).min(query.len()))
}

/// The 24 octets to answer with: the client's own when they are good and young, else fresh ones.
fn answer_cookie(cookie: &[u8], arrival: Arrival, secrets: &[[u8; 16]]) -> [u8; COOKIE_BYTES] {
    let now_s = arrival.now_ns.div_euclid(1_000_000_000) as u32;
    if let Ok(whole) = <[u8; COOKIE_BYTES]>::try_from(cookie)
        && whole[8] == 1
    {
        let made_s = u32::from_be_bytes([whole[12], whole[13], whole[14], whole[15]]);
        let age_s = now_s.wrapping_sub(made_s) as i32; // serial number arithmetic, RFC 1982
        // One that is still good but older gets a fresh one, as one that is too old does.
        if (-COOKIE_AHEAD_S..=COOKIE_RENEW_S).contains(&age_s)
            && secrets.iter().any(|secret| whole[16..] == cookie_hash(&whole[..16], arrival.source, secret))
        {
            return whole;
        }
    }
    let mut fresh = [0; COOKIE_BYTES];
    fresh[..8].copy_from_slice(&cookie[..8]);
    fresh[8] = 1;
    fresh[12..16].copy_from_slice(&now_s.to_be_bytes());
    let hash = cookie_hash(&fresh[..16], arrival.source, &secrets[0]);
    fresh[16..].copy_from_slice(&hash);
    fresh
}

fn cookie_hash(head: &[u8], source: IpAddr, secret: &[u8; 16]) -> [u8; 8] {
    let mut data = [0; 32];
    data[..16].copy_from_slice(head);
    let size = 16 + put_address(&mut data[16..], source);
    siphash::<2, 4>(secret, &data[..size]).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns_snapshot::{ByName, Table};

    fn zone() -> Snapshot {
        let zone: &[u8] = b"\x04pool\x00";
        let set: Vec<u8> = (0..8).collect();
        let table = Table { cuts: [0].into(), records: set.into(), size: 4, stride: 1, mark: 16 };
        let rotation = Rotation { table: 0, offset: 1 << 30, turn: 1 };
        let node = Node { rotating: [(1, rotation)].into(), ..Node::default() };
        let soa: [Box<[u8]>; 3] = [b"".as_slice().into(), b"-".as_slice().into(), b"+".as_slice().into()];
        let denial = Denial { rcode: 3, soa: soa.into(), extended_error: [].into() };
        let snapshot = Snapshot {
            zone: zone.into(),
            names: ByName::from_iter([(zone.into(), node)]),
            tables: [table].into(),
            nodata: Denial { rcode: 0, ..denial.clone() },
            nxdomain: denial,
            any_section: Section::default(),
            expire_s: 0,
            nsid: [].into(),
            chaos: ByName::default(),
            draw_secret: [7; 16],
            slot_ns: 0,
            cookie_secrets: [[9; 16]].into(),
        };
        snapshot.checked().expect("a good snapshot")
    }

    fn ask(query: &[u8], room: &mut Room) -> Answer {
        let arrival = Arrival { source: [192, 0, 2, 1].into(), now_ns: 1_800_000_000_000_000_000, sequence: 5 };
        answer(query, arrival, &zone(), room)
    }

    fn query(name: &[u8], qtype: u8) -> Vec<u8> {
        [b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", name, &[0, qtype, 0, 1]].concat()
    }

    #[test]
    fn what_is_drawn_follows_the_question_as_it_was_spelled() {
        let (asked, mut room) = (query(b"\x04PoOl\x00", 1), [0; MAX_REPLY_BYTES]);
        let answer = ask(&asked, &mut room);
        assert_eq!((answer.outcome, answer.qtype, answer.length), (0, 1, asked.len() + 4));
        assert_eq!(room[..4], [0x12, 0x34, 0x85, 0]);
        assert_eq!(room[12..asked.len()], asked[12..]);
        assert_eq!(u32::from(room[asked.len()] % 4) + 16, answer.mark.expect("a mark"));
    }

    #[test]
    fn a_denial_points_to_the_zone_inside_the_question() {
        let (asked, mut room) = (query(b"\x01x\x04pOOl\x00", 1), [0; MAX_REPLY_BYTES]);
        let answer = ask(&asked, &mut room);
        assert_eq!(answer.outcome, 3);
        assert_eq!(room[asked.len()..answer.length], *b"\xC0\x0E-\xC0\x0E+");
    }

    #[test]
    fn what_is_no_query_gets_no_reply_and_what_is_broken_formerr() {
        let mut room = [0; MAX_REPLY_BYTES];
        assert_eq!(ask(b"short", &mut room).outcome, DROP);
        let mut asked = query(b"\x04pool\x00", 1);
        asked.pop();
        assert_eq!(ask(&asked, &mut room), Answer { outcome: 1, qtype: 0, mark: None, length: 12 });
        asked[2] |= 0x80;
        assert_eq!(ask(&asked, &mut room).length, 0);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_survived() {
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x0812345678";
        let mut asked = [&query(b"\x01x\x04pool\x00", 1)[..], opt].concat();
        asked[11] = 1;
        let mut room = [0; MAX_REPLY_BYTES];
        assert_eq!(ask(&asked, &mut room).outcome, 3);
        for cut in 0..asked.len() {
            assert!(ask(&asked[..cut], &mut room).length <= UDP_LIMIT);
        }
        for bit in 0..asked.len() * 8 {
            let mut damaged = asked.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ask(&damaged, &mut room).length <= UDP_LIMIT);
        }
    }

    /// Any bytes, and real queries with damage; more of them with `TIMEBALL_FUZZ_PACKETS`.
    #[test]
    fn no_bytes_make_it_panic() {
        let executions =
            std::env::var("TIMEBALL_FUZZ_PACKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(300_000_u64);
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x14\x00\x08\x00\x07\x00\x01\x18\x00\x0a\x00\x01\x00\x0a\x00\x0812345678";
        let key = b"\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x13\x01h\x00\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\x00\x00\x00\x00\x00\x00";
        let (snapshot, mut room) = (zone(), [0; MAX_REPLY_BYTES]);
        let arrival = Arrival { source: [192, 0, 2, 1].into(), now_ns: 1_800_000_000_000_000_000, sequence: 5 };
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let mut replies = 0;
        for _ in 0..executions {
            let mut packet = query([&b"\x04pool\x00"[..], b"\x01x\x04POOL\x00", b"\x00"][next(3)], next(256) as u8);
            for record in [&opt[..], key] {
                if next(2) == 0 {
                    packet.extend_from_slice(record);
                    packet[11] += 1;
                }
            }
            for _ in 0..next(4) {
                let at = next(packet.len());
                packet[at] = if next(2) == 0 { packet[at] ^ 1 << next(8) } else { next(256) as u8 };
            }
            if next(8) == 0 {
                packet.truncate(next(packet.len() + 1));
            }
            let answer = answer(&packet, arrival, &snapshot, &mut room);
            assert!(answer.length <= UDP_LIMIT);
            replies += u64::from(answer.length > 0);
        }
        assert!(replies > executions / 2);
    }

    #[test]
    fn a_snapshot_that_would_lead_out_of_its_tables_is_refused() {
        let mut bad = zone();
        bad.tables[0].records = [0; 7].into();
        assert!(bad.checked().is_err());
        let mut bad = zone();
        bad.tables = [].into();
        assert!(bad.checked().is_err());
        let mut bad = zone();
        bad.nsid = [0; 2000].into();
        assert!(bad.checked().is_err());
    }
}
