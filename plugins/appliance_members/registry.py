"""Who is in the pool: an immutable registry. Each operation returns a new one or says why not; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from appliance.api.errors import Conflict, Invalid, NotFound
from appliance.api.model import Member
from appliance_members.addresses import canonical_target, endpoint, member_id, split_endpoint
from appliance_members.fields import checked_fields


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as it is kept; what depends on the present moment follows in `as_member`.

    Attributes:
        overridden: the pause was set or ended here, against what the configuration file says.
        leave_at: epoch seconds from which it is no longer answered because its removal is near.
        evidence: what the live check found when it was added, in one sentence.
        Others: as in `Member`.
    """

    id: str
    address: str
    port: int = 123
    name: str = ""
    netspeed: int = 1000
    zones: tuple[str, ...] = ("@",)
    tags: tuple[str, ...] = ()
    operator: str = ""
    note: str = ""
    declared: bool = False
    overridden: bool = False
    paused: bool = False
    paused_until: float | None = None
    leave_at: float | None = None
    remove_at: float | None = None
    added_at: float = 0.0
    verified_by: str = ""
    evidence: str = ""
    owner: str = ""

    @property
    def label(self) -> str:
        """How people call it."""
        where = endpoint(self.address, self.port)
        return f"{where} ({self.name})" if self.name else where

    def as_member(self, now: float) -> Member:
        """The member as it stands at epoch second `now`."""
        paused = self.paused and (self.paused_until is None or now < self.paused_until)
        return Member(
            id=self.id, address=self.address, port=self.port, name=self.name, netspeed=self.netspeed, zones=self.zones,
            tags=self.tags, operator=self.operator, declared=self.declared,
            state="paused" if paused else "active" if self.verified_by else "unverified",
            paused_until=self.paused_until if paused else None, remove_at=self.remove_at,
            leaving=self.leave_at is not None and now >= self.leave_at,
            added_at=self.added_at, note=self.note, verified_by=self.verified_by,
            owner=self.owner,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose new members are.

    Attributes:
        account: of the owner, or "".
        most: members that this owner may have; None for any number.
    """

    account: str = ""
    most: int | None = None


NOBODYS = Holder()


@dataclass(frozen=True, slots=True)
class Delta:
    """What is different between two registries."""

    written: tuple[Entry, ...]
    deleted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.written or self.deleted)


@dataclass(frozen=True, slots=True)
class Registry:
    """All members by id.

    Attributes:
        limit: the most members it takes.
        declared_in: where declared members stand, for messages.
    """

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    limit: int = 20_000
    declared_in: str = "the configuration file"

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Entry:
        """By id, address, address:port, or a name that only one member has.

        Raises:
            NotFound: no such member, or more than one.
        """
        hits = self.matching(key)
        if not hits:
            raise NotFound(f"there is no member {key!r}")
        if len(hits) > 1:
            several = ", ".join(f"{e.id} ({endpoint(e.address, e.port)})" for e in hits)
            raise NotFound(f"{key!r} means more than one member: {several}; say which by its id")
        return hits[0]

    def matching(self, key: str) -> list[Entry]:
        """Every member that `key` may mean: an id, address, address:port or name."""
        if key in self.entries:
            return [self.entries[key]]
        try:
            host, port = split_endpoint(key)
            address, name = canonical_target(host)
        except ValueError:
            return []
        return [
            e for e in self.entries.values()
            if (e.address == address if address else e.name == name) and port in (None, e.port)
        ]  # fmt: skip

    def by_endpoint(self) -> dict[tuple[str, int], Entry]:
        """All members by canonical address and port."""
        return {(e.address, e.port): e for e in self.entries.values()}

    def at(self, address: str, port: int) -> Entry | None:
        """The member at that canonical address and port; for many questions ask `by_endpoint` once."""
        return self.by_endpoint().get((address, port))

    def next_due(self, now: float) -> float | None:
        """The next epoch second at which time alone changes something; at most `now` when something is overdue."""
        moments = [
            moment
            for e in self.entries.values()
            for moment in (
                e.paused_until if e.paused else None,
                e.leave_at if e.leave_at is not None and e.leave_at > now else None,
                e.remove_at,
            )
            if moment is not None
        ]
        return min(moments, default=None)

    # -- changing ------------------------------------------------------------------------------------------------

    def add(self, entries: Iterable[Entry], holder: Holder = NOBODYS) -> Registry:
        """With new members of `holder`; all of them or none.

        Raises:
            Conflict: one is there already, or the registry is full, or the holder has as many as he may have.
        """
        merged = dict(self.entries)
        known = self.by_endpoint()
        for entry in entries:
            present = known.get((entry.address, entry.port))
            if present is not None:
                whose = f"declared in {self.declared_in}" if present.declared else f"here as {present.id}"
                raise Conflict(f"{endpoint(entry.address, entry.port)} is already a member, {whose}")
            key = member_id(entry.address, entry.port, merged.__contains__)
            new = replace(entry, id=key, owner=holder.account)
            merged[new.id] = known[new.address, new.port] = new
        if len(merged) > self.limit:
            raise Conflict(
                f"{len(merged)} members would be more than the limit of {self.limit} (plugins.members.max_members)"
            )
        if holder.most is not None:
            his = sum(e.owner == holder.account for e in merged.values())
            if his > holder.most:
                raise Conflict(
                    f"{his} servers would be more than the {holder.most} that one person may have "
                    "(plugins.members.max_members_each); ask an operator"
                )
        return self._with(merged)

    def change(self, member: str, fields: Mapping[str, Any]) -> Registry:
        """With other values for some of `fields.CHANGEABLE`.

        Raises:
            NotFound, Conflict, Invalid: no such member; it is declared; a value makes no sense.
        """
        entry = self._added(member)
        return self._replace(replace(entry, **checked_fields(fields)))

    def pause(self, member: str, until: float | None, now: float) -> Registry:
        """Watched but no longer answered, up to epoch second `until` or for good. Works for declared members too.

        Raises:
            NotFound, Invalid: no such member; the end lies in the past.
        """
        entry = self.find(member)
        if until is not None and until <= now:
            raise Invalid("the end of the pause lies in the past", errors={"until": "must be in the future"})
        return self._replace(replace(entry, paused=True, paused_until=until, overridden=entry.declared))

    def resume(self, member: str) -> Registry:
        """No longer paused.

        Raises:
            NotFound: no such member.
        """
        entry = self.find(member)
        return self._replace(replace(entry, paused=False, paused_until=None, overridden=entry.declared))

    def schedule_removal(self, member: str, at: float, grace_s: float, now: float) -> Registry:
        """Removed at epoch second `at`; no longer answered from `grace_s` seconds before.

        Raises:
            NotFound, Conflict, Invalid: no such member; it is declared; the moment lies in the past.
        """
        entry = self._added(member)
        if at <= now:
            raise Invalid("the removal lies in the past", errors={"at": "must be in the future"})
        return self._replace(replace(entry, remove_at=at, leave_at=at - grace_s))

    def cancel_removal(self, member: str) -> Registry:
        """The removal is called off.

        Raises:
            NotFound, Conflict: no such member; no removal is scheduled.
        """
        entry = self.find(member)
        if entry.remove_at is None:
            raise Conflict(f"no removal of {entry.label} is scheduled")
        return self._replace(replace(entry, remove_at=None, leave_at=None))

    def remove(self, member: str) -> Registry:
        """Without it, at once.

        Raises:
            NotFound, Conflict: no such member; it is declared.
        """
        entry = self._added(member)
        return self._with({k: e for k, e in self.entries.items() if k != entry.id})

    def verify(self, member: str, by: str) -> Registry:
        """With the member's operator verified; the first proof stays on record.

        Raises:
            NotFound: no such member.
        """
        entry = self.find(member)
        return self if entry.verified_by else self._replace(replace(entry, verified_by=by))

    def give(self, member: str, owner: str) -> Registry:
        """To the account `owner`, or to nobody. Works for declared members too: the file knows no accounts.

        Raises:
            NotFound: no such member.
        """
        return self._replace(replace(self.find(member), owner=owner))

    def disown(self, account: str) -> Registry:
        """With nothing that belongs to `account`, which is gone."""
        left = {k: replace(e, owner="") if e.owner == account else e for k, e in self.entries.items()}
        return self if left == dict(self.entries) else self._with(left)

    def expire(self, now: float, *, may_remove: bool) -> Registry:
        """With every pause ended that is over and, if `may_remove`, without members whose date has come."""
        changed: dict[str, Entry] = {}
        for key, entry in self.entries.items():
            if may_remove and entry.remove_at is not None and now >= entry.remove_at:
                continue
            over = entry.paused and entry.paused_until is not None and now >= entry.paused_until
            changed[key] = replace(entry, paused=False, paused_until=None) if over else entry
        same = len(changed) == len(self.entries) and all(self.entries[k] is e for k, e in changed.items())
        return self if same else self._with(changed)

    def declare(self, wanted: Sequence[Entry], now: float) -> Registry:
        """With exactly `wanted` as the declared members.

        One that was declared before keeps its age, its owner, and a pause or resume that was said here. One that had been added
        by hand now belongs to the file; its pause stays. Ids in `wanted` are ignored.
        """
        merged = {k: e for k, e in self.entries.items() if not e.declared}
        endpoints = self.by_endpoint()
        for entry in wanted:
            known = endpoints.get((entry.address, entry.port))
            new = replace(entry, declared=True, verified_by="declared", added_at=now)
            if known is not None:
                merged.pop(known.id, None)
                new = replace(
                    new, id=known.id, added_at=known.added_at, evidence=known.evidence, owner=known.owner
                )
                if known.overridden if known.declared else known.paused:
                    new = replace(new, paused=known.paused, paused_until=known.paused_until, overridden=True)
            else:
                new = replace(
                    new, id=member_id(new.address, new.port, lambda i: i in merged or i in self.entries)
                )
            merged[new.id] = self.entries[new.id] if self.entries.get(new.id) == new else new
        return self._with(merged)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _added(self, member: str) -> Entry:
        entry = self.find(member)
        if entry.declared:
            raise Conflict(f"{entry.label} is declared in {self.declared_in}; change it there")
        return entry

    def _replace(self, entry: Entry) -> Registry:
        if self.entries.get(entry.id) == entry:
            return self
        return self._with({**self.entries, entry.id: entry})

    def _with(self, entries: dict[str, Entry]) -> Registry:
        return replace(self, entries=MappingProxyType(entries))


def difference(before: Registry, after: Registry) -> Delta:
    """What must be written and deleted to come from `before` to `after`."""
    old, new = before.entries, after.entries
    if old is new:
        return Delta((), ())
    return Delta(
        tuple(e for k, e in new.items() if old.get(k) is not e and old.get(k) != e),
        tuple(k for k in old if k not in new),
    )
