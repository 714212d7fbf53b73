"""Whether this is one of our images, and which."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE_FILE = "usr/lib/timeball/image.toml"
NOT_AN_IMAGE = "this is not an image of ours: on a plain Debian, its own tools manage that"


@dataclass(frozen=True, slots=True)
class Image:
    """What the builder wrote into the image.

    Attributes:
        id: such as "timeball-vm-amd64".
        version: of the release.
        built: epoch seconds.
        compatible: which updates fit.
        commit: of the source.
    """

    id: str
    version: str
    built: int = 0
    compatible: str = ""
    commit: str = ""

    @property
    def pi(self) -> bool:
        return "-pi-" in self.compatible


def read_image(root: Path = Path("/")) -> Image | None:
    """The image that runs below `root`; None on a plain Debian. What cannot be read counts as none."""
    try:
        found: dict[str, Any] = tomllib.loads((root / IMAGE_FILE).read_text(encoding="utf-8"))
        return Image(
            str(found["id"]), str(found["version"]), int(found.get("built", 0)), str(found.get("compatible", "")),
            str(found.get("commit", "")),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


#: Written by the early service: the appliance does not see the kernel's command line.
SLOT_FILE = "run/timeball/slot"


def slot(root: Path = Path("/")) -> str:
    """Which of the two systems runs: "a", "b", or "" where there are not two."""
    try:
        told = (root / SLOT_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        told = kernel_words(root).get("timeball.slot", "")
    return told if told in ("a", "b") else ""


def kernel_words(root: Path = Path("/")) -> dict[str, str]:
    """Words of the kernel's command line that have a value."""
    try:
        line = (root / "proc/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {key: value for key, equals, value in (word.partition("=") for word in line.split()) if equals}
