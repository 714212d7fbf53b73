"""The rules at the door: what the listener asks others for each request."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from aiohttp import web

from appliance.api.actor import Actor
from appliance.api.services import AuditWitness
from appliance_web.limits import Rates
from appliance_web.repeats import Repeats
from appliance_web.way import Rules, Way

#: Raises ApiError when what somebody shows of himself is wrong.
WhoAsks = Callable[[web.Request, Way], Awaitable[Actor]]


@dataclass(slots=True)
class Door:
    """The rules at the door.

    Attributes:
        who_asks: finds out who sent a request.
        still: whether somebody is who he was a moment ago.
        names: by which we may be called, asked for each request.
        rules: whose word about the way is believed, and what may come in the clear.
        reads: how often one visitor may look.
        changes: how often one visitor may change something.
        context: for the next TLS handshake.
        repeats: answers by Idempotency-Key.
        witness: writes down who was turned away, asked each time; None: nobody does.
        hsts: whether browsers are told to insist on HTTPS, asked for each answer.
        most: connections.
        most_each: connections of one address.
    """

    who_asks: WhoAsks
    still: Callable[[Actor], bool] = lambda _actor: True
    names: Callable[[], Collection[str]] = tuple
    rules: Rules = field(default_factory=Rules)
    reads: Rates = field(default_factory=lambda: Rates("reads", 1200))
    changes: Rates = field(default_factory=lambda: Rates("changes", 120))
    context: Callable[[], ssl.SSLContext] | None = None
    repeats: Repeats | None = None
    witness: Callable[[], AuditWitness | None] = lambda: None
    hsts: Callable[[], bool] = lambda: False
    most: int = 256
    most_each: int = 96
