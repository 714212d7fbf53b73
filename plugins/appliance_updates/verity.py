"""The hash at the top of a bundle's hash tree, computed from its content (dm-verity version 1, SHA-256, blocks of 4096 bytes).

RAUC has the kernel check each block when it is read, which for a file with one bad byte is in the middle of an installation.
This asks beforehand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

BLOCK = 4096
_DIGEST = 32
_AT_ONCE = 256


class Damaged(Exception):
    """The content is not what was signed."""


def check(path: Path, tree_bytes: int, salt: str, root: str, told: Callable[[float], object] = bool) -> None:
    """Read the whole bundle and compare.

    Args:
        path: the bundle: content, hash tree, signature, and the signature's length in the last 8 bytes.
        tree_bytes: of the hash tree.
        salt: hexadecimal, as signed.
        root: hexadecimal, as signed.
        told: called now and then with the share that was read.

    Raises:
        Damaged: a byte of it is another one, or the file is shorter than it was.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(size - 8 if size > 8 else 0)
        content_bytes = size - 8 - int.from_bytes(file.read(8), "big") - tree_bytes
        if content_bytes <= 0 or content_bytes % BLOCK:
            raise Damaged("it is shorter than it was when it was signed")
        file.seek(0)
        seed = hashlib.sha256(bytes.fromhex(salt))
        level = bytearray()
        done = 0
        while done < content_bytes:
            chunk = file.read(min(_AT_ONCE * BLOCK, content_bytes - done))
            if not chunk:
                raise Damaged("it ends too early")
            level += _digests(chunk, seed)
            done += len(chunk)
            told(done / content_bytes)
    while len(level) > _DIGEST:
        level = bytearray(_digests(_padded(bytes(level)), seed))
    # A content of one block has its tree all the same: the hash of a block with that one hash.
    if content_bytes == BLOCK:
        level = bytearray(_digests(_padded(bytes(level)), seed))
    if level.hex() != root.lower():
        raise Damaged("its content is not what was signed: at least one byte differs")


def _padded(digests: bytes) -> bytes:
    return digests.ljust(-(-len(digests) // BLOCK) * BLOCK, b"\0")


def _digests(blocks: bytes, seed: hashlib._Hash) -> bytes:
    out = bytearray()
    for at in range(0, len(blocks), BLOCK):
        one = seed.copy()
        one.update(blocks[at : at + BLOCK])
        out += one.digest()
    return bytes(out)
