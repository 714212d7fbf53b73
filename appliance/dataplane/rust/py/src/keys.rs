//! The ciphers behind `timeball_core::ntp_keys`: AES-CMAC and hashes, everything that depends on a key alone done beforehand.

use std::fmt;
use std::time::Instant;

use aes::{Aes128, Aes256};
use cmac::{Cmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use timeball_core::ntp::Source;
use timeball_core::ntp_keys::{Fault, KEY_ID_BYTES, Key, Keys, MAX_DIGEST_V4, MAX_MAC_BYTES};

/// The longest digest.
const MAX_DIGEST: usize = MAX_MAC_BYTES - KEY_ID_BYTES;

/// A cipher that has taken the key in: a copy of it takes a message.
enum Cipher {
    Aes128(Box<Cmac<Aes128>>),
    Aes256(Box<Cmac<Aes256>>),
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Cipher {
    /// By the name that chrony's keys file has for it; None when there is none, or the key has a wrong length.
    fn new(kind: &str, secret: &[u8]) -> Option<Self> {
        Some(match kind {
            "AES128" => Self::Aes128(Box::new(Cmac::new_from_slice(secret).ok()?)),
            "AES256" => Self::Aes256(Box::new(Cmac::new_from_slice(secret).ok()?)),
            "MD5" => Self::Md5(Md5::new_with_prefix(secret)),
            "SHA1" => Self::Sha1(Sha1::new_with_prefix(secret)),
            "SHA256" => Self::Sha256(Sha256::new_with_prefix(secret)),
            "SHA384" => Self::Sha384(Sha384::new_with_prefix(secret)),
            "SHA512" => Self::Sha512(Sha512::new_with_prefix(secret)),
            _ => return None,
        })
    }

    /// Write the digest of `message`; its length.
    fn digest(&self, message: &[u8], into: &mut [u8; MAX_DIGEST]) -> usize {
        fn put(digest: &[u8], into: &mut [u8; MAX_DIGEST]) -> usize {
            into[..digest.len()].copy_from_slice(digest);
            digest.len()
        }
        fn cmac<M: Mac + Clone>(keyed: &M, message: &[u8], into: &mut [u8; MAX_DIGEST]) -> usize {
            put(&keyed.clone().chain_update(message).finalize().into_bytes(), into)
        }
        fn hash<D: Digest + Clone>(begun: &D, message: &[u8], into: &mut [u8; MAX_DIGEST]) -> usize {
            put(&begun.clone().chain_update(message).finalize(), into)
        }
        match self {
            Self::Aes128(keyed) => cmac(keyed.as_ref(), message, into),
            Self::Aes256(keyed) => cmac(keyed.as_ref(), message, into),
            Self::Md5(begun) => hash(begun, message, into),
            Self::Sha1(begun) => hash(begun, message, into),
            Self::Sha256(begun) => hash(begun, message, into),
            Self::Sha384(begun) => hash(begun, message, into),
            Self::Sha512(begun) => hash(begun, message, into),
        }
    }

    /// The digest as it stands behind a packet of this version: cut to what fits in version 4.
    fn on_wire(&self, message: &[u8], version: u8, into: &mut [u8; MAX_DIGEST]) -> usize {
        let size = self.digest(message, into);
        if version >= 4 { size.min(MAX_DIGEST_V4) } else { size }
    }

    /// How long checking a request and signing its reply take: the best of some.
    fn measured_ns(&self) -> i64 {
        let mut best = i64::MAX;
        for _ in 0..32 {
            let (message, mut digest) = (std::hint::black_box([0; 48]), [0; MAX_DIGEST]);
            let began = Instant::now();
            for _ in 0..2 {
                self.digest(&message, &mut digest);
                std::hint::black_box(&mut digest);
            }
            best = best.min(began.elapsed().as_nanos() as i64);
        }
        best
    }
}

/// Whose a key is: IPv6?, network, bits of the address behind it.
type Network = (bool, u128, u32);

struct Prepared {
    id: u32,
    cipher: Cipher,
    networks: Vec<Network>,
    delay_ns: i64,
}

/// The keys of a service in the order of their ids.
pub struct KeyRing {
    keys: Vec<Prepared>,
}

impl fmt::Debug for KeyRing {
    /// How many, and nothing of what is in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.keys.len())
    }
}

/// id, type, key, (IPv6?, network address, prefix length) of those whom it is for
pub type KeyTuple = (u32, String, Vec<u8>, Vec<(bool, u128, u32)>);

impl KeyRing {
    /// Make the schedules; of equal ids the last one counts. `delay_ns` is measured unless given.
    pub fn new(keys: Vec<KeyTuple>, delay_ns: Option<i64>) -> Result<Self, String> {
        let mut ring = Self { keys: Vec::with_capacity(keys.len()) };
        for (id, kind, secret, networks) in keys {
            let Some(cipher) = Cipher::new(&kind, &secret) else {
                return Err(format!("key {id} is no key of type {kind}"));
            };
            let networks = networks.into_iter().map(|(six, network, length)| {
                let shift = (if six { 128u32 } else { 32 }).saturating_sub(length);
                (six, network.checked_shr(shift).unwrap_or(0), shift)
            });
            let delay_ns = delay_ns.unwrap_or_else(|| cipher.measured_ns());
            let prepared = Prepared { id, cipher, networks: networks.collect(), delay_ns };
            match ring.find(id) {
                Ok(at) => ring.keys[at] = prepared,
                Err(at) => ring.keys.insert(at, prepared),
            }
        }
        Ok(ring)
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        self.keys.binary_search_by_key(&id, |key| key.id)
    }
}

impl Keys for KeyRing {
    fn check(&self, signed: &[u8], mac: &[u8], version: u8, source: &Source) -> Result<Key, Fault> {
        let (id, digest) = mac.split_first_chunk::<KEY_ID_BYTES>().ok_or(Fault::UnknownKey)?;
        let place = self.find(u32::from_be_bytes(*id)).map_err(|_| Fault::UnknownKey)?;
        let key = &self.keys[place];
        let ours = |&(six, network, shift): &Network| {
            six == source.six && source.address.checked_shr(shift).unwrap_or(0) == network
        };
        if !key.networks.is_empty() && !key.networks.iter().any(ours) {
            return Err(Fault::WrongSource);
        }
        let mut expected = [0; MAX_DIGEST];
        let size = key.cipher.on_wire(signed, version, &mut expected);
        // of slices with different lengths it says at once that they differ
        if bool::from(expected[..size].ct_eq(digest)) {
            Ok(Key { place, delay_ns: key.delay_ns })
        } else {
            Err(Fault::WrongMac)
        }
    }

    fn sign(&self, key: Key, signed: &[u8], version: u8, mac: &mut [u8; MAX_MAC_BYTES]) -> usize {
        let key = &self.keys[key.place];
        let (id, rest) = mac.split_at_mut(KEY_ID_BYTES);
        id.copy_from_slice(&key.id.to_be_bytes());
        let Some(digest) = rest.first_chunk_mut::<MAX_DIGEST>() else {
            return 0;
        };
        KEY_ID_BYTES + key.cipher.on_wire(signed, version, digest)
    }
}
