"""The box's own screen: what stands on it, that nothing in it commands the terminal, and how it looks in a real one."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import columns
from appliance.core.clock import SystemClock
from appliance.dataplane.interface import Endpoint
from appliance.testing import running
from appliance_web.console import urls
from appliance_web.console_screen import Console, Line, lines, painted
from tests.plugins.web import fake_pool
from tests.plugins.web.visiting import address
from tests.support.programs import need
from tests.support.wait import wait_for

PRINT = ":".join(["AB"] * 32)
FULL = Console(
    "pool.example.org", "2026-03-14 09:26:53", ["https://box.local/", "https://192.0.2.7/"], PRINT, "MXKE-SU92", 561,
    [("Clock", "The time is right to 12 µs, at stratum 2.", "ok"), ("Pool", "4 of 5 servers are in the pool; 1 needs attention.", "degraded"),
     ("Asked", "12 NTP and 3 DNS queries a second", "ok"), ("Box", "x" * 200, "failing")],
    [("r", "restart the machine"), ("q", "quit")],
)  # fmt: skip


def test_everything_stands_in_eighty_columns_and_twenty_four_lines():
    found = [line.text for line in lines(FULL)]
    assert len(found) == 24
    assert max(map(len, found)) <= 80
    text = "\n".join(found)
    for wanted in (
        "pool.example.org",
        "https://box.local/",
        "MXKE-SU92   good for 9 min 21 s",
        "! Pool",
        "r restart the machine",
    ):
        assert wanted in text
    assert PRINT in "".join(line.strip() for line in found)


@pytest.mark.parametrize("width", [40, 57, 64, 79, 80, 98, 132])
def test_a_fingerprint_is_whole_on_every_screen(width):
    found = [line.text for line in lines(FULL, width, 28)]
    assert max(map(len, found)) <= width
    rows = [text.strip() for text in found if "AB" in text]
    assert "".join(rows) == PRINT
    assert all(row.endswith(":") for row in rows[:-1]), "it breaks between bytes"
    assert len({len(row) for row in rows[:-1]}) <= 1
    assert "into its pages:" in " ".join(text.strip() for text in found)
    assert "MXKE-SU92   good for 9 min 21 s" in "\n".join(found)


def test_wide_letters_and_marks_stay_within_the_screen():
    """A line that is too wide goes on in the next one, and pushes the first lines out of the screen."""
    wide = Console(
        "日本標準時" * 12, "2026-03-14 09:26:53", ["https://box.local/"], PRINT,
        state=[("Clock", "한국" * 60, "ok"), ("Pool", "e\u0301" * 70, "ok"), ("Box", "a\u3164\u202e" * 50, "failing")],
    )  # fmt: skip
    found = [line.text for line in lines(wide)]
    assert max(columns.width(line) for line in found) <= 80
    assert not [c for line in found for c in line if c in "\u3164\u202e"]
    assert "e\u0301" * 60 in "".join(found)


def test_a_box_with_an_owner_tells_no_code():
    text = "\n".join(line.text for line in lines(Console("p", "t", ["https://x/"])))
    assert "Nobody owns" not in text


def test_trouble_is_told_instead():
    text = "\n".join(
        line.text for line in lines(Console("", "t", trouble="no appliance answers at /x/admin.sock."))
    )
    assert "no appliance answers" in text


@given(
    st.text(max_size=60),
    st.lists(st.text(max_size=90), max_size=9),
    st.integers(40, 130),
    st.integers(12, 50),
)
def test_hostile_text_commands_no_terminal(text, urls_, width, height):
    shown = Console(text, text, urls_, text, text, 5, [(text, text, text)], [(text, text)], message=text)
    found = lines(shown, width, height)
    assert len(found) == height
    assert all(len(line.text) <= width and line.text.isprintable() for line in found)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*[HKJm]", "", painted(found, colour=True))


def test_without_colours_there_are_none():
    assert "m" not in painted([Line("", "31")], colour=False)
    assert "\x1b[31mx\x1b[0m" in painted([Line("x", "31")], colour=True)


def test_addresses_to_type_have_the_local_name_first_and_loopback_last():
    names = ["box", "localhost", "127.0.0.1", "192.0.2.7", "2001:db8::7", "box.local"]
    assert urls([Endpoint("0.0.0.0", 443)], "https", names) == [
        "https://box.local/", "https://192.0.2.7/", "https://[2001:db8::7]/", "https://box/", "https://localhost/", "https://127.0.0.1/",
    ]  # fmt: skip
    assert urls([Endpoint("127.0.0.1", 8080)], "http", names) == ["http://127.0.0.1:8080/"]


class Terminal:
    """A tmux of its own with one window of 80 by 24."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "tmux"

    def tmux(self, *arguments: str) -> str:
        command = [need("tmux"), "-S", str(self.socket), "-f", "/dev/null", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=30, env=self.environment()
        ).stdout

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TMUX")}
        return kept | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


@contextmanager
def terminal(folder: Path, command: str):
    shown = Terminal(folder)
    shown.tmux("new-session", "-d", "-x", "80", "-y", "24", f"{command}; sleep 600")
    try:
        yield shown
    finally:
        shown.tmux("kill-server")


@pytest.mark.parametrize("colour", [True, False])
async def test_in_a_real_terminal(tmp_path, colour):
    """It draws, keeps itself fresh, obeys q, and gives the terminal back as it was."""
    need("tmux")
    program = Path(sys.executable).with_name("timeball")
    config = '[plugins.web]\nlisten = "127.0.0.1:0"\n'
    provide = fake_pool.pool(SystemClock(), 5)
    async with running(["web"], config, state_dir=tmp_path, provide=provide, admin_socket=True) as app:
        await app.until_running("web")
        quiet = "" if colour else "NO_COLOR=1 "
        command = f"{quiet}{shlex.quote(str(program))} console --keys --state-dir {shlex.quote(str(tmp_path))}; echo GONE"
        with terminal(tmp_path, command) as shown:

            def tmux(*arguments):
                return asyncio.to_thread(shown.tmux, *arguments)

            async def shows(words):
                await wait_for(lambda: seen(words), f"the screen to show {words!r}", timeout_s=90)

            async def seen(words):
                return words in await tmux("capture-pane", "-p")

            await shows("Open in a browser")
            screen = await tmux("capture-pane", "-p")
            assert len(screen.splitlines()) <= 24
            assert "p reset a password" in screen
            assert address(app, "https" if "https" in screen else "http") in screen
            assert ("\x1b[" in await tmux("capture-pane", "-p", "-e")) is colour
            await tmux("send-keys", "p")
            await shows("Name of the user")
            await tmux("send-keys", "Escape")
            await shows("Nothing was done")
            await tmux("send-keys", "q")
            await shows("GONE")
            assert not await seen("Open in a browser")
