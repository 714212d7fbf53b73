"""What the operations take: bodies and query strings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance_members import standing

#: The end of the year 9999, where calendars give up.
_LAST_SECOND = 253_402_300_799.0


class Body(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)


class NewMember(Body):
    """A server to add: address or host name."""

    address: str = Field("", description="IPv4 or IPv6 address, or a host name")
    name: str = Field("", description="Host name; looked up when there is no address")
    port: int | None = None
    netspeed: int | None = None
    zones: list[str] | None = None
    tags: list[str] | None = None
    operator: str | None = None
    note: str | None = None
    paused: bool = False
    owner: str | None = Field(
        None, max_length=200, description="User who may look after it; for who adds as a member: he himself"
    )
    force: bool = Field(default=False, description="Add it whatever the live check finds")


class MemberChange(Body):
    """Fields to change; the others stay."""

    name: str = ""
    netspeed: int = 1000
    zones: list[str] = []
    tags: list[str] = []
    operator: str = ""
    note: str = ""


class ManyMembers(Body):
    """Members to import: as rows, or as the text of a CSV file."""

    members: list[dict[str, Any]] = []
    csv: str = ""
    owner: str | None = Field(
        None, max_length=200, description="User who may look after them; for who adds as a member: he himself"
    )
    force: bool = False
    preview: bool = Field(
        default=False, description="Only say what the rows mean; nobody is asked, nothing is added"
    )
    partial: bool = Field(default=False, description="Add those that pass the live check when others do not")


class Owner(Body):
    """Who may look after a member without being an operator."""

    owner: str = Field(max_length=200, description="Name of a user; empty for nobody")


class Pause(Body):
    """When the pause ends; without either it lasts until somebody resumes it."""

    until: float | None = Field(None, ge=0, le=_LAST_SECOND, description="epoch seconds")
    for_s: float | None = Field(None, gt=0, le=1e9)


class Removal(Body):
    """When a member is removed."""

    at: float | None = Field(None, ge=0, le=_LAST_SECOND, description="epoch seconds")
    in_s: float | None = Field(None, gt=0, le=1e9)
    grace_s: float | None = Field(None, ge=0, le=1e9, description="leaves the answers so long before")


class Verification(Body):
    """How it shall be shown that the server belongs to whoever added it."""

    method: Literal["admin", "http", "txt"] = "admin"
    renew: bool = Field(default=False, description="Void an open token and make a new one")


class ListQuery(BaseModel):
    """Conditions on the list; all must hold."""

    model_config = ConfigDict(defer_build=True, extra="forbid")
    zone: str = ""
    state: str = Field("", description=f"one of {', '.join(standing.STATES)}")
    q: str = Field("", max_length=200, description="Part of an id, address, name, operator, note or tag")
    tag: str = ""
    owner: str = Field("", max_length=200, description="Name of a user: only what is his")
    sort: str = Field("address", description=f"one of {', '.join(standing.SORTS)}; - in front for descending")
    limit: int | None = Field(None, ge=1, le=100_000)
    offset: int = Field(0, ge=0)


class LookupQuery(BaseModel):
    """What to look up."""

    model_config = ConfigDict(defer_build=True, extra="forbid")
    host: str = Field(
        min_length=1, max_length=300, description="A host name or an address, with a port behind it or not"
    )


class ExportQuery(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid")
    format: Literal["json", "csv"] = "json"
