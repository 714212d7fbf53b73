"""How the checks look at replies."""

from __future__ import annotations

import struct

import dns.message

from tests.dataplane.dns_stub import ZONE, Asker

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010


def header(reply: bytes) -> tuple[int, int, int, int, int]:
    """Flags and counts."""
    return struct.unpack_from("!5H", reply, 2)


def flags_of(reply: bytes) -> int:
    return header(reply)[0] & 0x87F0


def parsed(reply: bytes | None) -> dns.message.Message:
    assert reply is not None
    return dns.message.from_wire(reply)


def ask(asker: Asker, message: dns.message.Message, transport: str = "udp") -> dns.message.Message:
    wire = message.to_wire()
    reply = asker.raw(wire, transport)
    assert reply is not None
    assert reply[12 : 12 + len(question_of(wire))] == question_of(wire)
    return parsed(reply)


def question_of(wire: bytes) -> bytes:
    at = 12
    while wire[at]:
        at += 1 + wire[at]
    return wire[12 : at + 5]


def only_header(reply: bytes | None, rcode: int, *, flags: int = QR) -> None:
    assert reply is not None
    assert len(reply) == 12
    assert header(reply)[1:] == (0, 0, 0, 0)
    assert header(reply)[0] & 0x87FF == flags | rcode


def is_denial(reply: dns.message.Message, rcode: int) -> None:
    assert reply.rcode() == rcode
    assert reply.flags & AA
    assert not reply.answer
    assert [(str(g.name).lower(), g.rdtype.name, len(g)) for g in reply.authority] == [(f"{ZONE}.", "SOA", 1)]


def opt(rdata: bytes = b"", *, owner: bytes = b"\0") -> bytes:
    return owner + struct.pack("!HHIH", 41, 1232, 0, len(rdata)) + rdata
