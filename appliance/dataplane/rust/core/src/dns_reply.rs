//! Puts replies together: what fits, the header, the sections and OPT. `dns_reply.py` is the law.

use crate::dns::{Answer, Arrival, UDP_LIMIT, UDP_LIMIT_PLAIN};
use crate::dns_cookie::{answer_cookie, cookie_age_s};
use crate::dns_numbers::{BADVERS, CLASS_ANY, NOERROR, NOTAUTH, SOA, TSIG};
use crate::dns_opt::{Out, Tail};
use crate::dns_query::{HEADER_BYTES, Query};
use crate::dns_snapshot::{Denial, Section, Snapshot};

const BADKEY: u8 = 17;
const FUDGE_S: u16 = 300;

/// What a reply's flags say beside what the query's did.
pub(crate) const AA: u8 = 4;
pub(crate) const TC: u8 = 2;

/// Puts the reply to one parsed query together.
pub(crate) struct Reply<'a> {
    pub(crate) query: &'a [u8],
    pub(crate) asked: &'a Query<'a>,
    pub(crate) arrival: Arrival,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) out: Out<'a>,
}

impl<'a> Reply<'a> {
    /// An answer; glue is left out when it does not fit, and everything is when the answer does not (TC).
    pub(crate) fn records(&mut self, answers: (u16, &[u8]), extra: (u16, &[u8]), aa: u8, mark: Option<u32>) -> Answer {
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

    pub(crate) fn section(&mut self, section: &Section, aa: u8) -> Answer {
        self.records((section.answers, &section.body), (section.additional, &section.extra), aa, None)
    }

    /// NODATA, NXDOMAIN or SERVFAIL with the SOA that says for how long (RFC 2308).
    pub(crate) fn denial(&mut self, denial: &'a Denial, aa: u8) -> Answer {
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
    pub(crate) fn refuse(&mut self, rcode: u8, extended_error: &'a [u8]) -> Answer {
        let tail = self.tail(rcode, extended_error);
        self.message(rcode, [0, 0, 0], &tail, 0, None, |_| {})
    }

    /// We have no TSIG keys: NOTAUTH, and an unsigned TSIG record that says BADKEY (RFC 8945 section 5.2.1) if it fits.
    pub(crate) fn unknown_key(&mut self, at: usize) -> Answer {
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

    pub(crate) fn tail(&self, rcode: u8, extended_error: &'a [u8]) -> Tail<'a> {
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
        let whole = self.asked.question_end + size + tail.len();
        let Some(edns) = self.asked.edns else { return whole <= UDP_LIMIT_PLAIN };
        let limit = usize::from(edns.udp_size).clamp(UDP_LIMIT_PLAIN, UDP_LIMIT);
        whole <= limit && (whole <= self.snapshot.largest_unproven || self.is_proven())
    }

    /// Whether the client has shown a cookie of ours, and so that it is where it says.
    fn is_proven(&self) -> bool {
        let cookie = self.asked.edns.and_then(|edns| edns.cookie);
        cookie.is_some_and(|cookie| cookie_age_s(cookie, self.arrival, &self.snapshot.cookie_secrets).is_some())
    }

    pub(crate) fn message(
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
