"""Users: names and roles, and who may hand out which."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.api.actor import ROLES, Actor, Role, covers
from appliance.api.errors import Invalid
from appliance.api.foreign import is_plain

#: Roles that a person can have.
ROLES_OF_PEOPLE: tuple[Role, ...] = ("owner", "admin", "operator", "viewer", "member")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class User:
    """One person.

    Attributes:
        id: never changes, never used again.
        name: to sign in with; compared without regard to case.
        password: its hash as a PHC string, or "" for nobody can sign in with one.
        created, changed: epoch seconds; `changed` is when the password was set.
        signed_in: when last, or None.
        notice: one sentence that the next sign-in shows.
    """

    id: str
    name: str
    role: Role
    password: str
    created: float
    changed: float
    signed_in: float | None = None
    notice: str = ""


def new_id() -> str:
    return f"u{secrets.token_hex(5)}"


def folded(name: str) -> str:
    """What two spellings of one name have in common: one user, and one count of failed tries."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def checked_name(text: str) -> str:
    """A name as it is kept.

    Raises:
        Invalid: nobody can be called that.
    """
    name = " ".join(text.split())
    if not name:
        raise Invalid("a user needs a name", errors={"name": "give a name"})
    if len(name) > _LONGEST_NAME or not is_plain(name):
        why = f"{_LONGEST_NAME} characters at most, and none that cannot be seen"
        raise Invalid(f"this cannot be a name: {why}", errors={"name": why})
    return name


def may_give(actor: Actor, role: Role) -> bool:
    """Whether `actor` may make somebody a `role`, or change somebody who is one: nobody gives what he has not."""
    return all(covers(actor.grants, grant) for grant in ROLES[role])


def owners(users: Mapping[str, User]) -> list[User]:
    return [user for user in users.values() if user.role == "owner"]
