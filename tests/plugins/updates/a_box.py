"""A folder that plays the root of a box with two systems, and programs that answer as those of the system do."""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.api.agent import Call, Ran
from appliance.boot import grub_block
from appliance.boot.keeping import BootPartition
from appliance.boot.scheme import BootState
from appliance_updates import here
from appliance_updates.facts import Release

OLD = Release("1.0.0", 1_800_000_000, "aaaaaaaaaaaa")
NEW = Release("1.1.0", 1_800_500_000, "bbbbbbbbbbbb")
COMPATIBLE = "timeball-vm-amd64"


def packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


def rauc_info(release: Release = NEW, **changed: Any) -> str:
    """What RAUC 1.13 says of a bundle, its messages before it."""
    told = {
        "update": {"version": release.version, "compatible": COMPATIBLE, "description": f"Timeball {release.version}"},
        "hooks": {"filename": "hook", "hooks": []},
        "images": [
            {"slot-class": "rootfs", "filename": "root.squashfs", "checksum": "a3" * 32, "size": 303_104, "hooks": []},
            {"slot-class": "boot", "filename": "boot.tar", "checksum": "fd" * 32, "size": 10_240, "hooks": ["install"]},
        ],
        "manifest-hash": "70" * 32,
        "bundle": {"format": "verity", "verity-size": 4096, "verity-salt": "1c" * 32, "verity-hash": "e0" * 32},
        "meta": {
            "timeball": {
                "built": str(release.built), "commit": release.commit, "minimum-from": "0.9.0",
                "changes": packed("# Changes\n\n## 1.1.0\n\n- better\n\n## 1.0.0\n\n- old\n"),
                "packages": packed("chrony 4.6-3\nlibssl3 3.5.1\n"),
            }
        },
    }  # fmt: skip
    told |= changed
    return (
        "rauc-Message: 23:52:13.129: Verifying bundle signature... \n"
        "rauc-Message: 23:52:13.129: Verified inline signature by 'O = Timeball, CN = Timeball updates (development)'\n"
        + json.dumps(told, indent=2)
    )


class Programs:
    """Programs of the system: each answers by a function, or says nothing and is content."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.answers: dict[str, Callable[..., Ran]] = {}

    def __call__(self, *command: str, **_: Any) -> Ran:
        self.ran.append(command)
        answer = self.answers.get(command[0])
        return answer(*command) if answer else Ran(0, "")


class Box:
    """The folder, and what its agent is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = Programs()
        self.progress: list[dict[str, Any]] = []
        for name in ("usr/lib/timeball", "proc/sys/kernel/random", "boot/a", "boot/b", "boot/grub", "data/timeball",
                     "data/etc/timeball", "sys/dev/block", "run/timeball", "var/lib/timeball", "sys/block"):  # fmt: skip
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "boot/grub/grubenv").write_bytes(grub_block.encode(BootState(), {}))
        (root / "boot/last_good.env").write_bytes(grub_block.pack({"LAST_GOOD": "A"}))
        (root / "data/etc/timeball/config.toml").write_text("[appliance]\n")
        about = root.stat().st_dev
        import os

        device = root / f"sys/dev/block/{os.major(about)}:{os.minor(about)}"
        device.mkdir()
        (device / "size").write_text(f"{1 << 21}\n")  # 1 GiB
        self.write_database("by the old one")
        self.power_up("A", OLD)

    @property
    def partition(self) -> BootPartition:
        return BootPartition(self.root / "boot", mounted=False, lock=self.root / "lock")

    @property
    def state(self) -> BootState:
        return self.partition.read()[0]

    @property
    def call(self) -> Call:
        return Call(self.root, self.programs, lambda values: self.progress.append(dict(values)), "test")

    def power_up(self, slot: str, release: Release, boot: str = "") -> None:
        """This one runs now."""
        self.boots = getattr(self, "boots", 0) + 1
        (self.root / "proc/cmdline").write_text(f"timeball.slot={slot.lower()} quiet\n")
        (self.root / here.BOOT_ID).write_text(boot or f"boot-{self.boots}\n")
        (self.root / here.IMAGE).write_text(
            f'compatible = "{COMPATIBLE}"\nversion = "{release.version}"\nbuilt = {release.built}\ncommit = "{release.commit}"\n'
        )

    def write_database(self, what: str) -> None:
        with sqlite3.connect(self.root / "data/timeball/timeball.db") as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE IF NOT EXISTS written (what TEXT)")
            db.execute("INSERT INTO written VALUES (?)", (what,))
        db.close()

    def database(self) -> list[str]:
        db = sqlite3.connect(self.root / "data/timeball/timeball.db")
        try:
            return [row[0] for row in db.execute("SELECT what FROM written")]
        finally:
            db.close()
