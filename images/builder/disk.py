"""Partitions in a row, with a table of fixed identities (genimage)."""

from __future__ import annotations

import struct
from pathlib import Path

from images.builder.spec import Layout
from images.builder.tools import Tree

TYPES = {
    "gpt": {
        "bios-boot": "21686148-6449-6e6f-744e-656564454649",
        "boot": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        "root-a": "0fc63daf-8483-4772-8e79-3d69d8477de4",
        "root-b": "0fc63daf-8483-4772-8e79-3d69d8477de4",
        "data": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    },
    "mbr": {"boot": "0x0c", "root-a": "0x83", "root-b": "0x83", "data": "0x83"},
}


def disk(layout: Layout, contents: dict[str, Path], target: Path, work: Path, tools: Tree) -> None:
    """Write the disk image.

    Args:
        layout: the table.
        contents: the file of each role; a role without one stays empty.
        target: the raw image, sparse.
        work: a folder for genimage's own files.
        tools: the tree that has it.
    """
    config = work / "genimage.cfg"
    config.write_text(_config(layout, contents, target.name))
    (work / "empty").mkdir(exist_ok=True)
    tools.run(
        *("genimage", "--config", config, "--rootpath", work / "empty", "--tmppath", work / "genimage.tmp"),
        *("--inputpath", work, "--outputpath", target.parent),
    )


def _config(layout: Layout, contents: dict[str, Path], name: str) -> str:
    gpt = layout.table == "gpt"
    lines = [
        f"image {name} {{",
        "  hdimage {",
        f'    partition-table-type = "{layout.table}"',
        "    align = 1M",
    ]
    lines += [
        f'    disk-uuid = "{layout.disk_id}"' if gpt else f"    disk-signature = {layout.disk_id}",
        "  }",
    ]
    for partition in layout.partitions:
        kind = TYPES[layout.table][partition.role]
        lines += [f"  partition {partition.name} {{", f"    size = {partition.size_mib}M"]
        lines += [f'    partition-type-uuid = "{kind}"' if gpt else f"    partition-type = {kind}"]
        if gpt:
            lines += [f'    partition-uuid = "{partition.id}"']
        elif partition.role == "boot":
            lines += ["    bootable = true"]
        if partition.role in contents:
            lines += [f'    image = "{contents[partition.role]}"']
        lines += ["  }"]
    return "\n".join([*lines, "}", ""])


def first_sector(image: Path, layout: Layout, role: str) -> int:
    """Where a partition begins (sectors of 512 bytes), as its table says."""
    number = layout.role(role).number
    place, form = (
        (1024 + 128 * (number - 1) + 32, "<Q")
        if layout.table == "gpt"
        else (446 + 16 * (number - 1) + 8, "<L")
    )
    with image.open("rb") as file:
        file.seek(place)
        return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])
