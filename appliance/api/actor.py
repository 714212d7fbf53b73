"""Who asks, and what each may do: one table of roles, one rule for comparing scopes.

A scope is "area:verb", such as "servers:write". What somebody holds are grants: scopes, where `*` stands for every verb
(`servers:*`), or in front for every area but the kept ones (`*:read`). A plugin that is installed tomorrow brings an area
of its own, which viewers may read and administrators change without anybody editing a table; the kept areas have to be
granted by name.

Some things have owners. "servers:read-own" lets in to what is one's own where "servers:read" lets in to all; the route says
what of a request has an owner (`Route.own`), and who holds the wide scope holds the narrow one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["owner", "admin", "operator", "member", "viewer", "public"]

#: Areas that `*` in front does not reach: who holds them can give himself the rest, or read secrets and people.
KEPT_AREAS = frozenset({"audit", "backup", "config", "ownership", "plugins", "setup", "users"})

_PUBLIC = frozenset({"public", "scores:read"})
_SIGNED_IN = _PUBLIC | {"self:*"}
_VIEWER = _SIGNED_IN | {"*:read"}
_OPERATOR = _VIEWER | {"*:operate", "alerts:*", "monitors:*", "servers:write"}
_ADMIN = _OPERATOR | {"*:*", "audit:read", "backup:create", "config:*", "plugins:*", "users:*"}

#: What each role may do, the most powerful first.
ROLES: Mapping[Role, frozenset[str]] = {
    "owner": _ADMIN | {"backup:*", "ownership:*"},
    "admin": _ADMIN,
    "operator": _OPERATOR,
    "viewer": _VIEWER,
    # How points are given is told to whoever is judged by it.
    "member": _SIGNED_IN | {"servers:read-own", "servers:write-own", "monitors:read", "monitors:probe-own"},
    "public": _PUBLIC,
}

ABOUT_ROLES: Mapping[Role, str] = {
    "owner": "Everything: the other owners, who gets in by SSH, restoring a backup and erasing the box included.",
    "admin": "Everything but the owners themselves, who gets in by SSH, restoring a backup and erasing the box.",
    "operator": "Looks at everything that is no secret, and runs the pool: servers, probes, alerts.",
    "viewer": "Looks at everything that is no secret; changes nothing but their own account.",
    "member": "Their own servers: adds, watches, changes and removes them, and sees nobody else's. And their own account.",
    "public": "Whoever does not sign in: health, the manual, and the pool's public scores.",
}

#: The three words that a plugin may use in place of a scope, and the verb in its own area that each means.
COARSE = {"read": "read", "operate": "operate", "admin": "admin"}

#: Ends a scope that reaches no further than what is one's own.
OWN = "-own"

_SCOPE = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")
_GRANT = re.compile(r"public|(?:\*|[a-z][a-z0-9_-]*):(?:\*|[a-z][a-z0-9_-]*)")


def scope_of(area: str, scope: str) -> str:
    """The full scope for what stands in a route of the plugin `area`.

    Raises:
        ValueError: it is no scope.
    """
    if scope in COARSE:
        return f"{area.lower()}:{COARSE[scope]}"
    if scope == "public" or _SCOPE.fullmatch(scope):
        return scope
    raise ValueError(
        f'"{scope}" is no scope: use "area:verb" as in "servers:write", or public, read, operate, admin'
    )


def is_grant(text: str) -> bool:
    """Whether `text` can be granted: a scope, or one with `*` in it."""
    return _GRANT.fullmatch(text) is not None


def covers(grants: Collection[str], scope: str) -> bool:
    """Whether who holds `grants` may do what needs `scope`; also whether all of the grant `scope` is among them."""
    if scope in grants:
        return True
    area, colon, verb = scope.partition(":")
    if not colon:
        return False
    if verb.endswith(OWN) and covers(grants, scope.removesuffix(OWN)):
        return True
    if f"{area}:*" in grants:
        return True
    return area not in KEPT_AREAS and ("*:*" in grants or f"*:{verb}" in grants)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: made where a request enters, never changed after.

    Attributes:
        name: for logs and people: "local:root", a user's name, a token's label, "nobody". Hostile text possible.
        kind: "local" (the admin socket), "session" (a browser that signed in), "token" (a program), "nobody".
        grants: all it may do.
        role: of the account behind it.
        account: id of that account, or "".
        via: id of the session or token, or "".
        confirmed: it gave its password a moment ago, or needs none.
    """

    name: str = "nobody"
    kind: Literal["local", "session", "token", "nobody"] = "nobody"
    grants: frozenset[str] = ROLES["public"]
    role: Role = "public"
    account: str = ""
    via: str = ""
    confirmed: bool = False

    def may(self, scope: str) -> bool:
        """Whether it holds `scope`."""
        return covers(self.grants, scope)

    def may_own(self, scope: str) -> bool:
        """Whether it holds `scope` at least for what is its own."""
        return self.may(scope + OWN)

    def __str__(self) -> str:
        return self.name


#: Whoever says nothing about himself.
NOBODY = Actor()


def local(user: str) -> Actor:
    """The same user or root, on the admin socket: the owner."""
    return Actor(f"local:{user}", "local", ROLES["owner"] | {"setup:*"}, "owner", confirmed=True)


def acting(role: Role, name: str = "") -> Actor:
    """Somebody who signed in with a role, without an account: for work from inside, and for tests."""
    return Actor(name or role, "session", ROLES[role], role, confirmed=True)
