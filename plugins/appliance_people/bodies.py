"""What the operations take."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.core.paging import LARGEST_ID
from appliance_people.tokens import DEFAULT_DAYS, MOST_DAYS

#: A password longer than we take is still read, to say so.
_TYPED = 4096

Role = Literal["owner", "admin", "operator", "viewer", "member"]


class Body(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(defer_build=True, extra="forbid")


class SignIn(Body):
    name: str = Field(max_length=200)
    password: str = Field(max_length=_TYPED)


class Confirm(Body):
    password: str = Field(max_length=_TYPED)


class OwnPassword(Body):
    old_password: str = Field(max_length=_TYPED)
    new_password: str = Field(max_length=_TYPED)


class ClaimBody(Body):
    code: str = Field(max_length=200, description="The setup code that the box shows")
    name: str = Field("owner", max_length=200)
    password: str = Field(max_length=_TYPED)


class NewUser(Body):
    name: str = Field(max_length=200)
    role: Role = "viewer"
    password: str = Field("", max_length=_TYPED, description="Empty: one is made and told once")
    password_hash: str = Field("", max_length=1000, description="An Argon2id hash in place of a password")


class UserChange(Body):
    role: Role


class Reset(Body):
    password: str = Field("", max_length=_TYPED, description="Empty: one is made and told once")


class NewToken(Body):
    label: str = Field("", max_length=200, description="What it is for")
    scopes: list[str] = Field(
        max_length=64, description='What it may do: "servers:read", "servers:*", "*:read"'
    )
    days: int | None = Field(
        DEFAULT_DAYS, ge=1, le=MOST_DAYS, description="How long it works; null: for ever"
    )
    addresses: list[str] = Field(
        default_factory=list, max_length=64, description="From where; empty: from everywhere"
    )
    user: str = Field("", max_length=200, description="Whose rights it is bound to; empty: yours")


class Unlock(Body):
    user: str = Field("", max_length=200)
    address: str = Field("", max_length=200)


class AuditQuery(Body):
    limit: int = Field(100, ge=1, le=1000)
    before: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="Only rows older than this number: the next page"
    )
    since: float | None = Field(None, description="Epoch seconds")
    until: float | None = Field(None, description="Epoch seconds")
    actor: str = Field("", max_length=300)
    words: str = Field("", max_length=300, description="Part of the operation or of what it was done to")


class WhoseQuery(Body):
    all: bool = Field(default=False, description="Everybody's; needs users:read")
