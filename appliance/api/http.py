"""What a route's handler receives, and what it may answer when plain JSON is not enough."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from appliance.api.actor import NOBODY, Actor
from appliance.api.errors import Unconfirmed
from appliance.core.plain_json import to_json

#: How a request came: "local" never left this machine (or is the admin socket), "tls" nobody could read on its way, "lan"
#: plain HTTP in a private network that the owner allowed, "plain" plain HTTP where no secret may travel.
Line = Literal["local", "tls", "lan", "plain"]


@dataclass(slots=True)
class Note:
    """What a handler tells the audit trail.

    Attributes:
        target: what it was done to; when empty, the parts of the path.
        before: what the change replaced, JSON-able.
        after: what is there now; when None, the body that was sent.
        actor: who it turned out to be, where the operation itself finds that out (signing in).
    """

    target: str = ""
    before: Any = None
    after: Any = None
    actor: Actor | None = None


@dataclass(slots=True)
class Request:
    """What a route's handler receives.

    Attributes:
        params: parts of the path, decoded.
        query: the query string, last value of each key.
        query_model: the validated query when the route declares one.
        body: the validated JSON body when the route declares one.
        content: the body as it came, for routes that take something else than JSON.
        headers: names in lower case.
        actor: who asks and what it may do; decided before, where the request entered.
        only: account to whose things the answer is limited, or "" when the actor may see everybody's.
        remote: the address it comes from, "" on the admin socket.
        line: how safe the way here is.
        foreign: why a browser's request cannot be taken for one of our own pages', or "".
        id: of this request, the same in the answer, the log and the audit trail.
        note: what the audit trail shall say besides: the handler may fill it in.
        raw: the aiohttp request, for streams and pages.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_model: Any = None
    body: Any = None
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    actor: Actor = NOBODY
    only: str = ""
    remote: str = ""
    line: Line = "local"
    foreign: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    note: Note = field(default_factory=Note)
    raw: Any = None

    def needs_password(self, what: str = "this") -> None:
        """Go on only when the person gave the password within the last minutes.

        The table asks for it before it does an operation whose route says so (`Route.confirm`). A handler asks where only a
        part of what its operation does is a risk.

        Args:
            what: that needs it, for the refusal: "switching the plugin hello on".

        Raises:
            Unconfirmed: it was not given, or the asker has none to give.
        """
        if self.actor.confirmed:
            return
        if self.actor.kind == "token":
            raise Unconfirmed(
                f"{what} needs a person's password, and a token has none to give: do it signed in on the pages, or with the "
                "command on the box"
            )
        raise Unconfirmed(f"{what} needs your password again: it was not given within the last minutes")


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer when 200 and plain JSON are not enough.

    Attributes:
        value: JSON-able, or `str`/`bytes` when `content_type` is not JSON.
        revision: names the state of what can be changed, where `value` shows more than that; for If-Match.
    """

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    revision: str = ""

    def body(self) -> bytes:
        """The value as bytes."""
        if isinstance(self.value, bytes):
            return self.value
        if isinstance(self.value, str) and "json" not in self.content_type:
            return self.value.encode()
        return b"" if self.status == 204 else to_json(self.value)
