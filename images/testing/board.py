"""A Raspberry Pi 3B out of QEMU: the only model that it has with a card and a network.

Its firmware is never run: QEMU starts U-Boot, as the firmware would, or the kernel itself. The board has no clock chip. QEMU's
watchdog restarts the machine the moment it is set, instead of after its time; so it must never be set (serial number 0 tells).
"""

from __future__ import annotations

import gzip
import shutil
import socket
import subprocess
from pathlib import Path

from images.builder.disk import first_sector
from images.builder.spec import Spec
from images.testing import door
from images.testing.machine import Hardware, Machine

MODEL = "bcm2837-rpi-3-b.dtb"
#: Main memory that QEMU gives it, and what a Pi's firmware keeps for graphics.
MEMORY_MIB, GRAPHICS_MIB = 1024, 64
#: Cards of emulated boards have a power of two of bytes.
CARD_MIB = 4096
#: What boot.scr and slot.uboot put together for a board without a serial number, for slot A.
ARGUMENTS = "timeball.slot=a root=PARTUUID={root} {arguments} console=ttyS1,115200 console=tty0 systemd.watchdog_sec=0"
#: The kernel's own limit.
LONGEST = 2047


class Board(Machine):
    """One board. Its card stays from start to start.

    Args:
        image: the card's image, raw.
        folder: for its card and its console's log.
        hardware: what of it a board has: network, memory_mib (up to 1024), disk_mib, credentials, door, sticks.
        slot_files: what lies in a slot's folder (the builder's `parts/boot`).
        declared: the image's declaration: where its partitions are, and its kernel's arguments.
        by_uboot: start U-Boot from the card's boot partition; else the kernel, which takes a third of the time and has a network.
            U-Boot takes the kernel's arguments from the card: no credentials, no door.
    """

    def __init__(
        self,
        image: Path,
        folder: Path,
        hardware: Hardware,
        *,
        slot_files: Path,
        declared: Spec,
        by_uboot: bool = False,
    ) -> None:
        for name in ("rtc", "watchdog", "disks", "more"):
            if getattr(hardware, name):
                raise ValueError(f"an emulated Pi has no place for this: {name}")
        super().__init__(image, folder, hardware)
        self.by_uboot = by_uboot
        self._slot_files = slot_files
        self._declared = declared
        self._layout = declared.layout

    def _make_disk(self) -> None:
        """Not a layer over the image: while it is off, its boot partition is read and written to without starting it."""
        self.disk = self.folder / "card.img"
        if not self.disk.exists():
            subprocess.run(["cp", "--sparse=always", str(self.image), str(self.disk)], check=True)
            with self.disk.open("r+b") as card:
                card.truncate((self.hardware.disk_mib or CARD_MIB) * 1024 * 1024)

    def _command(self) -> list[str]:
        words = ["qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-accel", "tcg,thread=multi", "-machine", "raspi3b"]
        words += self._started()
        line = f"socket,id=line,path={self.folder}/serial.sock,server=on,wait=off"
        words += [
            *("-chardev", f"{line},logfile={self.log},logappend=on"),
            # The first serial port is Bluetooth's; the console is the small one.
            *("-serial", "null", "-serial", "chardev:line"),
            *("-qmp", f"unix:{self.folder}/qmp.sock,server=on,wait=off"),
            *("-drive", f"file={self.disk},format=raw,if=sd,cache=writeback"),
        ]
        words += self._sticks()
        if self.hardware.network:
            words += [*self._network(), "-device", "usb-net,netdev=net"]
        return words

    def _started(self) -> list[str]:
        if self.by_uboot:
            for name in ("u-boot.bin", MODEL):
                (self.folder / name).write_bytes(self.read(name))
            return ["-kernel", f"{self.folder}/u-boot.bin", "-dtb", f"{self.folder}/{MODEL}"]
        kernel = self.folder / "Image"
        if not kernel.exists():
            with gzip.open(self._slot_files / "kernel.gz") as packed, kernel.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        return [
            *("-kernel", str(kernel), "-initrd", str(self._slot_files / "initrd.img")),
            *("-dtb", str(self._slot_files / "dtb/broadcom" / MODEL), "-append", self._arguments()),
        ]

    def _arguments(self) -> str:
        """The kernel's.

        Raises:
            ValueError: the credentials are too long.
        """
        hard = self.hardware
        words = [*self._declared.arguments, *door.by_kernel(hard.credentials)]
        if hard.door:
            words += door.by_kernel(door.NETWORK)
        if hard.memory_mib < MEMORY_MIB:
            words.append(f"mem={hard.memory_mib - GRAPHICS_MIB}M")
        root = self._layout.role("root-a").partuuid(self._layout)
        line = ARGUMENTS.format(root=root, arguments=" ".join(words))
        if len(line) > LONGEST:
            raise ValueError(f"{len(line)} characters are too many for the kernel's arguments")
        return line

    def line_inside(self) -> socket.socket:
        """Through the forwarded port."""
        return socket.create_connection(("127.0.0.1", self.ports["ssh"]), timeout=5)

    # -- its card, while it is off --------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """A file of the card's boot partition; while it runs, perhaps half of it is written."""
        return self._mtools("mcopy", "-n", f"::{name}", "-")

    def write(self, name: str, content: bytes) -> None:
        """Put a file onto the card's boot partition, as a person with a computer would."""
        self._mtools("mcopy", "-o", "-", f"::{name}", content=content)

    def fill_slot_b(self, root: Path | None) -> None:
        """Slot B as an update leaves it: the files of slot A, and a system in its root, or nothing that could be one."""
        for path in sorted(self._slot_files.rglob("*")):
            inside = f"::b/{path.relative_to(self._slot_files).as_posix()}"
            self._mtools(*(("mmd", inside) if path.is_dir() else ("mcopy", "-o", str(path), inside)))
        if root is not None:
            with self.disk.open("r+b") as card, root.open("rb") as system:
                card.seek(self._start("root-b"))
                shutil.copyfileobj(system, card)

    def spoil(self, role: str) -> None:
        """Overwrite the start of a partition: what is there can no longer be mounted."""
        assert not self.runs
        with self.disk.open("r+b") as card:
            card.seek(self._start(role))
            card.write(bytes(64 * 1024))

    def _start(self, role: str) -> int:
        return first_sector(self.disk, self._layout, role) * 512

    def _mtools(self, command: str, *words: str, content: bytes | None = None) -> bytes:
        assert not self.runs or content is None, "the card is in the board"
        image = ["-i", f"{self.disk}@@{self._start('boot')}"]
        return subprocess.run(
            [command, *image, *words], input=content, stdout=subprocess.PIPE, check=True
        ).stdout
