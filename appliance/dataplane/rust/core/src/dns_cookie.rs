//! DNS cookies (RFC 7873, RFC 9018): made, and found good or not.

use crate::dns::Arrival;
use crate::dns_draw::put_address;
use crate::siphash::siphash;
use std::net::IpAddr;

/// RFC 9018 section 4.3: how far a cookie may lie in the past and in the future, and from what age on a new one is made.
const COOKIE_LIFE_S: i32 = 3600;
const COOKIE_AHEAD_S: i32 = 300;
const COOKIE_RENEW_S: i32 = 1800;
/// A client's 8 octets and our 16.
pub(crate) const COOKIE_BYTES: usize = 24;

/// The 24 octets to answer with: the client's own when they are good and young, else fresh ones.
pub(crate) fn answer_cookie(cookie: &[u8], arrival: Arrival, secrets: &[[u8; 16]]) -> [u8; COOKIE_BYTES] {
    if let Ok(whole) = <[u8; COOKIE_BYTES]>::try_from(cookie)
        && cookie_age_s(cookie, arrival, secrets).is_some_and(|age_s| age_s <= COOKIE_RENEW_S)
    {
        return whole;
    }
    make_cookie(cookie, arrival, &secrets[0])
}

/// A version 1 cookie for the client's first 8 octets and its address (RFC 9018 section 4).
pub(crate) fn make_cookie(client: &[u8], arrival: Arrival, secret: &[u8; 16]) -> [u8; COOKIE_BYTES] {
    let mut fresh = [0; COOKIE_BYTES];
    fresh[..8].copy_from_slice(&client[..8]);
    fresh[8] = 1;
    fresh[12..16].copy_from_slice(&now_s(arrival).to_be_bytes());
    let hash = cookie_hash(&fresh[..16], arrival.source, secret);
    fresh[16..].copy_from_slice(&hash);
    fresh
}

/// Age of a cookie that one of `secrets` made for this client; None when it is not ours or not of this time.
pub(crate) fn cookie_age_s(cookie: &[u8], arrival: Arrival, secrets: &[[u8; 16]]) -> Option<i32> {
    let whole = <[u8; COOKIE_BYTES]>::try_from(cookie).ok().filter(|whole| whole[8] == 1)?;
    let made_s = u32::from_be_bytes([whole[12], whole[13], whole[14], whole[15]]);
    let age_s = now_s(arrival).wrapping_sub(made_s) as i32; // serial number arithmetic, RFC 1982
    let ours = |secret| whole[16..] == cookie_hash(&whole[..16], arrival.source, secret);
    ((-COOKIE_AHEAD_S..=COOKIE_LIFE_S).contains(&age_s) && secrets.iter().any(ours)).then_some(age_s)
}

fn now_s(arrival: Arrival) -> u32 {
    arrival.now_ns.div_euclid(1_000_000_000) as u32
}

fn cookie_hash(head: &[u8], source: IpAddr, secret: &[u8; 16]) -> [u8; 8] {
    let mut data = [0; 32];
    data[..16].copy_from_slice(head);
    let size = 16 + put_address(&mut data[16..], source);
    siphash::<2, 4>(secret, &data[..size]).to_le_bytes()
}
