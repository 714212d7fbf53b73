"""The admin socket: the API for the same user or root on this machine, without a password."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from pathlib import Path

from aiohttp import web

from appliance.api.actor import local
from appliance.core.http import MAX_BODY, answer
from appliance.core.routes import RouteTable

#: sockaddr_un holds 108 bytes with the closing zero (unix(7)).
_LONGEST = 107


class AdminSocket:
    """Serves the route table on a Unix socket.

    Attributes:
        path: where it is.
    """

    def __init__(self, path: Path, table: RouteTable) -> None:
        self.path = path
        self._table = table
        self._runner: web.AppRunner | None = None
        self._ours = False

    def check(self) -> None:
        """Look before anything in the state folder is touched.

        Raises:
            OSError: the path is too long, or somebody else's appliance lives there.
        """
        if len(os.fsencode(self.path)) > _LONGEST:
            raise OSError(
                f"the path of the admin socket is longer than {_LONGEST} bytes: {self.path}; use a shorter state_dir"
            )
        if _alive(self.path):
            raise OSError(f"another appliance already runs in {self.path.parent}")

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: as `check`, or the socket cannot be made.
        """
        self.check()
        self.path.unlink(missing_ok=True)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        before = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, str(self.path)).start()
            self._ours = True
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._ours:  # never the socket of the appliance that kept us from starting
            self.path.unlink(missing_ok=True)

    async def _handle(self, raw: web.Request) -> web.StreamResponse:
        uid = _peer_uid(raw)
        if uid is None or uid not in (0, os.geteuid()):
            return web.json_response(
                {
                    "status": 403,
                    "code": "refused",
                    "detail": "only the appliance's user and root may use this socket",
                },
                status=403,
            )
        return await answer(self._table, raw, actor=local(_user(uid)))


def _peer_uid(raw: web.Request) -> int | None:
    sock = raw.transport.get_extra_info("socket") if raw.transport else None
    if sock is None:
        return None
    _, uid, _ = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(uid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True
