"""Stands before aiohttp's protocol: counts connections and shows those the door that connect and then say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: A connection that has not brought a whole request by then is closed. aiohttp itself limits later requests of a
#: kept connection, but waits for the first one for ever.
FIRST_REQUEST_S = 15.0


class Lobby:
    """Everybody who is connected."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.turned_away = 0
        self.inside: dict[asyncio.BaseTransport, Doorman] = {}

    def spoke(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come over `transport`."""
        if transport is not None and (doorman := self.inside.get(transport)) is not None:
            doorman.content()


class Doorman(asyncio.Protocol):
    """Hands everything on to `inner`."""

    def __init__(self, lobby: Lobby, inner: Callable[[], asyncio.Protocol]) -> None:
        self._lobby = lobby
        self._make = inner
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._lobby.inside) >= self._lobby.most:
            self._lobby.turned_away += 1
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self._transport = transport
        self._lobby.inside[transport] = self
        self._patience = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, transport.close)
        self._inner = self._make()
        self._inner.connection_made(transport)

    def content(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        self.content()
        if self._transport is not None:
            self._lobby.inside.pop(self._transport, None)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
