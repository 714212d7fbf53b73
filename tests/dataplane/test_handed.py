"""Sockets from the service manager are used where they fit, and nothing else is taken for one."""

from __future__ import annotations

import os
import socket

import aiohttp

from appliance.dataplane import handed
from appliance.dataplane.interface import Endpoint
from appliance.testing import running
from appliance_web import listener
from tests.plugins.web.visiting import address


def passed(sock, number="1"):
    return {"environ": {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number}, "first_fd": sock.fileno()}


def test_only_a_listening_socket_of_that_address_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as sock, socket.socket() as other:
        endpoint = Endpoint("127.0.0.1", sock.getsockname()[1])
        for _ in range(2):  # it can be asked for again
            with handed.over(endpoint, **passed(sock)) as found:
                assert found.getsockname() == sock.getsockname()
        assert handed.over(Endpoint("127.0.0.2", endpoint.port), **passed(sock)) is None
        assert handed.over(endpoint, **passed(sock, "x")) is None
        assert handed.over(endpoint, **passed(sock, "0")) is None
        assert handed.over(endpoint, **passed(other)) is None
        assert handed.over(endpoint, **{**passed(sock), "pid": 1}) is None
        assert handed.over(endpoint, environ={}) is None


async def test_the_pages_are_served_on_a_socket_that_was_handed_over(tmp_path, monkeypatch):
    """The address is taken by the very socket: whoever bound it again would fail."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        given = passed(sock)
        monkeypatch.setattr(
            listener.handed, "over", lambda endpoint, over=handed.over: over(endpoint, **given)
        )
        port = sock.getsockname()[1]
        text = f'[plugins.web]\nlisten = "127.0.0.1:{port}"\nlisten_tls = []'
        async with running(["web"], text, state_dir=tmp_path) as app:
            await app.until_running("web")
            async with aiohttp.ClientSession() as session, session.get(address(app) + "/health") as reply:
                assert reply.status in (200, 503)
