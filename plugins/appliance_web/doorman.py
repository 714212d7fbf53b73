"""Stands before aiohttp's protocol: counts connections, does the TLS handshake, and shows the silent ones the door."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

from appliance.core.tasks import spawn
from appliance_web.way import address_of, neighbourhood

#: A connection that has not brought a whole request by then is closed. aiohttp itself limits later requests of a
#: kept connection, but waits for the first one for ever.
FIRST_REQUEST_S = 15.0
HANDSHAKE_S = 10.0
#: Bytes that may come between a handshake's last message and the moment its end is known here.
_EARLY_BYTES = 256 * 1024


class Lobby:
    """Everybody who is connected.

    When it is full, somebody without a request under way has to go, and where there is nobody, a stranger whose body is still
    on its way: neither silence nor slowness locks anybody out. It is one of those of whom most are here, and of them whoever
    came first: many connections of a few addresses push each other out, and not the one of somebody else.

    Attributes:
        most: connections in all.
        most_each: connections of one address (an IPv6 /64).
        turned_away: connections that were refused or had to go, since the start.
    """

    def __init__(
        self, most: int, most_each: int | None = None, exempt: Callable[[str], bool] | None = None
    ) -> None:
        self.most = most
        self.most_each = most_each or most
        self.turned_away = 0
        self._exempt = exempt or (lambda _peer: False)
        self._inside: dict[Doorman, None] = {}  # in the order of coming
        self._by_transport: dict[asyncio.BaseTransport, Doorman] = {}
        self._by_visitor: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._inside)

    def admit(self, doorman: Doorman) -> bool:
        """Let a new connection in, at the cost of an idle one if it must be."""
        visitor = doorman.visitor
        crowded = self._by_visitor[visitor] >= self.most_each and not self._exempt(doorman.peer)
        if crowded or len(self._inside) >= self.most:
            self.turned_away += 1
            leaving = self._leaving(visitor if crowded else "")
            if leaving is None:
                return False
            leaving.abort()
        self._inside[doorman] = None
        self._by_visitor[visitor] += 1
        return True

    def _leaving(self, visitor: str) -> Doorman | None:
        """Whose place is given to another; `visitor`: only of this one's."""
        here = [one for one in self._inside if not visitor or one.visitor == visitor]
        waiting = [one for one in here if one.idle] or [one for one in here if one.awaited]
        return max(waiting, key=lambda one: self._by_visitor[one.visitor], default=None)

    def leave(self, doorman: Doorman) -> None:
        if doorman in self._inside:
            del self._inside[doorman]
            self._by_visitor[doorman.visitor] -= 1
            if not self._by_visitor[doorman.visitor]:
                del self._by_visitor[doorman.visitor]

    def seen(self, transport: asyncio.BaseTransport, doorman: Doorman | None) -> None:
        """Requests that come over `transport` are of this doorman's connection; None: of nobody's any more."""
        if doorman is None:
            self._by_transport.pop(transport, None)
        else:
            self._by_transport[transport] = doorman

    def of(self, transport: asyncio.BaseTransport | None) -> Doorman | None:
        """Whose connection it is."""
        return None if transport is None else self._by_transport.get(transport)

    def close(self) -> None:
        """Let go whoever still shakes hands."""
        for doorman in list(self._inside):
            if not doorman.inside:
                doorman.abort()


class Doorman(asyncio.Protocol):
    """One connection; hands everything on to the protocol that `inner` makes, in clear text.

    Args:
        lobby: where it is counted.
        inner: makes the protocol behind.
        context: what the handshake is done with, asked anew for each connection; None for plain HTTP.
        too_slow: told when a request was begun and not brought to its end in time.
    """

    def __init__(
        self,
        lobby: Lobby,
        inner: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext] | None = None,
        too_slow: Callable[[Doorman], None] = lambda _doorman: None,
    ) -> None:
        self._lobby = lobby
        self._too_slow = too_slow
        self._heard = False
        self._make = inner
        self._context = context
        self._inner: asyncio.Protocol | None = None
        self._early: list[bytes] = []
        self._raw: asyncio.Transport | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._gone = False
        self.peer = ""
        self.visitor = ""
        self.requests = 0
        #: The body of a stranger's request is on its way.
        self.awaited = False

    @property
    def inside(self) -> bool:
        """Whether it has got past the handshake."""
        return self._inner is not None

    @property
    def secure(self) -> bool:
        """Whether what comes over it is encrypted; nothing that a request says of itself changes that."""
        return self._context is not None

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.requests == 0

    def abort(self) -> None:
        """Close at once; its place is free from now on."""
        self._leave()
        if self._raw is not None:
            self._raw.abort()

    def content(self) -> None:
        """It has brought a whole request: no more hurry."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # -- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self.visitor = neighbourhood(address_of(self.peer))
        self._raw = transport
        if not self._lobby.admit(self):
            self._gone = True
            transport.abort()
            return
        self._patience = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._out_of_patience)
        if self._context is None:
            self._begin(transport)
        else:
            # Nothing may be read before the handshake's own protocol is in place.
            transport.pause_reading()
            spawn(self._shake_hands(transport, self._context()), name="web:handshake")

    async def _shake_hands(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            transport = await asyncio.get_running_loop().start_tls(
                raw,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=2.0,
            )
        except (OSError, asyncio.CancelledError):  # a TLS error is an OSError; so is a peer that went away
            transport = None
        if transport is None or self._gone:
            self.connection_lost(None)
            raw.abort()
        else:
            self._begin(transport)

    def _begin(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._lobby.seen(transport, self)
        self._inner = self._make()
        self._inner.connection_made(transport)
        early, self._early = self._early, []
        for data in early:
            self._inner.data_received(data)

    def _out_of_patience(self) -> None:
        self._patience = None
        if self._heard:  # a connection that a browser only keeps ready says nothing, and does nothing wrong
            self._too_slow(self)
        if self._transport is not None:
            self._transport.close()
        elif self._raw is not None:
            self._raw.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._inner is not None:
            self._inner.data_received(data)
        elif not self._gone:
            self._early.append(data)
            if sum(map(len, self._early)) > _EARLY_BYTES:
                self.abort()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._gone and self._inner is None:
            return
        self._leave()
        if self._inner is not None:
            inner, self._inner = self._inner, None
            inner.connection_lost(exc)

    def _leave(self) -> None:
        self._gone = True
        self.content()
        self._lobby.leave(self)
        if self._transport is not None:
            self._lobby.seen(self._transport, None)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
