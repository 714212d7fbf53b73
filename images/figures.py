#!/usr/bin/env python3
"""Measures an image: `python3 images/figures.py vm-amd64` prints sizes, times of the start, memory, and writes when idle."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from images.testing import network, probes
from images.testing.bench import ROOT
from images.testing.cases.b_boot import CODE, START_S
from images.testing.inside import Shell, with_shell
from images.testing.machine import Hardware, Machine

MIB = 1 << 20
#: How long an idle box is watched for what it writes.
IDLE_S = 120


def sizes(folder: Path, name: str) -> dict[str, float]:
    """MiB of each file; of the raw image what it takes on the disk."""
    found = {}
    for path in sorted([*folder.glob(f"{name}.*"), *folder.glob(f"{name}.parts/**/*")]):
        if path.is_file():
            taken = path.stat().st_blocks * 512 if path.suffix == ".raw" else path.stat().st_size
            found[str(path.relative_to(folder))] = round(taken / MIB, 1)
    return found


def start(image: Path, work: Path, hardware: Hardware) -> dict[str, float]:
    """Seconds from power-on to the first answers, then memory in use and MiB written when idle."""
    machine = Machine(image, work, hardware)
    measured: dict[str, float] = {}
    with machine:
        machine.until(
            lambda: probes.ntp(machine.ports["ntp"], 1) is not None,
            START_S,
            "NTP answers",
            alive=True,
            every_s=0.2,
        )
        measured["first NTP reply, s"] = round(machine.since_start_s(), 1)
        machine.until(
            lambda: probes.web(machine.ports["https"], "/api/v1/setup", tls=True) is not None,
            START_S, "HTTPS answers", alive=True,
        )  # fmt: skip
        measured["first HTTPS answer, s"] = round(machine.since_start_s(), 1)
        machine.wait_said(CODE, START_S)
        measured["setup code on the console, s"] = round(machine.since_start_s(), 1)
        written = machine.written_bytes()
        shell = Shell(machine).ready(START_S)
        shell.must(f"sleep {IDLE_S}", within_s=IDLE_S + 600)
        measured[f"written in {IDLE_S} s idle, MiB"] = round((machine.written_bytes() - written) / MIB, 2)
        told = dict(
            line.split(":", 1) for line in shell.must("cat /proc/meminfo").splitlines() if ":" in line
        )
        used = int(told["MemTotal"].split()[0]) - int(told["MemAvailable"].split()[0])
        measured["memory in use, MiB"] = round(used / 1024)
        rss = shell.must("ps -C python3,timeball -o rss= | sort -n | tail -n 1")
        measured["of it Timeball's process, MiB"] = round(int(rss or 0) / 1024)
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(prog="images/figures.py", description=__doc__)
    parser.add_argument("image", help="such as vm-amd64")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/images")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    network.closed()
    name, architecture = f"timeball-{options.image}", options.image.rsplit("-", 1)[-1]
    found: dict[str, dict[str, float]] = {"size, MiB": sizes(options.folder, name)}
    work = Path(tempfile.mkdtemp(prefix="timeball-image-figures-"))
    try:
        for memory_mib in (1024, 512):
            plugged = {"architecture": architecture, "memory_mib": memory_mib, "disk_mib": 8192}
            hardware = Hardware(**with_shell(work / str(memory_mib), **plugged))  # type: ignore[arg-type]
            title = f"UEFI, {memory_mib} MB, two emulated processors"
            image = (options.folder / f"{name}.raw").resolve()
            found[title] = start(image, work / str(memory_mib), hardware)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for title, rows in found.items():
        print(f"\n{title}")
        for what, value in rows.items():
            print(f"  {what:<48}{value:>10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
