"""The state on the boot partition: read it, change it in one step, and survive a power cut in every step of that.

The file is overwritten in place, as the boot loaders do it themselves: no cluster moves, and what we keep lies in one sector
(GRUB) or under a checksum (U-Boot). Which slot was good last stands in a second file, which the boot loader only reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.boot import grub_block, uboot_env
from appliance.boot.grub_block import Unreadable
from appliance.boot.scheme import SLOTS, BootState, lost

#: Where boot loaders keep it below the boot partition, and which one that is.
PLACES = (("uboot.env", "uboot"), ("grub/grubenv", "grub"))
LAST_GOOD = "last_good.env"
_LOCK = Path("/run/timeball/boot.lock")


class NoState(Exception):
    """There is no file of a boot loader: this system was not started by our images' boot loaders."""


def running_slot(command_line: str) -> str:
    """The slot that the kernel's command line names ("timeball.slot=a"), or ""."""
    for word in command_line.split():
        key, _, value = word.partition("=")
        if key == "timeball.slot" and value.upper() in SLOTS:
            return value.upper()
    return ""


class BootPartition:
    """The boot partition of an image.

    Args:
        root: where it is mounted.
        mounted: whether it is a mount of its own that is read-only but for the moment of a change.
        lock: one change at a time, whichever process makes it.
    """

    def __init__(self, root: Path = Path("/boot"), *, mounted: bool = True, lock: Path = _LOCK) -> None:
        self.root = root
        self._mounted = mounted
        self._lock = lock

    @property
    def loader(self) -> str:
        """Which one: "grub", "uboot".

        Raises:
            NoState: neither.
        """
        return self._place()[1]

    def _place(self) -> tuple[Path, str]:
        for name, loader in PLACES:
            if (self.root / name).is_file():
                return self.root / name, loader
        raise NoState(f"there is no {' and no '.join(name for name, _ in PLACES)} in {self.root}")

    def read(self) -> tuple[BootState, bool]:
        """The state, and whether it had to be guessed from the slot that was good last.

        Raises:
            NoState: there is none.
        """
        state, _, guessed = self._read()
        return state, guessed

    def _read(self) -> tuple[BootState, dict[str, str], bool]:
        path, loader = self._place()
        codec = uboot_env if loader == "uboot" else grub_block
        try:
            values = codec.unpack(path.read_bytes())
            return codec.decode(values), values, False
        except Unreadable:
            return lost(self.last_good()), {}, True

    def last_good(self) -> str:
        """What the second file says; "A" when it says nothing."""
        with contextlib.suppress(OSError, Unreadable):
            found = grub_block.unpack((self.root / LAST_GOOD).read_bytes()).get("LAST_GOOD", "")
            if found in SLOTS:
                return found
        return SLOTS[0]

    def change(self, step: Callable[[BootState], BootState]) -> BootState:
        """Replace the state by what `step` makes of it; the new one. What `step` raises goes through, and nothing was written.

        Raises:
            NoState: there is none.
            OSError: it cannot be written.
        """
        with self._locked():
            path, loader = self._place()
            before, values, guessed = self._read()
            after = step(before)
            if after == before and not guessed and self.last_good() == after.last_good:
                return after
            content = (
                uboot_env.encode(after, values, path.stat().st_size or uboot_env.SIZE)
                if loader == "uboot"
                else grub_block.encode(after, values)
            )
            second = grub_block.pack({"LAST_GOOD": after.last_good})
            writes = [(path, content), (self.root / LAST_GOOD, second)]
            # At no moment may the second file name a slot that is not good: first there when it was good before.
            if before.slots[after.last_good].good:
                writes.reverse()
            with self.writable():
                for target, text in writes:
                    _overwrite(target, text)
            return after

    @contextlib.contextmanager
    def writable(self) -> Iterator[None]:
        """The partition can be written to inside.

        Raises:
            OSError: it cannot be mounted so.
        """
        if not self._mounted:
            yield
            return
        _remount(self.root, "rw")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # somebody else writes: that one mounts it back
                _remount(self.root, "ro")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _remount(root: Path, how: str) -> None:
    done = subprocess.run(  # noqa: S603 - fixed words
        ["/usr/bin/mount", "-o", f"remount,{how}", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{root} cannot be mounted {how}: {done.stderr.strip()}")


def _overwrite(path: Path, content: bytes) -> None:
    """In place when it is there with that size, else as a new file."""
    if path.exists() and path.stat().st_size == len(content):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, content, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    put(path, content)


def put(path: Path, content: bytes) -> None:
    """A new file under a temporary name, written out before it takes the place of the old one."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
