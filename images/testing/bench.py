"""Test cases of images: a register, a choice of them, and a table of what came out."""

from __future__ import annotations

import dataclasses
import importlib
import lzma
import os
import pkgutil
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from images.builder.spec import Spec, load
from images.testing import cases
from images.testing.board import Board
from images.testing.machine import Hardware, Machine

M = TypeVar("M", bound=Machine)
#: Kinds of images that start by UEFI, with a clock, a watchdog and as many disks as one likes.
VMS = ("vm-amd64", "vm-arm64")
ROOT = Path(__file__).resolve().parent.parent.parent


class Failed(AssertionError):
    """The image does not do what the case says."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One claim about an image.

    Attributes:
        number: of the acceptance test in the manual's list (images.md).
        name: short, for the table and for choosing.
        images: the kinds of image that it is about, such as "vm-amd64"; empty: all.
        slow: left out of `make image-test`, part of `make image-test-all`.
        shared: it needs no machine, or that of `Bench.shared`; such cases come first, so that it does not run beside others.
        check: raises Failed or Waited when the claim is false; what it returns stands in the table.
    """

    number: int
    name: str
    images: tuple[str, ...]
    slow: bool
    shared: bool
    check: Callable[[Bench], str | None]


REGISTER: list[Case] = []


def case(
    number: int, name: str, *, images: tuple[str, ...] = (), slow: bool = False, shared: bool = False
) -> Callable[[Callable[[Bench], str | None]], Callable[[Bench], str | None]]:
    """Put a function on the register."""

    def put(check: Callable[[Bench], str | None]) -> Callable[[Bench], str | None]:
        REGISTER.append(Case(number, name, images, slow, shared, check))
        return check

    return put


class Bench:
    """What cases work with: the image under test, and machines that run it.

    Args:
        kind: such as "vm-amd64".
        folder: the builder's output folder.
        work: for disks of machines.
        keep: leave the disks and console logs of machines that are done with.
    """

    def __init__(self, kind: str, folder: Path, work: Path, *, keep: bool = False) -> None:
        self.kind = kind
        self.folder = folder
        self.work = work
        self._keep = keep
        self._shared: dict[str, Machine] = {}
        self._made: list[Machine] = []

    @property
    def id(self) -> str:
        return f"timeball-{self.kind}"

    @property
    def architecture(self) -> str:
        return self.kind.rsplit("-", 1)[-1]

    @property
    def spec(self) -> Spec:
        """What the image's declaration says."""
        return load(self.kind)

    @property
    def image(self) -> Path:
        """The disk as it is; a card's image is unpacked once."""
        if not (self.folder / f"{self.id}.img.xz").exists():
            return self.file("raw")
        raw = self.work / "card.raw"
        if not raw.exists():
            fresh = raw.with_suffix(".new")
            with lzma.open(self.file("img.xz")) as packed, fresh.open("wb") as plain:
                _unpack(packed, plain)
            fresh.rename(raw)
        return raw

    def file(self, ending: str) -> Path:
        """A file that the builder made.

        Raises:
            Failed: it is not there.
        """
        path = self.folder / f"{self.id}.{ending}"
        if not path.exists():
            raise Failed(f"there is no {path}; build it with: sudo python3 images/build.py {self.kind}")
        return path

    def machine(self, name: str, **hardware: object) -> Machine:
        """A fresh machine of this case's own, switched off; for a card, an emulated board."""
        if self.spec.boot == "uboot":
            return self.board(name, **hardware)  # type: ignore[arg-type]
        plugged = {"architecture": self.architecture} | hardware
        return self.keep(Machine(self.image, self.work / name, Hardware(**plugged)))  # type: ignore[arg-type]

    def board(self, name: str, *, by_uboot: bool = False, **hardware: object) -> Board:
        """A fresh board, switched off."""
        plugged = Hardware(architecture="arm64", **hardware)  # type: ignore[arg-type]
        files = self.file("parts") / "boot"
        return self.keep(
            Board(
                self.image, self.work / name, plugged, slot_files=files, declared=self.spec, by_uboot=by_uboot
            )
        )

    def keep(self, machine: M) -> M:
        """Remember a machine, so that it is switched off whatever happens."""
        self._made.append(machine)
        return machine

    def shared(self, firmware: str = "uefi") -> Machine:
        """A machine that several cases look at and none of them spoils, running; started by the first that wants it."""
        if firmware not in self._shared:
            self._shared[firmware] = self.machine(f"shared-{firmware}", firmware=firmware).start()
        return self._shared[firmware]

    def done_with(self, machine: Machine) -> None:
        """Switch a machine off and throw its disk away, unless somebody wants to look at it."""
        machine.cut()
        if not self._keep:
            shutil.rmtree(machine.folder, ignore_errors=True)

    def switch_off(self) -> None:
        """Whatever a case left running, so that it does not run beside the next; disks stay for a look."""
        shared = set(map(id, self._shared.values()))
        for machine in self._made:
            if id(machine) not in shared:
                machine.cut()

    def end_shared(self) -> None:
        """Nobody looks at them any more."""
        while self._shared:
            self.done_with(self._shared.popitem()[1])

    def close(self) -> None:
        for machine in self._made:
            machine.cut()


def _unpack(packed: lzma.LZMAFile, plain: BinaryIO) -> None:
    """Blocks of zeros take no room."""
    empty = bytes(64 * 1024)
    while block := packed.read(len(empty)):
        if block == empty[: len(block)]:
            plain.seek(len(block), os.SEEK_CUR)
        else:
            plain.write(block)
    plain.truncate()


def check(true: object, otherwise: str) -> None:
    """Raise Failed unless it is true."""
    if not true:
        raise Failed(otherwise)


def chosen(kind: str, wanted: list[str], *, slow: bool) -> list[Case]:
    """Cases by number or part of the name, or all; in the order of modules, then of functions."""
    for module in sorted(info.name for info in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"{cases.__name__}.{module}")
    fitting = sorted((c for c in REGISTER if not c.images or kind in c.images), key=lambda c: not c.shared)
    if wanted:
        return [
            c for c in fitting if any(w == str(c.number) or (not w.isdigit() and w in c.name) for w in wanted)
        ]
    return [case for case in fitting if slow or not case.slow]


def run(bench: Bench, cases_: list[Case]) -> int:
    """Run them one after the other; the number of those that failed."""
    rows: list[tuple[Case, bool, float, str]] = []
    try:
        for each in cases_:
            if not each.shared:
                bench.end_shared()
            began_s = time.monotonic()
            good, remark = _one(bench, each)
            bench.switch_off()
            rows.append((each, good, time.monotonic() - began_s, remark))
            _row(*rows[-1])
    finally:
        bench.close()
    failed = [row for row in rows if not row[1]]
    print(f"\n{len(rows) - len(failed)} passed, {len(failed)} failed", flush=True)
    return len(failed)


def _one(bench: Bench, each: Case) -> tuple[bool, str]:
    try:
        return True, each.check(bench) or ""
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a case meets is its result
        if not isinstance(error, Failed):
            traceback.print_exc(limit=4, file=sys.stderr)
        return False, f"{type(error).__name__}: {error}"


def _row(each: Case, good: bool, took_s: float, remark: str) -> None:
    first, _, rest = remark.partition("\n")
    print(
        f"{each.number:>4}  {each.name:<44} {'ok' if good else 'FAILED':<7}{took_s:7.1f} s  {first}",
        flush=True,
    )
    if rest:
        print(rest, flush=True)
