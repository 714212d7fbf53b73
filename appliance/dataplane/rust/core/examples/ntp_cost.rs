//! What one NTP packet costs the native decision, with and without memory: `cargo run --release --example ntp_cost`.
//!
//! Each line is the best of many short runs, which other work on the machine disturbs least, in nanoseconds for each packet, and the difference from the first line.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use timeball_core::clients::{ClientTable, Slot};
use timeball_core::limit::RateLimit;
use timeball_core::memory::Memory;
use timeball_core::ntp::{self, ClockState, HEADER_BYTES, Moment, Policy, Rule, Snapshot, Source};
use timeball_core::prefix::PrefixTable;
use timeball_core::prefix_buckets::PrefixBuckets;

const PACKETS: u64 = 20_000;
const RUNS: usize = 300;
const NOW_NS: i64 = 1_800_000_000_000_000_000;

fn main() {
    let exempt = || [PrefixTable::new(32, &[(0x7F00_0000, 8, ())]), PrefixTable::new(128, &[(1, 128, ())])];
    let limit = || Some(RateLimit::new((3, 16), (2, 0), (-7, 4096), exempt()));
    let limited = || Policy { limit: limit(), ..Policy::default() };
    let plain = cost("nothing remembered, no limits", None, &Policy::default(), 10_000, 0.0);
    for (clients, name) in
        [(1, "one client"), (3_000, "3,000 clients"), (30_000, "30,000 clients"), (1_000_000, "1,000,000 clients")]
    {
        cost(&format!("{name}, remembered"), Some(clients), &Policy::default(), clients, plain);
        cost(&format!("{name}, remembered and limited"), Some(clients), &limited(), clients, plain);
    }
    cost("each packet a new client, room for 32,768", Some(32_768), &limited(), 1 << 30, plain);
    cost("nobody remembered, networks limited", Some(0), &limited(), 10_000, plain);
    for lines in [1u32, 100, 10_000] {
        let rules: Vec<_> = (0..lines).map(prefix).collect();
        let policy = Policy { v4: PrefixTable::new(32, &rules), ..Policy::default() };
        cost(&format!("nothing remembered, {lines} prefixes"), None, &policy, 10_000, plain);
    }
}

/// Prefixes of every length from 12 to 32.
fn prefix(number: u32) -> (u128, u32, Rule) {
    let length = 12 + number % 21;
    let network = number.wrapping_mul(0x9E37_79B1) & !(u32::MAX.checked_shr(length).unwrap_or(0));
    (u128::from(network), length, Rule::Allow)
}

fn memory(room: u64) -> Memory {
    let secret = [7; 16];
    let slots = (0..room.div_ceil(8) * 3 / 2).map(|_| Slot::default()).collect::<Vec<_>>();
    let cells = (0..1 << 16).map(|_| AtomicU64::new(0)).collect();
    let clients = (!slots.is_empty()).then(|| Arc::new(ClientTable::over(Box::new(slots), secret)));
    Memory { clients, networks: Some(Arc::new(PrefixBuckets::over(cells, secret))), ..Memory::default() }
}

/// Print and return the ns for a packet when `clients` ask in no order.
fn cost(what: &str, room: Option<u64>, policy: &Policy, clients: u64, plain_ns: f64) -> f64 {
    let mut memory = room.map_or_else(Memory::default, memory);
    let clock = ClockState {
        leap: 0,
        stratum: 2,
        refid: *b"GPS\0",
        reference_ns: NOW_NS - 1_000_000_000,
        root_delay_s: 0.001,
        root_dispersion_s: 0.001,
        dispersion_rate: 1e-6,
        as_of_mono_ns: 0,
        as_of_wall_ns: None,
        correction_s: 0.0,
        precision: -24,
        max_distance_s: 1.0,
        expires_mono_ns: i64::MAX,
    };
    let snapshot = Snapshot::at(0, &clock);
    let mut packet = [0; HEADER_BYTES];
    packet[0] = 0x23;
    let own = Source { six: false, address: 0x7F00_0001, port: 123 };
    let (mut best_ns, mut noise, mut reply) = (f64::MAX, 88_172_645_463_325_252_u64, [0; HEADER_BYTES]);
    let mut mono_ns = 1_000_000_000_000;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..PACKETS {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            mono_ns += 1000;
            let address = 0x0100_0000 + u128::from(noise % clients);
            let source = Source { six: false, address, port: 40_000 };
            let moment = Moment { rx_ns: NOW_NS, tx_ns: NOW_NS + 9000, mono_ns, noise };
            black_box(ntp::answer(
                black_box(&packet),
                HEADER_BYTES,
                &source,
                &own,
                moment,
                &snapshot,
                policy,
                &mut memory,
                &mut reply,
            ));
        }
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / PACKETS as f64);
    }
    let more_ns = if plain_ns > 0.0 { best_ns - plain_ns } else { 0.0 };
    println!("{best_ns:7.1} ns  {more_ns:+7.1}  {what}");
    best_ns
}
