//! The NTP decision, on a clock and a snapshot of their own.

use crate::memory::Memory;
use crate::ntp::*;

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
        as_of_wall_ns: None,
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

#[test]
fn a_clock_that_was_set_is_noticed_and_one_that_is_steered_is_not() {
    let state = ClockState { as_of_mono_ns: 1_000, as_of_wall_ns: Some(5_000), ..clock() };
    for (wall_ns, mono_ns, set) in [
        (5_000, 1_000, false),
        (5_000 + SET_NS, 1_000, false),
        (5_001 + SET_NS, 1_000, true),
        (4_999 - SET_NS, 1_000, true),
        (i64::MAX, i64::MAX - 4_000, false),
        (i64::MIN, i64::MAX, true),
    ] {
        assert_eq!(state.was_set(wall_ns, mono_ns), set, "{wall_ns} {mono_ns}");
    }
    assert!(!clock().was_set(i64::MAX, 0), "right by decree");
    assert_eq!(Snapshot::at(0, &state.unsynchronised()).leap, 3);
}
