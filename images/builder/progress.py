"""Shows what happens and how long it takes: one line for each stage, and what is being waited for on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Without a terminal a long stage says every so often that it lives.
SIGN_OF_LIFE_S = 60.0


class Progress:
    """Stages of a build on standard error.

    Args:
        logs: the folder where the output of each stage is kept.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._began_s = time.monotonic()
        self._stage = ""
        self._stage_began_s = 0.0
        self._said_s = 0.0
        self._live = sys.stderr.isatty()
        self.log = logs / "build.log"
        logs.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Print the stage with its time when it ends; its programs' output goes into a log of its own."""
        outer = (self._stage, self._stage_began_s, self.log)
        self._stage, self._stage_began_s = name, time.monotonic()
        self._said_s = self._stage_began_s
        self.log = self._logs / f"{name.replace(' ', '-').replace('/', '-')}.log"
        self.log.write_bytes(b"")
        try:
            yield
        except BaseException:
            self._line(f"  {name:<44} failed after {self._elapsed():.1f} s")
            raise
        else:
            self._line(f"  {name:<44} {self._elapsed():7.1f} s")
        finally:
            self._stage, self._stage_began_s, self.log = outer

    def cached(self, name: str, what: str) -> None:
        """A stage that had nothing to do, and why."""
        self._line(f"  {name:<44}  cached   {what}")

    def say(self, text: str) -> None:
        self._line(text)

    def waiting(self) -> None:
        """Called about once a second while a program runs."""
        if not self._stage:
            return
        now_s = time.monotonic()
        last = _last_line(self.log)
        if self._live:
            text = f"  {self._stage} ... {self._elapsed():.0f} s  {last}"
            sys.stderr.write("\r\033[K" + text[:110])
            sys.stderr.flush()
        elif now_s - self._said_s >= SIGN_OF_LIFE_S:
            self._said_s = now_s
            self._line(f"    {self._stage}: {self._elapsed():.0f} s so far; {last[:80]}")

    def total_s(self) -> float:
        return time.monotonic() - self._began_s

    def _elapsed(self) -> float:
        return time.monotonic() - self._stage_began_s

    def _line(self, text: str) -> None:
        sys.stderr.write(("\r\033[K" if self._live else "") + text + "\n")
        sys.stderr.flush()


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400))
            lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
