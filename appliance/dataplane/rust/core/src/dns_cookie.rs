//! DNS cookies (RFC 7873, RFC 9018): made, and found good or not.

use crate::dns::Arrival;
use crate::dns_draw::put_address;
use crate::siphash::siphash;
use std::net::IpAddr;

/// RFC 9018 section 4.3: how far a cookie may lie in the future, and from what age on a new one is made.
const COOKIE_AHEAD_S: i32 = 300;
const COOKIE_RENEW_S: i32 = 1800;
/// A client's 8 octets and our 16.
pub(crate) const COOKIE_BYTES: usize = 24;

/// The 24 octets to answer with: the client's own when they are good and young, else fresh ones.
pub(crate) fn answer_cookie(cookie: &[u8], arrival: Arrival, secrets: &[[u8; 16]]) -> [u8; COOKIE_BYTES] {
    let now_s = arrival.now_ns.div_euclid(1_000_000_000) as u32;
    if let Ok(whole) = <[u8; COOKIE_BYTES]>::try_from(cookie)
        && whole[8] == 1
    {
        let made_s = u32::from_be_bytes([whole[12], whole[13], whole[14], whole[15]]);
        let age_s = now_s.wrapping_sub(made_s) as i32; // serial number arithmetic, RFC 1982
        // One that is still good but older gets a fresh one, as one that is too old does.
        if (-COOKIE_AHEAD_S..=COOKIE_RENEW_S).contains(&age_s)
            && secrets.iter().any(|secret| whole[16..] == cookie_hash(&whole[..16], arrival.source, secret))
        {
            return whole;
        }
    }
    let mut fresh = [0; COOKIE_BYTES];
    fresh[..8].copy_from_slice(&cookie[..8]);
    fresh[8] = 1;
    fresh[12..16].copy_from_slice(&now_s.to_be_bytes());
    let hash = cookie_hash(&fresh[..16], arrival.source, &secrets[0]);
    fresh[16..].copy_from_slice(&hash);
    fresh
}

fn cookie_hash(head: &[u8], source: IpAddr, secret: &[u8; 16]) -> [u8; 8] {
    let mut data = [0; 32];
    data[..16].copy_from_slice(head);
    let size = 16 + put_address(&mut data[16..], source);
    siphash::<2, 4>(secret, &data[..size]).to_le_bytes()
}
