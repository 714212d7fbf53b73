"""img.bmap: which blocks of a card's image have to be written (bmaptool's format, version 2.0).

A block that is left out keeps what was on the card before. So only what no file system relies on is left out: in each partition
all blocks up to its last one that is not zero are written, zeros in between too (a FAT's free entries, a journal's empty
blocks).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from images.builder.build import Build
from images.builder.disk import first_sector
from images.builder.spec import Layout

BLOCK = 4096
MIB = 1024 * 1024
#: Put in where the checksum of the file itself goes, while it is computed.
NO_SUM = "0" * 64


@dataclasses.dataclass(frozen=True)
class Range:
    """Blocks first to last, both written; the SHA-256 of what they hold."""

    first: int
    last: int
    sha256: str


def bmap(build: Build, raw: Path, target: Path) -> None:
    """Write the map of the raw image."""
    target.write_text(document(raw.stat().st_size, ranges(raw, build.spec.layout)))


def ranges(raw: Path, layout: Layout) -> list[Range]:
    """What is written, in order."""
    table = (0, first_sector(raw, layout, layout.partitions[0].role) * 512)
    parts = [
        (start, start + partition.size_mib * MIB)
        for partition in layout.partitions
        for start in [first_sector(raw, layout, partition.role) * 512]
    ]
    with raw.open("rb") as file:
        spans = [(start, _last_used(file, start, end)) for start, end in (table, *parts)]
        found = []
        for start, end in _joined([(start, end) for start, end in spans if end > start]):
            file.seek(start)
            digest = hashlib.sha256()
            for chunk in _chunks(file, end - start):
                digest.update(chunk)
            found.append(Range(start // BLOCK, end // BLOCK - 1, digest.hexdigest()))
    return found


def document(size: int, written: list[Range]) -> str:
    """The map as XML, with the checksum of itself."""
    blocks = sum(each.last - each.first + 1 for each in written)
    lines = [
        '<?xml version="1.0" ?>',
        '<bmap version="2.0">',
        f"    <ImageSize> {size} </ImageSize>",
        f"    <BlockSize> {BLOCK} </BlockSize>",
        f"    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>",
        f"    <MappedBlocksCount> {blocks} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {NO_SUM} </BmapFileChecksum>",
        "    <BlockMap>",
    ]
    for each in written:
        place = str(each.first) if each.first == each.last else f"{each.first}-{each.last}"
        lines.append(f'        <Range chksum="{escape(each.sha256)}"> {place} </Range>')
    text = "\n".join([*lines, "    </BlockMap>", "</bmap>", ""])
    return text.replace(NO_SUM, hashlib.sha256(text.encode()).hexdigest())


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _last_used(file: BinaryIO, start: int, end: int) -> int:
    """The end of the last block between two places that is not zero, or `start`."""
    used = start
    file.seek(start)
    here = start
    for chunk in _chunks(file, end - start):
        if kept := chunk.rstrip(b"\0"):
            used = here + -(-len(kept) // BLOCK) * BLOCK
        here += len(chunk)
    return min(used, end)


def _chunks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (chunk := file.read(min(length, MIB))):
        length -= len(chunk)
        yield chunk
