"""Our DNS codec, with dnspython as the judge."""

from __future__ import annotations

import contextlib

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.wire.dns import (
    ROOT,
    encode_name,
    is_below,
    lowered,
    mx_rdata,
    name_text,
    parents,
    record,
    txt_rdata,
    txt_text,
    type_name,
    type_number,
)
from appliance.wire.dns_query import parse_query
from appliance.wire.errors import WireError

labels = st.lists(st.binary(min_size=1, max_size=63), max_size=6)
#: What a client may put into a query, as dnspython builds it.
names = st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True), max_size=5).map(
    lambda parts: ".".join(parts) + "."
)


def judge_name(parts: list[bytes]) -> dns.name.Name:
    try:
        return dns.name.Name([*parts, b""])
    except dns.exception.DNSException:
        assume(False)
        raise


@given(labels)
def test_names_of_any_octets_go_out_as_text_and_come_back(parts: list[bytes]) -> None:
    name = judge_name(parts)
    wire = name.to_wire()
    text = name_text(wire)
    assert encode_name(text) == wire
    assert dns.name.from_text(text) == name
    if parts:
        assert dns.name.from_text(text + ".") == name


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_a_wire_error(text: str) -> None:
    try:
        wire = encode_name(text)
    except WireError:
        return
    assert len(wire) <= 255
    assert dns.name.from_wire(wire, 0)[1] == len(wire)


@given(labels)
def test_lower_case_is_the_judges(parts: list[bytes]) -> None:
    name = judge_name(parts)
    assert lowered(name.to_wire()) == name.canonicalize().to_wire()


@given(labels, labels)
def test_below_a_zone_means_on_a_label_boundary(a: list[bytes], b: list[bytes]) -> None:
    zone = judge_name(b)
    for parts in (a, a + b):
        name = judge_name(parts)
        ours = is_below(lowered(name.to_wire()), lowered(zone.to_wire()))
        assert ours == name.is_subdomain(zone)


def test_parents_end_at_the_root() -> None:
    assert list(parents(encode_name("a.b"))) == [encode_name("b"), ROOT]
    assert list(parents(ROOT)) == []


@given(
    names, st.integers(0, 65535), st.sampled_from(["IN", "CH", "ANY", "HS"]), st.integers(0, 65535), st.booleans(),
    st.lists(st.tuples(st.integers(13, 65535), st.binary(max_size=50)), max_size=4), st.one_of(st.none(), st.integers(0, 65535)),
)  # fmt: skip
def test_queries_of_the_judge_are_read_as_it_meant_them(
    name: str,
    qtype: int,
    qclass: str,
    ident: int,
    dnssec: bool,
    options: list[tuple[int, bytes]],
    payload: int | None,
) -> None:
    assume(dns.name.from_text(name).to_wire().__len__() <= 255)
    assume(qtype not in (250, 41))
    message = dns.message.make_query(name, dns.rdatatype.RdataType.make(qtype), qclass, id=ident)
    if payload is not None:
        message.use_edns(0, payload=payload, options=[dns.edns.GenericOption(c, d) for c, d in options])
        message.want_dnssec(dnssec)
    wire = message.to_wire()
    query = parse_query(wire)
    assert query.name == dns.name.from_text(name).to_wire()
    assert (query.qtype, query.qclass) == (qtype, message.question[0].rdclass)
    if payload is None:
        assert query.edns is None
        assert query.question_end == len(wire)
    else:
        assert query.edns is not None
        assert (query.edns.udp_size, query.edns.version, query.edns.options) == (payload, 0, len(options))
        assert query.edns.dnssec_ok == dnssec


@given(st.binary(min_size=12, max_size=200))
def test_any_bytes_are_a_query_or_a_wire_error(junk: bytes) -> None:
    try:
        query = parse_query(junk)
    except WireError:
        return
    assert 12 <= query.question_end <= len(junk)


@given(names, st.binary(max_size=120))
def test_what_follows_a_question_never_raises_anything_else(name: str, tail: bytes) -> None:
    wire = bytearray(dns.message.make_query(name, "A").to_wire() + tail)
    wire[11] = 1
    with contextlib.suppress(WireError):
        parse_query(bytes(wire))


@given(names, st.binary(max_size=60))
def test_what_we_take_as_edns_the_judge_takes_too(name: str, rdata: bytes) -> None:
    """Never laxer than dnspython about the shape of an OPT record."""
    wire = bytearray(dns.message.make_query(name, "A").to_wire())
    wire[11] = 1
    wire += b"\0\0\x29\x04\xd0\0\0\0\0" + len(rdata).to_bytes(2, "big") + rdata
    try:
        query = parse_query(bytes(wire))
    except WireError:
        return
    assert query.edns is not None
    # dnspython also reads the content of options that we only skip; its complaint must be about content then.
    try:
        judged = dns.message.from_wire(bytes(wire))
    except (dns.exception.DNSException, ValueError):
        return
    assert len(judged.options) == query.edns.options


@given(st.text(max_size=600))
def test_txt_in_wire_and_text_is_the_same_record(text: str) -> None:
    wire = txt_rdata(text)
    judged = dns.rdata.from_wire("IN", "TXT", wire, 0, len(wire))
    assert b"".join(judged.strings) == text.encode()
    assert dns.rdata.from_text("IN", "TXT", txt_text(text)) == judged


def test_mx_and_record_are_what_they_say() -> None:
    for rrtype, wire, text in (
        ("MX", mx_rdata(0, ROOT), "0 ."),
        ("MX", mx_rdata(10, encode_name("mail.example.org")), "10 mail.example.org."),
    ):
        assert dns.rdata.from_wire("IN", rrtype, wire, 0, len(wire)).to_text() == text
    assert record(1, 150, b"\1\2\3\4") == bytes.fromhex("c00c 0001 0001 00000096 0004 01020304")


def test_types_by_name_and_number() -> None:
    assert type_number("aaaa") == 28
    assert type_number("TYPE666") == 666
    assert type_name(666) == "TYPE666"
    for bad in ("", "TYPE", "TYPE65536", "TYPE-1", "TYPE٣", "X"):
        with pytest.raises(WireError):
            type_number(bad)


@pytest.mark.parametrize("bad", ["a..b", ".a", "a" * 64, ".".join(["a" * 63] * 4), "ü.de", "a\\", "a\\300"])
def test_bad_names_are_told(bad: str) -> None:
    with pytest.raises(WireError):
        encode_name(bad)


def test_a_name_beyond_ascii_is_refused_with_its_form_that_is_taken():
    with pytest.raises(WireError, match=r"write it in its xn-- form: xn--mnchen-3ya\.example$"):
        encode_name("münchen.example")
    with pytest.raises(WireError, match=r"write it in its xn-- form$"):
        encode_name("\u2028.example")
