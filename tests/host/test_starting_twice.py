"""What the state folder or another program makes impossible is told in one sentence, and nobody else is harmed by it."""

import asyncio
import contextlib
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from appliance.api.model import PluginState
from appliance.testing import running, wait_until
from tests.support.programs import need_root
from tests.support.tree import ROOT


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


def as_nobody(*words):
    """The command line of a user that owns nothing."""
    return subprocess.run(
        [sys.executable, "-m", "appliance", *words], capture_output=True, text=True, timeout=120, check=False,
        user=65534, group=65534, extra_groups=[], cwd="/", env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def open_folder():
    """A folder that every user can look into, unlike those of pytest."""
    need_root()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_a_state_folder_of_somebody_else_is_told_with_its_name_and_what_to_do(open_folder):
    folder, config = open_folder / "state", open_folder / "c.toml"
    folder.mkdir(mode=0o755)
    config.write_text(f'[appliance]\nstate_dir = "{folder}"\n')
    said = await asyncio.to_thread(as_nobody, "run", "--config", config)
    last = said.stderr.strip().splitlines()[-1]
    assert said.returncode == 1
    assert f"the state folder {folder} cannot be written by user" in last, said.stderr
    assert "chown" in last
    assert "Errno" not in said.stderr
    assert "Traceback" not in said.stderr


async def test_who_forgets_sudo_is_told_so(open_folder):
    """The configuration can be read by everybody, the state folder and what lies beside need not be."""
    folder, closed = open_folder / "state", open_folder / "closed"
    folder.mkdir(mode=0o700)
    closed.mkdir(mode=0o700)
    config = open_folder / "c.toml"
    config.write_text(f'[appliance]\nstate_dir = "{folder}"\n')
    for words, status in (
        (("check", "--config", config), 78),
        (("check", "--config", closed / "c.toml"), 78),
        (("run", "--config", config), 78),
        (("member", "list", "--config", config), 4),
    ):
        said = await asyncio.to_thread(as_nobody, *words)
        assert "Traceback" not in said.stderr, said.stderr
        assert "sudo" in said.stderr + said.stdout, (words, said)
        assert said.returncode == status, (words, said)


async def test_a_database_of_a_newer_version_is_told_in_one_line(tmp_path, caplog):
    async with running(["members"], state_dir=tmp_path) as app:
        await app.until_running("members")
    with contextlib.closing(sqlite3.connect(tmp_path / "timeball.db")) as database, database:
        database.execute("INSERT INTO _migrations VALUES ('members', 99, 'of-tomorrow', 2e9)")
    async with running(["members"], state_dir=tmp_path) as app:
        why = app.status("members").why
    assert why.startswith("the database was written by a newer version")
    assert "of-tomorrow" in why
    assert not any("Traceback" in record.getMessage() for record in caplog.records)


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
                why = app.status(plugin).why
                assert "process" in why, why
                assert "Address already in use" not in why, "who has it says more"
