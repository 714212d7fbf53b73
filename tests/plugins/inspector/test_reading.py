"""Capture files that somebody brings: read in the child, through tags and tunnels, whatever the file says of itself."""

from __future__ import annotations

import logging
import random
import shutil
import struct
import subprocess
from ipaddress import ip_address

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.packets import TappedPacket
from appliance_inspector.cli import register
from appliance_inspector.judging.frames import Packet
from appliance_inspector.judging.layers import datagram
from appliance_inspector.judging.records import CaptureReader, Damaged, Record
from appliance_inspector.judging.replay import ntp_reason
from appliance_inspector.pcap import FILE_HEADER, record
from appliance_inspector.reading import read_capture
from appliance_inspector.rules import SHIPPED, read_rules
from appliance_inspector.warden import Warden
from tests.support.attacks import ATTACKER, ATTACKS, START_NS, ntp_packet
from tests.support.honest import HONEST
from tests.support.hostile_packets import capture_file
from tests.support.programs import cannot_run

RULES = read_rules(SHIPPED)
RCODES = {"NXDOMAIN": 3, "REFUSED": 5, "NOERROR": 0}


def frame(packet: Packet, *, number: int = 0) -> bytes:
    """A record of a capture, as ours write them."""
    service, content = "dns" if packet.dns else "ntp", packet.content
    if packet.dns:
        content = number.to_bytes(2) + content[2:]
    source = str(ip_address(packet.source))
    own = str(ip_address(packet.own)) if "." in source else "2001:db8::123"
    asked = TappedPacket(
        service, content, packet.size, source, packet.port, own, packet.own_port, packet.rx_ns, "", ""
    )
    if not packet.dns or packet.reason not in RCODES:
        return record(asked)
    answer = content[:2] + bytes([content[2] | 0x80, RCODES[packet.reason]]) + content[4:]
    answered = asked._replace(
        content=answer, source=own, port=packet.own_port, own=source, own_port=packet.port
    )
    return record(asked) + record(answered)


def capture(packets) -> bytes:
    return FILE_HEADER + b"".join(frame(packet, number=n & 0xFFFF) for n, packet in enumerate(packets))


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_found_in_a_capture_of_it(attack, tmp_path):
    file = tmp_path / "a.pcap"
    file.write_bytes(capture(ATTACKS[attack](random.Random(1))))
    found = read_capture(file, RULES)
    assert found.problem == ""
    assert attack in {alert.rule.id for alert in found.alerts.all()}


@pytest.mark.parametrize("kind", HONEST)
def test_captures_of_honest_clients_raise_no_alarm(kind, tmp_path):
    file = tmp_path / "h.pcap"
    file.write_bytes(capture(HONEST[kind](random.Random(2))))
    found = read_capture(file, RULES)
    assert (found.alerts.all(), found.problem) == ([], "")
    assert found.packets > 1000


def test_what_programs_of_others_write_is_read_too(tmp_path):
    editcap = shutil.which("editcap") or cannot_run("editcap")
    file, other = tmp_path / "a.pcap", tmp_path / "a.pcapng"
    file.write_bytes(capture(ATTACKS["ntp-monlist"](random.Random(1))))
    subprocess.run([editcap, "-F", "pcapng", file, other], check=True, capture_output=True)
    assert other.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    first, second = read_capture(file, RULES), read_capture(other, RULES)
    assert second.problem == ""
    assert (first.packets, first.others) == (second.packets, second.others)
    one, two = first.alerts.all()[0], second.alerts.all()[0]
    assert (one.rule.id, one.since_s, one.count) == (two.rule.id, two.since_s, two.count)


def test_replies_of_the_service_itself_are_no_attack(tmp_path):
    """A capture at the server has what it sends, too: to a client that asks from port 123 that looks like a reply to us."""
    file, packets = tmp_path / "both.pcap", []
    for n in range(60):
        asked = ntp_packet(bytes([0x23]) + bytes(47), ATTACKER, START_NS + n * 10**9, port=123)
        reply = asked._replace(content=bytes([0x24]) + bytes(47), source=asked.own, own=asked.source)
        packets += [asked, reply]
    file.write_bytes(capture(packets))
    found = read_capture(file, RULES)
    assert (found.alerts.all(), found.packets, found.others) == ([], 60, 60)


TAGS = struct.pack("!HH", 0x88A8, 5) + struct.pack("!HH", 0x8100, 7)
MACS = bytes(12)


def ip4(payload: bytes, protocol: int) -> bytes:
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ATTACKER * 2 + payload
    )


def ip6(payload: bytes, protocol: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + bytes(range(32)) + payload


def gre(payload: bytes, kind: int, flags: int = 0xB000) -> bytes:
    extra = 4 * ((flags >> 15) + (flags >> 13 & 1) + (flags >> 12 & 1))
    return struct.pack("!HH", flags, kind) + bytes(extra) + payload


UDP = struct.pack("!HHHH", 4000, 123, 8 + 48, 0) + bytes([0x23]) + bytes(47)


@pytest.mark.parametrize(
    ("link", "bytes_"),
    [
        (1, MACS + b"\x08\x00" + ip4(UDP, 17)),
        (1, MACS + TAGS + b"\x08\x00" + ip4(UDP, 17)),
        (1, MACS + b"\x86\xdd" + ip6(ip4(UDP, 17), 4)),
        (101, ip4(ip6(ip4(UDP, 17), 4), 41)),
        (101, ip4(gre(ip4(UDP, 17), 0x0800), 47)),
        (101, ip4(gre(MACS + TAGS + b"\x08\x00" + ip4(UDP, 17), 0x6558), 47)),
        (101, ip6(bytes([60, 0, 0, 0, 0, 0, 0, 0]) + bytes([17, 1]) + bytes(14) + UDP, 0)),
        (0, bytes(4) + ip4(UDP, 17)),
        (113, bytes(14) + b"\x08\x00" + ip4(UDP, 17)),
        (276, b"\x08\x00" + bytes(18) + ip4(UDP, 17)),
    ],
)
def test_the_datagram_is_found_below_tags_and_tunnels(link, bytes_):
    found = datagram(link, bytes_)
    assert (found.port, found.own_port, found.size, found.content[:1]) == (4000, 123, 48, b"\x23")
    for cut in range(len(bytes_) - 48):
        assert datagram(link, bytes_[:cut]) is None


def test_a_nest_without_end_is_left_alone():
    assert datagram(1, MACS + struct.pack("!HH", 0x8100, 1) * 60_000) is None
    nested = UDP
    for _ in range(500):
        nested = gre(ip4(nested, 17 if nested is UDP else 47), 0x0800, 0)
    assert datagram(101, ip4(nested, 47)) is None
    ring = ip6(bytes([60, 0]) * 4000, 60)
    assert datagram(101, ring) is None


@given(st.sampled_from([0, 1, 12, 101, 113, 228, 229, 276, 5]), st.binary(max_size=200))
def test_any_frame_is_a_datagram_or_none(link, bytes_):
    found = datagram(link, bytes_)
    assert found is None or (len(found.source) in (4, 16) and len(found.source) == len(found.own))
    assert found is None or found.size >= 0


def read_in_pieces(file: bytes, cuts: list[int]) -> tuple[list[Record], str]:
    reader, records, at = CaptureReader(), [], 0
    try:
        for cut in [*sorted(cuts), len(file)]:
            records += reader.feed(file[at:cut])
            at = max(at, cut)
    except Damaged as error:
        return records, str(error)
    return records, reader.end()


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


NANOSECONDS = struct.pack("<HHB3x", 9, 1, 9) + bytes(4)
NG = (
    block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    + block(1, struct.pack("<HHI", 101, 0, 0) + NANOSECONDS)
    + block(5, bytes(40))
    + block(6, struct.pack("<IIIII", 0, 1, 2, 3, 3) + b"abc")
    + block(3, struct.pack("<I", 2) + b"de")
)


@given(st.lists(st.integers(0, len(NG)), max_size=20))
def test_a_file_in_pieces_is_the_same_file(cuts):
    records, problem = read_in_pieces(NG, cuts)
    at_ns = 1 << 32 | 2
    assert (records, problem) == ([Record(at_ns, 101, b"abc"), Record(at_ns, 101, b"de")], "")


@pytest.mark.parametrize("file", [NG, capture(ATTACKS["ntp-monlist"](random.Random(1)))])
def test_a_file_that_ends_anywhere_says_so_and_gives_what_was_whole(file):
    whole, _ = read_in_pieces(file, [])
    for cut in range(len(file)):
        records, problem = read_in_pieces(file[:cut], [])
        assert records == whole[: len(records)]
        assert problem or len(file[:cut]) in {0, *range(24, len(file))}


@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_records_or_damage(content, begins_well, cuts):
    file = (NG[:60] if begins_well else b"") + content
    records, problem = read_in_pieces(file, [min(cut, len(file)) for cut in cuts])
    assert isinstance(problem, str)
    assert sum(len(one.frame) for one in records) <= len(file)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "it is empty"),
        (b"hello, world", "no capture file"),
        (FILE_HEADER + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 1), "a packet of 4,294,967,295 bytes"),
        (NG[:28] + struct.pack("<III", 6, 0xFFFFFFF0, 0), "a block of 4,294,967,280 bytes"),
        (NG[:28] + struct.pack("<III", 6, 0, 0), "a block of 0 bytes"),
        (NG[:28] + struct.pack("<III", 99, 0xFFFFFFFC, 0), "ends in the middle"),
        (NG[:28] + block(6, struct.pack("<IIIII", 7, 0, 0, 0, 0)), "an interface that is not there"),
        (NG[:-4] + bytes(4), "two lengths differ"),
    ],
)
def test_a_length_that_makes_no_sense_is_told_and_costs_nothing(file, says):
    assert says in read_in_pieces(file, [])[1]


def test_the_command_needs_no_appliance_and_says_what_it_could_not_read(tmp_path):
    cli = click.Group()
    register(cli)
    file = tmp_path / "a.pcap"
    file.write_bytes(capture(ATTACKS["ntp-monlist"](random.Random(1)))[:-3])
    done = CliRunner().invoke(cli, ["inspector", "read", str(file)])
    assert done.exit_code == 0, done.output
    assert "19 packets to the time or the name service" in done.output
    assert "then it cannot be read: it ends in the middle of a packet" in done.output
    assert "Asks for the list of clients (monlist)" in done.output
    file.write_text("<html>")
    done = CliRunner().invoke(cli, ["inspector", "read", str(file)])
    assert (done.exit_code, "it is no capture file" in done.output) == (1, True)
    done = CliRunner().invoke(cli, ["inspector", "read", str(tmp_path / "none")])
    assert (done.exit_code, "cannot be read: No such file" in done.output) == (1, True)


@given(st.binary(max_size=100))
def test_any_time_packet_has_a_reason(content):
    assert ntp_reason(content) in {"ok", "reply", "control", "too_short", "bad_version", "bad_mode"}


async def test_hostile_files_are_refused_in_words_and_end_no_child():
    """`make fuzz ARGS=inspector` does this at length, and with packets."""
    dice = random.Random(6)
    warden = Warden(logging.getLogger("test"), patience_s=60)
    try:
        await warden.start(RULES)
        for _ in range(25):
            file = capture_file(dice)
            for at in range(0, len(file) + (1 << 18), 1 << 18):
                verdict = await warden.read(file[at : at + (1 << 18)])
            assert verdict.memory_bytes < 256 << 20
            await warden.hand_rules(RULES)
    finally:
        await warden.close()
