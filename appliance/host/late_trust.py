"""aiohttp, without the authorities that this machine trusts until somebody's client asks for them.

When it is imported it makes two contexts for clients and reads every authority into each: 45 ms of a start and 2 MB for good.
The appliance is a server and makes no such connection; plugins may, and their first one reads what was left out.
"""

from __future__ import annotations

import ssl
from typing import Any


class _Late(ssl.SSLContext):
    """A client's context that reads the authorities when the first connection is made, or when somebody looks."""

    _there = False

    def _read(self) -> None:
        if not self._there:
            self.load_default_certs()
            self._there = True

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        self._read()
        return super().wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        self._read()
        return super().wrap_socket(*arguments, **named)

    def get_ca_certs(self, *arguments: Any, **named: Any) -> Any:
        self._read()
        return super().get_ca_certs(*arguments, **named)

    def cert_store_stats(self) -> dict[str, int]:
        self._read()
        return super().cert_store_stats()


def import_aiohttp() -> None:
    """Import it before anything else does; a second time nothing happens. No other thread may run yet."""
    made: list[ssl.SSLContext] = []

    def later(context: ssl.SSLContext, *_: object) -> None:
        made.append(context)

    usual = ssl.SSLContext.load_default_certs
    ssl.SSLContext.load_default_certs = ssl.SSLContext.set_default_verify_paths = later  # type: ignore[assignment,method-assign]
    try:
        import aiohttp.connector  # noqa: F401 - to have it imported now
    finally:
        ssl.SSLContext.load_default_certs = usual  # type: ignore[method-assign]
        del ssl.SSLContext.set_default_verify_paths  # the one of its base is there again
    for context in made:
        context.__class__ = _Late
