#!/usr/bin/env python3
"""Measures an image: `python3 images/figures.py vm-amd64` prints sizes, the start, memory, idle writes, exposure."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from images.testing import network, probes
from images.testing.bench import ROOT, Bench
from images.testing.cases.b_boot import CODE, START_S, memory_mib
from images.testing.inside import Shell
from images.testing.machine import Machine

MIB = 1 << 20
#: How long an idle box is watched for what it writes.
IDLE_S = 120


def sizes(bench: Bench) -> dict[str, float]:
    """MiB of each file; of a disk what it takes on the medium."""
    found = {}
    for path in sorted([*bench.folder.glob(f"{bench.id}.*"), *bench.folder.glob(f"{bench.id}.parts/*")]):
        if path.is_file() and path.suffix != ".raw":
            found[path.relative_to(bench.folder).as_posix()] = path.stat().st_size / MIB
    boot = bench.folder / f"{bench.id}.parts/boot"
    for path in sorted(boot.glob("*")):
        files = [each for each in (path, *path.rglob("*")) if each.is_file()]
        found[path.relative_to(bench.folder).as_posix()] = sum(each.stat().st_size for each in files) / MIB
    disk = bench.image.stat()
    found["the disk, from end to end"] = disk.st_size / MIB
    found["the disk, what is not empty"] = disk.st_blocks * 512 / MIB
    return {name: round(mib, 1) for name, mib in found.items()}


def start(machine: Machine, exposure: dict[str, float]) -> dict[str, float]:
    """Seconds from power-on to the first answers, then memory in use and MiB written when idle; fills in `exposure`, once."""
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
        with Shell(machine).ready(START_S) as shell:
            written = machine.written_bytes()
            shell.must(f"sleep {IDLE_S}", within_s=IDLE_S + 600)
            measured[f"written in {IDLE_S} s idle, MiB"] = round((machine.written_bytes() - written) / MIB, 2)
            measured["memory in use, MiB"], measured["of so much, MiB"] = memory_mib(shell)
            told = shell.must("cat /proc/$(systemctl show -P MainPID timeball.service)/status")
            rss = re.search(r"VmRSS:\s+(\d+) kB", told)
            measured["of it Timeball's process, MiB"] = round(int(rss[1]) / 1024) if rss else 0
            exposure.update(exposure or exposures(shell))
    return measured


def exposures(shell: Shell) -> dict[str, float]:
    """How open each of our units is, 0 to 10, as the systemd of the image judges it."""
    said = shell.must("systemd-analyze security --no-pager", within_s=600)
    rows = (line.split() for line in said.splitlines())
    return {
        row[0]: float(row[1]) for row in rows if len(row) > 2 and row[0].startswith(("timeball", "chrony"))
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="images/figures.py", description=__doc__)
    parser.add_argument("image", help="such as vm-amd64")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/images")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--sizes", action="store_true", help="start nothing")
    options = parser.parse_args()
    network.closed()
    work = Path(tempfile.mkdtemp(prefix="timeball-image-figures-"))
    bench = Bench(options.image, options.folder.resolve(), work)
    found = {"size, MiB": sizes(bench)}
    board = bench.spec.boot == "uboot"
    started_by = (
        "an emulated Pi 3 B, its kernel started by QEMU" if board else "UEFI, two emulated processors"
    )
    exposure: dict[str, float] = {}
    try:
        for given_mib in () if options.sizes else (1024, 512):
            machine = bench.machine(str(given_mib), door=True, memory_mib=given_mib, disk_mib=8192)
            found[f"{started_by}, {given_mib} MB"] = start(machine, exposure)
            bench.done_with(machine)
        found["exposure of units, 0 (sealed) to 10 (open)"] = exposure
    finally:
        bench.close()
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
