"""The life of the plugin: read what was kept, then follow the configuration, the calendar and DNS."""

from __future__ import annotations

from dataclasses import replace

from appliance.api.context import RunContext
from appliance.api.errors import NotReady, StoreError
from appliance.api.events import AccountRemoved
from appliance_members.config import Config
from appliance_members.naming import NameState, pending_names, wanted_entries
from appliance_members.proving import Proofs
from appliance_members.registrar import Registrar
from appliance_members.registry import Registry
from appliance_members.roster import Roster

#: How often the calendar is looked at: pauses end and members leave within this.
TICK_S = 1.0
#: While our own clock is not to be trusted nobody is removed; this is how soon it is tried again.
RETRY_REMOVAL_S = 60.0


class Keeper:
    """Keeps the roster in step with the configuration, the calendar and DNS."""

    def __init__(self, ctx: RunContext, roster: Roster, registrar: Registrar, proofs: Proofs) -> None:
        self._ctx = ctx
        self._roster = roster
        self._registrar = registrar
        self._proofs = proofs
        self._due: float | None = None
        self._seen: Registry | None = None

    async def run(self) -> None:
        """Live until cancelled.

        Raises:
            NotReady: the database cannot be read; the declared members are there all the same.
        """
        ctx = self._ctx
        try:
            await self._roster.load()
            await self._proofs.load()
        except StoreError as error:
            await self.redeclare()
            raise NotReady(f"members that were added by hand are not known yet: {error}") from error
        await self.redeclare()
        ctx.every(TICK_S, self.tick)
        ctx.every(3600.0, self.purge, jitter=0.1)
        ctx.spawn("names", self._follow_names())
        ctx.spawn("accounts", self._follow_accounts())
        self._say()
        ctx.ready()
        async for _ in ctx.config_changes.changes():
            await self.redeclare()
            await self.look_up_names(only_new=True)
            self._say()

    async def redeclare(self) -> None:
        """Bring the declared members in line with the configuration and what their names mean."""
        config: Config = self._ctx.config
        roster = self._roster

        def operation(registry: Registry) -> Registry:
            wanted = wanted_entries(
                config.member, self._registrar.names, registry, config.name_grace_hours * 3600
            )
            return replace(registry, limit=config.max_members).declare(wanted, roster.now())

        await roster.apply(operation, must_keep=False)

    async def tick(self) -> None:
        """End pauses, let members leave, remove those whose day has come."""
        registry, now = self._roster.registry, self._roster.now()
        if registry is not self._seen:
            self._seen, self._due = registry, registry.next_due(now)
            self._say()
        if self._due is None or now < self._due:
            return
        # A wrong calendar must not throw anybody out: without a good clock a removal waits.
        good = self._registrar.clock_is_good()
        await self._roster.apply(lambda r: r.expire(self._roster.now(), may_remove=good), must_keep=False)
        self._seen, due = self._roster.registry, self._roster.registry.next_due(now)
        self._due = now + RETRY_REMOVAL_S if due is not None and due <= now else due

    async def purge(self) -> None:
        """Forget old tokens; a database that cannot be written now is nobody's emergency."""
        try:
            await self._proofs.purge()
        except StoreError as error:
            self._ctx.log.debug("old tokens stay for now: %s", error)

    async def _follow_accounts(self) -> None:
        """What belonged to somebody who is gone belongs to nobody; an id that stayed behind lets nobody in."""
        with self._ctx.subscribe(AccountRemoved) as removals:
            async for event in removals:
                account = event.account
                await self._roster.apply(lambda r, gone=account: r.disown(gone), must_keep=False)  # type: ignore[misc]

    async def _follow_names(self) -> None:
        await self.look_up_names(only_new=True)
        while True:
            config: Config = self._ctx.config
            # A name that has never been found is asked for more often: somebody is waiting for it.
            unknown = any(not s.addresses for s in self._registrar.names.values())
            await self._ctx.clock.sleep(
                min(30.0, config.resolve_interval_s) if unknown else config.resolve_interval_s
            )
            await self.look_up_names()

    async def look_up_names(self, *, only_new: bool = False) -> None:
        """Look up the host names of members, one after another, and draw the conclusions."""
        config: Config = self._ctx.config
        declared = {m.host for m in config.member if m.host}
        names = declared | {e.name for e in self._roster.registry.entries.values() if e.name}
        known = self._registrar.names
        for name in sorted(names):
            if not (only_new and name in known):
                await self._look_up(name)
        self._registrar.names = {n: s for n, s in self._registrar.names.items() if n in names}
        if declared:
            await self.redeclare()
            self._say()

    async def _look_up(self, name: str) -> None:
        registrar, now = self._registrar, self._roster.now()
        before = registrar.names.get(name, NameState())
        held = [e.address for e in self._roster.registry.entries.values() if e.name == name]
        try:
            after = before.answered(await registrar.lookup(name), held, now)
        except OSError as error:
            after = before.failed(str(error), now)
            if after.error != before.error:
                self._ctx.log.info("%s", error)
        if before.addresses and set(after.addresses) != set(before.addresses):
            self._ctx.log.info(
                "%s now points to %s (before: %s)",
                name,
                ", ".join(after.addresses),
                ", ".join(before.addresses),
            )
        registrar.names = {**registrar.names, name: after}

    def _say(self) -> None:
        members = self._roster.table.get().values()
        pending = pending_names(self._ctx.config.member, self._registrar.names, self._roster.registry)
        words = f"{len(members)} member{'' if len(members) == 1 else 's'}, {sum(m.declared for m in members)} of them declared"
        self._ctx.status(words + (f"; waiting for names: {'; '.join(pending)}" if pending else ""))
