//! What a client over the limit is sent instead of a reply. `dns_limited.py` is the law, and says why.

use crate::dns::{Answer, Arrival, DROP, HANDED_UP, Room};
use crate::dns_cookie::{cookie_age_s, make_cookie};
use crate::dns_numbers::{BADCOOKIE, NOERROR};
use crate::dns_opt::{Out, Tail};
use crate::dns_query::{HEADER_BYTES, Query};
use crate::dns_rate::{Kind, Limiter, RateLimit, Verdict};
use crate::dns_reply::{AA, Reply, TC};
use crate::dns_snapshot::Snapshot;

/// Outcome of a reply that was dropped because of the limit.
pub const LIMITED: i16 = -4;
/// Outcome of one that was sent truncated.
pub const LIMITED_TRUNCATED: i16 = -5;
/// Outcome of one that BADCOOKIE was sent for.
pub const LIMITED_BADCOOKIE: i16 = -6;

/// A query that has been decided about.
pub(crate) struct Case<'a> {
    pub(crate) query: &'a [u8],
    /// None when it could not be read, or when nobody tried.
    pub(crate) asked: Option<&'a Query<'a>>,
    pub(crate) arrival: Arrival,
    pub(crate) snapshot: &'a Snapshot,
}

impl Case<'_> {
    /// `answer`, or what is left of it when the client's network has been sent enough.
    pub(crate) fn limited(&self, answer: Answer, rate: &RateLimit, limiter: &Limiter, room: &mut Room) -> Answer {
        if answer.outcome == DROP || self.is_proven() {
            return answer;
        }
        let answers = answer.outcome == i16::from(NOERROR) || answer.outcome == HANDED_UP;
        let kind = if answers { Kind::Answer } else { Kind::Error };
        let dropped = Answer { outcome: LIMITED, mark: None, length: 0, ..answer };
        match limiter.charge(rate, self.arrival.source, kind, self.arrival.mono_ns) {
            Verdict::Pass => answer,
            Verdict::Drop => dropped,
            Verdict::Slip if answer.length == HEADER_BYTES => {
                room[2] |= TC;
                Answer { outcome: LIMITED_TRUNCATED, mark: None, ..answer }
            }
            Verdict::Slip => self.asked.map_or(dropped, |asked| self.slipped(asked, answer, room)),
        }
    }

    /// Whether the client has shown a cookie of ours, and so proven its address.
    fn is_proven(&self) -> bool {
        let cookie = self.asked.and_then(|asked| asked.edns).and_then(|edns| edns.cookie);
        cookie.is_some_and(|cookie| cookie_age_s(cookie, self.arrival, &self.snapshot.cookie_secrets).is_some())
    }

    /// BADCOOKIE for clients that speak cookies, else the reply without its records and with TC.
    fn slipped(&self, asked: &Query<'_>, answer: Answer, room: &mut Room) -> Answer {
        // What is handed up has no reply yet: its short form is that of an empty one.
        let (rcode, aa) = if answer.outcome == HANDED_UP { (NOERROR, 0) } else { (answer.outcome as u8, room[2] & AA) };
        let mut tail = Tail::default();
        if let Some(edns) = asked.edns {
            tail.present = true;
            tail.dnssec_ok = edns.dnssec_ok;
        }
        let (query, arrival, snapshot) = (self.query, self.arrival, self.snapshot);
        let mut reply = Reply { query, asked, arrival, snapshot, out: Out { room, at: 0 } };
        let client = asked.edns.and_then(|edns| edns.cookie);
        if let (Some(client), Some(secret)) = (client, snapshot.cookie_secrets.first()) {
            tail.rcode_high = BADCOOKIE >> 4;
            tail.cookie = Some(make_cookie(client, arrival, secret));
            let sent = reply.message(BADCOOKIE, [0, 0, 0], &tail, 0, None, |_| {});
            return Answer { outcome: LIMITED_BADCOOKIE, ..sent };
        }
        tail.rcode_high = rcode >> 4;
        let sent = reply.message(rcode, [0, 0, 0], &tail, aa | TC, None, |_| {});
        Answer { outcome: LIMITED_TRUNCATED, ..sent }
    }
}
