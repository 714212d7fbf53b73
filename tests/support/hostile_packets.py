"""Hostile input for the inspector's child, without end: packets and capture files, malformed, nested, huge, lying about lengths."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from appliance_inspector.judging.frames import Packet
from tests.support.attacks import OWN, START_NS, dns_query

Dice = random.Random
LENGTHS = (0, 1, 2, 3, 4, 7, 8, 12, 16, 47, 48, 49, 63, 64, 128, 255, 256, 512, 0x7FFF, 0x8000, 0xFFFF)
MOST_CONTENT = 65_507
#: Types of records that dissectors know, and some that nobody does.
TYPES = (*range(66), 99, 108, 109, *range(249, 262), 32768, 32769, 65535)


def length(dice: Dice) -> int:
    return dice.choice(LENGTHS)


def some(dice: Dice, most: int = 64) -> bytes:
    return dice.randbytes(dice.randrange(most))


# -- DNS


def name(dice: Dice, at: int = 12) -> bytes:
    """A name: honest, too long, cut off, or made of pointers that lead anywhere."""
    match dice.randrange(8):
        case 0:
            return b"\0"
        case 1:
            return struct.pack("!H", 0xC000 | at)  # to itself
        case 2:
            return b"\xc0\x0c"
        case 3:
            return struct.pack("!H", 0xC000 | dice.randrange(0x4000))
        case 4:
            return b"\1a" * dice.randrange(200) + b"\xc0\x0c"
        case 5:
            return bytes([dice.randrange(64, 256)]) + some(dice)
        case 6:
            return b"".join(bytes([63]) + dice.randbytes(63) for _ in range(dice.randrange(6))) + b"\0"
    return b"\3www\7example\3org\0"


def record(dice: Dice) -> bytes:
    data = dice.choice((some(dice), name(dice), name(dice) + some(dice, 20), some(dice, 300)))
    told = len(data) if dice.random() < 0.7 else length(dice)
    head = struct.pack(
        "!HHIH", dice.choice(TYPES), dice.choice((1, 3, 254, 255, 4096)), dice.randrange(1 << 32), told
    )
    return name(dice) + head + data


def options(dice: Dice) -> bytes:
    """An OPT record with options that say any length."""
    inside = b"".join(
        struct.pack("!HH", dice.choice((3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 65001)), length(dice))
        + some(dice)
        for _ in range(dice.randrange(8))
    )
    return (
        b"\0"
        + struct.pack("!HHIH", 41, dice.randrange(1 << 16), dice.randrange(1 << 32), len(inside))
        + inside
    )


def dns(dice: Dice) -> bytes:
    parts = [record(dice) if dice.random() < 0.8 else options(dice) for _ in range(dice.randrange(12))]
    questions = b"".join(
        name(dice) + struct.pack("!HH", dice.choice(TYPES), 1) for _ in range(dice.randrange(4))
    )
    counts = [dice.choice((len(parts), 0, 1, 2, 5, 0xFFFF)) for _ in range(4)]
    return struct.pack("!HHHHHH", 1, dice.randrange(1 << 16), *counts) + questions + b"".join(parts)


def pointers(dice: Dice) -> bytes:
    """A chain of pointers, each to the one before, and records that begin at its end."""
    links = b"".join(
        struct.pack("!H", 0xC000 | max(12, 12 + 2 * n - 2)) for n in range(dice.randrange(2, 1500))
    )
    tail = struct.pack("!H", 0xC000 | (12 + len(links) - 2)) + struct.pack("!HHIH", 2, 1, 0, 2) + links[-2:]
    count = dice.choice((1, 200, 0xFFFF))
    return struct.pack("!HHHHHH", 1, 0x8180, 0, count, 0, 0) + links + tail * dice.randrange(1, 200)


# -- NTP


def extensions(dice: Dice) -> bytes:
    parts = []
    for _ in range(dice.randrange(12)):
        body = some(dice)
        told = 4 + len(body) if dice.random() < 0.5 else length(dice)
        kind = dice.choice((0x0104, 0x0204, 0x0304, 0x0404, 2, 0xF323, dice.randrange(1 << 16)))
        parts.append(struct.pack("!HH", kind, told) + body)
    return b"".join(parts)


def ntp(dice: Dice) -> bytes:
    match dice.randrange(4):
        case 0:
            return bytes([dice.randrange(256)]) + dice.randbytes(47) + extensions(dice)
        case 1:  # mode 6: operation, sequence, status, association, offset, count, data (RFC 9327)
            first = bytes([dice.randrange(32) << 3 | 6, dice.randrange(256)])
            numbers = [dice.choice((0, 1, length(dice))) for _ in range(5)]
            return first + struct.pack("!HHHHH", *numbers) + some(dice, 500) + extensions(dice)
        case 2:  # mode 7: response, sequence, implementation, request, error and count, size of an item
            first = bytes([dice.randrange(32) << 3 | 7, *(dice.randrange(256) for _ in range(3))])
            return first + struct.pack("!HH", length(dice), length(dice)) + some(dice, 500)
    return some(dice, 100)


def repeated(dice: Dice) -> bytes:
    piece = dice.choice((b"\xc0\x0c", b"\x01a", b"\0", b"\xff", b"\0\1\0\4", record(dice), options(dice)))
    head = dice.choice(
        (dns_query("a")[:12], b"\0\1\1\0" + b"\xff\xff" * 4, b"\x23" + bytes(47), b"\x16\2", b"")
    )
    return (head + piece * dice.choice((10, 300, 70_000)))[:MOST_CONTENT]


def mutated(dice: Dice, content: bytes) -> bytes:
    """Bytes turned around, cut out, cut off or doubled."""
    made = bytearray(content or b"\0")
    for _ in range(dice.randrange(8)):
        at = dice.randrange(len(made))
        match dice.randrange(4):
            case 0:
                made[at] = dice.choice((0, 0xFF, 0x80, 0xC0, dice.randrange(256)))
            case 1:
                del made[at : at + dice.randrange(8)]
            case 2:
                made[at:at] = made[at : at + dice.randrange(40)]
            case _:
                made[at : at + 2] = struct.pack("!H", length(dice))
        if not made:
            break
    return bytes(made[:MOST_CONTENT])


CONTENTS: tuple[Callable[[Dice], bytes], ...] = (
    dns,
    dns,
    ntp,
    ntp,
    pointers,
    repeated,
    lambda dice: some(dice, 2048),
)


def content(dice: Dice) -> bytes:
    made = dice.choice(CONTENTS)(dice)
    return mutated(dice, made) if dice.random() < 0.5 else made[:MOST_CONTENT]


def packet(dice: Dice) -> Packet:
    made = content(dice)
    source = dice.randbytes(dice.choice((4, 4, 16)))
    own = OWN if len(source) == 4 else dice.randbytes(16)
    return Packet(
        dice.randrange(2), made, dice.choice((len(made), length(dice))), source, dice.randrange(1 << 16), own,
        dice.choice((53, 123)), dice.choice((START_NS, 0, 1 << 61, dice.randrange(1 << 61))),
        dice.choice(("ok", "control", "NXDOMAIN", "NOERROR", "reply", "\xff\xff"[:0])), dice.choice((1, 1, 10, (1 << 32) - 1)),
    )  # fmt: skip


# -- capture files


def udp(dice: Dice) -> bytes:
    inside = content(dice)
    told = 8 + len(inside) if dice.random() < 0.8 else length(dice)
    ports = [dice.choice((53, 123, dice.randrange(1 << 16))) for _ in range(2)]
    return struct.pack("!HHHH", *ports, min(told, 0xFFFF), 0) + inside


def nest(dice: Dice) -> bytes:
    """UDP in IP, in IP, in GRE, below tags: as deep as it likes."""
    inside, kind = udp(dice), 17
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8, 40, 300))):
        match dice.randrange(3):
            case 0:
                first = 0x40 | dice.choice((5, 5, 5, 0, 4, 15))
                total = dice.choice((20 + len(inside), length(dice))) & 0xFFFF
                fragment = dice.choice((0, 0, 0, 1, 0x2000, 0x1FFF))
                head = struct.pack("!BBHHHBBH", first, 0, total, 0, fragment, 64, kind, 0) + dice.randbytes(8)
                inside, kind = head + inside, 4
            case 1:
                chain = b"".join(
                    bytes([dice.choice((0, 43, 44, 51, 60)), dice.choice((0, 0, 1, 255))]) + dice.randbytes(6)
                    for _ in range(dice.choice((0, 0, 0, 1, 20)))
                )
                after = kind if not chain else dice.choice((0, 43, 44, 51, 60))
                inside = (
                    struct.pack("!IHBB", 6 << 28, len(inside) & 0xFFFF, after, 64)
                    + dice.randbytes(32)
                    + chain
                    + inside
                )
                kind = 41
            case _:
                flags = dice.choice((0, 0x8000, 0xB000, 1, dice.randrange(1 << 16)))
                carried = {4: 0x0800, 41: 0x86DD}.get(kind, dice.choice((0x6558, 0x880B, 0x8100)))
                inside, kind = struct.pack("!HH", flags, carried) + inside, 47
        if len(inside) > 60_000:
            break
    ethertype = 0x86DD if kind == 41 else 0x0800
    tags = struct.pack("!HH", dice.choice((0x8100, 0x88A8)), 1) * dice.choice((0, 0, 1, 2, 30, 15_000))
    return bytes(12) + tags + struct.pack("!H", ethertype) + inside


def classic(dice: Dice) -> bytes:
    order = dice.choice("<>")
    magic = dice.choice((0xA1B2C3D4, 0xA1B23C4D))
    parts = [
        struct.pack(
            order + "IHHiIII", magic, 2, 4, 0, 0, 65535, dice.choice((1, 1, 1, 0, 12, 101, 113, 276, 9))
        )
    ]
    for _ in range(dice.randrange(200)):
        frame = nest(dice) if dice.random() < 0.8 else some(dice, 300)
        kept = (
            len(frame) if dice.random() < 0.95 else dice.choice((0, 1, 65535, 262_144, 262_145, 0xFFFFFFFF))
        )
        seconds = dice.choice((1_800_000_000, 0, 0xFFFFFFFF, dice.randrange(1 << 32)))
        parts.append(struct.pack(order + "IIII", seconds, dice.randrange(1 << 32), kept, len(frame)) + frame)
    return b"".join(parts)


def block(kind: int, body: bytes, told: int | None = None) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body) if told is None else told
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def next_generation(dice: Dice) -> bytes:
    parts = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for _ in range(dice.randrange(120)):
        told = None if dice.random() < 0.97 else dice.choice((0, 4, 13, 0xFFFFFFFC, 0x7FFFFFFC))
        match dice.randrange(6):
            case 0:
                tick = struct.pack("<HHB3x", 9, dice.choice((1, 1, 0, 65535)), dice.randrange(256))
                body = struct.pack("<HHI", dice.choice((1, 101, 0, 113, 276)), 0, 65535) + tick + bytes(4)
                parts.append(block(1, body, told))
            case 1:
                parts.append(block(dice.choice((2, 4, 5, 0x0BAD, 0x80000001)), some(dice, 3000), told))
            case 2:
                frame = nest(dice)
                parts.append(
                    block(3, struct.pack("<I", dice.choice((len(frame), length(dice)))) + frame, told)
                )
            case _:
                frame = nest(dice)
                numbers = (
                    dice.choice((0, 0, 0, 1, 0xFFFFFFFF)),
                    dice.randrange(1 << 32),
                    dice.randrange(1 << 32),
                )
                kept = dice.choice((len(frame),) * 9 + (length(dice),))
                parts.append(block(6, struct.pack("<IIIII", *numbers, kept, len(frame)) + frame, told))
    return b"".join(parts)


def capture_file(dice: Dice) -> bytes:
    file = dice.choice((classic, next_generation))(dice)
    if dice.random() < 0.3:
        return file[: dice.randrange(len(file))]
    if dice.random() < 0.3:
        changed = bytearray(file)
        for _ in range(dice.randrange(20)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed)
    return file
