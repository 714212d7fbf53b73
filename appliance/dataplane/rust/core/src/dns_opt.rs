//! What a reply is written into, and the OPT record that ends it (RFC 6891).

use crate::dns::{Answer, Room, UDP_LIMIT};
use crate::dns_cookie::COOKIE_BYTES;
use crate::dns_numbers::OPT;
use crate::dns_query::{CLIENT_SUBNET, COOKIE, EXPIRE, EXTENDED_ERROR, NSID};

/// Owner, type, class, TTL and length of an OPT record.
const OPT_BYTES: usize = 11;

/// Writes into the room. A checked snapshot leaves enough of it.
pub(crate) struct Out<'a> {
    pub(crate) room: &'a mut Room,
    pub(crate) at: usize,
}

impl Out<'_> {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.room[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn put_u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    pub(crate) fn put_option(&mut self, code: u16, value: &[u8]) {
        self.put_u16(code);
        self.put_u16(value.len() as u16);
        self.put(value);
    }

    /// A header alone: for what could not be read, or not even its kind understood.
    pub(crate) fn bare(&mut self, query: &[u8], rcode: u8, kept: u8) -> Answer {
        self.put(&[query[0], query[1], 0x80 | query[2] & kept, rcode]);
        self.put(&[0; 8]);
        Answer { outcome: i16::from(rcode), qtype: 0, mark: None, length: self.at }
    }
}

/// The OPT record of a reply, before it is written: its length decides what fits.
#[derive(Default)]
pub(crate) struct Tail<'a> {
    pub(crate) present: bool,
    pub(crate) rcode_high: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) nsid: &'a [u8],
    pub(crate) subnet: Option<&'a [u8]>,
    pub(crate) expire_s: u32,
    pub(crate) cookie: Option<[u8; COOKIE_BYTES]>,
    pub(crate) extended_error: &'a [u8],
}

impl Tail<'_> {
    pub(crate) fn options(&self) -> usize {
        let of = |value: usize| if value == 0 { 0 } else { 4 + value };
        of(self.nsid.len())
            + of(self.subnet.map_or(0, <[u8]>::len))
            + of(if self.expire_s == 0 { 0 } else { 4 })
            + of(self.cookie.map_or(0, |cookie| cookie.len()))
            + of(self.extended_error.len())
    }

    pub(crate) fn len(&self) -> usize {
        if self.present { OPT_BYTES + self.options() } else { 0 }
    }

    pub(crate) fn write(&self, out: &mut Out<'_>) {
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
