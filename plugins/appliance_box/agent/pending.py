"""A change of the network that has to be confirmed: whoever cannot reach the box any more does nothing, and it goes back.

The kept settings stay as they were until the change is confirmed; a restart of the box, or of the agent, is a way back too.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.core import durable
from appliance_box import rendering
from appliance_box.settings import BoxSettings

log = logging.getLogger("timeball.agent")

FILE: Final = f"{rendering.RUN}/pending.json"
LONGEST_S: Final = 600


@dataclass(frozen=True, slots=True)
class Change:
    """One that waits.

    Attributes:
        settings: as they are tried.
        until_ns: monotonic moment at which it goes back; the clock of the kernel, which no restart of ours changes.
        id: names it.
    """

    settings: BoxSettings
    until_ns: int
    id: str

    @property
    def left_s(self) -> float:
        return max(0.0, (self.until_ns - time.monotonic_ns()) / 1e9)


class Pending:
    """The one change that waits below a root.

    Args:
        root: of the file system.
        go_back: makes the kept settings true again.
    """

    def __init__(self, root: Path, go_back: Callable[[], Any]) -> None:
        self._file = root / FILE
        self._go_back = go_back
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    def current(self) -> Change | None:
        """The change that waits; None when there is none, or what is written there makes no sense."""
        try:
            value = json.loads(self._file.read_text(encoding="utf-8"))
            return Change(
                BoxSettings.model_validate(value["settings"]), int(value["until_ns"]), str(value["id"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, change: Change) -> None:
        """Wait for a confirmation of `change`; one that waited before is forgotten."""
        value = {
            "settings": change.settings.as_dict(secrets=True), "until_ns": change.until_ns, "id": change.id,
        }  # fmt: skip
        with self._lock:
            self._stop()
            durable.put(self._file, json.dumps(value).encode(), 0o600)
            self._wait(change.left_s)

    def end(self) -> None:
        """Nothing waits any more."""
        with self._lock:
            self._stop()
            self._file.unlink(missing_ok=True)

    def resume(self) -> None:
        """After a start of the agent: what waits, goes on waiting."""
        with self._lock:
            if (change := self.current()) is not None:
                self._wait(change.left_s)

    def waiting(self) -> bool:
        """Whether a change waits: the agent does not end before."""
        return self._file.exists()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, left_s: float) -> None:
        self._timer = threading.Timer(left_s, self._over)
        self._timer.daemon = True
        self._timer.start()

    def _over(self) -> None:
        with self._lock:
            change = self.current()
            if change is None or change.left_s > 0:
                return
            log.warning("nobody confirmed the change %s of the box's settings: it goes back", change.id)
            try:
                self._go_back()
            except Exception:
                log.exception("going back was not possible; a restart of the box does it")
            self.end()
