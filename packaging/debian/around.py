"""What the package lays beside the application: chronyd's part, small scripts that run without Python, rules for devices."""

from __future__ import annotations

from pathlib import Path

import archive
from release import ROOT

#: Where it lies in the tree, and where in the system.
_FILES = {
    "chrony/timeball.conf": "etc/chrony/conf.d/timeball.conf",
    "chrony/chrony-service.conf": "usr/lib/systemd/system/chrony.service.d/timeball.conf",
    "udev/60-timeball.rules": "usr/lib/udev/rules.d/60-timeball.rules",
}


def put(stage: Path) -> None:
    """Lay it out in the folder `stage`."""
    packaging = ROOT / "packaging"
    for source, target in _FILES.items():
        archive.put(stage, target, (packaging / source).read_bytes())
    for script in sorted((packaging / "libexec").iterdir()):
        archive.put(stage, f"usr/libexec/timeball/{script.name}", script.read_bytes())
