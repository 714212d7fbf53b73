"""The live registry: it implements the service `Members`. A change is written first and seen second, or not at all."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import sqlite_utils

from appliance.api.errors import NotFound, StoreError
from appliance.api.events import MembersChanged
from appliance.api.model import Member
from appliance.api.services import Store
from appliance.core.bus import Bus
from appliance.core.cells import Cell
from appliance.core.clock import Clock
from appliance.core.tasks import spawn
from appliance_members import keeping
from appliance_members.registry import Entry, Registry, difference

Operation = Callable[[Registry], Registry]
Rows = Callable[[sqlite_utils.Database], None]


class Roster:
    """Who is in the pool, now.

    Attributes:
        table: all members by id, replaced whole on each change.
        registry: what `table` is made from.
        loaded: whether what the database keeps is in it.
    """

    def __init__(
        self, table: Cell[Mapping[str, Member]], clock: Clock, store: Store, bus: Bus, log: logging.Logger
    ) -> None:
        self.table = table
        self.registry = Registry()
        self.loaded = False
        self._clock = clock
        self._store = store
        self._bus = bus
        self._log = log
        self._kept = Registry()
        self._keeping_fails = False
        self._made_from: Mapping[str, Entry] = {}
        self._one_at_a_time = asyncio.Lock()

    def now(self) -> float:
        """Epoch seconds of the system clock."""
        return self._clock.wall_ns() / 1e9

    # -- service Members -----------------------------------------------------------------------------------------

    def find(self, key: str) -> Member:
        """By id, address, address:port, or unique name.

        Raises:
            NotFound: no such member, or more than one.
        """
        entry = self.registry.find(key)
        try:
            return self.table.get()[entry.id]
        except KeyError:
            raise NotFound(f"there is no member {key!r}") from None

    def owner_of(self, key: str) -> str:
        """See `appliance.api.services.Members`; what several members share is somebody's when all of them are his."""
        owners = {entry.owner for entry in self.registry.matching(key)}
        return owners.pop() if len(owners) == 1 else ""

    async def change(self, member_id: str, **fields: Any) -> Member:
        """Change fields of an added member.

        Raises:
            NotFound, Conflict (declared in the configuration), Invalid, StoreError.
        """
        return await self.update(member_id, lambda registry: registry.change(member_id, fields))

    # -- for this plugin -----------------------------------------------------------------------------------------

    async def update(self, member: str, operation: Operation) -> Member:
        """Apply `operation` and return the member it was about.

        Raises:
            Whatever `operation` raises, and StoreError; then nothing has changed.
        """
        key = self.registry.find(member).id
        await self.apply(operation)
        return self.table.get()[key]

    async def load(self) -> None:
        """Take over what the database keeps.

        Raises:
            StoreError: it cannot be read now.
        """
        if self.loaded:
            return
        entries = await self._store.read(keeping.load)
        self._kept = replace(self._kept, entries=MappingProxyType({e.id: e for e in entries}))
        self.registry = replace(self.registry, entries=self._kept.entries)
        self.loaded = True

    async def apply(
        self, operation: Operation, *, with_rows: Rows | None = None, must_keep: bool = True
    ) -> None:
        """Change the registry: written to the database first, then published.

        Args:
            operation: makes the new registry from the present one.
            with_rows: more to write in the same transaction.
            must_keep: False for what the configuration or the time of day decides: it takes effect even when it cannot
                be kept now, and is written with the next change that can.

        Raises:
            Whatever `operation` raises, and StoreError; then nothing has changed, neither here nor in the database.
        """
        # Shielded: a caller that gives up in the middle must not leave the database ahead of what everybody sees.
        await asyncio.shield(
            spawn(self._apply(operation, with_rows, must_keep=must_keep), name="members:apply")
        )

    async def _apply(self, operation: Operation, with_rows: Rows | None, *, must_keep: bool) -> None:
        async with self._one_at_a_time:
            if must_keep and not self.loaded:
                raise StoreError("the members in the database have not been read yet; try again in a moment")
            new = operation(self.registry)
            try:
                await self._keep(new, with_rows)
            except StoreError as error:
                if must_keep:
                    raise
                if not self._keeping_fails:
                    self._log.warning(
                        "a change of the members takes effect but cannot be kept now: %s", error
                    )
                self._keeping_fails = True
            self.registry = new
            self._publish()

    async def _keep(self, new: Registry, with_rows: Rows | None) -> None:
        delta = difference(self._kept, new)
        if not self.loaded or not (delta or with_rows):
            return

        def write(db: sqlite_utils.Database) -> None:
            keeping.save(db, delta)
            if with_rows is not None:
                with_rows(db)

        await self._store.write(write)
        self._kept = new
        self._keeping_fails = False

    def _publish(self) -> None:
        """Publish the members as they stand now, and what is different; the first time everything is, so nothing is said."""
        first, before = self.table.age_s() == math.inf, self.table.get()
        after = self._members(before)
        if not first and after == before:
            return
        self.table.set(MappingProxyType(after))
        if first:
            return
        for key, member in after.items():
            if key not in before:
                self._bus.publish(MembersChanged(member, "added"))
            elif before[key] != member:
                self._bus.publish(MembersChanged(member, "changed"))
        for key, member in before.items():
            if key not in after:
                self._bus.publish(MembersChanged(member, "removed"))

    def _members(self, before: Mapping[str, Member]) -> dict[str, Member]:
        """All members now; what cannot have changed is taken over, because with ten thousand of them that counts."""
        now, made_from = self.now(), self._made_from
        self._made_from = self.registry.entries
        return {
            key: before[key]
            if made_from.get(key) is entry and entry.paused_until is None and entry.leave_at is None
            else entry.as_member(now)
            for key, entry in self.registry.entries.items()
        }
