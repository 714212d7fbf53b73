"""What happened lately, in sentences: the overview and a member's page tell it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.api.events import ClockStepped, ConfigChanged, MembersChanged, PluginChanged, VerdictChanged
from appliance.api.model import Level, Member, PluginState
from appliance_web import words

TABLE = "web__event"
KEPT = 400


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        ts: epoch seconds.
        kind: "start", "verdict", "member", "plugin", "clock".
        level: how it should look.
        member: member id, or "".
        text: one sentence, hostile text possible: escape it.
    """

    ts: float
    kind: str
    level: Level
    text: str
    member: str = ""


class Journal:
    """The last entries, newest first.

    Attributes:
        begun: whether this run of the process has made its first entry.
    """

    def __init__(self) -> None:
        self.begun = False
        self._entries: deque[Entry] = deque(maxlen=KEPT)

    def add(self, entry: Entry) -> None:
        self._entries.appendleft(entry)

    def recall(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in stored rows, newest first, behind what happened since the start."""
        known = {(e.ts, e.kind, e.text) for e in self._entries}
        for row in rows:
            if len(self._entries) == KEPT:
                break
            level = Level(row["level"]) if row["level"] in set(Level) else Level.DEGRADED
            entry = Entry(
                float(row["ts"]), str(row["kind"]), level, str(row["text"]), str(row["member"] or "")
            )
            if (entry.ts, entry.kind, entry.text) not in known:
                self._entries.append(entry)

    def latest(
        self,
        limit: int,
        *,
        member: str | None = None,
        kind: str | None = None,
        among: Collection[str] | None = None,
    ) -> list[Entry]:
        """The newest that fit: of one member, of one kind, of any of some members."""
        chosen = (
            e
            for e in self._entries
            if (member is None or e.member == member)
            and (kind is None or e.kind == kind)
            and (among is None or e.member in among)
        )
        return [e for e, _ in zip(chosen, range(limit), strict=False)]


class PluginTroubles:
    """Tells when a plugin gets into trouble and when it is out of it; an ordinary start is no news."""

    def __init__(self) -> None:
        self._in_trouble: set[str] = set()

    def told(self, event: PluginChanged, ts: float) -> Entry | None:
        """The sentence for a plugin's change of state, or None."""
        status = event.status
        why = f": {status.why}" if status.why else "."
        if status.state is PluginState.FAILED:
            self._in_trouble.add(status.id)
            return Entry(ts, "plugin", Level.FAILING, f"{status.title} failed{why}")
        if status.state is PluginState.BACKOFF:
            known = status.id in self._in_trouble
            self._in_trouble.add(status.id)
            return (
                None
                if known
                else Entry(ts, "plugin", Level.DEGRADED, f"{status.title} stopped and will try again{why}")
            )
        if status.state is PluginState.RUNNING and status.id in self._in_trouble:
            self._in_trouble.remove(status.id)
            return Entry(ts, "plugin", Level.OK, f"{status.title} is running again.")
        return None


def told(event: object, ts: float) -> Entry | None:
    """The sentence for an event, or None when it is not worth one."""
    if isinstance(event, VerdictChanged):
        return _verdict(event, ts)
    if isinstance(event, MembersChanged):
        words = {"added": "was added", "removed": "was removed", "changed": "was changed"}.get(
            event.action, event.action
        )
        return Entry(ts, "member", Level.OK, f"{called(event.member)} {words}.", event.member.id)
    if isinstance(event, ClockStepped):
        return Entry(ts, "clock", Level.DEGRADED, f"The system clock jumped by {event.step_s:+.3f} s.")
    if isinstance(event, ConfigChanged):
        return _config(event, ts)
    return None


def _config(event: ConfigChanged, ts: float) -> Entry | None:
    """A change is told when it is made and when it is taken back, not while it is watched."""
    keys = ", ".join(event.keys) or "nothing"
    if event.state == "reverted":
        return Entry(
            ts, "config", Level.DEGRADED, f"Change {event.change} of {keys} was taken back: {event.why}."
        )
    if event.state == "kept":
        return Entry(ts, "config", Level.OK, f"{event.actor} changed {keys} (change {event.change}).")
    return None


def called(member: Member) -> str:
    """How people call a member: by its name when it has one."""
    return member.name or (member.address if member.port == 123 else _with_port(member))


def _with_port(member: Member) -> str:
    return f"[{member.address}]:{member.port}" if member.family == 6 else f"{member.address}:{member.port}"


def started(ts: float) -> Entry:
    """The first entry of each run of the process."""
    return Entry(ts, "start", Level.OK, "The appliance started.")


def _verdict(event: VerdictChanged, ts: float) -> Entry | None:
    if event.before is None:
        return None  # what was so before the restart is no news, and a new member begins outside
    name, reason = called(event.member), words.bare(event.after.reason)
    if event.after.in_pool:
        return Entry(ts, "verdict", Level.OK, f"{name} entered the pool: {reason}", event.member.id)
    return Entry(ts, "verdict", Level.FAILING, f"{name} left the pool: {reason}", event.member.id)
