"""chronyd's command protocol: a captured reply, the float, and bytes from somebody who means harm."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.wire.errors import WireError
from appliance_clock import chrony_reports as reports
from appliance_clock.chrony import (
    Command,
    Reply,
    float_from_wire,
    float_to_wire,
    pack_request,
    parse_reply,
    parse_tracking,
)

#: From a chronyd 4.3.
CAPTURED = bytes.fromhex(
    "060200000021000500000000000000001234567800000000000000007f0000017f000001000000000000000000000000"
    "0001000000020000000000006b037ed3157a6400d2c55299d2d61d5de0fcfa15f8e41a83eed4ba2600d83a6cdcc41794"
    "e0957c6c04810814"
)
SEQUENCE = 0x12345678


def test_the_captured_reply_decodes_to_what_chronyc_printed():
    tracking = parse_tracking(parse_reply(CAPTURED, Command.TRACKING, SEQUENCE))
    assert tracking.refid == bytes((127, 0, 0, 1))
    assert (tracking.source, tracking.stratum, tracking.leap) == ("127.0.0.1", 2, 0)
    assert tracking.reference_ns == 1795391187_360342528
    assert tracking.correction_s == pytest.approx(4.594276e-08, rel=1e-6)
    assert tracking.last_offset_s == pytest.approx(4.985246e-08, rel=1e-6)
    assert tracking.rms_offset_s == pytest.approx(7.539299e-06, rel=1e-6)
    assert tracking.frequency_ppm == pytest.approx(0.027844673, rel=1e-6)
    assert tracking.residual_ppm == pytest.approx(0.00081148965, rel=1e-6)
    assert tracking.skew_ppm == pytest.approx(0.42232072, rel=1e-6)
    assert tracking.root_delay_s == pytest.approx(1.461e-06, rel=1e-6)
    assert tracking.root_dispersion_s == pytest.approx(4.4550306e-06, rel=1e-6)
    assert tracking.update_interval_s == pytest.approx(1.008059, rel=1e-6)


def test_a_request_is_as_long_as_its_reply_and_counts_its_attempts():
    """chronyd answers a tracking request of 104 bytes and more, and refuses a shorter one."""
    request = pack_request(Command.TRACKING, SEQUENCE, attempt=2)
    assert len(request) == 104
    assert request[:12] == bytes((6, 1, 0, 0, 0, 33, 0, 2)) + SEQUENCE.to_bytes(4, "big")
    assert request[12:] == bytes(92)
    assert len(pack_request(Command.NTP_SOURCE_NAME, SEQUENCE)) >= 28 + 256


@pytest.mark.parametrize(
    ("offset", "value", "what"),
    [
        (0, b"\x05", "version"),
        (1, b"\x01", "type"),
        (4, b"\x00\x22", "another request"),
        (16, b"\x00", "another request"),
    ],
)
def test_a_reply_to_somebody_else_is_not_ours(offset, value, what):
    packet = CAPTURED[:offset] + value + CAPTURED[offset + len(value) :]
    with pytest.raises(WireError, match=what):
        parse_reply(packet, Command.TRACKING, SEQUENCE)


@pytest.mark.parametrize(
    ("status", "words"), [(2, "Unix socket"), (6, "not enabled"), (18, "version"), (19, "length"), (77, "77")]
)
def test_a_refusal_says_why(status, words):
    packet = CAPTURED[:8] + struct.pack("!H", status) + CAPTURED[10:]
    reply = parse_reply(packet, Command.TRACKING, SEQUENCE)
    with pytest.raises(WireError, match=words):
        parse_tracking(reply)


def test_an_unknown_layout_is_refused_not_guessed():
    with pytest.raises(WireError, match="99"):
        parse_tracking(Reply(33, 99, 0, bytes(300)))
    with pytest.raises(WireError, match="unknown layout"):
        reports.parse_server_stats(Reply(54, 99, 0, bytes(300)))


def test_seconds_without_a_high_part_and_too_many_nanoseconds():
    body = bytearray(CAPTURED[28:])
    body[28:40] = struct.pack("!III", 0x7FFFFFFF, 1_800_000_000, 0xFFFFFFFF)
    assert parse_tracking(Reply(33, 5, 0, bytes(body))).reference_ns == 1_800_000_000_999_999_999


@given(st.floats(-1e10, 1e10, allow_subnormal=False))
def test_a_float_survives_within_its_24_bits(value):
    back = float_from_wire(float_to_wire(value))
    assert back == pytest.approx(value, rel=2**-23, abs=2**-89)


@given(st.integers(0, 2**32 - 1))
def test_every_word_is_a_finite_float_and_its_own_neighbour(word):
    value = float_from_wire(word)
    assert math.isfinite(value)
    assert float_from_wire(float_to_wire(value)) == pytest.approx(value, rel=2**-23, abs=2**-89)


def test_floats_at_the_edges():
    assert float_to_wire(0.0) == 0 == float_from_wire(0)
    largest = float_from_wire(float_to_wire(math.inf))
    assert largest == math.ldexp((1 << 24) - 1, 38)
    assert float_from_wire(float_to_wire(-math.inf)) == -largest
    assert float_from_wire(float_to_wire(1e-300)) == 0
    with pytest.raises(ValueError, match="NaN"):
        float_to_wire(math.nan)


PARSERS = {
    Command.TRACKING: (parse_tracking, 5),
    Command.N_SOURCES: (reports.parse_n_sources, 2),
    Command.SOURCE_DATA: (reports.parse_source_data, 3),
    Command.SOURCE_STATS: (reports.parse_source_stats, 6),
    Command.ACTIVITY: (reports.parse_activity, 12),
    Command.SERVER_STATS: (reports.parse_server_stats, 24),
    Command.NTP_SOURCE_NAME: (reports.parse_source_name, 19),
}


@settings(max_examples=200)
@given(packet=st.binary(max_size=600))
def test_any_bytes_are_a_reply_or_a_wire_error(packet):
    for command, (parse, _) in PARSERS.items():
        with contextlib.suppress(WireError):
            parse(parse_reply(packet, command, SEQUENCE))


@settings(max_examples=200)
@given(
    command=st.sampled_from(list(PARSERS)),
    code=st.sampled_from([None, 14, 22, 25, 99]),
    body=st.binary(max_size=400),
)
def test_a_good_header_with_any_body_is_a_value_or_a_wire_error(command, code, body):
    parse, usual = PARSERS[command]
    with contextlib.suppress(WireError):
        parse(Reply(command, code or usual, 0, body))
