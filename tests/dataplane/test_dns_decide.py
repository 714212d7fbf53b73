"""The decision about one query: both ways through it, cookies, and what dnspython thinks of every reply."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import dns.edns
import dns.message
import dns.query
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.dataplane import dns_decide
from appliance.dataplane.dns_decide import decide, draw, examine, pick
from appliance.dataplane.dns_edns import cookie_age_s, make_cookie
from appliance.dataplane.dns_reply import Arrival
from appliance.dataplane.dns_snapshot import ONE, Rotation, soa_pieces
from appliance.wire.dns import encode_name, name_text
from tests.dataplane.dns_stub import COOKIE_SECRET, NOW_NS, OnPaper, edns, option, plain_stub, query, stub
from tests.support.mutation import mutated

NAMES = ("@", "0", "1", "2", "3", "ns1", "x", "b", "a.b", "big", "www", "huge", "exact", "example.net.")
TYPES = ("A", "AAAA", "SOA", "NS", "TXT", "MX", "ANY", "CAA", "DS", "CNAME", "TYPE65", "TYPE97")
NOW_S = NOW_NS // 10**9


def shuffled_case(text: str, rng: random.Random) -> str:
    return "".join(rng.choice((c.upper(), c.lower())) for c in text)


@given(
    st.sampled_from(NAMES), st.sampled_from(TYPES), st.booleans(), st.booleans(), st.integers(0, 65535), st.integers(0, 2**32),
    st.sampled_from(["udp", "tcp"]), st.sampled_from(["192.0.2.77", "2001:db8::77"]),
)  # fmt: skip
@settings(max_examples=200)
def test_both_ways_through_the_decision_give_the_same_bytes(
    name: str,
    rrtype: str,
    with_opt: bool,
    dnssec: bool,
    payload: int,
    sequence: int,
    transport: str,
    source: str,
) -> None:
    snapshot = plain_stub()
    make = edns if with_opt else query
    message = make(name, rrtype, **({"payload": payload, "want_dnssec": dnssec} if with_opt else {}))
    wire = bytearray(message.to_wire())
    wire[2] |= sequence & 1
    quick = decide(bytes(wire), source, transport, NOW_NS, snapshot, sequence=sequence)
    whole = examine(bytes(wire), Arrival(source, transport, NOW_NS, sequence), snapshot)
    assert quick == whole


def test_the_quick_way_is_taken_for_what_it_is_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: object) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(dns_decide, "examine", never)
    for name in ("@", "0", "3"):
        for message in (query(name), query(name, "AAAA"), edns(name), edns(name, want_dnssec=True)):
            assert OnPaper(plain_stub()).raw(message.to_wire())


def test_mutated_queries_go_both_ways_alike() -> None:
    snapshot = plain_stub()
    seeds = [
        make(name, rrtype).to_wire()
        for make in (query, edns)
        for name in NAMES[:6]
        for rrtype in ("A", "AAAA", "NS")
    ]
    for message in mutated(seeds, 20_000, seed=5):
        if len(message) < 12 or message[2] & 0x80:
            continue
        for transport in ("udp", "tcp"):
            quick = decide(message, "192.0.2.77", transport, NOW_NS, snapshot, sequence=3)
            assert quick == examine(message, Arrival("192.0.2.77", transport, NOW_NS, 3), snapshot)


@given(st.sampled_from(NAMES), st.sampled_from(TYPES), st.booleans(), st.randoms(use_true_random=False))
def test_dnspython_reads_every_reply(name: str, rrtype: str, with_opt: bool, rng: random.Random) -> None:
    message = (edns if with_opt else query)(shuffled_case(name, rng) if name != "@" else name, rrtype)
    for transport in ("udp", "tcp"):
        reply = OnPaper(plain_stub()).raw(message.to_wire(), transport)
        assert reply is not None
        judged = dns.message.from_wire(reply, raise_on_truncation=False)
        assert message.is_response(judged)


# -- the draw


def test_a_client_keeps_its_draw_for_a_slot_and_others_have_their_own() -> None:
    asker = OnPaper(stub(coherence_s=8))
    wire = query("0").to_wire()
    begin = NOW_NS - NOW_NS % 8_000_000_000
    asker.now_ns = begin
    first = asker.raw(wire)
    asker.now_ns = begin + 7_999_999_999
    assert asker.raw(wire) == first
    others = set()
    for n in range(1, 40):
        others.add(OnPaper(asker.snapshot, f"198.51.100.{n}").raw(wire))
    assert len(others) > 10
    later = set()
    for slot in range(1, 40):
        asker.now_ns = begin + slot * 8_000_000_000
        later.add(asker.raw(wire))
    assert len(later) > 10


def test_the_four_names_of_one_moment_repeat_nobody() -> None:
    """12 equal members, 16 places: all twelve are seen, and the first of each name is another one."""
    snapshot = stub(coherence_s=8)
    for n in range(1, 200):
        asker = OnPaper(snapshot, f"198.51.100.{n}")
        replies = [dns.message.from_wire(asker.raw(query(str(i)).to_wire()) or b"") for i in range(4)]
        answers = [[r.to_text() for r in reply.answer[0]] for reply in replies]
        assert len({a for answer in answers for a in answer}) >= 11
        assert len({answer[0] for answer in answers}) == 4


def test_two_boxes_with_one_secret_answer_alike() -> None:
    a, b = OnPaper(stub(coherence_s=8)), OnPaper(stub(coherence_s=8))
    other = OnPaper(stub(coherence_s=8, secret=b"another secret!!"))
    wires = [query(name, rrtype).to_wire() for name in ("@", "0", "1", "2", "3") for rrtype in ("A", "AAAA")]
    assert [a.raw(w) for w in wires] == [b.raw(w) for w in wires]
    assert [a.raw(w) for w in wires] != [other.raw(w) for w in wires]


@given(st.integers(0, 2**64 - 1), st.integers(1, 8), st.integers(0, 3))
def test_a_pick_is_what_the_snapshot_says_it_is(drawn: int, size: int, label: int) -> None:
    """Against the rule written in floating words: points u + offset + m, begun at r - turn."""
    cuts = (0, ONE // 3, ONE // 2)
    sets = tuple(bytes(range(base, base + size)) * 2 for base in (0, 16, 32))
    rotation = Rotation(cuts, sets, size, 1, label * ONE // 4, label, 1000)
    records, mark = pick(rotation, drawn)
    position = (drawn & (ONE - 1)) + rotation.offset
    x, carry = position % ONE, position // ONE
    index = 0 if x < cuts[1] else 1 if x < cuts[2] else 2
    first = ((drawn >> 32) * size // ONE + carry - label) % size
    assert records == bytes(index * 16 + (first + i) % size for i in range(size))
    assert mark == 1000 + 8 * index + first


def test_a_scoped_address_draws_like_the_bare_one() -> None:
    assert draw(b"0123456789abcdef", "fe80::1%eth0", 5) == draw(b"0123456789abcdef", "fe80::1", 5)


# -- cookies (RFC 9018)

CLIENT = bytes.fromhex("2464c4abcf10c957")
SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")


def cookie_of(asker: OnPaper, cookie: bytes) -> bytes:
    reply = dns.message.from_wire(asker.raw(edns("0", "A", option(10, cookie)).to_wire()) or b"")
    assert reply.rcode() == 0
    [back] = reply.options
    return back.to_wire()


def test_cookies_are_those_of_rfc_9018_appendix_a() -> None:
    made = make_cookie(CLIENT, "198.51.100.100", 1559731985, SECRET)
    assert made.hex() == "2464c4abcf10c957010000005cf79f111f8130c3eee29480"
    other = bytes.fromhex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5")
    # The third example carries reserved bits, which must not be enforced to be zero.
    assert cookie_age_s(other, "203.0.113.203", 1559727985 + 60, (SECRET,)) is not None
    assert cookie_age_s(other, "203.0.113.204", 1559727985 + 60, (SECRET,)) is None
    v6 = make_cookie(
        bytes.fromhex("22681ab97d52c298"), "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961,
        bytes.fromhex("445536bcd2513298075a5d379663c962"),
    )  # fmt: skip
    assert v6.hex() == "22681ab97d52c298010000005cf7c609a6bb79d16625507a"


def test_075_8_octets_give_24_and_076_24_come_back_until_half_an_hour_old() -> None:
    asker = OnPaper(plain_stub())
    first = cookie_of(asker, CLIENT)
    assert len(first) == 24
    assert first[:8] == CLIENT
    assert cookie_of(asker, first) == first
    asker.now_ns += 1800 * 10**9
    assert cookie_of(asker, first) == first
    asker.now_ns += 1 * 10**9
    renewed = cookie_of(asker, first)
    assert renewed != first
    assert cookie_of(asker, renewed) == renewed


def test_077_a_wrong_cookie_gives_a_fresh_one_079_as_does_another_address() -> None:
    asker = OnPaper(plain_stub())
    right = cookie_of(asker, CLIENT)
    assert cookie_of(asker, CLIENT + bytes(16)) == right
    assert cookie_of(asker, CLIENT + bytes(8)) == right
    assert cookie_of(asker, right + bytes(16)) == right
    stranger = OnPaper(plain_stub(), "127.0.0.2")
    assert cookie_of(stranger, right) != right
    assert cookie_age_s(right, "127.0.0.2", NOW_S, (COOKIE_SECRET,)) is None


@pytest.mark.parametrize("size", [0, 1, 7, *range(9, 16), 41, 100])
def test_078_cookies_of_impossible_length_are_formerr(size: int) -> None:
    reply = OnPaper(plain_stub()).raw(edns("0", "A", option(10, bytes(size))).to_wire())
    assert reply is not None
    assert len(reply) == 12
    assert reply[3] == 1


@pytest.mark.parametrize(
    ("age_s", "valid"), [(0, True), (3600, True), (3601, False), (-300, True), (-301, False), (2**31, False)]
)
def test_080_a_cookie_has_its_time(age_s: int, valid: bool) -> None:
    made = make_cookie(CLIENT, "192.0.2.1", NOW_S, COOKIE_SECRET)
    assert (cookie_age_s(made, "192.0.2.1", NOW_S + age_s, (COOKIE_SECRET,)) is not None) == valid


def test_081_an_old_secret_is_still_accepted_and_082_boxes_with_one_secret_agree() -> None:
    old, new = bytes(16), bytes(range(16, 32))
    before = OnPaper(stub(cookie_secrets=(old,)))
    during = OnPaper(stub(cookie_secrets=(new, old)))
    after = OnPaper(stub(cookie_secrets=(new,)))
    cookie = cookie_of(before, CLIENT)
    assert cookie_of(during, cookie) == cookie
    assert cookie_of(after, cookie) != cookie
    assert cookie_of(during, CLIENT) == cookie_of(after, CLIENT)


def test_083_a_lone_cookie_needs_no_question() -> None:
    asker = OnPaper(plain_stub())
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08" + CLIENT
    reply = asker.raw(struct.pack("!6H", 9, 0, 0, 0, 0, 1) + opt)
    assert reply is not None
    assert struct.unpack_from("!5H", reply, 2) == (0x8000, 0, 0, 0, 1)
    assert reply.endswith(cookie_of(asker, CLIENT))
    nsid_too = b"\0\0\x29\x04\xd0\0\0\0\0\0\x10\0\x0a\0\x08" + CLIENT + b"\0\3\0\0"
    assert (asker.raw(struct.pack("!6H", 9, 0, 0, 0, 0, 1) + nsid_too) or b"")[3] == 1


def test_110_keepalive_over_tcp_tells_our_patience() -> None:
    asker = OnPaper(stub(tcp_idle_s=10))
    limits = replace(asker.snapshot.tcp, idle=77)
    asker.snapshot = replace(asker.snapshot, tcp=limits)
    reply = asker.raw(edns("0", "A", option(11)).to_wire(), "tcp")
    assert (reply or b"").endswith(struct.pack("!HHH", 11, 2, 77))


# -- pieces


@pytest.mark.parametrize(
    "rname", ["hostmaster.pool.example.org", "hostmaster.example.net", "a\\.b.Pool.Example.Org"]
)
def test_soa_pieces_join_to_a_soa_wherever_the_zone_lies(rname: str) -> None:
    zone, mname = encode_name("pool.example.org"), encode_name("ns1.pool.example.org")
    pieces = soa_pieces(zone, mname, encode_name(rname), 300, (1, 2, 3, 4, 5))
    for prefix in (b"", b"\1x", b"\3abc\2de"):
        question = prefix + zone + b"\0\1\0\1"
        pointer = struct.pack("!H", 0xC000 | 12 + len(prefix))
        wire = struct.pack("!6H", 0, 0x8000, 1, 0, 1, 0) + question + pointer.join(pieces)
        soa = dns.message.from_wire(wire).authority[0]
        assert (str(soa.name), soa.ttl) == ("pool.example.org.", 300)
        assert (str(soa[0].mname), str(soa[0].rname).lower()) == (
            "ns1.pool.example.org.",
            rname.lower() + ".",
        )
        assert (soa[0].serial, soa[0].refresh, soa[0].retry, soa[0].expire, soa[0].minimum) == (1, 2, 3, 4, 5)


def test_a_snapshot_is_plain_data() -> None:
    """So that a native plane can take it over: nothing to call in it, and it can be written down."""
    import pickle

    snapshot = plain_stub()
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert name_text(snapshot.zone) == "pool.example.org"
