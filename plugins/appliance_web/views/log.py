"""The log: every probe with the rule that fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from appliance.api.model import Member

PATH = "/api/v1/log"
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Question:
    """The filters of the address line."""

    member: str = ""
    rule: str = ""
    errors: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Question:
        return cls(query.get("member", "")[:100], query.get("rule", "")[:60], query.get("errors") == "1")

    def api_query(self) -> dict[str, str]:
        """The same for the API."""
        chosen = {"member": self.member, "rule": self.rule, "limit": str(SHOWN)}
        return {k: v for k, v in chosen.items() if v}

    @property
    def link(self) -> str:
        return urlencode(self.api_query())


@dataclass(frozen=True, slots=True)
class Line:
    """One probe."""

    probe: Mapping[str, Any]
    member: str
    called: str


def lines(value: Any, members: Mapping[str, Member]) -> list[Line]:
    return []


def rules(value: Any) -> Sequence[str]:
    return []
