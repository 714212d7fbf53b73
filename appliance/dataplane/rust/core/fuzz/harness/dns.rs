//! DNS: what must hold for every sequence of queries, whatever the snapshot says.

use std::net::IpAddr;

use timeball_core::dns::{self, Arrival, UDP_LIMIT, UDP_LIMIT_PLAIN};
use timeball_core::dns_limited::{LIMITED, LIMITED_BADCOOKIE, LIMITED_TRUNCATED};
use timeball_core::dns_query::parse_query;
use timeball_core::dns_rate::{Level, Limiter, RateLimit};
use timeball_core::dns_snapshot::{ByName, Denial, HandUp, MAX_REPLY_BYTES, Node, Rotation, Section, Snapshot, Table};

use crate::input::Input;

const NOW_NS: i64 = 1_800_000_000_000_000_000;
/// Opcodes that may be handed up.
const NOTIFY: u8 = 4;
const UPDATE: u8 = 5;
const MOST_QUERIES: usize = 24;
const LONGEST_QUERY: usize = 4096;
const LABELS: [&[u8]; 6] = [b"0", b"a", b"pool", &[b'x'; 63], b"\x00\xff", b"-"];
const SIZES: [usize; 9] = [0, 1, 17, 200, 460, 480, 1150, 1190, 1300];
const TYPES: [u16; 8] = [1, 28, 2, 6, 16, 255, 666, 5];
const STRIDES: [usize; 4] = [1, 16, 28, 150];

/// Run one input to its end; how many queries it held.
///
/// # Panics
/// When something does not hold that must.
pub fn run(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let Ok(snapshot) = snapshot(&mut input).checked() else { return 0 };
    let names: Vec<_> = sorted(&snapshot);
    let marks = snapshot.marks();
    let (mut now_ns, mut queries) = (NOW_NS, 0);
    let mut room = [0; MAX_REPLY_BYTES];
    // A limiter is large: not every input needs a new one.
    let memory = (snapshot.draw_secret[15] & 3 == 3).then(|| Limiter::new([5; 16]));
    let handing = Snapshot {
        hand_up: HandUp { names: [snapshot.zone.clone()].into(), opcodes: 1 << NOTIFY | 1 << UPDATE, signed: true },
        ..snapshot.clone()
    };
    while !input.is_empty() && queries < MOST_QUERIES {
        queries += 1;
        now_ns += i64::from(input.u16()) * 1_000_000;
        let source = source(&mut input);
        let query = query(&mut input, &names);
        let arrival = Arrival { source, now_ns, mono_ns: now_ns, sequence: queries as u64 };
        let answer = dns::answer(&query, arrival, &snapshot, None, &mut room);
        check(&query, &answer, &room, marks);
        // The same question at the same moment has the same answer.
        let mut again = [0; MAX_REPLY_BYTES];
        assert_eq!(dns::answer(&query, arrival, &snapshot, None, &mut again), answer);
        assert_eq!(again[..answer.length], room[..answer.length]);
        let handed = dns::answer(&query, arrival, &handing, None, &mut again);
        if handed.outcome == dns::HANDED_UP {
            assert!(handed.length == 0 && handed.mark.is_none(), "handed up and answered");
            let refused = dns::refuse(&query, arrival, &handing, &mut again);
            assert!(refused.length >= 12 && refused.length <= UDP_LIMIT.max(query.len()));
        } else if query.get(2).is_none_or(|flags| flags >> 3 & 15 != UPDATE) {
            assert_eq!(handed, answer, "another answer because of what is handed up");
        }
        if memory.is_some() {
            let over = dns::answer(&query, arrival, &snapshot, memory.as_ref(), &mut again);
            check_limited(&query, &over, &answer, again[..over.length] == room[..answer.length]);
        }
    }
    queries
}

fn name(input: &mut Input<'_>, below: &[u8]) -> Box<[u8]> {
    let mut wire = Vec::new();
    for _ in 0..input.below(4) {
        let label = LABELS[input.below(LABELS.len())];
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.extend_from_slice(below);
    wire.into()
}

fn octets(input: &mut Input<'_>) -> Box<[u8]> {
    (0..SIZES[input.below(SIZES.len())]).map(|i| i as u8).collect()
}

fn section(input: &mut Input<'_>) -> Section {
    Section {
        answers: input.below(10) as u16,
        body: octets(input),
        additional: input.below(10) as u16,
        extra: octets(input),
    }
}

fn denial(input: &mut Input<'_>) -> Denial {
    let rcode = [0, 2, 3][input.below(3)];
    let soa = (0..input.below(5)).map(|_| octets(input)).collect();
    let told: &[u8] = if input.below(2) == 0 { b"" } else { b"\0\x16why" };
    Denial { rcode, soa, extended_error: told.into() }
}

fn rotation(input: &mut Input<'_>, tables: &mut Vec<Table>) -> Rotation {
    let (size, stride) = (input.below(8) + 1, STRIDES[input.below(STRIDES.len())]);
    let mut cuts: Vec<u32> = (0..input.below(5)).map(|_| input.u32()).collect();
    cuts.push(0);
    cuts.sort_unstable();
    let one = |n: usize| (0..size * stride).map(move |i| (7 * n + i) as u8);
    let records = (0..cuts.len()).flat_map(|n| one(n).chain(one(n))).collect();
    let mark = u32::from(input.u16());
    tables.push(Table { cuts: cuts.into(), records, size: size as u16, stride, mark });
    let (offset, turn) = (u64::from(input.u32()), i64::from(input.u8() as i8));
    Rotation { table: tables.len() - 1, offset, turn }
}

fn node(input: &mut Input<'_>, tables: &mut Vec<Table>) -> Node {
    let shape = input.u8();
    let mut node = Node::default();
    if shape & 1 == 1 {
        let qtype = TYPES[input.below(TYPES.len())];
        node.rotating = [(qtype, rotation(input, tables))].into();
    }
    if shape & 2 == 2 {
        let qtype = TYPES[input.below(TYPES.len())];
        node.fixed = [(qtype, section(input))].into();
    }
    if shape & 4 == 4 {
        let qtype = TYPES[input.below(TYPES.len())];
        node.denied = [(qtype, denial(input))].into();
    }
    if shape & 8 == 8 {
        node.alias = Some(section(input));
    }
    node
}

fn snapshot(input: &mut Input<'_>) -> Snapshot {
    let zone = name(input, b"\0");
    let (mut names, mut tables) = (ByName::default(), Vec::new());
    for _ in 0..input.below(5) {
        let owner = name(input, &zone);
        let found = node(input, &mut tables);
        if owner.len() <= 255 {
            names.insert(owner, found);
        }
    }
    let shape = input.u8();
    let mut chaos = ByName::default();
    if shape & 1 == 1 {
        let owner = name(input, b"\0");
        chaos.insert(owner, section(input));
    }
    let nsid: &[u8] = [&b""[..], b"ball-1", &[b'n'; 400]][usize::from(shape >> 1 & 3).min(2)];
    let slot_ns = [0, 1, 8_000_000_000, 0][usize::from(shape >> 3 & 3)];
    Snapshot {
        zone,
        names,
        tables: tables.into(),
        nodata: denial(input),
        nxdomain: denial(input),
        any_section: section(input),
        expire_s: if shape & 0x20 == 0 { 0 } else { 1_209_600 },
        nsid: nsid.into(),
        chaos,
        draw_secret: input.array(),
        slot_ns,
        cookie_secrets: [[9; 16], [7; 16]][..usize::from(shape >> 6 & 3).min(2)].into(),
        largest_unproven: 1232,
        hand_up: HandUp::default(),
        rate_limit: Some(rate_limit()),
    }
}

/// Names to ask for, in an order that does not depend on how a map keeps them.
fn sorted(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        snapshot.names.keys().chain(snapshot.chaos.keys()).map(|name| name.to_vec()).collect();
    names.push(snapshot.zone.to_vec());
    names.sort();
    names.dedup();
    names
}

fn source(input: &mut Input<'_>) -> IpAddr {
    match input.below(4) {
        0 => [192, 0, 2, input.u8() & 7].into(),
        1 => [0x2001, 0xDB8, 0, 0, 0, 0, 0, u16::from(input.u8() & 7)].into(),
        2 => input.array::<4>().into(),
        _ => input.array::<16>().into(),
    }
}

/// Raw bytes, or a query for a name of the snapshot with raw records behind its question.
fn query(input: &mut Input<'_>, names: &[Vec<u8>]) -> Vec<u8> {
    let shape = input.u8();
    let length = usize::from(input.u8());
    if shape & 1 == 1 {
        return input.bytes(length * 16 % (LONGEST_QUERY + 1)).to_vec();
    }
    let owner = &names[input.below(names.len())];
    let above: &[u8] = if shape & 2 == 0 { b"" } else { b"\x01z" };
    let qtype = if shape & 4 == 0 { TYPES[input.below(TYPES.len())] } else { input.u16() };
    let class = [1, 1, 3, 255][usize::from(shape >> 3 & 3)];
    let records = u16::from(shape >> 5 & 3);
    let mut query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, records as u8].to_vec();
    query.extend_from_slice(above);
    if shape & 0x80 == 0 {
        query.extend_from_slice(owner);
    } else {
        query.extend(owner.iter().map(u8::to_ascii_uppercase));
    }
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&[0, class]);
    query.extend_from_slice(input.bytes(length));
    query
}

/// One reply for an address at once, two for its network, and then one in a second.
fn rate_limit() -> RateLimit {
    let level = |octets, times: u64| {
        let interval = 62_500_000 / times;
        Level { octets, interval, tolerance: (times - 1) * interval }
    };
    let (levels4, levels6) = ([level(4, 1), level(3, 2)].into(), [level(8, 1), level(6, 2)].into());
    RateLimit { levels4, levels6, bound: 62_500_000, slip: 2, ..RateLimit::default() }
}

/// Over the limit, what is sent is no larger than the query, but for a fresh cookie.
fn check_limited(query: &[u8], limited: &dns::Answer, answer: &dns::Answer, same: bool) {
    let most = match limited.outcome {
        LIMITED => 0,
        LIMITED_TRUNCATED => query.len(),
        LIMITED_BADCOOKIE => query.len() + 16,
        _ => {
            assert!(limited == answer && same, "another answer because of the limiter");
            return;
        }
    };
    assert!(limited.length <= most, "{} bytes for {}", limited.length, query.len());
    assert!(limited.mark.is_none(), "counted what was not sent");
    assert_eq!(limited.qtype, answer.qtype);
}

fn check(query: &[u8], answer: &dns::Answer, room: &dns::Room, marks: usize) {
    assert_eq!(answer.outcome == dns::DROP, answer.length == 0, "an outcome without a reply, or the other way round");
    assert!(answer.mark.is_none_or(|mark| (mark as usize) < marks), "a mark that nobody counts");
    if answer.length == 0 {
        // A reply is never answered, nor what is too short to be a message; everything else is.
        assert!(query.len() < 12 || query[2] & 0x80 != 0);
        return;
    }
    let reply = &room[..answer.length];
    assert!(reply.len() >= 12 && reply.len() <= UDP_LIMIT.max(query.len()));
    assert_eq!(reply[..2], query[..2], "another ID");
    assert_eq!((reply[2] & 0xF8, reply[3] & 0xF0), (0x80 | query[2] & 0x78, 0), "flags");
    let Ok(asked) = parse_query(query) else {
        assert!(matches!(answer.outcome, 1 | 4) && reply.len() == 12);
        return;
    };
    let limit = asked.edns.map_or(UDP_LIMIT_PLAIN, |edns| usize::from(edns.udp_size).clamp(UDP_LIMIT_PLAIN, UDP_LIMIT));
    assert!(reply.len() <= limit, "{} bytes where {limit} are allowed", reply.len());
    if reply[2] & 2 != 0 {
        assert_eq!(reply[6..10], [0; 4], "half an answer");
        assert!(answer.mark.is_none(), "counted what was not sent");
    }
    if reply.len() > 12 && !asked.name.is_empty() {
        assert_eq!(reply[12..asked.question_end], query[12..asked.question_end], "another question");
    }
    if asked.edns.is_none() {
        assert!(answer.outcome < 16);
    }
}
