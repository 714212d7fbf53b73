//! Requests as bytes, and whether a reply is the one that was asked for. No socket, no clock.

use crate::options::Asked;

/// The longest request.
pub const REQUEST_BYTES: usize = 300;
const HEADER_BYTES: usize = 12;
const NTP_BYTES: usize = 48;

/// Makes requests and judges replies.
#[derive(Debug)]
pub struct Wire {
    /// One request for each name; NTP has one.
    templates: Vec<Vec<u8>>,
    /// 0 for NTP.
    qtype: u16,
    same_bits: u32,
    /// Bytes of a query before its OPT record.
    question_ends: Vec<usize>,
}

impl Wire {
    /// Lay out the requests; the error is a sentence for a person.
    pub fn new(asked: &Asked) -> Result<Self, String> {
        let mut wire = Self { templates: Vec::new(), qtype: 0, same_bits: 0, question_ends: Vec::new() };
        match asked {
            Asked::Ntp => {
                let mut request = vec![0; NTP_BYTES];
                request[0] = 0x23; // version 4, client
                wire.templates.push(request);
            }
            Asked::Dns { names, qtype, edns, same_bits } => {
                wire.qtype = *qtype;
                wire.same_bits = *same_bits;
                for name in names {
                    let mut query = vec![0; HEADER_BYTES];
                    query[5] = 1;
                    query.extend(name_on_the_wire(name)?);
                    query.extend(qtype.to_be_bytes());
                    query.extend([0, 1]);
                    wire.question_ends.push(query.len());
                    if *edns {
                        query[11] = 1;
                        query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
                    }
                    wire.templates.push(query);
                }
            }
        }
        Ok(wire)
    }

    /// Write request `number` of a socket; its length.
    pub fn request(&self, number: u32, into: &mut [u8; REQUEST_BYTES]) -> usize {
        let template = &self.templates[number as usize % self.templates.len()];
        into[..template.len()].copy_from_slice(template);
        if self.qtype == 0 {
            // A random-looking transmit time that holds the number: a client need not tell its clock (RFC 9769).
            into[40..44].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
            into[44..48].copy_from_slice(&number.to_be_bytes());
        } else {
            into[..2].copy_from_slice(&(number as u16).to_be_bytes());
        }
        template.len()
    }

    /// The low 16 bits of the number of the request that a packet claims to answer.
    pub fn claims(&self, reply: &[u8]) -> Option<u16> {
        let at = if self.qtype == 0 { 30 } else { 0 };
        Some(u16::from_be_bytes(reply.get(at..at + 2)?.try_into().ok()?))
    }

    /// Whether `reply` answers request `number` as it should; for DNS, the first bits that its addresses share.
    pub fn check(&self, reply: &[u8], number: u32) -> Option<u32> {
        if self.qtype == 0 { check_ntp(reply, number) } else { self.check_dns(reply, number) }
    }

    fn check_dns(&self, reply: &[u8], number: u32) -> Option<u32> {
        let which = number as usize % self.templates.len();
        let (query, question_end) = (&self.templates[which], self.question_ends[which]);
        let head = reply.get(..question_end)?;
        // QR, not TC, NOERROR, one question and it is ours.
        if head[2] & 0x82 != 0x80 || head[3] & 15 != 0 || head[4..6] != [0, 1] {
            return None;
        }
        if head[HEADER_BYTES..] != query[HEADER_BYTES..question_end] {
            return None;
        }
        let mut at = question_end;
        let mut group = None;
        for _ in 0..u16::from_be_bytes([head[6], head[7]]) {
            at = after_name(reply, at)?;
            let fixed = reply.get(at..at + 10)?;
            let size = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            let data = reply.get(at + 10..at + 10 + size)?;
            at += 10 + size;
            if u16::from_be_bytes([fixed[0], fixed[1]]) != self.qtype || size != if self.qtype == 1 { 4 } else { 16 } {
                continue;
            }
            let first = u32::from_be_bytes([data[0], data[1], data[2], data[3]]);
            let mine = first.checked_shr(32 - self.same_bits).unwrap_or(0);
            if *group.get_or_insert(mine) != mine {
                return None;
            }
        }
        group
    }
}

fn check_ntp(reply: &[u8], number: u32) -> Option<u32> {
    let whole = reply.len() == NTP_BYTES && reply[0] & 7 == 4 && reply[0] >> 6 != 3 && (1..16).contains(&reply[1]);
    let origin = whole.then(|| &reply[24..32])?;
    let ours = [number.wrapping_mul(0x9E37_79B1).to_be_bytes(), number.to_be_bytes()].concat();
    (origin == ours && reply[32..40] != [0; 8] && reply[40..48] != [0; 8]).then_some(0)
}

/// Where the name that begins at `at` ends.
fn after_name(reply: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *reply.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xC0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn name_on_the_wire(name: &str) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(format!("--names: {name} is not a domain name"));
        }
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    if wire.len() > 255 { Err(format!("--names: {name} is too long")) } else { Ok(wire) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(same_bits: u32) -> Wire {
        Wire::new(&Asked::Dns { names: vec!["a.example".into()], qtype: 1, edns: true, same_bits }).unwrap()
    }

    fn reply(wire: &Wire, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut request = [0; REQUEST_BYTES];
        wire.request(7, &mut request);
        let mut reply = request[..wire.question_ends[0]].to_vec();
        reply[2] |= 0x84;
        reply[7] = addresses.len() as u8;
        for address in addresses {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 150, 0, 4]);
            reply.extend(address);
        }
        reply
    }

    #[test]
    fn an_answer_from_one_snapshot_is_right_and_a_mixed_one_is_wrong() {
        let wire = dns(16);
        assert_eq!(wire.check(&reply(&wire, &[[10, 3, 0, 1], [10, 3, 9, 9]]), 7), Some(0x0a03));
        assert_eq!(wire.check(&reply(&wire, &[[10, 3, 0, 1], [10, 4, 0, 1]]), 7), None);
        assert_eq!(wire.check(&reply(&wire, &[]), 7), None);
    }

    #[test]
    fn damaged_replies_are_wrong_and_never_a_panic() {
        let wire = dns(0);
        let good = reply(&wire, &[[10, 3, 0, 1]]);
        for cut in 0..good.len() {
            assert_eq!(wire.check(&good[..cut], 7), None);
        }
        for at in 2..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = wire.check(&bad, 7);
            }
        }
    }

    #[test]
    fn an_ntp_reply_must_carry_our_transmit_time_and_a_synchronised_clock() {
        let wire = Wire::new(&Asked::Ntp).unwrap();
        let mut request = [0; REQUEST_BYTES];
        assert_eq!(wire.request(70_000, &mut request), 48);
        let mut reply = [1; 48];
        reply[0] = 0x24;
        reply[24..32].copy_from_slice(&request[40..48]);
        assert_eq!(wire.claims(&reply), Some(70_000_u32 as u16));
        assert_eq!(wire.check(&reply, 70_000), Some(0));
        assert_eq!(wire.check(&reply, 70_001), None);
        reply[1] = 0; // a kiss code
        assert_eq!(wire.check(&reply, 70_000), None);
    }
}
