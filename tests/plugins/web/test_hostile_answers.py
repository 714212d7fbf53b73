"""Every command, with one text after the other of every answer made hostile: whatever an answer holds, a terminal shows it.

Which texts a stranger can write is not asked: a plugin, a remote monitor or the next version may hand on what nobody thought of.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from appliance.api import cli
from appliance.api.contrib import ProbeKind
from appliance.api.model import Sample
from appliance.api.services import ScoreBoard
from appliance.cli import build
from appliance.testing import wait_until
from tests.plugins.web.whole_box import whole

FORGED = "CRITICAL forged"
#: Moves the cursor and names the window, as ESC and as C1; turns the direction, hides, and writes a line of its own.
HOSTILE = f"\x1b]0;x\x07\x9b2J\u202e\u200b\u3164\r\n{FORGED}"
#: Colours of our own.
_SGR = re.compile("\x1b\\[[0-9;]*m")
Reply = tuple[int, Any]
Place = tuple[str | int, ...]

#: Commands as they are given; ID is a member, ALERT an alert. What changes something here is either taken back or refused.
COMMANDS = """
api /api/v1/members
audit list
audit verify
clock
clock source list
clock source add time.example.org
clock source rm time.example.org
config diff 1
config explain plugins.dns.ttl
config get plugins.dns
config get plugins.dns.zone
config history
config keep 1
config set plugins.dns.max_records=3 --dry-run
config set plugins.dns.nothing=3
config unset plugins.dns.max_records --dry-run
config undo 1 --dry-run
console --once
demo break 127.0.0.12 --ok
demo list
dns answer pool.example.org --from 192.0.2.1
dns answer nowhere.example.com
dns status
doctor
doctor --all
gps
inspector alerts
inspector apply ALERT
inspector capture 192.0.2.0/24 --seconds 1
inspector captures
inspector discard nothing
inspector ignored
inspector show ALERT
inspector status
inspector trace ID
inspector traces
inspector undo nothing
log
member add 127.0.0.44 --force
member list
member owner ID nobody
member pause ID
member resume ID
member rm ID --yes
member set ID --note x
member show ID
member verify ID
ntp clients
plugin list
plugin retry gps
probe 127.0.0.11:9
session list
session revoke nothing
setup code
sightings
status
tls renew
tls reset
tls show
token list
token new servers:read --label x
token revoke nothing
update check
update restart
update rollback
update seen
update status
update stay
user list
user rm nobody
user role ada owner
user unlock nobody
zone list
""".strip().splitlines()
#: Answers that the appliance of the test has no reason to give.
MADE_UP: dict[str, Any] = {
    "audit verify": {"whole": False, "rows": 3, "findings": [{"seq": 2, "what": "it does not follow"}]},
    "user unlock nobody": {"unlocked": ["user:nobody"]},
}
#: Why a command is not asked here.
NOT_ASKED = {
    "its answer is a file, for other programs": ("dns zone", "inspector save", "member export", "status export", "support-bundle", "tls export-ca"),
    "it asks no appliance, or the agent of an image": (
        "backup create", "backup restore", "backup return", "backup show", "backup verify", "box show", "box confirm", "box dismiss", "box factory-reset",
        "box go-back", "box network", "box power-off", "box put-on-card", "box restart", "box set", "box ssh", "box wifi", "check", "demo",
        "inspector read", "inspector rules check", "ntp key check", "ntp key new", "plugin install", "plugin installed", "plugin new", "plugin remove",
        "plugin rollback", "plugin safe-mode", "plugin test", "run", "update install",
    ),
    "it ends the appliance": ("restart",),
    "it asks for a password or a file first, and prints as its neighbours do": ("member import", "tls upload", "user add", "user reset"),
}  # fmt: skip


def commands() -> Iterator[str]:
    """All that do something, as a person types them."""

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join(words)
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from walk(inner, (*words, name))

    return walk(build(), ())


def test_every_command_is_asked_or_says_why_not():
    spared = {c for names in NOT_ASKED.values() for c in names}
    missing = [
        c
        for c in commands()
        if c not in spared and not any(f"{line} ".startswith(f"{c} ") for line in COMMANDS)
    ]
    assert not missing, f"add them to COMMANDS: {missing}"


class Played:
    """`Admin._once` that asks the appliance and notes what it said, or says what it is given."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: str) -> None:
        self._asks, self._root, self._folder = cli.Admin._once, build(), folder
        self.said: list[Reply] = []
        self._given: Iterator[Reply] | None = None

        def once(*asked: Any) -> Reply:
            return self._once(*asked)

        patch.setattr(cli.Admin, "_once", once)
        patch.setattr(cli, "STARTING_S", 0.0)

    def _once(self, *asked: Any) -> Reply:
        if self._given is not None:
            return next(self._given, (404, {"status": 404, "detail": "there is no more"}))
        self.said.append(self._asks(*asked))
        return self.said[-1]

    def run(self, words: Sequence[str], given: Sequence[Reply] | None = None) -> Result:
        self.said, self._given = [], None if given is None else iter(given)
        return CliRunner().invoke(self._root, ["--state-dir", self._folder, *words], color=True)


def texts(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where texts stand in it; of a list the first two entries, which are as all others."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:2]):
            yield from texts(item, (*at, number))


def spoilt(value: Any, at: Place) -> Any:
    """The same with `HOSTILE` after the text that stands there."""
    if not at:
        return value + HOSTILE
    value = copy.copy(value)
    value[at[0]] = spoilt(value[at[0]], at[1:])
    return value


def wrong(printed: str, *, lines: bool) -> list[str]:
    """What a terminal would obey or hide, and lines that are not ours; `lines`: it may have any, it is a file's text."""
    plain = _SGR.sub("", printed)
    found = sorted(
        {repr(c) for c in plain if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf") or c == "\u3164")}
    )
    return found + [line for line in plain.splitlines() if line.startswith(FORGED) and not lines]


def judged(played: Played, line: str, words: Sequence[str]) -> tuple[int, list[str]]:
    """How many texts its answers had, and where they came through."""
    played.run(words)
    said, seen, bad = [(200, MADE_UP[line])] if line in MADE_UP else played.said, 0, []
    for number, (status, value) in enumerate(said):
        for at in texts(value):
            given = [*said[:number], (status, spoilt(value, at)), *said[number + 1 :]]
            for more in ((), ("--json",)):
                done = played.run([*words, *more], given)
                seen += 1
                place = ".".join(map(str, at))
                lines = at[-1:] == ("diff",) or line.startswith("config get")
                bad += [
                    f"{line} {' '.join(more)}: {place}: {what}" for what in wrong(done.output, lines=lines)
                ]
    return seen, bad


async def banner(target, timeout_s):
    return Sample(error="cut off", text="220 smtp", value=1.0)


async def test_whatever_an_answer_holds_a_terminal_shows_it(tmp_path, monkeypatch):
    async with whole(tmp_path, "demo", history=False, admin_socket=True) as box:
        box.app.host.shared.contribute(
            "strangers", {"probe_kinds": [ProbeKind("banner", banner, title="Banner", interval_s=2)]}
        )
        seen_once = box.app.service(ScoreBoard).rounds.seen
        await wait_until(lambda: seen_once.at(box.member), "a look of that kind", timeout_s=60)
        assert (
            await box.app.ask(
                "POST", "/api/v1/tokens", body={"label": "x", "scopes": ["servers:read"], "user": "ada"}
            )
        ).status < 300
        alerts = (await box.app.ask("GET", "/api/v1/inspector/alerts")).value
        names = {"ID": box.member, "ALERT": str(alerts[0]["id"])}
        played = Played(monkeypatch, str(tmp_path))
        seen, bad = {}, []
        for line in COMMANDS:
            words = [names.get(word, word) for word in line.split()]
            seen[line], found = await asyncio.to_thread(judged, played, line, words)
            bad += found
    assert not bad, "\n".join(bad)
    assert sum(seen.values()) > 1000, json.dumps(seen)
    silent = [line for line, count in seen.items() if not count]
    assert not silent, f"these had no answer with a text in it: {silent}"
