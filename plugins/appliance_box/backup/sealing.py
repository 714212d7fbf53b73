r"""Seals a stream with a passphrase: scrypt for the key, AES-256-GCM in chunks, each bound to its place and to the end.

    TIMEBALL-SEALED-1\n {"kdf": "scrypt", "n": ..., "r": 8, "p": 1, "salt": "..."}\n  then chunks of 64 KiB + 16 bytes

The nonce of a chunk is its number, with a mark on the last one, so that chunks cannot change places, be left out or be cut off. The key
belongs to one file alone (its salt is random), and the head is authenticated with every chunk.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from appliance_box.backup import BadArchive

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"TIMEBALL-SEALED-1\n"
CHUNK: Final = 64 * 1024
_TAG: Final = 16
#: RFC 7914's interactive figure and one doubling: 64 MiB, half a second on a small board.
COST: Final = 1 << 16
_MOST_COST: Final = 1 << 18
SHORTEST: Final = 8


class Sealer(io.RawIOBase):
    """A file that seals what is written to it. Closing it writes the last chunk; the target stays open."""

    def __init__(self, target: BinaryIO, passphrase: str, *, cost: int = COST) -> None:
        salt = os.urandom(16)
        head = {"kdf": "scrypt", "n": cost, "r": 8, "p": 1, "salt": base64.b64encode(salt).decode()}
        self._head = MAGIC + json.dumps(head).encode() + b"\n"
        self._box = _cipher(_key(passphrase, salt, cost))
        self._target = target
        self._rest = bytearray()
        self._number = 0
        target.write(self._head)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._rest += data
        while len(self._rest) > CHUNK:  # the last one is kept back until it is known to be the last
            self._put(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._put(bytes(self._rest), last=True)
        super().close()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._target.write(self._box.encrypt(_nonce(self._number, last=last), chunk, self._head))
        self._number += 1


class Opener(io.RawIOBase):
    """Reads what a `Sealer` wrote. Nothing is given out that was not authenticated.

    Raises:
        BadArchive: "passphrase" when the first chunk does not open, "damaged" when a later one does not.
    """

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        if source.read(len(MAGIC)) != MAGIC:
            raise BadArchive("not_ours", "this is no sealed archive of ours")
        line = source.readline(1024)
        self._head = MAGIC + line
        salt, cost = _parameters(line)
        self._box = _cipher(_key(passphrase, salt, cost))
        self._source = source
        self._number = 0
        self._plain = b""
        self._ahead = source.read(CHUNK + _TAG)
        self._ended = False
        self._next()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain and not self._ended:
            self._next()
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _next(self) -> None:
        from cryptography.exceptions import InvalidTag

        sealed, self._ahead = self._ahead, self._source.read(CHUNK + _TAG)
        last = not self._ahead
        try:
            self._plain = self._box.decrypt(_nonce(self._number, last=last), sealed, self._head)
        except InvalidTag:
            if self._number == 0:
                raise BadArchive(
                    "passphrase",
                    "this passphrase does not open the archive",
                    "type it as it was when the backup was made",
                ) from None
            raise BadArchive(
                "damaged", "the archive is damaged or cut off", "take another copy of it"
            ) from None
        self._number += 1
        self._ended = last


def _cipher(key: bytes) -> AESGCM:
    # The library is loaded when something is sealed: it takes 6 MB, which a box at rest does without.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def is_sealed(source: BinaryIO) -> bool:
    """Whether what begins here is sealed; reads ahead and goes back."""
    at = source.tell()
    try:
        return source.read(len(MAGIC)) == MAGIC
    finally:
        source.seek(at)


def check_passphrase(passphrase: str) -> None:
    """Raises ValueError: too short to be worth anything."""
    if len(passphrase) < SHORTEST:
        raise ValueError(
            f"a passphrase has {SHORTEST} characters or more: whoever gets the file may guess for years"
        )


def _parameters(line: bytes) -> tuple[bytes, int]:
    try:
        head = json.loads(line)
        salt, cost = base64.b64decode(head["salt"], validate=True), int(head["n"])
        sane = head["kdf"] == "scrypt" and (head["r"], head["p"]) == (8, 1) and cost & (cost - 1) == 0
    except (ValueError, KeyError, TypeError, binascii.Error):
        sane, salt, cost = False, b"", 0
    if not sane or not 2 <= cost <= _MOST_COST or not 8 <= len(salt) <= 64:
        raise BadArchive(
            "damaged", "the head of the sealed archive makes no sense", "take another copy of it"
        )
    return salt, cost


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())


def _nonce(number: int, *, last: bool) -> bytes:
    return struct.pack(">B3xQ", last, number)
