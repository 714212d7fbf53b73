//! Nanoseconds for one DNS decision, with and without the rate limit: `cargo bench`. No sockets, one thread.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use timeball_core::dns::{self, Arrival};
use timeball_core::dns_rate::{Level, Limiter, RateLimit};
use timeball_core::dns_snapshot::{ByName, Denial, HandUp, MAX_REPLY_BYTES, Node, Rotation, Section, Snapshot, Table};
use timeball_core::prefix::PrefixTable;

const QUERIES: usize = 20_000;
const ROUNDS: usize = 200;
const SOURCES: usize = 4096;
const ZONE: &[u8] = b"\x04pool\x07example\x03org\x00";
const NAME: &[u8] = b"\x010\x04pool\x07example\x03org\x00";

/// `per_second` replies to an address, eight times as many to its network.
fn rate_limit(per_second: u64) -> RateLimit {
    let level = |octets, times: u64| {
        let interval = 62_500_000 / (per_second * times);
        Level { octets, interval, tolerance: (5 * per_second * times - 1) * interval }
    };
    let loopback = (u128::from(u32::from(Ipv4Addr::LOCALHOST)), 8, ());
    RateLimit {
        levels4: [level(4, 1), level(3, 8)].into(),
        levels6: [level(8, 1), level(7, 4), level(6, 8)].into(),
        bound: 5 * 62_500_000,
        slip: 2,
        exempt4: PrefixTable::new(32, &[loopback]),
        exempt6: PrefixTable::new(128, &[(1, 128, ())]),
    }
}

/// Four of a hundred members, drawn for 8 s.
fn snapshot(rate_limit: Option<RateLimit>) -> Snapshot {
    let records = (0..100 * 8 * 16).map(|i| i as u8).collect();
    let cuts = (0..100).map(|i| i * 42_949_672).collect();
    let table = Table { cuts, records, size: 4, stride: 16, mark: 0 };
    let node = Node { rotating: [(1, Rotation { table: 0, offset: 0, turn: 0 })].into(), ..Node::default() };
    let names = ByName::from_iter([(ZONE.into(), Node::default()), (NAME.into(), node)]);
    let soa: [Box<[u8]>; 2] = [[0; 2].into(), [0; 40].into()];
    let denial = Denial { rcode: 3, soa: soa.into(), extended_error: [].into() };
    let snapshot = Snapshot {
        zone: ZONE.into(),
        names,
        tables: [table].into(),
        nodata: Denial::default(),
        nxdomain: denial,
        any_section: Section::default(),
        expire_s: 0,
        nsid: [].into(),
        chaos: ByName::default(),
        draw_secret: [7; 16],
        slot_ns: 8_000_000_000,
        cookie_secrets: [[9; 16]].into(),
        largest_unproven: 1232,
        hand_up: HandUp::default(),
        rate_limit,
    };
    snapshot.checked().expect("a good snapshot")
}

fn query(name: &[u8]) -> Vec<u8> {
    let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    [b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01", name, b"\x00\x01\x00\x01", opt].concat()
}

/// A number that looks random, from the last one.
fn scrambled(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number >> 29
}

fn four(number: usize) -> IpAddr {
    Ipv4Addr::from(scrambled(number as u64 + 1) as u32 | 0x8000_0000).into()
}

fn six(number: usize) -> IpAddr {
    Ipv6Addr::from(0x2001_0DB8_u128 << 96 | u128::from(scrambled(number as u64 + 1)) << 40).into()
}

/// The best of some rounds: what the machine does beside can only add to it.
fn ns_per_query(message: &[u8], sources: &[IpAddr], snapshot: &Snapshot, spacing_ns: i64) -> f64 {
    let limiter = Limiter::new([5; 16]);
    let mut room = [0; MAX_REPLY_BYTES];
    let mut mono_ns = 1_000_000_000;
    let round = |_| {
        let began = Instant::now();
        for sequence in 0..QUERIES {
            mono_ns += spacing_ns;
            let source = sources[sequence % sources.len()];
            let arrival = Arrival { source, now_ns: 1_800_000_000_000_000_000, mono_ns, sequence: sequence as u64 };
            let _ = black_box(dns::answer(black_box(message), arrival, snapshot, Some(&limiter), &mut room));
        }
        began.elapsed().as_secs_f64() * 1e9 / QUERIES as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let (free, limited) = (snapshot(None), snapshot(Some(rate_limit(100))));
    let fours: Vec<IpAddr> = (0..SOURCES).map(four).collect();
    let sixes: Vec<IpAddr> = (0..SOURCES).map(six).collect();
    let home = [IpAddr::from(Ipv4Addr::LOCALHOST)];
    let (there, missing) = (query(NAME), query(&[b"\x06random", ZONE].concat()));
    println!("ns for one decision, {SOURCES} clients in turn, best of {ROUNDS} rounds of {QUERIES}");
    println!("{:<44} {:>8} {:>8} {:>8}", "", "no limit", "limit", "adds");
    let row = |what: &str, message: &[u8], sources: &[IpAddr], spacing_ns: i64| {
        let (without, with) =
            (ns_per_query(message, sources, &free, spacing_ns), ns_per_query(message, sources, &limited, spacing_ns));
        println!("{what:<44} {without:>8.1} {with:>8.1} {:>+8.1}", with - without);
    };
    row("A of four members, IPv4, under the limit", &there, &fours, 10_000);
    row("A of four members, IPv6, under the limit", &there, &sixes, 10_000);
    row("A of four members, exempt", &there, &home, 10_000);
    row("NXDOMAIN, IPv4, under the limit", &missing, &fours, 10_000);
    row("A of four members, one /24, over the limit", &there, &[IpAddr::from([192, 0, 2, 1])], 10);
}
