"""What the package lays beside the application: units, chronyd's part, small scripts that run without Python, rules for devices."""

from __future__ import annotations

from pathlib import Path

import archive
from release import ROOT, tracked

#: Where it lies in the tree, and where in the system.
_FILES = {
    "chrony/timeball.conf": "etc/chrony/conf.d/timeball.conf",
    "chrony/chrony-service.conf": "usr/lib/systemd/system/chrony.service.d/timeball.conf",
    "udev/60-timeball.rules": "usr/lib/udev/rules.d/60-timeball.rules",
}
#: Whole folders.
_FOLDERS = {"systemd": "usr/lib/systemd/system", "libexec": "usr/libexec/timeball"}


def put(stage: Path) -> None:
    """Lay it out in the folder `stage`."""
    packaging = ROOT / "packaging"
    for source, target in _FILES.items():
        archive.put(stage, target, (packaging / source).read_bytes())
    for folder, target in _FOLDERS.items():
        for name in tracked(f"packaging/{folder}"):
            place = name.relative_to(f"packaging/{folder}")
            archive.put(stage, f"{target}/{place}", (ROOT / name).read_bytes())
