"""What the steps of one build share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from images.builder.initramfs import Kernel
from images.builder.progress import Progress
from images.builder.spec import Spec
from images.builder.system import Release
from images.builder.tools import Tree


@dataclasses.dataclass(frozen=True)
class Build:
    """One image in the making.

    Args:
        spec: its declaration.
        release: what is built.
        kernel: kernel and initramfs.
        root: the root file system's folder.
        cache: a folder for what later builds need, too.
        work: a folder for what is needed on the way.
        parts: what an update brings: `root.squashfs`, and `boot/` with what lies in a slot's folder on the boot partition.
        tools: the tree of tools.
        progress: for the person who waits.
        address: where what is made can be fetched from, as a URL without a slash at its end.
        fast: compress little: it is looked at once.
    """

    spec: Spec
    release: Release
    kernel: Kernel
    root: Path
    cache: Path
    work: Path
    parts: Path
    tools: Tree
    progress: Progress
    address: str
    fast: bool = False

    @property
    def boot_tree(self) -> Path:
        """The folder that becomes the boot partition."""
        return self.work / "boot"

    @property
    def slot_files(self) -> Path:
        """The folder that becomes `/boot/a`, and by an update `/boot/b`."""
        return self.parts / "boot"
