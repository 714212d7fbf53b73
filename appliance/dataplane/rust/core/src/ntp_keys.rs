//! Symmetric keys as a decision sees them; who implements the ciphers is not the decision's business (`ntp_keys.py`).

use std::fmt::Debug;

use crate::ntp::Source;

/// Length of the key id in front of a digest.
pub const KEY_ID_BYTES: usize = 4;
/// Of a digest in version 4: 24 bytes of MAC without the key id (RFC 7822 section 3).
pub const MAX_DIGEST_V4: usize = 20;
/// The shortest MAC.
pub const MIN_MAC_BYTES: usize = KEY_ID_BYTES + 16;
/// The longest MAC.
pub const MAX_MAC_BYTES: usize = KEY_ID_BYTES + 64;

/// Why a MAC is not accepted; the numbers are those of `ntp_keys.Fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// No such key.
    UnknownKey = 1,
    /// The key is not for this address.
    WrongSource = 2,
    /// Not the digest of this message.
    WrongMac = 3,
}

/// A key that a request was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its place in the ring.
    pub place: usize,
    /// How long checking a request and signing its reply take.
    pub delay_ns: i64,
}

/// The keys of a service, ready for use: nothing is allocated for a packet.
pub trait Keys: Send + Sync + Debug {
    /// The key that authenticates `signed` by the `mac` (key id and digest, at least `MIN_MAC_BYTES`) behind it.
    ///
    /// # Errors
    ///
    /// Why none does.
    fn check(&self, signed: &[u8], mac: &[u8], version: u8, source: &Source) -> Result<Key, Fault>;

    /// Write the MAC of `signed` into `mac`; how many bytes it has.
    fn sign(&self, key: Key, signed: &[u8], version: u8, mac: &mut [u8; MAX_MAC_BYTES]) -> usize;
}

/// No keys at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn check(&self, _: &[u8], _: &[u8], _: u8, _: &Source) -> Result<Key, Fault> {
        Err(Fault::UnknownKey)
    }

    fn sign(&self, _: Key, _: &[u8], _: u8, _: &mut [u8; MAX_MAC_BYTES]) -> usize {
        0
    }
}
