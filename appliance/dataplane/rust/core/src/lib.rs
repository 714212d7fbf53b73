//! What to do with one packet: bytes, times, source and a snapshot in, a reply or a reason out.
//!
//! No clock, no socket, no allocation for a packet, no unsafe code. The Python plane (`ntp_decide.py`, `dns_decide.py`) is
//! the law; tests compare the two byte by byte.

pub mod clients;
pub mod dns;
mod dns_cookie;
mod dns_draw;
pub mod dns_limited;
mod dns_numbers;
mod dns_opt;
pub mod dns_query;
pub mod dns_rate;
mod dns_reply;
pub mod dns_snapshot;
pub mod gathering;
pub mod interleaved;
pub mod limit;
pub mod memory;
pub mod ntp;
mod ntp_clock;
pub mod ntp_keys;
mod ntp_outcome;
mod ntp_policy;
#[cfg(test)]
mod ntp_tests;
pub mod prefix;
pub mod prefix_buckets;
pub mod sampling;
pub mod siphash;
