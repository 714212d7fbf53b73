//! Sequences of DNS queries against a snapshot.
#![no_main]

#[path = "../harness/dns.rs"]
mod dns;
#[path = "../harness/input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dns::run(data);
});
