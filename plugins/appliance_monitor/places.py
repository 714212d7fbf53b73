"""Where each probe kind but "ntp" has to look, and how often: pure, from what plugins contribute and who is a member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.api.contrib import ProbeKind
from appliance.api.model import Member, Target
from appliance_monitor.target import LOCAL_INTERVAL_S, PUBLIC_INTERVAL_S, is_local

#: The kind that is scored; the monitor has a schedule of its own for it.
SCORED: Final = "ntp"


@dataclass(frozen=True, slots=True)
class Place:
    """One place that one kind looks at.

    Attributes:
        member: member id, or "" where the kind brought the place along.
    """

    member: str
    target: Target

    @property
    def key(self) -> str:
        """Unique among the places of one kind."""
        return self.member or f"{self.target.address} {self.target.port}"


def besides_ntp(contributed: Iterable[ProbeKind]) -> dict[str, ProbeKind]:
    """The kinds that are looked with beside NTP, by name; of two with one name the last, as with "ntp"."""
    return {kind.name: kind for kind in contributed if kind.name != SCORED}


def places(
    kind: ProbeKind, members: Mapping[str, Member], failed: Callable[[Exception], None]
) -> dict[str, Place]:
    """The places of one kind by their keys.

    Args:
        kind: whose functions may raise: a member at which one does is passed over.
        members: all members.
        failed: told of what was raised.
    """
    if kind.targets is not None:
        try:
            own = list(kind.targets())
        except Exception as error:  # noqa: BLE001 - another plugin's mistake must not end the watch over everybody
            failed(error)
            return {}
        return {place.key: place for place in (Place("", target) for target in own)}
    found = {}
    for member in members.values():
        try:
            target = Target(member.address, member.port) if kind.target is None else kind.target(member)
            if target is not None:
                found[member.id] = Place(member.id, target)
        except Exception as error:  # noqa: BLE001 - see above
            failed(error)
    return found


def interval_s(kind: ProbeKind, address: str) -> float:
    """Seconds between two looks of this kind at an address: as it wishes, within what the address may be asked."""
    return max(LOCAL_INTERVAL_S if is_local(address) else PUBLIC_INTERVAL_S, kind.interval_s)


def fresh_s(kind: ProbeKind, address: str) -> float:
    """How long what it found at an address counts: two looks may fail to come."""
    return 3 * interval_s(kind, address) + kind.timeout_s
