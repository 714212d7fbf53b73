//! DNS: one query in, one reply out, over UDP. `dns_decide.py` is the law.
//!
//! There is one way for every query here: what Python's quick way saves costs nothing in this language.

use std::net::IpAddr;

use crate::dns_draw::{draw, pick};
use crate::dns_limited::Case;
use crate::dns_numbers::{
    ANY, AXFR, BADVERS, CLASS_ANY, CLASS_CH, CLASS_IN, FORMERR, IXFR, MAILA, MAILB, NOERROR, NOTAUTH, NOTIMP, NXDOMAIN,
    OPCODE_NOTIFY, OPCODE_QUERY, OPT, REFUSED, SERVFAIL, TKEY, TSIG, TXT,
};
use crate::dns_opt::Out;
use crate::dns_query::{HEADER_BYTES, MAX_NAME_BYTES, parse_query};
use crate::dns_rate::Limiter;
use crate::dns_reply::{AA, Reply};
use crate::dns_snapshot::{MAX_REPLY_BYTES, Node, Snapshot, of_type};

/// A reply has at most this many bytes (DNS flag day 2020).
pub const UDP_LIMIT: usize = 1232;
/// The same for clients without EDNS.
pub const UDP_LIMIT_PLAIN: usize = 512;

/// Outcome of a packet that gets no reply; every other outcome is an RCODE.
pub const DROP: i16 = -1;
/// Outcome of a query that somebody else answers, or nobody: see `refuse`.
pub const HANDED_UP: i16 = -7;

/// Every outcome of a decision, by its name.
pub const OUTCOMES: [(&str, i16); 9] = [
    ("drop", DROP),
    ("NOERROR", NOERROR as i16),
    ("FORMERR", FORMERR as i16),
    ("SERVFAIL", SERVFAIL as i16),
    ("NXDOMAIN", NXDOMAIN as i16),
    ("NOTIMP", NOTIMP as i16),
    ("REFUSED", REFUSED as i16),
    ("NOTAUTH", NOTAUTH as i16),
    ("BADVERS", BADVERS as i16),
];

/// EDE 18, Prohibited, and 20, Not Authoritative (RFC 8914 section 4).
const PROHIBITED: &[u8] = &[0, 18];
const NOT_AUTHORITATIVE: &[u8] = &[0, 20];

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
    /// Monotonic clock, for the limiter.
    pub mono_ns: i64,
    /// Number of this query, used as the slot when the snapshot has none.
    pub sequence: u64,
}

/// Answer one query into `room`. Without a limiter, or a limit in the snapshot, any number is answered.
#[must_use]
pub fn answer(
    query: &[u8],
    arrival: Arrival,
    snapshot: &Snapshot,
    limiter: Option<&Limiter>,
    room: &mut Room,
) -> Answer {
    if query.len() < HEADER_BYTES || query[2] & 0x80 != 0 {
        return Answer { outcome: DROP, qtype: 0, mark: None, length: 0 };
    }
    let opcode = query[2] >> 3 & 15;
    let readable = opcode == OPCODE_QUERY || opcode == OPCODE_NOTIFY || snapshot.hand_up.takes(opcode);
    let asked = if readable { parse_query(query).ok() } else { None };
    let mut out = Out { room, at: 0 };
    let answer = match &asked {
        _ if !readable => out.bare(query, NOTIMP, 0x78),
        None => out.bare(query, FORMERR, 0x79),
        Some(asked) => Reply { query, asked, arrival, snapshot, out }.decided(opcode),
    };
    if let (Some(limiter), Some(rate)) = (limiter, &snapshot.rate_limit) {
        let case = Case { query, asked: asked.as_ref(), arrival, snapshot };
        return case.limited(answer, rate, limiter, room);
    }
    answer
}

/// The reply to a query that was to be handed up and that nobody takes.
#[must_use]
pub fn refuse(query: &[u8], arrival: Arrival, snapshot: &Snapshot, room: &mut Room) -> Answer {
    let mut out = Out { room, at: 0 };
    match parse_query(query) {
        Ok(asked) => Reply { query, asked: &asked, arrival, snapshot, out }.refuse(REFUSED, &[]),
        Err(_) => out.bare(query, FORMERR, 0x79),
    }
}

/// Whether a lower-case wire name is `zone` or below it, on a label boundary.
pub(crate) fn is_below(mut name: &[u8], zone: &[u8]) -> bool {
    while name.len() > zone.len() {
        name = name.get(1 + usize::from(name[0])..).unwrap_or_default();
    }
    name == zone
}

impl<'a> Reply<'a> {
    /// The decision table for a message that could be read.
    fn decided(&mut self, opcode: u8) -> Answer {
        if self.asked.edns.is_some_and(|edns| edns.version != 0) {
            return self.refuse(BADVERS, &[]);
        }
        let hand_up = &self.snapshot.hand_up;
        if hand_up.takes(opcode) || (hand_up.signed && self.asked.tsig_at.is_some()) {
            return self.handed_up();
        }
        if let Some(at) = self.asked.tsig_at {
            return self.unknown_key(at);
        }
        if opcode == OPCODE_NOTIFY {
            return self.refuse(REFUSED, &[]);
        }
        if self.asked.name.is_empty() {
            return self.refuse(NOERROR, &[]);
        }
        self.question()
    }

    fn handed_up(&self) -> Answer {
        Answer { outcome: HANDED_UP, qtype: self.asked.qtype, mark: None, length: 0 }
    }

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
                if snapshot.hand_up.names.iter().any(|above| is_below(name, above)) {
                    return self.handed_up();
                }
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
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
