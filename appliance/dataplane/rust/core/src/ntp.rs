//! NTP: which packets are answered and with what. Behaviour by version and mode is what chrony does.
//!
//! The order in which reasons are looked for is fixed, so that a packet that is wrong in two ways is counted alike by every
//! data plane: empty, control message, shorter than a header, version, mode, length, source, time in the queue, what
//! follows the header, policy, rate, MAC.

use crate::memory::{Admission, Memory};
use crate::ntp_keys::{MAX_MAC_BYTES, MIN_MAC_BYTES};

pub use crate::ntp_clock::{ClockState, REFRESH_NS, SET_NS, Snapshot, ntp_from_unix_ns, short_from_s};
pub use crate::ntp_outcome::{ACTIONS, Action, REASONS, Reason};
pub use crate::ntp_policy::{Policy, Rule, Source};

/// Length of the header, and of every reply without a MAC.
pub const HEADER_BYTES: usize = 48;
/// No request that we understand is longer.
pub const MAX_REQUEST_BYTES: usize = 2048;
/// Two processors may read the clock this far apart.
pub const AHEAD_NS: i64 = 1_000_000;

/// Version and mode of what may be a request in interleaved mode.
const VERSION_4_CLIENT: u8 = 4 << 3 | 3;

/// When a packet arrived and when its reply leaves, and 64 random bits.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Arrival, ns since 1970.
    pub rx_ns: i64,
    /// Now, ns since 1970.
    pub tx_ns: i64,
    /// Now by the monotonic clock, ns; packets that were taken together may share it.
    pub mono_ns: i64,
    /// Random bits for what lies below the precision.
    pub noise: u64,
}

/// Decide about one packet and write its reply of 48 bytes unless the action is to ignore it.
///
/// `packet` is what was received; `size` its length on the wire, more than `packet` holds if it was cut off. `memory` is
/// the one of the worker that asks; its annex says what more there is to this packet.
#[allow(clippy::too_many_arguments)] // all that a reply may depend on, and nothing else
pub fn answer(
    packet: &[u8],
    size: usize,
    source: &Source,
    own: &Source,
    moment: Moment,
    snapshot: &Snapshot,
    policy: &Policy,
    memory: &mut Memory,
    reply: &mut [u8; HEADER_BYTES],
) -> (Reason, Action) {
    memory.annex.clear();
    let (mode, mac_at) = match judge(packet, size, source, own, moment, policy.late_ns) {
        Ok(judged) => judged,
        Err(reason) => return (reason, Action::Ignore),
    };
    let first = packet[0];
    let mut poll = packet[2];
    let mut origin = [0; 8];
    origin.copy_from_slice(&packet[40..48]);
    match policy.rule(source) {
        Rule::Allow => {}
        Rule::Ignore => return (Reason::Policy, Action::Ignore),
        // A client with a key believes no kiss without a MAC, and we sign nothing for those who are denied.
        Rule::Deny if mac_at != size => return (Reason::Policy, Action::Ignore),
        Rule::Deny => {
            kiss(*b"DENY", reply, first & 0x38 | mode, poll, snapshot.fixed[0], origin);
            return (Reason::Policy, Action::Kiss);
        }
    }
    let limit = policy.limit.as_ref();
    let admission = memory.admit(first, source, moment, limit);
    if let (Some(limit), true) = (limit, admission != Admission::Free) {
        poll = (poll as i8).max(limit.poll) as u8;
    }
    match admission {
        Admission::Free | Admission::Within => {}
        Admission::Silent => return (Reason::Rate, Action::Ignore),
        // A client with a key believes no kiss without a MAC.
        Admission::Kiss if mac_at != size => return (Reason::Rate, Action::Ignore),
        Admission::Kiss => {
            kiss(*b"RATE", reply, first & 0x38 | mode, poll, snapshot.fixed[0], origin);
            return (Reason::Rate, Action::Kiss);
        }
    }
    let version = first >> 3 & 7;
    let mut moment = moment;
    let mut key = None;
    if mac_at != size {
        match policy.keys.check(&packet[..mac_at], &packet[mac_at..size], version, source) {
            Ok(found) => {
                moment.tx_ns = moment.tx_ns.saturating_add(found.delay_ns);
                key = Some(found);
            }
            Err(fault) => {
                memory.annex.fault = Some(fault);
                return (Reason::Auth, Action::Ignore);
            }
        }
    }
    let (receive, mut transmit) = stamps(moment, snapshot, u64::from_be_bytes(origin));
    // Equal times for receive and transmit are how a client says that it wants basic mode.
    if packet[31] & 1 == 1 && first & 0x3F == VERSION_4_CLIENT && packet[32..40] != packet[40..48] {
        memory.annex.stamp = true;
        if let Some((receive, told)) = interleaved(packet, source, receive, transmit, moment, snapshot, memory) {
            memory.annex.interleaved = true;
            (origin, transmit) = (receive, told);
        }
    }
    reply[0] = snapshot.leap << 6 | first & 0x38 | mode;
    reply[1] = snapshot.stratum;
    reply[2] = poll;
    reply[3..24].copy_from_slice(&snapshot.fixed);
    if snapshot.reference_ns > moment.rx_ns.saturating_add(snapshot.correction_ns) {
        // Some clients refuse a reference time later than the transmit time.
        reply[16..24].copy_from_slice(&receive.to_be_bytes());
    }
    reply[24..32].copy_from_slice(&origin);
    reply[32..40].copy_from_slice(&receive.to_be_bytes());
    reply[40..48].copy_from_slice(&transmit.to_be_bytes());
    if let Some(key) = key {
        memory.annex.mac_bytes = policy.keys.sign(key, reply, version, &mut memory.annex.mac);
    }
    (snapshot.served, Action::Reply)
}

/// Origin and transmit time of a reply in interleaved mode, None when basic mode is due (RFC 9769 section 2).
///
/// The request names one of our receive times, so when the reply to it leaves is remembered for the next one.
fn interleaved(
    packet: &[u8],
    source: &Source,
    receive: u64,
    transmit: u64,
    moment: Moment,
    snapshot: &Snapshot,
    memory: &mut Memory,
) -> Option<([u8; 8], u64)> {
    let (mut remembered, mut own_receive) = ([0; 8], [0; 8]);
    remembered.copy_from_slice(&packet[24..32]);
    own_receive.copy_from_slice(&packet[32..40]);
    let told = memory.interleaved.take(u64::from_be_bytes(remembered), source.address);
    memory.interleaved.remember(receive, transmit, source.address, moment.tx_ns, snapshot.correction_ns);
    told.map(|told| (own_receive, told))
}

/// The mode of the reply and where the MAC of the request begins (its end when it has none); or why there is no reply.
fn judge(
    packet: &[u8],
    size: usize,
    source: &Source,
    own: &Source,
    moment: Moment,
    late_ns: i64,
) -> Result<(u8, usize), Reason> {
    let first = packet.first().copied().unwrap_or(0);
    let (version, mode) = (first >> 3 & 7, first & 7);
    let control = mode == 6 || mode == 7;
    if size < HEADER_BYTES {
        return Err(if size > 0 && control { Reason::Control } else { Reason::TooShort });
    }
    if control {
        return Err(Reason::Control);
    }
    if !(1..=4).contains(&version) {
        return Err(Reason::BadVersion);
    }
    let reply_mode = match mode {
        4 => return Err(Reason::Reply),
        1 => 2,
        3 => 4,
        0 if version == 1 => 4,
        _ => return Err(Reason::BadMode),
    };
    if mode == 0 && source.port == 123 {
        // Mode 0 of version 1 has no modes yet: a request from another server's port may as well be a reply.
        return Err(Reason::BadMode);
    }
    if size != HEADER_BYTES && (!size.is_multiple_of(4) || size > MAX_REQUEST_BYTES) {
        return Err(Reason::BadLength);
    }
    if !source.can_be_client(own) {
        return Err(Reason::BadSource);
    }
    let waited_ns = i128::from(moment.tx_ns) - i128::from(moment.rx_ns);
    if !(i128::from(-AHEAD_NS)..=i128::from(late_ns)).contains(&waited_ns) {
        return Err(Reason::Late);
    }
    let mut mac_at = size;
    if size != HEADER_BYTES {
        mac_at = judge_tail(&packet[HEADER_BYTES..size], version)? + HEADER_BYTES;
    }
    Ok((reply_mode, mac_at))
}

/// Where the MAC begins in what follows the header: unknown extension fields are passed over, and it covers them.
///
/// NTS fields and a crypto-NAK are nothing that could be verified here.
///
/// RFC 7822 section 3: a field has at least 16 bytes and cannot start where 24 or fewer remain; those are a MAC.
fn judge_tail(tail: &[u8], version: u8) -> Result<usize, Reason> {
    if version < 4 {
        return if (MIN_MAC_BYTES..=MAX_MAC_BYTES).contains(&tail.len()) { Ok(0) } else { Err(Reason::Auth) };
    }
    let mut rest = tail;
    let mut authenticated = false;
    while rest.len() > 24 {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length < 16 || !length.is_multiple_of(4) || length > rest.len() {
            return Err(Reason::BadLength);
        }
        authenticated |= matches!(kind, 0x0104 | 0x0204 | 0x0304 | 0x0404);
        rest = &rest[length..];
    }
    match rest.len() {
        0 | 20 | 24 if !authenticated => Ok(tail.len() - rest.len()),
        0 | 4 | 20 | 24 => Err(Reason::Auth),
        _ => Err(Reason::BadLength),
    }
}

/// A kiss that carries no time of ours: whoever gets one shall not get by with it (as `NTPsec` does it).
fn kiss(code: [u8; 4], reply: &mut [u8; HEADER_BYTES], version_and_mode: u8, poll: u8, precision: u8, origin: [u8; 8]) {
    reply.fill(0);
    reply[0] = 0xC0 | version_and_mode;
    reply[2] = poll;
    reply[3] = precision;
    reply[12..16].copy_from_slice(&code);
    for at in [24, 32, 40] {
        reply[at..at + 8].copy_from_slice(&origin);
    }
}

/// Receive time (odd) and transmit time (even, later, neither 0 nor the origin).
fn stamps(moment: Moment, snapshot: &Snapshot, origin: u64) -> (u64, u64) {
    let corrected = |ns: i64| ntp_from_unix_ns(i128::from(ns) + i128::from(snapshot.correction_ns)) & !snapshot.fuzz;
    let receive = corrected(moment.rx_ns) | moment.noise & snapshot.fuzz | 1;
    let mut transmit = corrected(moment.tx_ns) | (moment.noise >> 32) & snapshot.fuzz & !1;
    if transmit <= receive || transmit == origin {
        // Equal or crossed times come from a coarse clock's random bits; a smaller transmit time is right when the era
        // ended between the two.
        if transmit.wrapping_sub(receive) >= 1 << 63 {
            transmit = receive.wrapping_add(1);
        }
        while transmit == 0 || transmit == origin {
            transmit = transmit.wrapping_add(2);
        }
    }
    (receive, transmit)
}
