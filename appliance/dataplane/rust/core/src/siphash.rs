//! `SipHash` (Aumasson and Bernstein, 2012): a keyed hash that nobody without the key can predict or steer.
//!
//! `SipHash`-2-4 makes DNS cookies (RFC 9018 section 4.4); `SipHash`-1-3 draws the answers.

/// The hash of `data` under `key`, with `C` rounds for each word and `D` at the end.
#[must_use]
pub fn siphash<const C: usize, const D: usize>(key: &[u8; 16], data: &[u8]) -> u64 {
    let mut state = State::new(key);
    let (words, rest) = data.as_chunks::<8>();
    for chunk in words {
        state.add::<C>(u64::from_le_bytes(*chunk));
    }
    state.add::<C>(word(rest) | (data.len() as u64) << 56);
    state.end::<D>()
}

/// The same for the first `size` octets (at most 8) of a number in little-endian order.
#[must_use]
pub fn siphash_short<const C: usize, const D: usize>(key: &[u8; 16], number: u64, size: usize) -> u64 {
    let mut state = State::new(key);
    if size < 8 {
        state.add::<C>(number & !(u64::MAX << (8 * size)) | (size as u64) << 56);
    } else {
        state.add::<C>(number);
        state.add::<C>(8 << 56);
    }
    state.end::<D>()
}

struct State([u64; 4]);

impl State {
    fn new(key: &[u8; 16]) -> Self {
        let (low, high) = (word(&key[..8]), word(&key[8..]));
        Self([
            low ^ 0x736F_6D65_7073_6575,
            high ^ 0x646F_7261_6E64_6F6D,
            low ^ 0x6C79_6765_6E65_7261,
            high ^ 0x7465_6462_7974_6573,
        ])
    }

    fn add<const C: usize>(&mut self, m: u64) {
        self.0[3] ^= m;
        rounds::<C>(&mut self.0);
        self.0[0] ^= m;
    }

    fn end<const D: usize>(mut self) -> u64 {
        self.0[2] ^= 0xFF;
        rounds::<D>(&mut self.0);
        self.0.into_iter().fold(0, |all, one| all ^ one)
    }
}

/// Up to 8 bytes as a little-endian number.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn rounds<const N: usize>(v: &mut [u64; 4]) {
    for _ in 0..N {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::{siphash, siphash_short};

    fn key() -> [u8; 16] {
        std::array::from_fn(|i| i as u8)
    }

    #[test]
    fn the_example_of_the_paper() {
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(siphash::<2, 4>(&key(), &data), 0xA129_CA61_49BE_45E5);
    }

    #[test]
    fn the_first_vectors_of_its_authors() {
        let expected = [0x726F_DB47_DD0E_0E31, 0x74F8_39C5_93DC_67FD, 0x0D6C_8009_D9A9_4F5A_u64];
        for (size, hash) in expected.into_iter().enumerate() {
            let data: Vec<u8> = (0..size as u8).collect();
            assert_eq!(siphash::<2, 4>(&key(), &data), hash);
        }
    }

    #[test]
    fn a_short_number_hashes_as_its_octets() {
        let octets = [1, 2, 3, 4, 5, 6, 7, 250];
        let number = u64::from_le_bytes(octets);
        for size in 0..=8 {
            assert_eq!(siphash_short::<1, 3>(&key(), number, size), siphash::<1, 3>(&key(), &octets[..size]));
        }
    }
}
