//! What one packet thread remembers between packets: an argument of the decision like the packet itself.
//!
//! A memory belongs to one thread and is written by that thread alone, so that a packet never waits for a lock; only the
//! buckets of whole networks are shared. Without anything to remember the decision is the same as if every packet were the
//! first one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::interleaved::Interleaved;
use crate::ntp_keys::{Fault, MAX_MAC_BYTES};

use crate::clients::{Client, ClientTable};
use crate::limit::{NETWORK_SHIFT, RateLimit, averaged, insists, log_spacing, take};
use crate::ntp::{Moment, Source};
use crate::prefix_buckets::PrefixBuckets;

/// What a worker knows from earlier packets.
#[derive(Debug, Default)]
pub struct Memory {
    /// Who asked; None remembers nobody.
    pub clients: Option<Arc<ClientTable>>,
    /// How much whole networks asked, of all workers.
    pub networks: Option<Arc<PrefixBuckets>>,
    /// What the limiter did.
    pub limited: Arc<Limited>,
    /// When replies to clients in interleaved mode left.
    pub interleaved: Interleaved,
    /// What more there is to the last packet than its reason, its action and the header of its reply.
    pub annex: Annex,
}

/// What few packets have: a MAC behind their reply, and marks to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Annex {
    /// Why the MAC of the request was not accepted.
    pub fault: Option<Fault>,
    /// The reply tells when the one before it left.
    pub interleaved: bool,
    /// The kernel is to be asked when this reply leaves: the next one tells it.
    pub stamp: bool,
    /// How many bytes of `mac` go behind the header.
    pub mac_bytes: usize,
    /// The MAC of the reply.
    pub mac: [u8; MAX_MAC_BYTES],
}

impl Default for Annex {
    fn default() -> Self {
        Self { fault: None, interleaved: false, stamp: false, mac_bytes: 0, mac: [0; MAX_MAC_BYTES] }
    }
}

impl Annex {
    /// As before any packet.
    pub fn clear(&mut self) {
        (self.fault, self.interleaved, self.stamp, self.mac_bytes) = (None, false, false, 0);
    }

    /// The MAC, nothing when there is none.
    #[must_use]
    pub fn mac(&self) -> &[u8] {
        &self.mac[..self.mac_bytes]
    }
}

/// Packets that were over a limit, by what it was and what became of them.
#[derive(Debug, Default)]
pub struct Limited {
    /// Silenced because of their own rate.
    pub client: AtomicU64,
    /// Silenced because of their network's.
    pub network: AtomicU64,
    /// Told to slow down.
    pub kissed: AtomicU64,
    /// Answered by chance.
    pub leaked: AtomicU64,
}

/// What the memory says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Answer; no limits apply.
    Free,
    /// Answer; the limits apply, so the reply shall ask for their interval.
    Within,
    /// Say nothing.
    Silent,
    /// Tell it to slow down.
    Kiss,
}

/// A client as one number, never 0: an IPv4 address or the first 64 bits of an IPv6 address.
///
/// A household or a machine has an IPv6 /64 for itself and changes the address inside it at will, so the /64 is the
/// client. Nobody asks from a multicast address, so there is room in `ff00::/8` for IPv4 and for `::/64`.
#[must_use]
pub fn client_key(source: &Source) -> u64 {
    match (source.six, (source.address >> 64) as u64) {
        (false, _) => 0xFF04 << 48 | source.address as u64,
        (true, 0) => 0xFF06 << 48,
        (true, network) => network,
    }
}

/// The /24 or /48 that a client is in, as one number.
#[must_use]
pub fn network_of(key: u64) -> u64 {
    if key >> 48 == 0xFF04 { key >> 8 } else { key >> 16 }
}

/// Version, mode, and whether the source port is 123 (1), another one below 1024 (2) or above (0).
fn look(first: u8, port: u16) -> u8 {
    let kind = if port == 123 { 1 } else { u8::from(port < 1024) * 2 };
    kind << 6 | first & 0x3F
}

impl Memory {
    /// Remember a request that policy lets in, and say whether it is within the limits.
    #[must_use]
    pub fn admit(&mut self, first: u8, source: &Source, moment: Moment, limit: Option<&RateLimit>) -> Admission {
        let limit = limit.filter(|limit| !limit.exempts(source));
        let key = client_key(source);
        let now_ns = moment.mono_ns.max(0) as u64;
        let Some(clients) = &self.clients else {
            return limit.map_or(Admission::Free, |limit| self.network(limit, key, now_ns, moment.noise));
        };
        let (place, mut client) = clients.find(key, now_ns);
        if client.packets > 0 {
            let spacing = log_spacing(now_ns.saturating_sub(client.last_ns));
            let average = if client.silent { &mut client.unanswered } else { &mut client.answered };
            *average = averaged(*average, spacing);
        }
        let admission = limit.map_or(Admission::Free, |limit| {
            if self.client(limit, &mut client, source.six, now_ns, moment.noise) {
                self.network(limit, key, now_ns, moment.noise)
            } else {
                self.refused(limit, &self.limited.client, moment.noise)
            }
        });
        client.last_ns = now_ns;
        client.look = look(first, source.port);
        client.packets += 1;
        client.silent = matches!(admission, Admission::Silent | Admission::Kiss);
        match admission {
            Admission::Free | Admission::Within => client.replies += 1,
            Admission::Silent => client.dropped += 1,
            Admission::Kiss => client.kisses += 1,
        }
        clients.keep(place, &client);
        admission
    }

    /// Whether the client's own bucket, or chance, lets it through.
    fn client(&self, limit: &RateLimit, client: &mut Client, six: bool, now_ns: u64, noise: u64) -> bool {
        let cost_ns = if six { limit.cost_ns >> NETWORK_SHIFT } else { limit.cost_ns };
        let (allowed, full_at_ns) = take(client.full_at_ns, now_ns, cost_ns, limit.cap_ns);
        client.full_at_ns = full_at_ns;
        if allowed {
            return true;
        }
        if limit.leaks(noise >> 60, insists(client.answered, client.unanswered)) {
            client.full_at_ns = now_ns + limit.cap_ns;
            count(&self.limited.leaked);
            return true;
        }
        false
    }

    /// Whether the bucket of its network, or chance, lets a client through.
    fn network(&self, limit: &RateLimit, key: u64, now_ns: u64, noise: u64) -> Admission {
        let Some(networks) = &self.networks else { return Admission::Within };
        if networks.take(network_of(key), now_ns, limit.prefix_cost_ns, limit.prefix_cap_ns) {
            return Admission::Within;
        }
        if limit.leaks(noise >> 56, false) {
            count(&self.limited.leaked);
            return Admission::Within;
        }
        self.refused(limit, &self.limited.network, noise)
    }

    fn refused(&self, limit: &RateLimit, why: &AtomicU64, noise: u64) -> Admission {
        if limit.kisses(noise >> 52) {
            count(&self.limited.kissed);
            return Admission::Kiss;
        }
        count(why);
        Admission::Silent
    }
}

/// Only the worker writes: a load and a store cost less than an atomic addition.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_families_share_a_key_and_none_is_zero() {
        let key = |six, address| client_key(&Source { six, address, port: 1 });
        assert_eq!(key(false, 0x0a00_0001), 0xFF04_0000_0A00_0001);
        assert_eq!(key(true, 1), 0xFF06_0000_0000_0000);
        assert_eq!(key(true, 0x2001_0db8 << 96 | 0x4d), 0x2001_0db8_0000_0000);
        assert_eq!(key(true, 0x2001_0db8 << 96 | 0x4e), 0x2001_0db8_0000_0000);
        assert_eq!(network_of(key(false, 0x0a00_0001)), network_of(key(false, 0x0a00_00fe)));
        assert_ne!(network_of(key(false, 0x0a00_0001)), network_of(key(false, 0x0a00_0101)));
    }
}
