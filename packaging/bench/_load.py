"""The load generator: built once from `load/`, run against one server, and what it saw."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _common import ROOT, Row

CRATE = Path(__file__).resolve().parent / "load"
TARGET = ROOT / ".cache" / "load"
_BUILD_PATIENCE_S = 300


class Unavailable(Exception):
    """There is no load generator here; the text says why and what helps."""


@dataclass(frozen=True)
class Seen:
    """What one run of the load generator saw; its `--help` says what each word means."""

    sent: int
    ok: int
    late: int
    wrong: int
    lost: int
    stray: int
    elapsed_s: float
    sent_per_s: float
    ok_per_s: float
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    trip_p50_us: float | None
    trip_p99_us: float | None
    behind_p99_us: float
    busy: float
    idle_passes: float
    groups: int
    limited: bool

    @property
    def answered(self) -> int:
        return self.ok + self.late + self.wrong


@functools.cache
def generator() -> Path:
    """The program, built if its sources changed.

    Raises:
        Unavailable: without cargo, or when it cannot be built.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Unavailable("cargo is not installed: it builds the load generator")
    command = [cargo, "build", "--release", "--locked", "--quiet", "--target-dir", str(TARGET)]
    done = subprocess.run(
        command, cwd=CRATE, capture_output=True, text=True, check=False, timeout=_BUILD_PATIENCE_S
    )
    if done.returncode != 0:
        why = next((line for line in done.stderr.splitlines() if line.startswith("error")), "see cargo")
        raise Unavailable(f"the load generator cannot be built ({why})")
    return TARGET / "release" / "timeball-load"


def unavailable(what: str) -> Row | None:
    """A row that says why nothing can be measured, or None when it can."""
    try:
        generator()
    except Unavailable as missing:
        return Row(what, "not measured", note=str(missing))
    return None


def load(protocol: str, server: str, *options: str, inside: Sequence[str] = ()) -> Seen:
    """Ask `server` (ADDRESS:PORT) as `options` say; `inside` goes before the command, as `ip netns exec NAME`."""
    command = [*inside, str(generator()), protocol, "--server", server, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=700)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return Seen(**json.loads(done.stdout))
