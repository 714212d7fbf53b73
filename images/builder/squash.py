"""The system as one read-only file: what a slot holds, and what an update brings."""

from __future__ import annotations

from pathlib import Path

from images.builder.errors import BuildError
from images.builder.spec import Spec
from images.builder.tools import Tree

MIB = 1024 * 1024


def squash(
    spec: Spec, root: Path, target: Path, tools: Tree, *, epoch: int, level: int | None = None
) -> None:
    """Pack the tree; files newer than `epoch` get that time.

    Raises:
        BuildError: the slot would be more than half full: the next releases must fit too.
    """
    target.unlink(missing_ok=True)
    tools.run(
        *("mksquashfs", root, target, "-noappend", "-no-progress", "-quiet", "-xattrs"),
        *("-comp", "zstd", "-Xcompression-level", str(level or spec.squash_level)),
        *("-b", f"{spec.squash_block_kib}K"),
        environment={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    slot_mib = spec.layout.role("root-a").size_mib
    if target.stat().st_size > slot_mib * MIB // 2:
        raise BuildError(
            f"the system takes {target.stat().st_size // MIB} MiB, more than half of its slot ({slot_mib} MiB): "
            "cards in the field cannot be laid out anew. Find out what it is with --keep and du, and leave it out."
        )
