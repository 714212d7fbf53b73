"""What an idle appliance has in memory: large libraries come when they are used, not before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from appliance.host.late import SELDOM
from tests.support.programs import free_port
from tests.support.wait import wait_until

#: Ten megabytes each, or the ground for more: for keys and passwords, for a captured packet, for tests.
RARELY_USED = ("cryptography", "scapy", "hypothesis", "pytest")

#: Work of a start that nobody asked for: what only scrapes, feeds, the command line's tools or other processes use.
NOT_AT_A_START = (*RARELY_USED, "prometheus_client", "xml", "tomlkit", "markdown_it", "schemathesis", "mypy")

#: Ours, that only other commands need, and who sets a password.
OURS_NOT_AT_A_START = (
    "appliance.commands.settings",
    "appliance.commands.doctor",
    "appliance_people.guessing",
    "statistics",
)

CONFIG = """
[appliance]
state_dir = "{folder}/state"
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:0"]
[plugins.web]
listen = "127.0.0.1:{web}"
trust_loopback = "operate"
"""

#: What is asked all the time: by the box's own screen, by whoever passes by, by whoever looks after it.
LOOKED_AT = ("/api/v1/console", "/status", "/", "/members", "/tls", "/api/v1/tls", "/doctor")


PASSWORD = "a quiet lantern soup"


def ask(web: int, path: str, body: dict[str, str] | None = None, cookie: str = "") -> str:
    """Ask for a page, or do something; returns the cookie that came with the answer, if any."""
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Cookie": cookie}
    if body is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{web}{path}", json.dumps(body).encode() if body else None, headers
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()
        return str(answer.headers["Set-Cookie"] or "").partition(";")[0]


def sign_in(web: int, config: Path, boot: str) -> str:
    """Claim the box, and later sign in."""
    if boot == "first":
        told = subprocess.run(
            [sys.executable, "-m", "appliance", "setup", "code", "--config", config], capture_output=True, text=True, check=True
        )  # fmt: skip
        ask(web, "/api/v1/setup/claim", {"code": told.stdout.strip(), "name": "ada", "password": PASSWORD})
    cookie = ask(web, "/api/v1/session", {"name": "ada", "password": PASSWORD})
    assert cookie
    return cookie


def settled(config: Path) -> bool:
    """Whether every plugin does its work."""
    asked = subprocess.run(
        [sys.executable, "-m", "appliance", "plugin", "list", "--json", "--config", config], capture_output=True, check=False
    )  # fmt: skip
    return asked.returncode == 0 and all(
        plugin["state"] in ("running", "stopped", "disabled") for plugin in json.loads(asked.stdout)
    )


def test_an_idle_appliance_does_without_what_is_rarely_used(tmp_path):
    """Certificates are made and passwords compared by other processes, at the first boot too."""
    config, log, web = tmp_path / "timeball.toml", tmp_path / "log", free_port()
    config.write_text(CONFIG.format(folder=tmp_path, web=web))
    for boot in ("first", "second"):
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "run", "--config", config], stdout=out, stderr=out
            )
            try:
                wait_until(
                    lambda: "HTTPS with the own certificate" in log.read_text(), "the web listener", 60
                )
                wait_until(lambda: settled(config), "every plugin", 60, interval_s=0.5)
                for cookie in ("", sign_in(web, config, boot)):
                    for path in LOOKED_AT:
                        ask(web, path, cookie=cookie)
                mapped = Path(f"/proc/{process.pid}/maps").read_text()
            finally:
                process.terminate()
                process.wait(30)
        assert [name for name in RARELY_USED if f"/{name}/" in mapped] == [], f"at the {boot} boot"


def test_a_start_imports_nothing_that_is_used_rarely(tmp_path):
    """Until every plugin runs and the listeners are there: whoever asks first then pays for it."""
    config, log = tmp_path / "timeball.toml", tmp_path / "log"
    config.write_text(CONFIG.format(folder=tmp_path, web=0))
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "appliance", "run", "--config", config],
            stdout=out,
            stderr=out,
        )
        try:
            wait_until(lambda: "HTTPS with the own certificate" in log.read_text(), "the web listener", 60)
        finally:
            process.terminate()
            process.wait(30)
    imported = re.findall(r"^import time: .*\| +([\w.]+)$", log.read_text(), re.MULTILINE)
    assert "appliance_web.service" in imported
    assert imported.index("appliance.host.late_trust") < imported.index("aiohttp.connector")
    assert sorted(name for name in set(imported) if name.partition(".")[0] in NOT_AT_A_START) == []
    assert [
        name for name in ("dateutil.parser._parser", *SELDOM, *OURS_NOT_AT_A_START) if name in imported
    ] == []
