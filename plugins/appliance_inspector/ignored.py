"""Networks that a person told us to ignore because of an alert: each for a while, kept over restarts, taken back at any time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from appliance.api.contrib import PolicyRule
from appliance.api.errors import Conflict, NotFound

MOST = 200


class Ignored(BaseModel):
    """One network.

    Attributes:
        since_s: epoch seconds.
        until_s: epoch seconds.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    id: str
    prefix: Annotated[str, Field(max_length=64)]
    rule: str
    since_s: float
    until_s: float


_FILE = TypeAdapter(list[Ignored])


class IgnoreList:
    """All of them; `rules` is what the time service asks for once a second."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path, self._now_s = path, now_s
        self._entries: list[Ignored] = []
        self.problem = ""
        try:
            self._entries = _FILE.validate_json(path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            self.problem = f"{path}: what was ignored before the restart cannot be read: {error}"

    def all(self) -> list[Ignored]:
        """Those in force."""
        now_s = self._now_s()
        return [entry for entry in self._entries if entry.until_s > now_s]

    def rules(self) -> Iterable[PolicyRule]:
        return [PolicyRule(entry.prefix, "ignore") for entry in self.all()]

    def covering(self, prefix: str) -> str:
        """The id of the entry that `prefix` is inside of; "" when there is none."""
        network = ip_network(prefix)
        for entry in self.all():
            other = ip_network(entry.prefix)
            if other.version == network.version and network.subnet_of(other):  # type: ignore[arg-type]
                return entry.id
        return ""

    def add(self, prefix: str, rule: str, for_s: float) -> Ignored:
        """Ignore `prefix` from now on.

        Raises:
            Conflict: it is ignored already, or there are too many.
        """
        if known := self.covering(prefix):
            raise Conflict(f"{prefix} is ignored already; `timeball inspector undo {known}` ends that")
        entries = self.all()
        if len(entries) >= MOST:
            raise Conflict(f"{MOST} networks are ignored already: put larger ones into plugins.ntp.ignore")
        now_s = self._now_s()
        entry = Ignored(
            id=secrets.token_hex(4), prefix=prefix, rule=rule, since_s=now_s, until_s=now_s + for_s
        )
        self._keep([*entries, entry])
        return entry

    def remove(self, entry_id: str) -> Ignored:
        """Ignore it no longer.

        Raises:
            NotFound: there is no such entry.
        """
        entries = self.all()
        for entry in entries:
            if entry.id == entry_id:
                self._keep([one for one in entries if one is not entry])
                return entry
        raise NotFound(f"nothing is ignored under the id {entry_id}; `timeball inspector ignored` lists all")

    def _keep(self, entries: list[Ignored]) -> None:
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps([entry.model_dump() for entry in entries]), encoding="utf-8")
        scratch.replace(self._path)
        self._entries = entries
