"""What is looked at now and then where other people's plugins run: whose memory grows, whose code stands where, who fills the disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from appliance.api.contrib import Fix
from appliance.api.errors import StoreError
from appliance.host import patches, room
from appliance.host.faults import Fault
from appliance.host.leftovers import belongs
from appliance.host.memory import Leak, MemoryWatch, resident_bytes

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")

PATCHES_S: Final = 600.0
ROOM_S: Final = 3600.0
#: The size of the database is known without asking: when it has grown by so much, it is asked at once whose that is.
ROOM_LOOK_S: Final = 60.0
FILLED_BYTES: Final = 16 * 2**20
#: Modules that are looked at before somebody else has his turn.
_AT_ONCE: Final = 10

_LEAKS = "its author finds there what is never let go; a restart gives the memory back, and `timeball plugin remove` for good"
_PATCHES = (
    "ask its author for a version that leaves others as they are: nobody can tell what else this changes"
)
_TABLES = "a `Retention` for each table deletes what is old: ask its author for one"
_GONE = "nobody reads them: the doctor can drop them"
_FILES = "look into the folder; its author should keep it within bounds"


class Used:
    """Part of a core that the process used since the last call."""

    def __init__(self) -> None:
        self._at = (time.monotonic(), time.process_time())

    def __call__(self) -> float:
        """The part; 1.0 is a whole core."""
        began, self._at = self._at, (time.monotonic(), time.process_time())
        return (self._at[1] - began[1]) / max(self._at[0] - began[0], 0.001)


class Watch:
    """Notes what it sees as faults; where all plugins came with the appliance, only what others left behind in the database."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._memory = MemoryWatch(
            host.clock,
            host.strangers.of_file,
            self.leaks,
            late_s=lambda: host.lag.lag.last_s,
            busy=Used() if host.plane.name == "python" else lambda: 0.0,
            resident=lambda: resident_bytes() if host.strangers.all() else 0,
        )

    def beside(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs from the start to the end, by name."""
        return [
            ("memory", self._memory.run()),
            ("patches", self._patches()),
            ("room", self._room()),
        ]

    async def _patches(self) -> None:
        while True:
            if self._host.strangers.all():
                await _looked(self.look_for_patches)
            await self._host.clock.sleep(PATCHES_S)

    async def _room(self) -> None:
        """Also where no stranger is left: what they left may be there."""
        clock, store = self._host.clock, self._host.store
        while True:
            before, due_ns = store.stats()["size_bytes"], clock.monotonic_ns() + int(ROOM_S * 1e9)
            await _looked(self.look_for_room)
            while clock.monotonic_ns() < due_ns and store.stats()["size_bytes"] - before < FILLED_BYTES:
                await clock.sleep(ROOM_LOOK_S)

    def leaks(self, leaks: Sequence[Leak], grown_bytes: int) -> None:
        """What a trace of the memory has found."""
        for leak in leaks:
            text = f"what it keeps in memory grows by {_said(leak.bytes_per_h)} an hour, most of it at {leak.where}"
            self._host.faults.note(Fault(leak.plugin, "memory", text, _LEAKS, lasts=True))
        self._well("memory", {leak.plugin for leak in leaks})
        if not leaks:
            log.info("memory has grown by %s, and no plugin's code keeps more and more", _said(grown_bytes))

    async def look_for_patches(self) -> None:
        """Whose code stands in the place of another's."""
        host = self._host
        modules = patches.worth_a_look(host.strangers.of, self._ours)
        modules += [p.module for p in host.plugins.good() if p.module is not None and p.module not in modules]
        places: dict[str, list[str]] = {}
        for number, module in enumerate(modules):
            for patch in patches.find((module,), host.strangers.of, self._ours):
                places.setdefault(patch.plugin, []).append(patch.place)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        for plugin, those in places.items():
            text = f"it put code of its own in the place of {_listed(those)}"
            host.faults.note(Fault(plugin, "patches", text, _PATCHES, lasts=True))
        self._well("patches", places)

    def _ours(self, module: str) -> bool:
        return belongs("appliance", module) or any(
            p.builtin and p.module is not None and belongs(p.module.__name__, module)
            for p in self._host.plugins.found
        )

    async def look_for_room(self) -> None:
        """Who fills the database or the state folder."""
        host = self._host
        ours = {plugin.id for plugin in host.plugins.found if plugin.builtin}
        large = {}
        if host.store.stats()["size_bytes"] > room.MOST_BYTES:
            try:
                large = await room.kept(host.store, ours)
            except StoreError as error:
                log.debug("the sizes of tables are not known: %s", error)
                return
        large = {plugin: kept for plugin, kept in large.items() if kept.total_bytes > room.MOST_BYTES}
        for plugin, kept in large.items():
            text = f"its tables take {_said(kept.total_bytes)} of the database, {kept.largest} alone {_said(kept.largest_bytes)}"
            fault = Fault(plugin, "tables", text, _TABLES, lasts=True)
            if not self._here(plugin):
                text += "; it is not installed any more"
                fault = Fault(plugin, "tables", text, _GONE, lasts=True, fix=self._dropping(plugin, kept))
            host.faults.note(fault)
        self._well("tables", large)
        full = set()
        for stranger in host.strangers.all():
            folder = host.state_dir / stranger.id
            size, count = await asyncio.to_thread(room.in_folder, folder)
            if size > room.MOST_BYTES or count >= room.MOST_FILES:
                full.add(stranger.id)
                text = f"its folder {folder} holds {_said(size)} in {count:,} files"
                host.faults.note(Fault(stranger.id, "files", text, _FILES, lasts=True))
        self._well("files", full)

    def _here(self, plugin: str) -> bool:
        """Whether it may come back: what cannot be loaded or is left out may have another id than we know."""
        return any(p.id == plugin or p.error for p in self._host.plugins.found)

    def _dropping(self, plugin: str, kept: room.Kept) -> Fix:
        host = self._host

        async def apply() -> str:
            tables = await host.store.write(lambda db: room.drop(db, plugin))
            host.faults.well(plugin, "tables")
            return f"dropped {', '.join(tables)}; the database gives the room back within minutes"

        return Fix(
            f"drop everything of {plugin}, {_said(kept.total_bytes)}: it cannot be brought back but from a backup",
            apply,
        )

    def _well(self, what: str, except_for: Collection[str]) -> None:
        for fault in self._host.faults:
            if fault.what == what and fault.plugin not in except_for:
                self._host.faults.well(fault.plugin, what)


async def _looked(look: Callable[[], Awaitable[None]]) -> None:
    try:
        await look()
    except Exception:
        log.exception("what other people's plugins do could not be looked at; it is tried again")


def _listed(places: Iterable[str], most: int = 5) -> str:
    those = sorted(set(places))
    more = f" and {len(those) - most} more" if len(those) > most else ""
    return ", ".join(those[:most]) + more


def _said(size: float) -> str:
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 1024:.0f} KB"
