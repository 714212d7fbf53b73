"""Captures on demand: from whom, for how long, how many; bounded, and deleted by themselves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.api.errors import Conflict, NotFound
from appliance.api.services import PacketTap
from appliance_inspector.pcap import FILE_HEADER, record

MOST_FILES = 8
MOST_BYTES = 16 << 20


@dataclass(slots=True)
class Capture:
    """One of them.

    Attributes:
        since_s: epoch seconds.
        until_s: when it is deleted.
        running: whether packets may still come.
        lost: packets that were wanted and not taken.
    """

    id: str
    service: str
    prefix: str
    path: Path
    since_s: float
    until_s: float
    running: bool = True
    packets: int = 0
    size: int = 0
    lost: int = 0

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "id": self.id, "service": self.service, "prefix": self.prefix, "since": self.since_s,
            "deleted_at": self.until_s, "running": self.running, "packets": self.packets, "bytes": self.size,
            "lost": self.lost,
        }  # fmt: skip


class Captures:
    """All captures of this run of the process; files that an earlier one left are deleted."""

    def __init__(self, folder: Path, now_s: Callable[[], float], keep_s: float) -> None:
        self._folder, self._now_s, self._keep_s = folder, now_s, keep_s
        self._all: dict[str, Capture] = {}
        for left in folder.glob("*.pcap"):
            left.unlink(missing_ok=True)

    def all(self) -> list[Capture]:
        """The latest first."""
        return list(reversed(self._all.values()))

    def find(self, capture_id: str) -> Capture:
        """By id.

        Raises:
            NotFound: there is none, or no more.
        """
        try:
            return self._all[capture_id]
        except KeyError:
            raise NotFound(f"there is no capture {capture_id}; it may have been deleted by itself") from None

    def begin(self, service: str, prefix: str) -> Capture:
        """Make room for a new one.

        Raises:
            Conflict: there are as many as may be, and all of them still run.
        """
        if len(self._all) >= MOST_FILES:
            over = next((one for one in self._all.values() if not one.running), None)
            if over is None:
                raise Conflict(f"{MOST_FILES} captures are running: wait until one ends")
            self.remove(over.id)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        now_s, name = self._now_s(), secrets.token_hex(4)
        capture = Capture(name, service, prefix, self._folder / f"{name}.pcap", now_s, now_s + self._keep_s)
        capture.path.write_bytes(FILE_HEADER)
        capture.size = len(FILE_HEADER)
        self._all[name] = capture
        return capture

    async def follow(self, capture: Capture, tap: PacketTap, for_s: float, most: int) -> None:
        """Write what comes until it is over."""
        try:
            with tap.capture(capture.prefix, for_s=for_s, most=most) as packets:
                async for batch in packets:
                    records = b"".join(record(packet) for packet in batch)
                    if capture.size + len(records) > MOST_BYTES or capture.id not in self._all:
                        capture.lost += len(batch)
                        break
                    await asyncio.to_thread(_append, capture.path, records)
                    capture.packets += len(batch)
                    capture.size += len(records)
                capture.lost += packets.lost
        finally:
            capture.running = False

    def remove(self, capture_id: str) -> None:
        """Delete it.

        Raises:
            NotFound: there is none.
        """
        self.find(capture_id).path.unlink(missing_ok=True)
        del self._all[capture_id]

    def expire(self) -> None:
        """Delete those whose time is over."""
        now_s = self._now_s()
        for capture in self.all():
            if now_s >= capture.until_s:
                self.remove(capture.id)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
