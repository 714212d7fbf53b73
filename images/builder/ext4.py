"""The data partition as it leaves the factory: empty, small, and made to grow a thousandfold."""

from __future__ import annotations

from pathlib import Path

from images.builder.tools import Tree

#: Fixed, so that the same image has the same bytes. A factory reset draws a new one.
UUID = "74626461-7461-4d61-8d64-000000000001"


def data(target: Path, size_mib: int, tools: Tree, *, epoch: int) -> None:
    """As `make_data` in the initramfs makes it."""
    target.unlink(missing_ok=True)
    with target.open("wb") as file:
        file.truncate(size_mib * 1024 * 1024)
    tools.run(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-i", "16384", "-J", "size=32", "-m", "0"),
        *("-L", "timeball-data", "-U", UUID, "-E", f"hash_seed={UUID},root_owner=0:0", target),
        environment={"SOURCE_DATE_EPOCH": str(epoch)},
    )
