//! NTP: which packets are answered and with what. Behaviour by version and mode is what chrony does.
//!
//! The order in which reasons are looked for is fixed, so that a packet that is wrong in two ways is counted alike by every
//! data plane: empty, control message, shorter than a header, version, mode, length, source, time in the queue, what
//! follows the header, policy, rate, MAC.

use std::sync::Arc;

use crate::limit::RateLimit;
use crate::memory::{Admission, Memory};
use crate::ntp_keys::{Keys, MAX_MAC_BYTES, MIN_MAC_BYTES, NoKeys};
use crate::prefix::PrefixTable;

/// Length of the header, and of every reply without a MAC.
pub const HEADER_BYTES: usize = 48;
/// No request that we understand is longer.
pub const MAX_REQUEST_BYTES: usize = 2048;
/// Two processors may read the clock this far apart.
pub const AHEAD_NS: i64 = 1_000_000;
/// How long a snapshot is used before dispersion is aged again.
pub const REFRESH_NS: i64 = 50_000_000;

/// Version and mode of what may be a request in interleaved mode.
const VERSION_4_CLIENT: u8 = 4 << 3 | 3;

/// Why a packet was treated as it was; the numbers are those of `interface.Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A request we serve.
    Ok = 0,
    /// A request we serve with leap 3 and stratum 0.
    Unsynchronised = 1,
    /// Fewer than 48 bytes.
    TooShort = 2,
    /// Not a multiple of 4, or trailing data that is neither extension field nor MAC.
    BadLength = 3,
    /// Version 0, or 5 and up.
    BadVersion = 4,
    /// A mode that we do not answer.
    BadMode = 5,
    /// Mode 4: a reply is never answered.
    Reply = 6,
    /// Mode 6 or 7.
    Control = 7,
    /// A MAC that is not right, or authentication that we do not know.
    Auth = 8,
    /// The prefix is ignored or denied.
    Policy = 9,
    /// Over the rate limit.
    Rate = 10,
    /// No client can have this address and port.
    BadSource = 11,
    /// Waited too long in the queue.
    Late = 12,
    /// The kernel did not take the reply.
    SendFailed = 13,
    /// Deciding about it failed.
    Bug = 14,
}

/// Every reason, by its number.
pub const REASONS: [(&str, Reason); 15] = [
    ("OK", Reason::Ok),
    ("UNSYNCHRONISED", Reason::Unsynchronised),
    ("TOO_SHORT", Reason::TooShort),
    ("BAD_LENGTH", Reason::BadLength),
    ("BAD_VERSION", Reason::BadVersion),
    ("BAD_MODE", Reason::BadMode),
    ("REPLY", Reason::Reply),
    ("CONTROL", Reason::Control),
    ("AUTH", Reason::Auth),
    ("POLICY", Reason::Policy),
    ("RATE", Reason::Rate),
    ("BAD_SOURCE", Reason::BadSource),
    ("LATE", Reason::Late),
    ("SEND_FAILED", Reason::SendFailed),
    ("BUG", Reason::Bug),
];

/// What became of a packet; the numbers are those of `interface.Action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Answered with time.
    Reply = 0,
    /// Silence.
    Ignore = 1,
    /// Answered with a kiss code.
    Kiss = 2,
}

/// Every action, by its number.
pub const ACTIONS: [(&str, Action); 3] = [("REPLY", Action::Reply), ("IGNORE", Action::Ignore), ("KISS", Action::Kiss)];

/// What a prefix rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Answer.
    Allow,
    /// Say nothing.
    Ignore,
    /// Answer with the kiss code DENY.
    Deny,
}

/// Who is answered.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Rules for IPv4.
    pub v4: PrefixTable<Rule>,
    /// Rules for IPv6.
    pub v6: PrefixTable<Rule>,
    /// Without a matching rule.
    pub default: Rule,
    /// A request that waited longer than this gets no reply: the client has stopped trusting it, and others wait too.
    pub late_ns: i64,
    /// How much each client is answered.
    pub limit: Option<RateLimit>,
    /// Which requests with a MAC are believed.
    pub keys: Arc<dyn Keys>,
}

impl Default for Policy {
    fn default() -> Self {
        let (v4, v6) = (PrefixTable::default(), PrefixTable::default());
        Self { v4, v6, default: Rule::Allow, late_ns: 50_000_000, limit: None, keys: Arc::new(NoKeys) }
    }
}

impl Policy {
    fn rule(&self, source: &Source) -> Rule {
        let table = if source.six { &self.v6 } else { &self.v4 };
        if table.is_empty() { self.default } else { table.find(source.address).unwrap_or(self.default) }
    }
}

/// Where a packet came from, or was sent to: the address as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// IPv6?
    pub six: bool,
    /// The address.
    pub address: u128,
    /// The UDP port.
    pub port: u16,
}

impl Source {
    /// Clients have addresses that are not 0.0.0.0/8, multicast, reserved, broadcast, :: or `ff00::/8`.
    fn can_be_client(&self, own: &Source) -> bool {
        let (low, high) = if self.six { (0, 0xFF << 120) } else { (0x00FF_FFFF, 0xE000_0000) };
        self.port != 0
            && !(self.port == own.port && self.address == own.address)
            && low < self.address
            && self.address < high
    }
}

/// What our time is worth, with the coefficients that age it; see `model.ClockState`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockState {
    /// Leap indicator, 3 for unsynchronised.
    pub leap: u8,
    /// 1..=15, 0 for unsynchronised.
    pub stratum: u8,
    /// Reference identifier.
    pub refid: [u8; 4],
    /// UTC of the last correction, ns since 1970.
    pub reference_ns: i64,
    /// Seconds.
    pub root_delay_s: f64,
    /// Seconds, at `as_of_mono_ns`.
    pub root_dispersion_s: f64,
    /// Seconds per second.
    pub dispersion_rate: f64,
    /// Monotonic ns.
    pub as_of_mono_ns: i64,
    /// To be added to the system clock, seconds.
    pub correction_s: f64,
    /// log2 seconds.
    pub precision: i8,
    /// Past this root distance we do not claim to be synchronised.
    pub max_distance_s: f64,
    /// Past this monotonic moment neither.
    pub expires_mono_ns: i64,
}

impl ClockState {
    fn dispersion_s(&self, mono_ns: i64) -> f64 {
        let age_s = mono_ns.saturating_sub(self.as_of_mono_ns).max(0) as f64 / 1e9;
        self.root_dispersion_s + age_s * self.dispersion_rate
    }

    fn synchronised(&self, mono_ns: i64) -> bool {
        self.leap != 3
            && (1..=15).contains(&self.stratum)
            && mono_ns < self.expires_mono_ns
            && self.root_delay_s / 2.0 + self.dispersion_s(mono_ns) <= self.max_distance_s
    }
}

/// All that a reply depends on besides its request, prepared so that a packet costs little.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Make a new one from this monotonic moment on.
    pub valid_until_mono_ns: i64,
    leap: u8,
    stratum: u8,
    /// Precision, root delay, root dispersion, reference identifier, reference time as on the wire.
    fixed: [u8; 21],
    reference_ns: i64,
    correction_ns: i64,
    fuzz: u64,
    served: Reason,
}

impl Snapshot {
    /// The snapshot for replies made from `mono_ns` until `valid_until_mono_ns`.
    ///
    /// The state in which it ends is the worst one it will see, so that is what it claims.
    #[must_use]
    pub fn at(mono_ns: i64, clock: &ClockState) -> Self {
        let mut until_ns = mono_ns.saturating_add(REFRESH_NS);
        if mono_ns < clock.expires_mono_ns && clock.expires_mono_ns < until_ns {
            until_ns = clock.expires_mono_ns;
        }
        let bits = (32 + i32::from(clock.precision)).clamp(1, 32);
        let fuzz = (1u64 << bits) - 1;
        let last_ns = until_ns - 1;
        let synchronised = clock.synchronised(last_ns);
        let (leap, stratum, delay, dispersion, refid, reference, reference_ns) = if synchronised {
            (
                clock.leap,
                clock.stratum,
                short_from_s(clock.root_delay_s),
                short_from_s(clock.dispersion_s(last_ns)),
                clock.refid,
                ntp_from_unix_ns(i128::from(clock.reference_ns)) & !fuzz,
                clock.reference_ns,
            )
        } else {
            (3, 0, 0x1_0000, 0x1_0000, [0; 4], 0, i64::MIN)
        };
        let mut fixed = [0; 21];
        fixed[0] = clock.precision as u8;
        fixed[1..5].copy_from_slice(&delay.to_be_bytes());
        fixed[5..9].copy_from_slice(&dispersion.to_be_bytes());
        fixed[9..13].copy_from_slice(&refid);
        fixed[13..21].copy_from_slice(&reference.to_be_bytes());
        Self {
            valid_until_mono_ns: until_ns,
            leap,
            stratum,
            fixed,
            reference_ns,
            correction_ns: round_half_even(clock.correction_s * 1e9) as i64,
            fuzz,
            served: if synchronised { Reason::Ok } else { Reason::Unsynchronised },
        }
    }
}

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

/// The 64-bit NTP timestamp of a moment in ns since 1970, rounded down; the era is lost, as on the wire.
#[must_use]
pub fn ntp_from_unix_ns(unix_ns: i128) -> u64 {
    const UNIX_TO_NTP_NS: i128 = 2_208_988_800 * 1_000_000_000;
    let ns = unix_ns + UNIX_TO_NTP_NS;
    // The common case in 64 bits: seconds and fraction apart, which is what a division of 128 bits would cost most of.
    if let Ok(small) = u64::try_from(ns) {
        let (seconds, rest) = (small / 1_000_000_000, small % 1_000_000_000);
        return (seconds << 32) | ((rest << 32) / 1_000_000_000);
    }
    ((ns << 32).div_euclid(1_000_000_000)) as u64
}

/// Seconds as 16.16 fixed point, rounded up: an error bound must never shrink on its way.
#[must_use]
pub fn short_from_s(seconds: f64) -> u32 {
    if seconds <= 0.0 {
        0
    } else if seconds < 65535.0 {
        (seconds * 65536.0).ceil() as u32
    } else {
        u32::MAX // also for "not a number": what is not known is as bad as can be
    }
}

/// To the nearest whole number, halves to the even one, as Python rounds.
fn round_half_even(value: f64) -> f64 {
    value.round_ties_even()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> ClockState {
        ClockState {
            leap: 0,
            stratum: 2,
            refid: [127, 0, 0, 1],
            reference_ns: 1_800_000_000_000_000_000,
            root_delay_s: 0.001,
            root_dispersion_s: 0.0005,
            dispersion_rate: 15e-6,
            as_of_mono_ns: 0,
            correction_s: 0.0,
            precision: -24,
            max_distance_s: 1.0,
            expires_mono_ns: i64::MAX,
        }
    }

    fn ask(packet: &[u8]) -> (Reason, Action, [u8; 48]) {
        let mut reply = [0; 48];
        let source = Source { six: false, address: 0x7f00_0001, port: 40000 };
        let own = Source { six: false, address: 0x7f00_0001, port: 123 };
        let now = 1_800_000_100_000_000_000;
        let moment = Moment { rx_ns: now, tx_ns: now + 1000, mono_ns: 1_000_000_000, noise: 0x1234_5678_9abc_def0 };
        let snapshot = Snapshot::at(1_000_000_000, &clock());
        let (policy, mut memory) = (Policy::default(), Memory::default());
        let (reason, action) =
            answer(packet, packet.len(), &source, &own, moment, &snapshot, &policy, &mut memory, &mut reply);
        (reason, action, reply)
    }

    #[test]
    fn versions_and_modes_are_answered_as_chrony_does() {
        for (first, expected) in [
            (0x23, Some(0x24)),
            (0x1b, Some(0x1c)),
            (0x0b, Some(0x0c)),
            (0x08, Some(0x0c)),
            (0x21, Some(0x22)),
            (0x24, None),
            (0x26, None),
            (0x27, None),
            (0x03, None),
            (0x2b, None),
            (0x20, None),
            (0x25, None),
            (0x22, None),
        ] {
            let mut packet = [0u8; 48];
            packet[0] = first;
            let (_, action, reply) = ask(&packet);
            match expected {
                Some(byte) => assert_eq!((action, reply[0]), (Action::Reply, byte), "{first:#x}"),
                None => assert_eq!(action, Action::Ignore, "{first:#x}"),
            }
        }
    }

    #[test]
    fn what_follows_the_header_is_dropped_or_refused() {
        let mut packet = vec![0x23u8; 1];
        packet.resize(48, 0);
        let with = |tail: &[u8]| ask(&[&packet[..], tail].concat()).0;
        assert_eq!(with(&[&[0xf5, 0xff, 0, 28][..], &[0; 24]].concat()), Reason::Ok);
        assert_eq!(with(&[&[1, 4, 0, 36][..], &[0; 32]].concat()), Reason::Auth);
        assert_eq!(with(&[0; 4]), Reason::Auth);
        assert_eq!(with(&[0; 20]), Reason::Auth);
        assert_eq!(with(&[0; 8]), Reason::BadLength);
        assert_eq!(with(&[0; 3]), Reason::BadLength);
    }

    #[test]
    fn an_old_state_is_unsynchronised() {
        let mut state = clock();
        state.expires_mono_ns = 5;
        let snapshot = Snapshot::at(10, &state);
        assert_eq!((snapshot.leap, snapshot.stratum, snapshot.served), (3, 0, Reason::Unsynchronised));
    }

    #[test]
    fn short_times_round_up() {
        assert_eq!(short_from_s(1e-9), 1);
        assert_eq!(short_from_s(-1.0), 0);
        assert_eq!(short_from_s(f64::NAN), u32::MAX);
    }

    #[test]
    fn both_ways_to_make_a_timestamp_agree() {
        for ns in [0i128, 1, 999_999_999, 1_800_000_000_123_456_789, 2_085_978_496_000_000_000] {
            let wide = (((ns + 2_208_988_800_000_000_000) << 32).div_euclid(1_000_000_000)) as u64;
            assert_eq!(ntp_from_unix_ns(ns), wide);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 88_172_645_463_325_252_u64;
        for _ in 0..200_000 {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let size = (next() % 200) as usize;
            let mut packet: Vec<u8> = (0..size).map(|_| next() as u8).collect();
            if let Some(first) = packet.first_mut()
                && next() % 2 == 0
            {
                *first = 0x23;
            }
            let _ = ask(&packet);
        }
    }
}
