//! Which of a name's sets a client is given: `dns_decide.draw` and `dns_decide.pick` in Rust.

use std::net::IpAddr;

use crate::dns_snapshot::{Rotation, Snapshot};
use crate::siphash::siphash;

/// 64 bits for the client address `source` in time slot `slot`: the low half is u, the high half r.
pub(crate) fn draw(secret: &[u8; 16], source: IpAddr, slot: u64) -> u64 {
    let mut data = [0; 24];
    let size = put_address(&mut data, source);
    data[size..size + 8].copy_from_slice(&slot.to_be_bytes());
    siphash::<1, 3>(secret, &data[..size + 8])
}

/// Write the octets of `address` to the begin of `to`; how many they are.
pub(crate) fn put_address(to: &mut [u8], address: IpAddr) -> usize {
    match address {
        IpAddr::V4(v4) => {
            to[..4].copy_from_slice(&v4.octets());
            4
        }
        IpAddr::V6(v6) => {
            to[..16].copy_from_slice(&v6.octets());
            16
        }
    }
}

/// The records that a draw selects, and the mark to count them by.
pub(crate) fn pick<'a>(snapshot: &'a Snapshot, rotation: &Rotation, drawn: u64) -> (&'a [u8], u32, u16) {
    let table = &snapshot.tables[rotation.table];
    let position = (drawn & 0xFFFF_FFFF) + rotation.offset;
    let at = position as u32;
    let index = table.cuts.partition_point(|&cut| cut <= at) - 1;
    let size = u64::from(table.size);
    let turned = (((drawn >> 32) * size) >> 32) as i64 + (position >> 32) as i64 - rotation.turn;
    let first = turned.rem_euclid(size as i64) as usize;
    let bytes = usize::from(table.size) * table.stride;
    let begin = 2 * index * bytes + first * table.stride;
    (&table.records[begin..begin + bytes], table.mark + 8 * index as u32 + first as u32, table.size)
}
