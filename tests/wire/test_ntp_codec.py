"""The NTP codec: what goes in comes out, and hostile bytes end in WireError or in values, never in anything else."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.errors import WireError
from appliance.wire.ntp import (
    HEADER_BYTES,
    Header,
    client_request,
    ntp_from_unix_ns,
    pack_field,
    parse_header,
    parse_tail,
    refid_text,
    server_reply,
    short_from_s,
    unix_ns_from_ntp,
)

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
i8 = st.integers(-128, 127)
headers = st.builds(
    Header,
    leap=st.integers(0, 3),
    version=st.integers(0, 7),
    mode=st.integers(0, 7),
    stratum=st.integers(0, 255),
    poll=i8,
    precision=i8,
    root_delay=u32,
    root_dispersion=u32,
    refid=st.binary(min_size=4, max_size=4),
    reference=u64,
    origin=u64,
    receive=u64,
    transmit=u64,
)


@given(headers)
def test_a_header_survives_packing_and_parsing(header):
    packed = header.pack()
    assert len(packed) == HEADER_BYTES
    assert parse_header(packed) == header


@given(st.binary(min_size=48, max_size=48))
def test_any_48_bytes_parse_and_pack_to_themselves(packet):
    assert parse_header(packet).pack() == packet


@given(st.binary(max_size=200), st.integers(0, 7))
def test_parsing_any_bytes_raises_nothing_but_wire_error(packet, version):
    for parse in (parse_header, lambda p: parse_tail(p, version)):
        with contextlib.suppress(WireError):
            parse(packet)


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=60)), max_size=5),
    st.sampled_from([0, 4, 20, 24]),
)
def test_fields_and_mac_are_found_again(fields, mac_size):
    body = b"".join(pack_field(kind, value) for kind, value in fields)
    mac = bytes(range(1, mac_size + 1))
    if not mac and fields:
        body += pack_field(0x2005, bytes(24))  # without a MAC the last field has at least 28 bytes
        fields = [*fields, (0x2005, bytes(24))]
    if fields and mac_size == 4 and len(fields[-1][1]) <= 16:
        return  # a short last field and a crypto-NAK together look like a MAC: RFC 7822 forbids such a sender
    tail = parse_tail(bytes(48) + body + mac, 4)
    assert tail.mac == mac
    assert [(f.kind, f.value[: len(v)]) for f, (_, v) in zip(tail.fields, fields, strict=True)] == fields


def test_before_version_4_everything_after_the_header_is_a_mac():
    assert parse_tail(bytes(48) + pack_field(0x104, bytes(32)), 3).fields == ()
    assert len(parse_tail(bytes(48) + bytes(36), 3).mac) == 36


@pytest.mark.parametrize("tail_bytes", [8, 12, 16])
def test_a_short_tail_that_is_no_mac_is_refused(tail_bytes):
    with pytest.raises(WireError, match="neither"):
        parse_tail(bytes(48) + pack_field(1, b"")[:tail_bytes], 4)


@pytest.mark.parametrize("size", [0, 4, 12, 18, 400])
def test_a_field_that_lies_about_its_length_is_refused(size):
    with pytest.raises(WireError, match="length"):
        parse_tail(bytes(48) + b"\x00\x01" + size.to_bytes(2) + bytes(40), 4)


def test_a_field_that_does_not_fit_the_header_is_refused():
    for wrong in (
        {"stratum": 256},
        {"poll": 200},
        {"transmit": 2**64},
        {"refid": b"12345"},
        {"version": 8},
        {"receive": -1},
    ):
        with pytest.raises(WireError):
            Header(**wrong).pack()


@given(st.integers(-(2**62), 2**62))
def test_every_moment_survives_the_wire_to_the_nanosecond(unix_ns):
    assert unix_ns_from_ntp(ntp_from_unix_ns(unix_ns), near_ns=unix_ns) == unix_ns


@given(st.integers(0, 2**62), st.integers(-60 * 365 * 86400, 60 * 365 * 86400))
def test_the_era_is_found_from_a_clock_that_is_decades_off(unix_ns, error_s):
    assert unix_ns_from_ntp(ntp_from_unix_ns(unix_ns), near_ns=unix_ns + error_s * 10**9) == unix_ns


def test_known_moments():
    assert ntp_from_unix_ns(0) == 0x83AA7E80 << 32
    assert ntp_from_unix_ns(500_000_000) == 0x83AA7E80_80000000
    rollover_ns = 2_085_978_496 * 10**9  # 2036-02-07 06:28:16 UTC
    assert ntp_from_unix_ns(rollover_ns) == 0
    assert unix_ns_from_ntp(1 << 32, near_ns=rollover_ns) == rollover_ns + 10**9


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_short_format_never_says_less_than_it_was_given(seconds):
    short = short_from_s(seconds)
    assert 0 <= short <= 0xFFFFFFFF
    if math.isnan(seconds) or seconds >= 65535:
        assert short == 0xFFFFFFFF
    else:
        assert short / 65536 >= seconds
        assert short / 65536 <= max(0, seconds) + 1 / 65536


def test_a_request_carries_nothing_but_the_cookie():
    request = parse_header(client_request(0xDEADBEEF00C0FFEE))
    assert request == Header(version=4, mode=3, precision=32, transmit=0xDEADBEEF00C0FFEE)


@pytest.mark.parametrize(("asked", "answered"), [(3, 4), (1, 2)])
def test_a_server_reply_belongs_to_its_request(asked, answered):
    request = Header(version=3, mode=asked, poll=6, transmit=77)
    reply = server_reply(
        request, leap=0, stratum=2, precision=-20, root_delay_s=0.5, root_dispersion_s=1e-9, refid=b"\x7f\0\0\1",
        reference=1, receive=2, transmit=3,
    )  # fmt: skip
    assert (reply.mode, reply.version, reply.poll, reply.origin) == (answered, 3, 6, 77)
    assert (reply.root_delay, reply.root_dispersion) == (32768, 1)


def test_kiss_codes_and_reference_identifiers_in_words():
    assert Header(stratum=0, refid=b"RATE").kiss_code == "RATE"
    assert Header(stratum=0, refid=bytes(4)).kiss_code is None
    assert Header(stratum=0, refid=b"\xff\xfe\0\0").kiss_code is None
    assert Header(stratum=1, refid=b"RATE").kiss_code is None
    assert refid_text(b"GPS\0", 1) == "GPS"
    assert refid_text(b"\xc0\0\2\1", 2) == "192.0.2.1"
    assert refid_text(bytes(4), 0) == ""
