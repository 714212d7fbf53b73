//! `SipHash` (Aumasson and Bernstein, 2012): a keyed hash that nobody without the key can predict or steer.
//!
//! `SipHash`-2-4 makes DNS cookies (RFC 9018 section 4.4); `SipHash`-1-3 draws the answers.

/// The hash of `data` under `key`, with `C` rounds for each word and `D` at the end.
#[must_use]
pub fn siphash<const C: usize, const D: usize>(key: &[u8; 16], data: &[u8]) -> u64 {
    let (low, high) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        low ^ 0x736F_6D65_7073_6575,
        high ^ 0x646F_7261_6E64_6F6D,
        low ^ 0x6C79_6765_6E65_7261,
        high ^ 0x7465_6462_7974_6573,
    ];
    let mut add = |m: u64| {
        v[3] ^= m;
        rounds::<C>(&mut v);
        v[0] ^= m;
    };
    let words = data.chunks_exact(8);
    let rest = words.remainder();
    for chunk in words {
        add(word(chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = data.len() as u8;
    add(word(&last));
    v[2] ^= 0xFF;
    rounds::<D>(&mut v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
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
    use super::siphash;

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
}
