"""Sizes of the packages in build/deb, what in them is how large, and systemd's judgement of each unit: `make deb-figures`."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    debs = sorted((ROOT / "build" / "deb").glob("*.deb"))
    if not debs:
        print("no package in build/deb: make deb", file=sys.stderr)
    for deb in debs:
        parts = inside(deb)
        print(f"{deb.name}: {deb.stat().st_size / 1e6:.1f} MB, unpacked {sum(parts.values()) / 1e6:.1f} MB")
        for name, size in parts.most_common(12):
            print(f"    {size / 1e6:5.1f} MB  {name}")
    print("exposure, 0 (sealed) to 10 (open):")
    for unit in sorted((ROOT / "packaging" / "systemd").glob("*.service")):
        print(f"    {exposure(unit):>4}  {unit.name}")
    return 0


def inside(deb: Path) -> Counter[str]:
    """Bytes by what they belong to: a library, the application, or all else."""
    parts: Counter[str] = Counter()
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked,
        tarfile.open(fileobj=unpacked.stdout, mode="r|") as tar,
    ):
        for member in tar:
            found = re.search(r"site-packages/([^/]+)", member.name)
            top = found[1] if found else "all else"
            parts["appliance and its plugins" if top.startswith("appliance") else top] += member.size
    return parts


def exposure(unit: Path) -> str:
    """As `systemd-analyze security` says it."""
    try:
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        return "?"
    found = re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)
    return found[1] if found else "?"


if __name__ == "__main__":
    sys.exit(main())
