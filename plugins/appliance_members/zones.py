"""Zone paths: free names below the pool's own zone, and the tree that they form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.api.model import Member

#: The pool itself.
APEX: Final = "@"
#: So that path, numbered name and the pool's own zone fit into the 253 characters of a DNS name.
MAX_PATH: Final = 120
MAX_DEPTH: Final = 8

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: The numbered names stand in front of every zone, and the name servers need names of their own.
_RESERVED = re.compile(r"[0-3]|ns[0-9]*")


def canonical_zone(text: str) -> str:
    """A zone path in lower case: "@", "de", "rack1.berlin" (the deepest part first, as in DNS).

    Raises:
        ValueError: it cannot be a name in DNS, or the name is needed for something else.
    """
    path = text.strip().lower()
    if path in {"", ".", APEX}:
        return APEX
    path = path.removesuffix(".")
    labels = path.split(".")
    for label in labels:
        if _RESERVED.fullmatch(label):
            raise ValueError(
                f"zone {text!r}: {label!r} is reserved (0 to 3 and ns, ns1, ... are names of the pool itself)"
            )
        if not _LABEL.fullmatch(label):
            raise ValueError(f"zone {text!r}: {_label_fault(label)}")
    if len(path) > MAX_PATH:
        raise ValueError(
            f"zone {text!r} has {len(path)} characters; at most {MAX_PATH} leave room for the rest of the name"
        )
    if len(labels) > MAX_DEPTH:
        raise ValueError(f"zone {text!r} has {len(labels)} levels; at most {MAX_DEPTH} are allowed")
    return path


def _label_fault(label: str) -> str:
    if not label:
        return "there is an empty part between two dots"
    if len(label) > 63:
        return f"a part of {len(label)} characters; DNS allows 63"
    if not label.isascii():
        try:
            return f"write {label.encode('idna').decode('ascii')!r} for {label!r}"
        except UnicodeError:
            return f"{label!r} has characters that DNS cannot carry"
    return f"{label!r} may hold letters, digits and inner hyphens only"


def canonical_zones(texts: Iterable[str]) -> tuple[str, ...]:
    """Each path once, in the order given.

    Raises:
        ValueError: one of them is wrong, or there is none.
    """
    zones = tuple(dict.fromkeys(canonical_zone(text) for text in texts))
    if not zones:
        raise ValueError("a member is in at least one zone; '@' is the pool itself")
    return zones


def parent_zone(path: str) -> str | None:
    """The zone above, None for the pool itself."""
    if path == APEX:
        return None
    return path.partition(".")[2] or APEX


@dataclass(slots=True)
class ZoneCount:
    """What one zone holds.

    Attributes:
        registered: members by family (4, 6), whatever their state.
        active: members by family that may be answered now.
        netspeed: sum of the active ones' netspeed.
    """

    zone: str
    parent: str | None
    depth: int
    registered: dict[int, int] = field(default_factory=lambda: {4: 0, 6: 0})
    active: dict[int, int] = field(default_factory=lambda: {4: 0, 6: 0})
    netspeed: int = 0


def zone_tree(members: Iterable[Member], active: Mapping[str, bool]) -> list[ZoneCount]:
    """Every zone that has a member, and every zone above one, parents first, siblings by name.

    Args:
        members: whom to count.
        active: by member id, whether it may be answered now.
    """
    counts: dict[str, ZoneCount] = {}
    for member in members:
        for zone in member.zones:
            count = _node(counts, zone)
            count.registered[member.family] += 1
            if active.get(member.id, False):
                count.active[member.family] += 1
                count.netspeed += member.netspeed
    _node(counts, APEX)
    return sorted(counts.values(), key=lambda c: _tree_order(c.zone))


def _node(counts: dict[str, ZoneCount], zone: str) -> ZoneCount:
    if zone not in counts:
        parent = parent_zone(zone)
        depth = 0 if parent is None else _node(counts, parent).depth + 1
        counts[zone] = ZoneCount(zone, parent, depth)
    return counts[zone]


def _tree_order(zone: str) -> tuple[str, ...]:
    return () if zone == APEX else tuple(reversed(zone.split(".")))
