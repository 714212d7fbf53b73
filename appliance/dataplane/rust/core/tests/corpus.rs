//! Every input that fuzzing kept, replayed: what once was reached stays reached, with every check of the fuzz targets.

#[path = "../fuzz/harness/dns.rs"]
mod dns;
#[path = "../fuzz/harness/input.rs"]
mod input;
#[path = "../fuzz/harness/ntp.rs"]
mod ntp;

use std::fs;
use std::path::Path;

/// How many packets all inputs of a target hold.
fn replay(target: &str, run: impl Fn(&[u8]) -> usize) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut packets = 0;
    for entry in entries {
        packets += run(&fs::read(entry.expect("a folder's entry").path()).expect("a readable file"));
    }
    packets
}

#[test]
fn every_kept_sequence_of_ntp_packets_holds() {
    assert!(replay("ntp", ntp::run) > 1000);
}

#[test]
fn every_kept_sequence_of_dns_queries_holds() {
    assert!(replay("dns", dns::run) > 400);
}
