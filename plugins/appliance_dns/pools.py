"""From candidates to the addresses that each zone of the tree may answer, by family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.api.contrib import Candidate
from appliance_dns.selection import Choice

APEX = "@"
#: Nothing is told to live shorter than this because of the state of members; the pool's own floor.
TTL_FLOOR_S = 30


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate's standing in one zone.

    Attributes:
        choice: its part in the draw, or None when it is out.
        reason: why it is in or out, with what only this zone knows about it.
    """

    candidate: Candidate
    choice: Choice | None
    reason: str


def zone_paths(candidates: Iterable[Candidate]) -> list[str]:
    """Every zone that has a member, and every zone above one; the pool itself first."""
    paths = {APEX}
    for entry in candidates:
        for zone in entry.member.zones:
            path: str | None = zone
            while path is not None:
                paths.add(path)
                path = parent(path)
    return sorted(paths, key=lambda path: () if path == APEX else tuple(reversed(path.split("."))))


def parent(path: str) -> str | None:
    """The zone above, None for the pool itself."""
    return None if path == APEX else path.partition(".")[2] or APEX


def places(path: str, candidates: Sequence[Candidate], most: int, ttl_s: int) -> list[Place]:
    """Who stands where in the zone `path`: its own members, and those of the zones above while places are free.

    Args:
        path: such as "@" or "rack1.berlin".
        candidates: of one family.
        most: places in an answer: a zone that has so many usable members needs nobody else.
        ttl_s: for answers; half of it for those that hold a member on its way out.
    """
    found: list[Place] = []
    taken: dict[str, str] = {}
    tier = 0
    zone: str | None = path
    listed: set[str] = set()
    while zone is not None and (zone == path or len(taken) < most):
        own = [c for c in candidates if zone in c.member.zones and c.member.id not in listed]
        listed.update(c.member.id for c in own)
        # The heaviest member at an address speaks for it: DNS cannot tell clients which port.
        own.sort(key=lambda c: (-c.weight, c.member.port != 123, c.member.id))
        found += [_place(entry, zone, path, taken, tier, ttl_s) for entry in own]
        tier, zone = tier + 1, parent(zone)
    return sorted(found, key=lambda place: place.candidate.member.id)


def _place(entry: Candidate, zone: str, path: str, taken: dict[str, str], tier: int, ttl_s: int) -> Place:
    member = entry.member
    if entry.weight == 0:
        return Place(entry, None, entry.reason)
    if member.address in taken:
        return Place(
            entry, None, f"out: {member.address} stands there already as member {taken[member.address]}"
        )
    taken[member.address] = member.id
    failing = entry.verdict is not None and entry.verdict.failing
    choice = Choice(member.address, entry.weight, tier, member.operator, shorter(ttl_s) if failing else ttl_s)
    borrowed = "" if zone == path else f"; fills a place that {path} has left free"
    return Place(entry, choice, entry.reason + borrowed)


def shorter(ttl_s: int) -> int:
    """Half a TTL, but not below the floor."""
    return min(ttl_s, max(TTL_FLOOR_S, ttl_s // 2))


def by_family(candidates: Iterable[Candidate]) -> Mapping[int, list[Candidate]]:
    """Candidates of family 4 and of family 6."""
    families: dict[int, list[Candidate]] = {4: [], 6: []}
    for entry in candidates:
        families[entry.member.family].append(entry)
    return families
