//! The decision on a small zone: what it says, and that no bytes make it panic.

use super::*;
use crate::dns_snapshot::{ByName, Denial, HandUp, Rotation, Section, Table};

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
        largest_unproven: 1232,
        hand_up: HandUp::default(),
        rate_limit: None,
    };
    snapshot.checked().expect("a good snapshot")
}

fn ask(query: &[u8], room: &mut Room) -> Answer {
    let arrival = Arrival { source: [192, 0, 2, 1].into(), now_ns: 1_800_000_000_000_000_000, mono_ns: 7, sequence: 5 };
    answer(query, arrival, &zone(), None, room)
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
    let arrival = Arrival { source: [192, 0, 2, 1].into(), now_ns: 1_800_000_000_000_000_000, mono_ns: 7, sequence: 5 };
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
        let answer = answer(&packet, arrival, &snapshot, None, &mut room);
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
