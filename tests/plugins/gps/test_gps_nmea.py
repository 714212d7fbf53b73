"""What receivers say, rightly and wrongly."""

from __future__ import annotations

import calendar
import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_gps.reading import gpsd
from appliance_gps.reading.nmea import BadSentence, Said, parse, time_said, unrolled
from appliance_gps.reading.serial_port import Lines


def sentence(body: str) -> bytes:
    checksum = 0
    for byte in body.encode():
        checksum ^= byte
    return f"${body}*{checksum:02X}".encode()


def rmc(epoch_s: int, *, status: str = "A", talker: str = "GN", fraction: str = ".00") -> bytes:
    t = time.gmtime(epoch_s)
    return sentence(
        f"{talker}RMC,{t.tm_hour:02}{t.tm_min:02}{t.tm_sec:02}{fraction},{status},4807.038,N,01131.000,E,0.0,0.0,"
        f"{t.tm_mday:02}{t.tm_mon:02}{t.tm_year % 100:02},,,A"
    )


def test_a_real_sentence_is_read() -> None:
    said = time_said(parse(b"$GPRMC,225446,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*68"))
    assert said == Said(calendar.timegm((2094, 11, 19, 22, 54, 46)), 0.0, fix=True)


@given(st.integers(946_684_800, 4_102_444_799), st.booleans())
def test_every_second_is_read_back(epoch_s, fix) -> None:
    assert time_said(parse(rmc(epoch_s, status="A" if fix else "V"))) == Said(epoch_s, 0.0, fix)


def test_a_leap_second_is_the_next_one() -> None:
    said = time_said(parse(sentence("GPRMC,235960.00,A,,,,,,,311226,,,A")))
    assert said.epoch_s == calendar.timegm((2027, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    "body",
    ["GPRMC,246060.00,A,,,,,,,311226", "GPRMC,120000,A,,,,,,,310226", "GPRMC,12000,A,,,,,,,010126", "GPRMC,120000.x,A,,,,,,,010126", "GPRMC,12000٣,A,,,,,,,010126"],
)  # fmt: skip
def test_times_that_there_are_not_are_refused(body) -> None:
    with pytest.raises(BadSentence):
        time_said(parse(sentence(body)))


@pytest.mark.parametrize(
    "line", [b"", b"$", b"$GPRMC,1*ZZ", b"$GPRMC,225446*00", b"GPRMC*68", b"$PUBX,00*33", b"$" + b"A" * 500]
)
def test_what_is_no_sentence_is_refused(line) -> None:
    with pytest.raises(BadSentence):
        parse(line)


def test_empty_fields_say_nothing() -> None:
    assert time_said(parse(sentence("GNRMC,,V,,,,,,,,,,N"))) is None
    assert time_said(parse(sentence("GNGGA,120000.00,,,,,0,,,,,,,,"))) is None


@given(st.binary(max_size=300))
def test_anything_at_all_is_read_or_refused(line) -> None:
    with contextlib.suppress(BadSentence):
        time_said(parse(line))


@given(st.text(alphabet="0123456789.,AVGNRMC", max_size=120))
def test_anything_with_a_right_checksum_is_read_or_refused(body) -> None:
    with contextlib.suppress(BadSentence):
        time_said(parse(sentence("GNRMC," + body)))


@pytest.mark.parametrize("weeks", [0, 1024, 2048])
def test_a_week_counter_that_ran_over_is_put_right(weeks) -> None:
    true_s, floor_s = 1_795_000_000, 1_790_000_000
    assert unrolled(true_s - weeks * 7 * 86400, floor_s) == true_s


@given(st.integers(0, 4_000_000_000), st.integers(1_767_225_600, 2_500_000_000))
def test_what_is_put_right_is_past_the_floor_and_whole_weeks_away(said_s, floor_s) -> None:
    right_s = unrolled(said_s, floor_s)
    assert right_s >= floor_s - 86_400
    assert (right_s - said_s) % (1024 * 7 * 86400) == 0
    assert right_s == said_s or right_s - 1024 * 7 * 86400 < floor_s - 86_400


def test_lines_come_out_of_any_pieces() -> None:
    lines = Lines()
    content = b"\r\n".join([b"$A", b"", b"$BB", b"$CCC"]) + b"\r\n"
    found = [line for i in range(len(content)) for line in lines.take(content[i : i + 1])]
    assert found == [b"$A", b"$BB", b"$CCC"]
    assert list(Lines().take(b"x" * 100_000)) == []


def test_gpsd_says_true_time_beside_system_time() -> None:
    said = {
        "class": "TOFF",
        "device": "/dev/ttyACM0",
        "real_sec": 1795000000,
        "real_nsec": 0,
        "clock_sec": 1795000000,
        "clock_nsec": 120000000,
    }
    assert gpsd.heard(json.dumps(said).encode()) == gpsd.Compared(
        1795000000 * 10**9, 1795000000_120000000, precise=False
    )
    assert gpsd.heard(json.dumps(said | {"class": "PPS", "precision": -20}).encode()).precise
    assert gpsd.heard(b'{"class":"TPV","mode":3}') == gpsd.Fix(3)


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class", "mode", "real_sec", "real_nsec", "clock_sec", "clock_nsec"]), inner | st.sampled_from(["TOFF", "PPS", "TPV"]), max_size=6),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_anything_that_gpsd_could_say_is_understood_or_left(line) -> None:
    gpsd.heard(line)
