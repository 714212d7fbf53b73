//! Reads one DNS query, believing nothing. Offsets and copies of a few bytes come out, nothing is allocated.
//!
//! Sources: RFC 1035 section 4, RFC 6891 (EDNS), RFC 9619 (one question), RFC 7873 (cookies), RFC 7871 (client subnet),
//! RFC 8945 section 5.1 (TSIG comes last). `wire/dns_query.py` says the same in Python.

/// Length of the header.
pub const HEADER_BYTES: usize = 12;
/// No name is longer.
pub const MAX_NAME_BYTES: usize = 255;
const MAX_LABEL_BYTES: u8 = 63;

const OPT: u16 = 41;
const TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;

pub(crate) const NSID: u16 = 3;
pub(crate) const CLIENT_SUBNET: u16 = 8;
pub(crate) const EXPIRE: u16 = 9;
pub(crate) const COOKIE: u16 = 10;
pub(crate) const EXTENDED_ERROR: u16 = 15;

/// The sender must be told FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The OPT record of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns<'a> {
    /// What the client can take, as it says.
    pub udp_size: u16,
    /// Above 0 the options were not looked at (RFC 6891 section 6.1.3).
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// Whether NSID is asked for.
    pub nsid: bool,
    /// Whether EXPIRE is asked for.
    pub expire: bool,
    /// The first COOKIE option, 8 or 16 to 40 octets.
    pub cookie: Option<&'a [u8]>,
    /// The first client subnet option.
    pub subnet: Option<&'a [u8]>,
    /// How many options there are.
    pub options: usize,
}

/// A well-formed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The question's name as sent, uncompressed; empty when there is no question.
    pub name: &'a [u8],
    /// Type of the question, 0 without one.
    pub qtype: u16,
    /// Class of the question, 0 without one.
    pub qclass: u16,
    /// Offset of the first byte after the question.
    pub question_end: usize,
    /// The OPT record, if any.
    pub edns: Option<Edns<'a>>,
    /// Offset of the TSIG record, if any.
    pub tsig_at: Option<usize>,
    /// Number of records in the authority section (an IXFR query carries its SOA there).
    pub authority: usize,
}

/// Read a query. Bytes after the last record are ignored.
///
/// # Errors
/// `Malformed` for whatever a server must refuse.
pub fn parse_query(message: &[u8]) -> Result<Query<'_>, Malformed> {
    if message.len() < HEADER_BYTES {
        return Err(Malformed);
    }
    let count = |at| usize::from(number(message, at));
    let (questions, answers, authority, additional) = (count(4), count(6), count(8), count(10));
    let mut query =
        Query { name: &[], qtype: 0, qclass: 0, question_end: HEADER_BYTES, edns: None, tsig_at: None, authority };
    match questions {
        0 => {}
        1 => {
            let end = question_name_end(message)?;
            if end + 4 > message.len() {
                return Err(Malformed);
            }
            query.name = &message[HEADER_BYTES..end];
            query.qtype = number(message, end);
            query.qclass = number(message, end + 2);
            query.question_end = end + 4;
        }
        _ => return Err(Malformed),
    }
    read_records(message, &mut query, answers + authority, additional)?;
    // RFC 7873 section 5.4: a query that only renews its cookie needs no question.
    let renews = || query.edns.is_some_and(|edns| edns.options == 1 && edns.cookie.is_some());
    if questions == 0 && (answers > 0 || authority > 0 || !renews()) {
        return Err(Malformed);
    }
    Ok(query)
}

/// The 16 bits at `at`, which the caller knows to be there.
pub(crate) fn number(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}

fn question_name_end(message: &[u8]) -> Result<usize, Malformed> {
    let mut at = HEADER_BYTES;
    while let Some(&length) = message.get(at) {
        if length > MAX_LABEL_BYTES {
            return Err(Malformed);
        }
        at += 1 + usize::from(length);
        if at - HEADER_BYTES > MAX_NAME_BYTES {
            return Err(Malformed);
        }
        if length == 0 {
            return Ok(at);
        }
    }
    Err(Malformed)
}

/// Offset after a possibly compressed owner; where a pointer leads does not matter to us.
fn skip_owner(message: &[u8], mut at: usize) -> Result<usize, Malformed> {
    while let Some(&length) = message.get(at) {
        if length >= 0xC0 {
            return Ok(at + 2);
        }
        if length > MAX_LABEL_BYTES {
            return Err(Malformed);
        }
        at += 1 + usize::from(length);
        if length == 0 {
            return Ok(at);
        }
    }
    Err(Malformed)
}

/// Walk over the records after the question: only OPT and TSIG matter, and only in the additional section.
fn read_records<'a>(
    message: &'a [u8],
    query: &mut Query<'a>,
    before: usize,
    additional: usize,
) -> Result<(), Malformed> {
    let mut at = query.question_end;
    let total = before + additional;
    for index in 0..total {
        let begin = at;
        at = skip_owner(message, at)?;
        if at + 10 > message.len() {
            return Err(Malformed);
        }
        let (kind, class) = (number(message, at), number(message, at + 2));
        let ttl = [message[at + 4], message[at + 5], message[at + 6], message[at + 7]];
        let data = at + 10;
        at = data + usize::from(number(message, at + 8));
        if at > message.len() {
            return Err(Malformed);
        }
        if kind == OPT {
            if index < before || query.edns.is_some() || message[begin] != 0 {
                return Err(Malformed);
            }
            query.edns = Some(read_edns(class, ttl, &message[data..at])?);
        } else if kind == TSIG {
            if index != total - 1 || index < before || class != CLASS_ANY {
                return Err(Malformed);
            }
            query.tsig_at = Some(begin);
        }
    }
    Ok(())
}

fn read_edns(udp_size: u16, ttl: [u8; 4], mut options: &[u8]) -> Result<Edns<'_>, Malformed> {
    let mut edns = Edns { udp_size, version: ttl[1], dnssec_ok: ttl[2] & 0x80 != 0, ..Edns::default() };
    if edns.version != 0 {
        return Ok(edns);
    }
    while !options.is_empty() {
        if options.len() < 4 {
            return Err(Malformed);
        }
        let (code, length) = (number(options, 0), usize::from(number(options, 2)));
        let Some(value) = options[4..].get(..length) else { return Err(Malformed) };
        options = &options[4 + length..];
        edns.options += 1;
        match code {
            NSID => edns.nsid = true,
            EXPIRE => edns.expire = true,
            COOKIE => {
                if length != 8 && !(16..=40).contains(&length) {
                    return Err(Malformed);
                }
                edns.cookie = edns.cookie.or(Some(value));
            }
            CLIENT_SUBNET => {
                check_subnet(value)?;
                edns.subnet = edns.subnet.or(Some(value));
            }
            _ => {}
        }
    }
    Ok(edns)
}

/// RFC 7871 section 6 and 7.1.1: what a server must refuse.
fn check_subnet(value: &[u8]) -> Result<(), Malformed> {
    let [family_high, family_low, prefix, scope, address @ ..] = value else { return Err(Malformed) };
    let longest = match (family_high, family_low) {
        (0, 0) => 0,
        (0, 1) => 32,
        (0, 2) => 128,
        _ => return Err(Malformed),
    };
    if *prefix > longest || *scope != 0 || address.len() != usize::from(prefix.div_ceil(8)) {
        return Err(Malformed);
    }
    let beyond = 0xFF_u8.checked_shr(u32::from(prefix % 8)).unwrap_or(0);
    if prefix % 8 != 0 && address.last().is_some_and(|last| last & beyond != 0) {
        return Err(Malformed);
    }
    Ok(())
}
