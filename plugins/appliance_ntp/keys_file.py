"""Symmetric keys from a file in the format of chrony: one key a line, `ID TYPE KEY`, and perhaps whom it is for.

Nothing that is told about a file shows any of its words but a key's number: a word that stands in the wrong place may be
the key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.dataplane.ntp_keys import NtpKey
from appliance.wire.ntp_mac import MacType

#: Neither people nor programs write longer ones; each is read at once.
MAX_FILE_BYTES = 1 << 20
MAX_KEYS = 10_000
_MAX_ID = (1 << 32) - 1
#: 80 bits, as chrony wants it at least.
_SHORT_BYTES = 10

TYPES = ", ".join(kind.label for kind in reversed(MacType))

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class KeysFile:
    """What a keys file holds.

    Attributes:
        keys: in the order of the file; none when there are problems.
        problems: why it is not used, each with its line.
        warnings: what works, but should be otherwise.
    """

    keys: tuple[NtpKey, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_keys(content: bytes, name: str) -> KeysFile:
    """Read a keys file; `name` is what problems are told with. Never raises."""
    if len(content) > MAX_FILE_BYTES:
        return KeysFile(problems=(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB: that is no keys file",))
    keys: dict[int, tuple[int, NtpKey]] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split()
        if not words or words[0][:1] in b"#!;%":
            continue
        try:
            key, doubts = _key(words)
            if key.id in keys:
                raise ValueError(f"key {key.id} stands in line {keys[key.id][0]} already")
            if len(keys) == MAX_KEYS:
                raise ValueError(f"more than {MAX_KEYS} keys")
        except ValueError as e:
            problems.append(f"{name}, line {number}: {e}")
            continue
        keys[key.id] = number, key
        warnings += [f"{name}, line {number}: {doubt}" for doubt in doubts]
    if problems:
        return KeysFile((), tuple(problems), tuple(warnings))
    return KeysFile(tuple(key for _, key in keys.values()), (), tuple(warnings))


def _key(words: list[bytes]) -> tuple[NtpKey, list[str]]:
    """The key of a line, and what is doubtful about it.

    Raises:
        ValueError: what is wrong, without any word of the line.
    """
    words = words[:3] + words[3 : _comment(words)]
    if not re.fullmatch(rb"[0-9]{1,10}", words[0]) or not 1 <= int(words[0]) <= _MAX_ID:
        raise ValueError(f'expected a number from 1 to {_MAX_ID} first, as in "1 AES128 HEX:..."')
    number = int(words[0])
    if len(words) == 2:
        raise ValueError(
            f"key {number} has no type: write MD5 between number and key if it is one, better make an AES128 key"
        )
    if not 3 <= len(words) <= 4:
        raise ValueError(
            f"key {number}: expected number, type and key (and perhaps whom it is for), found {len(words)} words; "
            "a key with blanks is written as HEX:..."
        )
    kind = _kind(words[1])
    if kind is None:
        raise ValueError(f"key {number}: the second word is no type; there are {TYPES}")
    secret, doubts = _secret(number, words[2])
    if kind.key_bytes and len(secret) != kind.key_bytes:
        raise ValueError(
            f"key {number} has {len(secret)} bytes, and type {kind.label} needs {kind.key_bytes}: "
            f"HEX: and {2 * kind.key_bytes} digits"
        )
    if kind is MacType.MD5:
        doubts.append(
            f"key {number} is of type MD5, which can be forged: use AES128 wherever the clients can"
        )
    if len(secret) < _SHORT_BYTES:
        doubts.append(f"key {number} has {8 * len(secret)} bits only: it can be guessed from one packet")
    return NtpKey(number, kind, secret, _networks(number, words[3:])), doubts


def _comment(words: list[bytes]) -> int:
    """Where a comment behind the key begins."""
    return next((at for at, word in enumerate(words) if at >= 3 and word.startswith(b"#")), len(words))


def _kind(word: bytes) -> MacType | None:
    """A type, also as NTPsec and people write it: "AES", "AES-128", "AES128CMAC", "sha256"."""
    plain = word.decode("ascii", "replace").upper().replace("-", "").replace("_", "").removesuffix("CMAC")
    return MacType.__members__.get("AES128" if plain == "AES" else plain)


def _secret(number: int, word: bytes) -> tuple[bytes, list[str]]:
    if word[:4].upper() == b"HEX:":
        digits = word[4:]
        if not digits or len(digits) % 2 or not re.fullmatch(rb"[0-9A-Fa-f]+", digits):
            raise ValueError(
                f"key {number}: HEX: is followed by pairs of hexadecimal digits, and nothing else"
            )
        return bytes.fromhex(digits.decode("ascii")), []
    if word[:6].upper() == b"ASCII:":
        if len(word) == 6:
            raise ValueError(f"key {number} is empty")
        return word[6:], []
    if len(word) > 20 and re.fullmatch(rb"[0-9A-Fa-f]+", word):
        # chrony reads this as text, NTPsec as hexadecimal: whichever we took, somebody's clients would get silence.
        raise ValueError(f"key {number} may be text or hexadecimal: write ASCII: or HEX: in front of it")
    return word, []


def _networks(number: int, words: Iterable[bytes]) -> Networks:
    networks = []
    for word in words:
        for text in word.decode("ascii", "replace").split(","):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                raise ValueError(
                    f'key {number}: the fourth word says whom it is for, as in "10.0.0.0/8,2001:db8::/32"'
                ) from None
    return tuple(networks)
