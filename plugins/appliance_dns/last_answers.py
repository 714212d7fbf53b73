"""What was answered last, kept in a file: after a restart the good members are answered before anybody was probed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.api.contrib import Candidate
from appliance.api.model import Member, Verdict

_FORMAT = 1
_FIELDS = ("id", "address", "port", "name", "netspeed", "operator")


@dataclass(frozen=True, slots=True)
class LastAnswers:
    """The members that were in, and what they weighed.

    Attributes:
        serial: of the zone then.
        members: by id.
        factors: weight by id, as a part of netspeed.
    """

    serial: int
    members: Mapping[str, Member]
    factors: Mapping[str, float]

    @classmethod
    def of(cls, serial: int, candidates: Iterable[Candidate]) -> LastAnswers:
        inside = [c for c in candidates if c.weight > 0]
        return cls(
            serial,
            {c.member.id: c.member for c in inside},
            {c.member.id: min(1.0, c.weight / max(1, c.member.netspeed)) for c in inside},
        )

    def verdict(self, member_id: str) -> Verdict | None:
        """What stands in for a verdict until the monitor has one; None for a member that was not in."""
        if member_id not in self.members:
            return None
        return Verdict(
            member=member_id,
            score=None,
            in_pool=True,
            reason="in: as before the restart, the monitor has not looked yet",
            code="restored",
            weight_factor=self.factors[member_id],
        )


NOTHING = LastAnswers(0, {}, {})


def load(path: Path) -> LastAnswers:
    """Read the file; `NOTHING` when there is none.

    Raises:
        ValueError: it is damaged; what to do with it is the caller's business.
        OSError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return NOTHING
    try:
        value = json.loads(text)
        if value["format"] != _FORMAT:
            raise ValueError(f"format {value['format']!r}")
        members = [_member(entry) for entry in value["members"]]
        factors = {entry["id"]: float(entry["factor"]) for entry in value["members"]}
        return LastAnswers(int(value["serial"]), {member.id: member for member in members}, factors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _member(entry: Mapping[str, Any]) -> Member:
    return Member(zones=tuple(entry["zones"]), **{key: entry[key] for key in _FIELDS})


def save(path: Path, last: LastAnswers) -> None:
    """Replace the file as a whole: after a power cut there is the old one or the new one.

    Raises:
        OSError: the disk is full, or broken.
    """
    members = []
    for member in last.members.values():
        full = asdict(member)
        factor = last.factors[member.id]
        members.append({key: full[key] for key in _FIELDS} | {"zones": list(member.zones), "factor": factor})
    text = json.dumps({"format": _FORMAT, "serial": last.serial, "members": members})
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
