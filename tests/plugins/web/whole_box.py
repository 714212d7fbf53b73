"""The whole appliance with every plugin, in each state that a person may find it in, and the addresses of all its pages.

The pages come from the live route table: a page that is new is judged by every gate from its first day, and one whose
address has a part that nobody can fill in here fails the gates until it is written down in `FILLED`.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from appliance.api.services import Members, ScoreBoard
from appliance.core.routes import Reply
from appliance.host import loader
from appliance.testing import RunningAppliance, running, wait_until
from appliance_inspector.service import Inspector
from appliance_people.claim import Claim
from appliance_people.people import People
from tests.plugins.inspector.test_inspector_page import SEEN
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web import trouble
from tests.plugins.web.visiting import address
from tests.support.programs import free_port

State = Literal["fresh", "empty", "demo", "many", "failed", "member"]
#: The page of that plugin: a fault of its own, told as any other.
BREAKS = "/trouble"
#: Probes in the chart of one server: more than a chart draws.
HISTORY = 3000
_CONFIG = """
[plugins.web]
listen = "{listen}"
listen_tls = [{tls}]
trust_loopback = "no"
reads_per_minute = 100000
changes_per_minute = 100000
max_streams = 200
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:{ntp}"]
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:{dns}"]
[plugins.monitor]
interval_s = {interval_s}
samples = 1
[plugins.members.verify]
trusted_networks = ["127.0.0.0/8"]
[plugins.demo]
enabled = {simulated}
port = {port}
member = [{faults}]
"""


@dataclass
class Box:
    """The appliance as an owner's browser sees it.

    Attributes:
        base: address, without the last slash.
        cookie: name and value of the owner's session; None while nobody owns the box.
        member: id of a server with a long history, or "".
        simulator: UDP port of all simulated servers.
        pages: every page that there is, as it is asked for.
    """

    app: RunningAppliance
    base: str
    state: State
    cookie: tuple[str, str] | None = None
    member: str = ""
    simulator: int = 0
    pages: tuple[str, ...] = ()

    async def enter(self, tab: Any) -> None:
        """Give a browser's tab the owner's session."""
        if self.cookie is not None:
            name, value = self.cookie
            await tab.ask(
                "Network.setCookie", name=name, value=value, url=self.base, httpOnly=True, sameSite="Strict"
            )


@asynccontextmanager
async def whole(
    folder: Path,
    state: State,
    *,
    config: str = "",
    history: bool = True,
    simulated: bool = False,
    listen: str = "127.0.0.1:0",
    tls: str = "",
    **options: Any,
) -> AsyncIterator[Box]:
    """Run the appliance in that state.

    Args:
        folder: a folder for this test alone.
        state: "fresh": nobody owns it and it has no servers; "empty": an owner and no servers; "demo": three simulated
            servers of which one is wrong; "many": 500; "failed": as "demo", with a plugin in every kind of trouble; "member":
            as "demo", seen by somebody who owns one of the servers.
        config: more of the configuration file.
        history: one server gets a long history.
        simulated: there is a good server at 127.0.0.11 (port `Box.simulator`), which nobody has added.
        listen: where the pages are.
        tls: where they are besides, over HTTPS; "" for nowhere.
        options: handed on to `running`.
    """
    port = free_port()
    text = _config(state, port, simulated=simulated, listen=listen, tls=tls) + config
    if state in ("demo", "failed"):
        text += "[plugins.inspector]\nenabled = true\n"
    plugins = None
    if state == "failed":
        plugins = [*(p.id for p in loader.discover().found), trouble]
    async with running(plugins, text, state_dir=folder, config_file=folder / "config.toml", **options) as app:
        await app.until_running(*(p for p in app.host.supervised if p != "trouble"))
        box = Box(app, address(app), state, simulator=port)
        if state != "fresh":
            box.cookie = None if app.service(People).claimed else await _claim(app, box.base)
        if state not in ("fresh", "empty"):
            board, members = app.service(ScoreBoard), app.service(Members)
            wrong = "" if state == "many" else members.find(f"127.0.0.13:{port}").id
            box.member = members.find(f"127.0.0.11:{port}").id
            await wait_until(
                lambda: len(board.recent(wrong or box.member)) >= (3 if wrong else 1),
                "some probes",
                timeout_s=120,
            )
            if history:
                now = board.recent(box.member)[0]["ts"]
                await app.store.write(lambda db: _history(db, box.member, now))
        if state == "failed":
            await wait_until(lambda: app.status("trouble").why, "the plugin's failure", timeout_s=120)
        if (inspector := app.host.services.find(Inspector)) is not None:
            inspector.alerts.take([SEEN], inspector.rules)
        if state == "member":
            box.cookie = await _become_member(box)
        box.pages = await _pages(box)
        yield box


def _config(state: State, port: int, *, simulated: bool, listen: str, tls: str) -> str:
    addresses = {
        "fresh": [],
        "empty": [],
        "many": ["127.0.0.11", *(f"127.9.{i // 250}.{i % 250 + 1}" for i in range(499))],
    }.get(state, ["127.0.0.11", "127.0.0.12", "127.0.0.13"])
    faults = ", ".join(
        f'{{ address = "{a}"{", offset_s = 0.3" if a == "127.0.0.13" else ""} }}'
        for a in addresses or ["127.0.0.11"]
    )
    entries = "".join(
        f'[[plugins.members.member]]\naddress = "{a}"\nport = {port}\n'
        + (f'operator = "Harbour Office {i % 9}"\n' if i % 3 else "")
        for i, a in enumerate(addresses)
    )
    return (
        _CONFIG.format(
            listen=listen, tls=f'"{tls}"' if tls else "", ntp=free_port(), dns=free_port(), port=port, faults=faults,
            simulated=str(simulated or bool(addresses)).lower(), interval_s=60 if state == "many" else 1,
        )
        + entries
    )  # fmt: skip


async def _claim(app: RunningAppliance, base: str) -> tuple[str, str]:
    """Own the box as its first visitor does; the cookie."""
    code, _ = app.service(Claim).current()
    body = {"code": code, "name": "ada", "password": OWNER_PASSWORD}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{base}/api/v1/setup/claim", json=body, headers={"Sec-Fetch-Site": "same-origin"}
        ) as reply,
    ):
        assert reply.status == 200, await reply.text()
        name, _, rest = reply.headers["Set-Cookie"].partition("=")
        return name, rest.partition(";")[0]


async def _become_member(box: Box) -> tuple[str, str]:
    """A user with the role member who owns the server with the history; the cookie of that user's session."""
    body = {"name": "ann", "role": "member", "password": f"{OWNER_PASSWORD} of ann"}
    for method, path, asked in (
        ("POST", "/api/v1/users", body),
        ("PUT", f"/api/v1/members/{box.member}/owner", {"owner": "ann"}),
    ):
        done = await box.app.ask(method, path, body=asked)
        assert done.status < 300, done.value
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{box.base}/api/v1/session",
            json={"name": "ann", "password": body["password"]},
            headers={"Sec-Fetch-Site": "same-origin"},
        ) as reply,
    ):
        assert reply.status == 200, await reply.text()
        name, _, rest = reply.headers["Set-Cookie"].partition("=")
        return name, rest.partition(";")[0]


def _history(db: Any, member: str, now: float) -> None:
    """A day of probes, one each half minute, with gaps and a spell of wrong time."""
    rng = random.Random(1)
    rows = []
    for i in range(HISTORY):
        lost, wrong = rng.random() < 0.02, 400 < i < 460
        rows.append((
            now - 60 - i * 28.0, member, "local", None if lost else 0.3 if wrong else rng.gauss(0.0004, 0.0006),
            None if lost else 0.004 + rng.random() / 500, None if lost else 2, None if lost else 0, -5.0 if lost or wrong else 1.0,
            3.0 if wrong else 19.0, "timeout" if lost else None, "no_response" if lost else "offset_ok",
        ))  # fmt: skip
    db.conn.executemany(
        "insert into monitor__probes (ts, member, monitor, offset_s, rtt_s, stratum, leap, step, score, error, rule) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


async def _filled(box: Box) -> dict[str, tuple[str, ...]]:
    """What stands for the parts of addresses that name something: paths by pattern; none when the box has no such thing."""
    member = f"/members/{box.member}"
    found = box.app.service(Members).table.get().get(box.member)
    tables = tuple(f"/settings/{name}" for name in ("appliance", "web", "monitor", "members", "demo"))
    changed = await box.app.ask("PATCH", "/api/v1/config", body={"set": {"plugins.web.max_streams": 201}})
    changes = ()
    if isinstance(changed, Reply) and changed.status < 300:
        listed = (await box.app.ask("GET", "/api/v1/config/changes")).value
        rows = listed.get("changes", listed) if isinstance(listed, Mapping) else listed
        changes = tuple(f"/settings/changes/{row['id']}" for row in list(rows)[:1])
    checks = (await box.app.ask("GET", "/api/v1/doctor")).value["checks"]
    mends = [f"/doctor/{c['id']}/fix" for c in checks if c.get("fix")]
    return {
        "/members/{id}": (member, f"{member}?range=1d", f"{member}?range=7d") if box.member else (),
        "/scores/{ip}": (f"/scores/{found.address}",) if found else (),
        "/settings/{table}": tables,
        "/settings/{table}/list/{key}": ("/settings/members/list/member",),
        "/settings/{table}/list/{key}/{number}": (
            "/settings/members/list/member/new",
            *(("/settings/members/list/member/0",) if box.member else ()),
        ),
        "/settings/changes/{id}": changes,
        "/doctor/{id}/fix": tuple(mends[:1]),
        "/help/{name}": ("/help/web", "/help/operations-list", "/help/config"),
        "/help/{folder}/{name}": (),
        "/static/{file}": (),
        "/help/img/{picture}": (),
        "/status/badge/{zone}": ("/status/badge/nowhere.svg",),
        "/verify/{token}": (),
        "/checks/{check}/stream": (),
        "/badge/{id}": (),
        "/members/add/{draft}/{step}": await _steps(box) if box.cookie else (),
        "/members": ("/members", "/members?state=attention", "/members?sort=-score"),
        "/dns": ("/dns", "/dns?name=pool.example.org&type=A&from=192.0.2.7", "/dns?name=nowhere.example.com"),
        "/nothing": ("/nothing",),
    }


async def _steps(box: Box) -> tuple[str, ...]:
    """The later steps of adding a server, with a draft to look at."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        aiohttp.ClientSession(cookies=dict([box.cookie]), cookie_jar=jar) as session,
        session.post(
            f"{box.base}/members/add/look",
            data={"address": "127.0.0.21:9 [::1]:9"},
            headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        ) as reply,
    ):
        assert reply.status == 303, await reply.text()
        at = reply.headers["Location"].rpartition("/")[0]
    return tuple(f"{at}/{step}" for step in ("check", "place", "owner", "preview"))


async def _pages(box: Box) -> tuple[str, ...]:
    """Every page, as it is asked for."""
    filled = await _filled(box)
    table = box.app.host.routes.routes()
    patterns = [m.path for m in table if m.route.page and m.route.method == "GET"]
    # What belongs to one server is looked at for the server with the long history.
    of_server = {p: p.replace("{id}", box.member) for p in patterns if p.startswith("/members/{id}/")}
    filled |= {p: (path,) if box.member and "{" not in path else () for p, path in of_server.items()}
    missing = [p for p in patterns if "{" in p and p not in filled]
    assert not missing, (
        f"say in tests/plugins/web/whole_box.py what to fill into {missing}: no gate looks at them"
    )
    paths = [path for pattern in [*patterns, "/nothing"] for path in filled.get(pattern, (pattern,))]
    if box.state == "fresh":
        # Nobody has signed in: what is shown then are these, and one refusal for all others.
        public = {m.path for m in table if m.scope in ("public", "setup:run")}
        paths = [p for p in paths if re.sub(r"\?.*", "", p) in public | {"/", "/nothing"}]
    # Once there is an owner, nobody is asked for the code any more.
    paths = [path for path in paths if not (box.state != "fresh" and path == "/setup")]
    jar = dict([box.cookie]) if box.cookie else {}
    async with aiohttp.ClientSession(cookies=jar, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        return tuple([path for path in paths if await _is_page(session, box, path)])


async def _is_page(session: aiohttp.ClientSession, box: Box, path: str) -> bool:
    """Whether a browser shows it: not a file to keep, and not plain text; a member's refusals are alike, one is enough."""
    async with session.get(box.base + path, headers={"Accept": "text/html"}) as reply:
        if box.state == "member" and reply.status == 403 and path != "/settings":
            return False
        return reply.content_type == "text/html" and "Content-Disposition" not in reply.headers
