//! Sequences of NTP packets against a clock and a policy.
#![no_main]

#[path = "../harness/input.rs"]
mod input;
#[path = "../harness/ntp.rs"]
mod ntp;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ntp::run(data);
});
