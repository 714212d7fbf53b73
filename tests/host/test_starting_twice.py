"""What the state folder or another program makes impossible is told in one sentence, and nobody else is harmed by it."""

import asyncio
import logging
import socket

import pytest

from appliance.api.model import PluginState
from appliance.testing import running, wait_until


async def test_a_second_appliance_in_the_same_folder_leaves_the_first_reachable(tmp_path):
    async with running([], state_dir=tmp_path, admin_socket=True):
        with pytest.raises(OSError, match="another appliance already runs"):
            async with running([], state_dir=tmp_path, admin_socket=True):
                pass
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert not (tmp_path / "admin.sock").exists()


@pytest.mark.parametrize("below", ["file", "file/deeper", "x" * 150])
async def test_a_state_folder_that_cannot_be_is_told_and_nothing_is_made(tmp_path, below):
    from appliance.core.config import read_text
    from appliance.core.config_check import validate
    from appliance.dataplane import choose
    from appliance.host import loader
    from appliance.host.app import Host
    from appliance.host.process import serve

    (tmp_path / "file").write_text("")
    text = f'[appliance]\nstate_dir = "{tmp_path / below}"\n'
    host = Host(validate([read_text(text, "c")], {}), loader.discover(only=[]), choose("python"))
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("timeball").addHandler(handler)
    try:
        assert await serve(host, lambda: host.config) == 1
    finally:
        logging.getLogger("timeball").removeHandler(handler)
    assert any(str(tmp_path / below) in line and "\n" not in line for line in said)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


async def test_who_has_the_port_is_named_and_the_others_run(tmp_path):
    with socket.socket() as web, socket.socket() as dns:
        for taken in (web, dns):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        config = (
            f'[plugins.dns]\nlisten = ["127.0.0.1:{dns.getsockname()[1]}"]\n'
            f'[plugins.web]\nlisten = "127.0.0.1:{web.getsockname()[1]}"\n'
        )
        async with running(["web", "dns", "members", "clock"], config, state_dir=tmp_path) as app:
            await app.until_running("members", "clock")
            for plugin in ("web", "dns"):
                await wait_until(
                    lambda plugin=plugin: app.status(plugin).state is PluginState.BACKOFF, f"{plugin} to wait"
                )
                assert "process" in app.status(plugin).why, app.status(plugin).why
