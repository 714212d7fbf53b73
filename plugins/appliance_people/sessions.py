"""Sessions of browsers: 256 random bits in a cookie, kept as SHA-256; how long each lives."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from appliance.api.actor import Role
from appliance.core.routes import Line

MOST_S = 7 * 24 * 3600.0
#: Without a request for so long it is over. Who can change things is a greater loss than who can look.
IDLE_S: dict[Role, float] = {"viewer": 12 * 3600.0, "member": 12 * 3600.0}
IDLE_OF_OTHERS_S = 30 * 60.0
#: So long after the password was given, risky operations do not ask for it again.
CONFIRMED_S = 5 * 60.0
MOST_PER_ACCOUNT = 32
#: A last-seen time is written to the database not more often than this.
SEEN_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that signed in.

    Attributes:
        id: to name it by; no secret.
        hash: SHA-256 of the cookie's value.
        account: id of the user.
        created, seen, confirmed: epoch seconds: sign-in, last request, last time the password was given.
        address, agent: from where, and what the browser says it is. Hostile text.
    """

    id: str
    hash: str
    account: str
    created: float
    seen: float
    confirmed: float
    address: str = ""
    agent: str = ""

    def lives(self, now: float, role: Role) -> bool:
        """Whether it is not over; one from the future, which a clock that was set back makes, is over."""
        idle_s = IDLE_S.get(role, IDLE_OF_OTHERS_S)
        return -300 < now - self.seen < idle_s and now - self.created < MOST_S

    def moved(self, by_s: float) -> Session:
        """The same session on a clock that was set by so much."""
        return replace(
            self, created=self.created + by_s, seen=self.seen + by_s, confirmed=self.confirmed + by_s
        )

    def is_confirmed(self, now: float) -> bool:
        return -300 < now - self.confirmed < CONFIRMED_S


def make() -> tuple[str, str, str]:
    """A new session: the cookie's value, the id, and the hash to keep."""
    value = secrets.token_urlsafe(32)
    return value, secrets.token_hex(4), digest(value)


def digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def cookie_name(line: Line) -> str:
    """`__Host-` binds it to this host and to TLS; plain HTTP can have neither."""
    return "__Host-timeball" if line == "tls" else "timeball"


def set_cookie(value: str, line: Line) -> str:
    """The header that gives it to the browser."""
    secure = "; Secure" if line == "tls" else ""
    return f"{cookie_name(line)}={value}; Path=/{secure}; HttpOnly; SameSite=Strict"


def drop_cookie(line: Line) -> str:
    """The header that takes it away."""
    return set_cookie("", line) + "; Max-Age=0"


def shown(cookie_header: str, line: Line) -> str:
    """The value of our cookie in a Cookie header, or ""."""
    name = cookie_name(line)
    for part in cookie_header.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals and key == name:
            return value
    return ""
