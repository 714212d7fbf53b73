"""Attacks for the inspector, made on the spot, by the name of the rule that must tell of them; `sampled` is what it gets to see of any traffic."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator

from appliance.dataplane import ntp_outcome, python_dns
from appliance.dataplane.sampling import Draw
from appliance_inspector.judging.frames import Packet

OWN = socket.inet_aton("203.0.113.1")
START_NS = 1_800_000_000 * 10**9
SECOND = 10**9


def v4(text: str) -> bytes:
    return socket.inet_aton(text)


def ntp_packet(content: bytes, source: bytes, at_ns: int, *, port: int = 40000, reason: str = "ok") -> Packet:
    return Packet(0, content, len(content), source, port, OWN, 123, at_ns, reason, 1)


def client_request(version: int = 4, poll: int = 6) -> bytes:
    return bytes([version << 3 | 3, 0, poll, 0xEC]) + bytes(36) + struct.pack("!Q", 0xE9D5_0000_1234_5678)


def dns_query(name: str, qtype: int = 1, qclass: int = 1, *, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return (
        struct.pack("!HHHHHH", 4711, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", qtype, qclass)
    )


def dns_packet(content: bytes, source: bytes, at_ns: int, *, reason: str = "NOERROR") -> Packet:
    return Packet(1, content, len(content), source, 40000, OWN, 53, at_ns, reason, 1)


def letters(dice: random.Random, count: int) -> str:
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(count))


#: Reasons in words that are ordinary, as the packet threads see it.
ORDINARY = {ntp_outcome.split(outcome)[0].name.lower() for outcome in ntp_outcome.ORDINARY} | {
    python_dns.OUTCOME_NAMES[outcome] for outcome in python_dns.ORDINARY
}


def sampled(packets: Iterable[Packet], every: int, unusual: int = 1) -> Iterator[Packet]:
    """One in `every` of what is ordinary and one in `unusual` of what is not, drawn as the packet threads draw."""
    drawn = {True: (Draw(every), every), False: (Draw(unusual), unusual)}
    for packet in packets:
        draw, stands_for = drawn[packet.reason in ORDINARY]
        if draw.hit():
            yield packet._replace(every=stands_for)


ATTACKER = v4("198.51.100.77")


def monlist(dice: random.Random) -> Iterator[Packet]:
    for n in range(20):
        yield ntp_packet(
            b"\x17\x00\x03\x2a" + bytes(4), ATTACKER, START_NS + n * SECOND, port=80, reason="control"
        )


def control(dice: random.Random) -> Iterator[Packet]:
    for n in range(20):
        yield ntp_packet(b"\x16\x02\0\x01" + bytes(8), ATTACKER, START_NS + n * SECOND, reason="control")


def amplification(dice: random.Random) -> Iterator[Packet]:
    for n in range(200):
        yield ntp_packet(
            b"\x17\x00\x03\x2a" + bytes(4), ATTACKER, START_NS + n * SECOND // 10, port=53, reason="control"
        )


def reflection(dice: random.Random) -> Iterator[Packet]:
    for n in range(400):
        yield ntp_packet(client_request(), ATTACKER, START_NS + n * SECOND // 100, port=80)


def replies(dice: random.Random) -> Iterator[Packet]:
    for n in range(40):
        yield ntp_packet(b"\x24\x01" + bytes(46), ATTACKER, START_NS + n * SECOND, port=123, reason="reply")


def version_scan(dice: random.Random) -> Iterator[Packet]:
    for n in range(8):
        reason = "ok" if 1 <= n <= 4 else "bad_version"
        yield ntp_packet(client_request(version=n), ATTACKER, START_NS + n * SECOND, reason=reason)


def too_fast(dice: random.Random) -> Iterator[Packet]:
    for n in range(6000):
        yield ntp_packet(client_request(), ATTACKER, START_NS + n * SECOND // 50)


def burst(dice: random.Random) -> Iterator[Packet]:
    for n in range(70_000):
        yield ntp_packet(
            client_request(),
            ATTACKER[:3] + bytes([n % 256]),
            START_NS + n * SECOND // 2000,
            port=1024 + n % 60000,
        )


def random_names(dice: random.Random) -> Iterator[Packet]:
    for n in range(200):
        wire = dns_query(f"{letters(dice, 12)}.pool.example.org")
        yield dns_packet(wire, dice.randbytes(4), START_NS + n * SECOND // 20, reason="NXDOMAIN")


def tunnel(dice: random.Random) -> Iterator[Packet]:
    for n in range(100):
        wire = dns_query(f"{letters(dice, 50)}.{letters(dice, 50)}.t.example.org", 1)
        yield dns_packet(wire, ATTACKER, START_NS + n * SECOND, reason="REFUSED")


def tunnel_answers(dice: random.Random) -> Iterator[Packet]:
    for n in range(100):
        yield dns_packet(
            dns_query(f"{letters(dice, 20)}.t.example.org", 16),
            ATTACKER,
            START_NS + n * SECOND,
            reason="REFUSED",
        )


def any_flood(dice: random.Random) -> Iterator[Packet]:
    for n in range(200):
        yield dns_packet(dns_query("pool.example.org", 255), ATTACKER, START_NS + n * SECOND // 10)


def dns_replies(dice: random.Random) -> Iterator[Packet]:
    for n in range(40):
        yield dns_packet(
            dns_query("victim.example.net", flags=0x8180), ATTACKER, START_NS + n * SECOND, reason="drop"
        )


def chaos(dice: random.Random) -> Iterator[Packet]:
    for n in range(5):
        wire = dns_query("version.bind", 16, 3)
        yield dns_packet(wire, ATTACKER, START_NS + n * SECOND, reason="REFUSED")


#: Each attack with the rule that must tell of it.
ATTACKS: dict[str, Callable[[random.Random], Iterator[Packet]]] = {
    "ntp-monlist": monlist,
    "ntp-control": control,
    "ntp-amplification": amplification,
    "ntp-reflection": reflection,
    "ntp-replies": replies,
    "ntp-version-scan": version_scan,
    "ntp-too-fast": too_fast,
    "ntp-burst": burst,
    "dns-random-names": random_names,
    "dns-tunnel": tunnel,
    "dns-tunnel-answers": tunnel_answers,
    "dns-any": any_flood,
    "dns-replies": dns_replies,
    "dns-version-scan": chaos,
}
