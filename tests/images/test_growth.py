"""The data partition's growth, with the program that does it in the initramfs, on disks in files; and a cut in the middle of it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from images.builder import spec
from images.builder.disk import TYPES
from tests.support.programs import need
from tests.support.tree import ROOT

SECTOR, MIB = 512, 1 << 20
BEFORE_MIB, AFTER_MIB = 2900, 8192
#: As the initramfs says it.
FUNCTIONS = (ROOT / "images/files/common/usr/share/initramfs-tools/timeball-functions").read_text()
OPTIONS = re.search(r"echo '(, \+)' \| sfdisk --no-reread --no-tell-kernel --quiet -N", FUNCTIONS)


def disk(path: Path, name: str) -> spec.Layout:
    """A disk with the image's table and nothing in it."""
    layout = spec.load(name).layout
    with path.open("wb") as file:
        file.truncate(BEFORE_MIB * MIB)
    lines = [
        f"label: {'gpt' if layout.table == 'gpt' else 'dos'}",
        f"label-id: {layout.disk_id}",
        "unit: sectors",
        "",
    ]
    lines += [
        f"size={partition.size_mib * MIB // SECTOR}, type={TYPES[layout.table][partition.role].removeprefix('0x')}"
        + (f", uuid={partition.id}" if partition.id else "")
        for partition in layout.partitions
    ]
    subprocess.run([need("sfdisk"), "--quiet", path], input="\n".join(lines) + "\n", text=True, check=True)
    return layout


def grow(path: Path, number: int) -> None:
    assert OPTIONS is not None, "the initramfs grows in another way: this test must follow it"
    subprocess.run(
        [need("sfdisk"), "--no-reread", "--no-tell-kernel", "--quiet", "-N", str(number), path],
        input=OPTIONS[1], text=True, check=True, capture_output=True,
    )  # fmt: skip


def partitions(path: Path) -> list[dict]:
    said = subprocess.run([need("sfdisk"), "--json", path], check=True, capture_output=True, text=True)
    return json.loads(said.stdout)["partitiontable"]["partitions"]


def enlarge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(AFTER_MIB * MIB)


def ends(path: Path) -> tuple[bytes, bytes]:
    """The first 34 sectors (MBR, header, entries), and the last 33 (entries, header)."""
    with path.open("rb") as file:
        begin = file.read(34 * SECTOR)
        file.seek(-33 * SECTOR, 2)
        return begin, file.read()


@pytest.mark.parametrize("name", spec.names())
def test_the_last_partition_grows_to_the_end_and_the_others_stay(tmp_path, name):
    path = tmp_path / "disk"
    layout = disk(path, name)
    before = partitions(path)
    enlarge(path)
    grow(path, len(layout.partitions))
    after = partitions(path)
    assert after[:-1] == [each | {"node": after[i]["node"]} for i, each in enumerate(before[:-1])]
    last = after[-1]
    assert last["start"] == before[-1]["start"]
    end_mib = (last["start"] + last["size"]) * SECTOR / MIB
    assert AFTER_MIB - 2 <= end_mib <= AFTER_MIB
    grow(path, len(layout.partitions))
    assert partitions(path) == after, "a second time changes nothing"


def test_after_a_cut_between_any_two_writes_of_the_table_it_is_read_and_grown_again(tmp_path):
    """libfdisk writes the copy at the end first (its entries, its header), then the first one (entries, header)."""
    path = tmp_path / "disk"
    layout = disk(path, "vm-amd64")
    enlarge(path)
    old, old_end = ends(path)
    grow(path, len(layout.partitions))
    new, new_end = ends(path)
    grown = partitions(path)
    entries, header = slice(2 * SECTOR, 34 * SECTOR), slice(SECTOR, 2 * SECTOR)
    for written in range(4):
        begin, end = bytearray(old), bytearray(old_end)
        if written >= 1:
            end[: 32 * SECTOR] = new_end[: 32 * SECTOR]
        if written >= 2:
            end[32 * SECTOR :] = new_end[32 * SECTOR :]
        if written >= 3:
            begin[entries] = new[entries]
        assert begin[header] != new[header]
        with path.open("r+b") as file:
            file.write(begin)
            file.seek(-33 * SECTOR, 2)
            file.write(end)
        assert len(partitions(path)) == len(layout.partitions), f"unreadable after {written} writes"
        grow(path, len(layout.partitions))
        assert partitions(path) == grown, f"not grown after {written} writes"
