"""How a member stands, in words and as JSON: the registry's own facts joined with the monitor's verdict."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from appliance.api.errors import Invalid
from appliance.api.model import Member, Verdict
from appliance.core import ordering
from appliance.core.plain_json import Told

Row = TypeVar("Row", bound=Mapping[str, Any])


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a member may be answered now, why, and its word for programs."""

    in_pool: bool
    reason: str
    code: str
    score: float | None = None


def stand(member: Member, verdict: Verdict | None) -> Standing:
    """The registry knows first about what people decided; the monitor decides the rest."""
    score = verdict.score if verdict else None
    own = _own_reason(member)
    if own is not None:
        return Standing(in_pool=False, reason=own[1], code=own[0], score=score)
    if verdict is None:
        return Standing(in_pool=False, reason="new: not probed yet", code="new")
    return Standing(verdict.in_pool, verdict.reason, verdict.code, score)


def _own_reason(member: Member) -> tuple[str, str] | None:
    if member.state == "paused":
        until = (
            f"until {moment(member.paused_until)}"
            if member.paused_until is not None
            else "until somebody resumes it"
        )
        return "paused", f"paused {until}"
    if member.leaving and member.remove_at is not None:
        return "leaving", f"leaves: it will be removed on {moment(member.remove_at)}"
    if member.state == "unverified":
        return "unverified", "not verified: its operator has not shown that the server is theirs"
    if member.netspeed == 0:
        return "watched", "netspeed 0: watched, never answered"
    return None


def moment(epoch_s: float) -> str:
    """Epoch seconds for people: UTC, to the minute."""
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def group_of(standing: Standing) -> str:
    """The one word under which counters file a member."""
    if standing.in_pool:
        return "in_pool"
    return standing.code if standing.code in {"paused", "leaving", "unverified", "watched", "new"} else "out"


def row(member: Member, verdict: Verdict | None, warnings: Sequence[str] = (), owner: str = "") -> Told:
    """One member for the API: its own fields, how it stands, what deserves a word, and its owner's name."""
    standing = stand(member, verdict)
    said = {
        "id": member.id,
        "address": member.address,
        "port": member.port,
        "family": member.family,
        "name": member.name,
        "netspeed": member.netspeed,
        "zones": list(member.zones),
        "tags": list(member.tags),
        "operator": member.operator,
        "note": member.note,
        "owner": owner,
        "score": None if standing.score is None else round(standing.score, 3),
        "in_pool": standing.in_pool,
        "reason": standing.reason,
        "code": standing.code,
        "state": member.state,
        "declared": member.declared,
        "verified_by": member.verified_by,
        "paused_until": member.paused_until,
        "leaving": member.leaving,
        "remove_at": member.remove_at,
        "added_at": member.added_at,
        "last_ts": verdict.last_ts if verdict else None,
        "last_rule": verdict.last_rule if verdict else "",
        "weight_factor": verdict.weight_factor if verdict else None,
        "warnings": list(warnings),
    }
    return Told(said)


_SORT_KEYS: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "address": lambda r: (ordering.address(r["address"]), r["port"]),
    "score": lambda r: -1000.0 if r["score"] is None else r["score"],
    "name": lambda r: ordering.natural(r["name"]),
    "netspeed": lambda r: r["netspeed"],
    "added_at": lambda r: r["added_at"],
    "operator": lambda r: ordering.natural(r["operator"]),
}
SORTS: Final = tuple(_SORT_KEYS)
STATES: Final = ("active", "unverified", "paused", "leaving", "in_pool", "out")


def select(
    rows: Iterable[Row],
    *,
    zone: str = "",
    state: str = "",
    q: str = "",
    tag: str = "",
    owner: str = "",
    sort: str = "address",
) -> list[Row]:
    """The rows that fit every given condition, sorted by `sort` ("-score": largest first), then by address.

    Raises:
        Invalid: there is no such state or sort key.
    """
    if state and state not in STATES:
        raise Invalid(f"there is no state {state!r}", errors={"state": f"one of {', '.join(STATES)}"})
    descending, key = sort.startswith("-"), sort.removeprefix("-")
    if key not in _SORT_KEYS:
        raise Invalid(
            f"cannot sort by {key!r}",
            errors={"sort": f"one of {', '.join(SORTS)}, with - in front for descending"},
        )
    needle = q.strip().lower()
    found = [
        r for r in rows
        if (not zone or zone in r["zones"]) and _in_state(r, state) and (not tag or tag in r["tags"]) and _mentions(r, needle)
        and (not owner or r["owner"].casefold() == owner.casefold())
    ]  # fmt: skip
    found.sort(key=_SORT_KEYS["address"])
    if descending or key != "address":
        found.sort(key=_SORT_KEYS[key], reverse=descending)
    return found


def _in_state(r: Mapping[str, Any], state: str) -> bool:
    match state:
        case "":
            return True
        case "in_pool":
            return bool(r["in_pool"])
        case "out":
            return not r["in_pool"]
        case "leaving":
            return bool(r["leaving"])
        case _:
            return bool(r["state"] == state)


def _mentions(r: Mapping[str, Any], needle: str) -> bool:
    if not needle:
        return True
    texts = (r["id"], r["address"], r["name"], r["operator"], r["note"], *r["tags"])
    return any(needle in text.lower() for text in texts)
