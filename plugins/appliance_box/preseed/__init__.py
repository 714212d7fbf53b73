"""Settings that wait for the box on its first start: on the boot partition, a stick, a virtual disk, or from the hypervisor.

Readers turn one file each into a `Reading`, without any I/O: parts of the box's settings, what belongs to the appliance (owner, pool),
what was wrong and what was understood but is not used. A part with a mistake in it is left out whole and told with its key; the
other parts count all the same, since a box without a screen that came into its network can be mended, and one that did not, cannot.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from appliance_box.keeping import said
from appliance_box.settings import HostName, Interface, Ssh, TimeZone, Wifi

#: A file that is larger is none of ours.
MOST_BYTES: Final = 64 * 1024
#: Tables that the appliance reads itself, once it runs.
PEOPLE: Final = ("owner", "pool")
_TABLES: Final[Mapping[str, type[BaseModel]]] = {"ssh": Ssh, "wifi": Wifi, "interface": Interface}
_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "host_name": TypeAdapter(HostName),
    "time_zone": TypeAdapter(TimeZone),
    "ssh": TypeAdapter(Ssh),
    "wifi": TypeAdapter(Wifi),
    "interface": TypeAdapter(tuple[Interface, ...]),
}


@dataclass(slots=True)
class Reading:
    """What one file says.

    Attributes:
        parts: checked values by field of `BoxSettings`.
        people: tables for the appliance, as they were written.
        problems: what is wrong, each with its key; nothing of it is used.
        notes: what was understood and is not used here, and why.
    """

    parts: dict[str, Any] = field(default_factory=dict)
    people: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.parts or self.people or self.problems or self.notes)

    def take(self, name: str, value: Any, called: str = "") -> None:
        """Check one part and keep it, or say what is wrong.

        Args:
            name: field of `BoxSettings`.
            value: as it was written.
            called: what the file calls that part, for the problem.
        """
        try:
            # Through JSON and strictly: "yes" is no truth value and 1 no text.
            self.parts[name] = _ADAPTERS[name].validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False, include_input=False, include_context=False):
                self.problems.append(_told(name, called or name, error))

    def unknown(self, key: str, known: Mapping[str, Any] | tuple[str, ...], above: str = "") -> None:
        """A key that there is not."""
        self.problems.append(unknown_key(f"{above}{key}", key, tuple(known)))


def unknown_key(where: str, key: str, known: tuple[str, ...]) -> str:
    """A sentence about a key that there is not, with the nearest that there is."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"{where}: there is no such key" + (
        f'; did you mean "{close[0]}"?' if close else f"; there are {', '.join(known)}"
    )


def _told(name: str, called: str, error: Mapping[str, Any]) -> str:
    path = [
        part
        for part in error["loc"]
        if not (isinstance(part, str) and part.startswith(("function-", "constrained-")))
    ]
    where = ".".join([called, *(str(part + 1) if isinstance(part, int) else str(part) for part in path)])
    if error["type"] == "extra_forbidden" and path:
        model = _TABLES.get(name)
        return unknown_key(where, str(path[-1]), tuple(model.model_fields) if model else ())
    return f"{where}: {said(str(error['msg']))}"
