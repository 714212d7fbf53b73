"""`timeball dns`: what it prints for people and for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from appliance_dns import cli
from tests.plugins.dns.dns_bed import bad, dns_running, good, member


class Asked:
    """Stands in for the admin socket; remembers the questions."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.queries: list[Any] = []

    def get(self, path: str, query: Any = None) -> Any:
        self.queries.append(query)
        return self.values[path]


@pytest.fixture
async def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    verdicts = (good("m1"), bad("m2", reason="out: it says \x1b[31mred\x1b[0m"))
    async with dns_running(tmp_path, (member(1), member(2)), verdicts, config={"txt": ["x"]}) as bed:
        asked = Asked(
            {
                path: await bed.app.get(path)
                for path in ("/api/v1/dns/answer", "/api/v1/dns/zone", "/api/v1/dns")
            }
        )
    monkeypatch.setattr(cli, "admin", lambda: asked)
    return asked


def run(*arguments: str) -> str:
    group = click.Group()
    cli.register(group)
    done = CliRunner().invoke(group, ["dns", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


async def test_answer_shows_addresses_and_a_reason_for_each_member(admin: Asked) -> None:
    text = run("answer", "0", "--type", "A", "--from", "198.51.100.1")
    assert admin.queries == [{"name": "0", "type": "A", "from": "198.51.100.1"}]
    lines = text.splitlines()
    assert lines[0].startswith("pool.example.org A for 127.0.0.1: NOERROR, TTL 150 s, serial ")
    assert "192.0.2.1" in lines[1]
    assert any(line.startswith("answered  192.0.2.1 ") and "100 %" in line for line in lines)
    assert any(line.startswith("out       192.0.2.2 ") for line in lines)
    assert "\x1b" not in text, "what a member says cannot steer the terminal"


async def test_zone_and_status(admin: Asked) -> None:
    assert "IN SOA" in run("zone")
    text = run("status")
    assert "1 of 2 members are answered" in text
    assert "3.pool.example.org" in text
    assert json.dumps(admin.values["/api/v1/dns"])
    assert "rate limit" not in text
    admin.values["/api/v1/dns"]["limited"] = [{"network": "192.0.2.0/24", "limited": 12, "active": True}]
    assert re.search(r"over the rate limit .*\n192\.0\.2\.0/24 +now +12", run("status"))
