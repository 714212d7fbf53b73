//! What one packet thread remembers between packets: an argument of the decision like the packet itself.
//!
//! A memory belongs to one thread and is written by that thread alone, so that a packet never waits for a lock. Without
//! anything to remember the decision is the same as if every packet were the first one.

use crate::ntp::Source;

/// What a worker knows from earlier packets; empty when it is made.
#[derive(Debug, Default)]
pub struct Memory {}

/// A client as one number, never 0: an IPv4 address behind ff.ff, or the first 64 bits of an IPv6 address.
///
/// A household or a machine has an IPv6 /64 for itself and changes the address inside it at will, so the /64 is the
/// client. No host has an address in ::/16 but ::1, whose /64 would be 0: it gets 1.
#[must_use]
pub fn client_key(source: &Source) -> u64 {
    if source.six { ((source.address >> 64) as u64).max(1) } else { 0xFFFF_0000_0000 | source.address as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_families_share_a_key_and_none_is_zero() {
        let key = |six, address| client_key(&Source { six, address, port: 1 });
        assert_eq!(key(false, 0x0a00_0001), 0xFFFF_0A00_0001);
        assert_eq!(key(true, 1), 1);
        assert_eq!(key(true, 0x2001_0db8 << 96 | 77), 0x2001_0db8_0000_0000);
        assert_eq!(key(true, 0x2001_0db8 << 96 | 78), 0x2001_0db8_0000_0000);
    }
}
