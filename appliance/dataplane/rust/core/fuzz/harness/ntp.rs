//! NTP: what must hold for every sequence of packets, whatever the clock, the policy and the senders.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use timeball_core::clients::{ClientTable, Slot};
use timeball_core::interleaved::Interleaved;
use timeball_core::limit::RateLimit;
use timeball_core::memory::{Annex, Memory};
use timeball_core::ntp::{self, Action, ClockState, HEADER_BYTES, Moment, Policy, Reason, Rule, Snapshot, Source};
use timeball_core::ntp_keys::{Fault, KEY_ID_BYTES, Key, Keys, MAX_DIGEST_V4, MAX_MAC_BYTES, MIN_MAC_BYTES, NoKeys};
use timeball_core::prefix::PrefixTable;
use timeball_core::prefix_buckets::PrefixBuckets;

use crate::input::Input;

/// A wall clock before the end of an era, so that sequences cross it: 2036-02-07 06:28:15.
const WALL_NS: i64 = 2_085_978_495_000_000_000;
const MOST_PACKETS: usize = 24;
const LATE_NS: i64 = 50_000_000;
/// So few that sequences push each other out.
const EXCHANGES: usize = 17;
const PORTS: [u16; 4] = [40000, 123, 0, 1];

/// One step of a sequence.
struct Packet<'a> {
    bytes: &'a [u8],
    /// On the wire: more than `bytes` when it was cut off.
    size: usize,
    source: Source,
    own: Source,
    moment: Moment,
}

/// Run one input to its end; how many packets it held.
///
/// # Panics
/// When something does not hold that must.
pub fn run(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let clock = clock(&mut input);
    let policy = policy(&mut input);
    let (mut mono_ns, mut wall_ns) = (i64::from(input.u32()) * 1000, WALL_NS);
    let mut snapshot = Snapshot::at(mono_ns, &clock);
    let mut memory = memory();
    let mut packets = 0;
    while !input.is_empty() && packets < MOST_PACKETS {
        packets += 1;
        let passed_ns = i64::from(input.u16()) * 10_000;
        mono_ns += passed_ns;
        wall_ns += passed_ns;
        if mono_ns >= snapshot.valid_until_mono_ns {
            snapshot = Snapshot::at(mono_ns, &clock);
        }
        let packet = packet(&mut input, mono_ns, wall_ns);
        let mut reply = [0; HEADER_BYTES];
        let outcome = ntp::answer(
            packet.bytes,
            packet.size,
            &packet.source,
            &packet.own,
            packet.moment,
            &snapshot,
            &policy,
            &mut memory,
            &mut reply,
        );
        check(&packet, &clock, mono_ns, outcome, &reply, &memory.annex);
        check_memory(&memory);
        if memory.annex.stamp && packet.moment.noise & 1 == 1 {
            // The kernel tells when it left, sooner or later or too late to be true.
            let left_ns = packet.moment.tx_ns + (packet.moment.noise >> 33) as i64;
            memory.interleaved.stamped(word(&reply, 32), left_ns);
        }
        assert!(memory.interleaved.len() <= EXCHANGES);
    }
    packets
}

fn clock(input: &mut Input<'_>) -> ClockState {
    ClockState {
        leap: input.u8() & 3,
        stratum: input.u8() & 15,
        refid: input.array(),
        reference_ns: WALL_NS + i64::from(input.u32() as i32) * 1_000_000,
        root_delay_s: f64::from(input.u16()) / 16384.0,
        root_dispersion_s: f64::from(input.u16()) / 16384.0,
        dispersion_rate: f64::from(input.u8()) / 1_048_576.0,
        as_of_mono_ns: i64::from(input.u32()) * 1000,
        as_of_wall_ns: None,
        correction_s: f64::from(input.u16() as i16) / 16384.0,
        precision: -(input.below(33) as i8),
        max_distance_s: f64::from(input.u8()) / 64.0,
        expires_mono_ns: match input.u32() {
            u32::MAX => i64::MAX,
            n => i64::from(n) * 1000,
        },
    }
}

fn policy(input: &mut Input<'_>) -> Policy {
    let rule = |n: u8| [Rule::Allow, Rule::Ignore, Rule::Deny][usize::from(n % 3)];
    let shape = input.u8();
    let mut rules = [Vec::new(), Vec::new()];
    for _ in 0..shape >> 2 & 3 {
        let what = input.u8();
        let six = what & 1 == 1;
        let (bits, network) = if six { (128, u128::from_be_bytes(input.array())) } else { (32, input.u32().into()) };
        let length = u32::from(input.u8()) % (bits + 1);
        let shift = bits - length;
        let network = network.checked_shr(shift).unwrap_or(0).checked_shl(shift).unwrap_or(0);
        rules[usize::from(six)].push((network, length, rule(what >> 1)));
    }
    // The two highest bits make a tight limit, a loose one, one that tells, or none.
    let limit = match shape >> 6 {
        0 => None,
        n => {
            let exempt = [PrefixTable::new(32, &[(0x7F00_0000, 8, ())]), PrefixTable::default()];
            Some(RateLimit::new((3 - n as i8 * 2, 2), (1, u32::from(n) - 1), (0, 3), exempt))
        }
    };
    Policy {
        limit,
        v4: PrefixTable::new(32, &rules[0]),
        v6: PrefixTable::new(128, &rules[1]),
        default: rule(shape & 3),
        late_ns: LATE_NS,
        keys: if shape & 0x10 == 0 { Arc::new(NoKeys) } else { Arc::new(Toy) },
    }
}

/// Room for few, so that they push each other out.
fn memory() -> Memory {
    let clients = ClientTable::over(Box::new([Slot::default()]), [1; 16]);
    let cells = (0..8).map(|_| AtomicU64::new(0)).collect();
    let networks = PrefixBuckets::over(cells, [2; 16]);
    Memory {
        clients: Some(Arc::new(clients)),
        networks: Some(Arc::new(networks)),
        limited: Arc::default(),
        interleaved: Interleaved::new(EXCHANGES),
        annex: Annex::default(),
    }
}

/// A cipher that a fuzzer can break: the digest is the exclusive or of all that it protects, over and over.
#[derive(Debug)]
struct Toy;

impl Toy {
    fn digest(signed: &[u8], size: usize) -> Vec<u8> {
        vec![signed.iter().fold(0, |sum, byte| sum ^ byte); size]
    }
}

impl Keys for Toy {
    fn check(&self, signed: &[u8], mac: &[u8], version: u8, source: &Source) -> Result<Key, Fault> {
        assert!(signed.len() >= HEADER_BYTES && signed.len().is_multiple_of(4));
        assert!((MIN_MAC_BYTES..=MAX_MAC_BYTES).contains(&mac.len()), "a MAC of {} bytes", mac.len());
        assert!(version < 4 || mac.len() <= KEY_ID_BYTES + MAX_DIGEST_V4);
        match mac[3] {
            0 => Err(Fault::UnknownKey),
            1 if source.six => Err(Fault::WrongSource),
            _ if mac[KEY_ID_BYTES..] != Self::digest(signed, mac.len() - KEY_ID_BYTES) => Err(Fault::WrongMac),
            _ => Ok(Key { place: mac.len() - KEY_ID_BYTES, delay_ns: 1000 }),
        }
    }

    fn sign(&self, key: Key, signed: &[u8], _: u8, mac: &mut [u8; MAX_MAC_BYTES]) -> usize {
        let size = KEY_ID_BYTES + key.place;
        mac[KEY_ID_BYTES..size].copy_from_slice(&Self::digest(signed, key.place));
        size
    }
}

fn check_memory(memory: &Memory) {
    let Some(table) = &memory.clients else { return };
    let mut keys = Vec::new();
    for client in table.all() {
        assert_eq!(client.packets, client.replies + client.dropped + client.kisses);
        assert!(client.key != 0 && !keys.contains(&client.key), "a client twice");
        keys.push(client.key);
    }
    assert!(keys.len() <= table.room());
    assert_eq!(keys.len() as u64, table.known());
}

fn packet<'a>(input: &mut Input<'a>, mono_ns: i64, wall_ns: i64) -> Packet<'a> {
    let shape = input.u8();
    let six = shape & 1 == 1;
    let address = match (shape >> 1 & 3, six) {
        // a few clients that come again and again, and any other
        (0, false) => 0xC000_0200 + u128::from(input.u8() & 7),
        (0, true) => 0x2001_0DB8 << 96 | u128::from(input.u8() & 7),
        (1, _) => 0x7F00_0001,
        (_, false) => u128::from(input.u32()),
        (_, true) => u128::from_be_bytes(input.array()),
    };
    let port = match shape >> 3 & 3 {
        3 => input.u16(),
        n => PORTS[usize::from(n)],
    };
    let own = Source { six, address: 0x7F00_0001, port: PORTS[usize::from(shape >> 5 & 1) + 1] };
    let waited_ns = if shape & 0x40 == 0 { 20_000 } else { i64::from(input.u16() as i16) * 3000 };
    let length = usize::from(input.u8());
    let bytes = input.bytes(length);
    let cut = if shape & 0x80 == 0 { 0 } else { usize::from(input.u16()) };
    // Only what fills the room can have been cut off.
    let size = if bytes.len() < ntp::MAX_REQUEST_BYTES { bytes.len() } else { bytes.len() + cut };
    let noise = u64::from_be_bytes(input.array());
    let moment = Moment { rx_ns: wall_ns - waited_ns, tx_ns: wall_ns, mono_ns, noise };
    Packet { bytes, size, source: Source { six, address, port }, own, moment }
}

fn word(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(word)
}

fn check(
    packet: &Packet<'_>,
    clock: &ClockState,
    mono_ns: i64,
    (reason, action): (Reason, Action),
    reply: &[u8; HEADER_BYTES],
    annex: &Annex,
) {
    let interleaved = annex.interleaved;
    assert!(annex.fault.is_none() || reason == Reason::Auth, "a fault of another packet");
    // Each packet has one reason, and each reason one kind of end.
    match action {
        Action::Reply => assert!(matches!(reason, Reason::Ok | Reason::Unsynchronised), "{reason:?}"),
        Action::Kiss => assert!(matches!(reason, Reason::Policy | Reason::Rate), "{reason:?}"),
        Action::Ignore => {
            assert!(!matches!(reason, Reason::Ok | Reason::Unsynchronised | Reason::SendFailed | Reason::Bug));
        }
    }
    if action == Action::Ignore {
        return;
    }
    assert!(packet.size >= HEADER_BYTES + annex.mac_bytes, "a reply longer than its request");
    assert!(annex.mac_bytes == 0 || action == Action::Reply, "a kiss with a MAC");
    let (asked, told) = (packet.bytes[0], reply[0]);
    assert_eq!(asked & 0x38, told & 0x38, "another version");
    match asked & 7 {
        1 => assert_eq!(told & 7, 2),
        3 => assert_eq!(told & 7, 4),
        0 => assert_eq!((told & 7, told >> 3 & 7), (4, 1)),
        mode => panic!("mode {mode} was answered"),
    }
    let waited_ns = packet.moment.tx_ns - packet.moment.rx_ns;
    assert!((-ntp::AHEAD_NS..=LATE_NS).contains(&waited_ns), "answered after {waited_ns} ns");
    assert_ne!(packet.source.port, 0);
    assert!(packet.source != packet.own, "talks to itself");
    let (receive, transmit) = (word(reply, 32), word(reply, 40));
    let sent = u64::from_be_bytes(packet.bytes[40..48].try_into().expect("eight bytes"));
    let expected = if interleaved { 32 } else { 40 };
    assert_eq!(reply[24..32], packet.bytes[expected..expected + 8], "not the request's time");
    assert!(reply[2] as i8 >= packet.bytes[2] as i8, "a shorter poll interval than asked for");
    if action == Action::Kiss {
        let code = if reason == Reason::Rate { b"RATE" } else { b"DENY" };
        assert_eq!((told >> 6, reply[1], &reply[12..16]), (3, 0, &code[..]));
        assert_eq!((receive, transmit), (sent, sent), "a kiss that tells the time");
        return;
    }
    assert_eq!(receive & 1, 1, "an even receive time");
    assert_eq!(transmit & 1, 0, "an odd transmit time");
    assert!(transmit != 0 && transmit != sent);
    // also across the end of an era; in interleaved mode it is the reply before this one that was sent then
    assert!(interleaved || transmit.wrapping_sub(receive) < 1 << 63, "sent before it came");
    let unsynchronised = told >> 6 == 3 && reply[1] == 0;
    assert_eq!(reason == Reason::Unsynchronised, unsynchronised);
    if mono_ns >= clock.expires_mono_ns {
        assert!(unsynchronised, "an expired clock claims to be right");
    }
}
