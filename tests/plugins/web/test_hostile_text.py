"""Text from the network is put in at every source, and read at every door: pages, drawings, tables, terminal and log.

Nowhere may it run, forge a line, move a cursor or become a formula.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from click.testing import CliRunner

from appliance.api.contrib import ProbeKind
from appliance.api.model import Sample
from appliance.api.services import ScoreBoard
from appliance.cli import build
from appliance.core.logs import Text
from appliance.testing import wait_until
from tests.plugins.web.html_check import read
from tests.plugins.web.whole_box import Box, whole

#: What each attack looks like once it has worked, besides the control bytes.
PAYLOADS = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "formula": '=HYPERLINK("http://evil.example","x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "tab": "\t=1+1",
    "terminal": "\x1b]0;owned\x07\x1b[2Jgone\x9b31m",
    "line": "x\r\nCRITICAL forged a line of its own",
    "direction": "abc\u202egnp.exe",
    "isolate": "abc\u2066\u061c\u200egnp",
    "unseen": "ad\u200b\u2060\u00adm\u3164in\ufeff\u2800",
    "separator": "x\u2028CRITICAL forged\u2029CRITICAL forged\x85CRITICAL forged",
    "spaces": "   =1+1",
    "wide": "\uff1d1\uff0b1",
}
OURS = {"Sec-Fetch-Site": "same-origin"}
#: Reference identifiers and kiss codes of hostile servers: four bytes.
FOUR = (b"\x1b[2J", b'"><b', b"=1+1", b"\r\n\x00\xff")


class Liar(asyncio.DatagramProtocol):
    """Answers with a stratum and whatever it likes as its reference identifier."""

    def __init__(self, stratum: int, refid: bytes) -> None:
        self.stratum, self.refid = stratum, refid

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        stamp = data[40:48]
        head = bytes([0x24, self.stratum, 6, 0xEC]) + bytes(8) + self.refid
        self.transport.sendto(head + stamp * 4, address)


@asynccontextmanager
async def liars() -> AsyncIterator[list[int]]:
    """Ports of servers that lie."""
    loop, transports = asyncio.get_running_loop(), []
    try:
        for stratum in (0, 1):
            for refid in FOUR:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda s=stratum, r=refid: Liar(s, r), local_addr=("127.0.0.1", 0)
                )
                transports.append(transport)
        yield [t.get_extra_info("sockname")[1] for t in transports]
    finally:
        for transport in transports:
            transport.close()


async def put_in(box: Box, session: aiohttp.ClientSession, ports: list[int]) -> None:
    """Put the payloads into every source; what is refused is refused with the payload in the refusal."""

    async def send(method: str, path: str, body: object = None, **headers: str) -> int:
        async with session.request(method, box.base + path, json=body, headers=OURS | headers) as reply:
            await reply.read()
            return reply.status

    texts = list(PAYLOADS.values())
    for i, port in enumerate(ports):
        text = texts[i % len(texts)]
        body = {"address": "127.0.0.1", "port": port, "force": True, "operator": text[:60], "note": text}
        if (
            await send("POST", "/api/v1/members", body) >= 300
        ):  # an operator's name may be refused: then without
            assert (
                await send("POST", "/api/v1/members", {"address": "127.0.0.1", "port": port, "force": True})
                < 300
            )
    for text in texts:
        for field in ("name", "operator", "note"):
            await send("PATCH", f"/api/v1/members/{box.member}", {field: text})
        await send("PATCH", f"/api/v1/members/{box.member}", {"tags": [text]})
        await send("POST", "/api/v1/members", {"address": text})
        await send(
            "POST", "/api/v1/users", {"name": text, "role": "viewer", "password": "quiet lantern stew"}
        )
        await send("POST", "/api/v1/tokens", {"label": text, "scopes": ["servers:read"]})
        await send("POST", "/api/v1/probe", {"target": text})
        agent = re.sub(r"[\x00-\x1f\x7f-\U0010ffff]", "?", text)  # a client of HTTP sends nothing else
        await send("POST", "/api/v1/session", {"name": text, "password": "wrong"}, **{"User-Agent": agent})
        await send("GET", f"/{quote(text)}", **{"X-Request-Id": agent, "User-Agent": agent})


def lying_kinds() -> tuple[ProbeKind, ...]:
    """Probe kinds whose plugin hands on what a server said."""

    def says(text: str):
        async def sample(target, timeout_s):
            return Sample(error=text, text=text, value=1.0)

        return sample

    return tuple(
        ProbeKind(f"liar-{name}", says(text), title=text, unit=text, interval_s=2)
        for name, text in PAYLOADS.items()
    )


def control(text: str, allowed: str = "\n") -> list[str]:
    """Characters that a terminal or a log obeys, that turn the direction of writing, or that nobody sees."""
    return [
        c
        for c in text
        if c not in allowed and (unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") or c in "\u3164\u2800")
    ]


async def check_pages(box: Box, session: aiohttp.ClientSession) -> list[str]:
    wrong = []
    asked = [
        f"{path}?{key}={quote(text)}"
        for text in PAYLOADS.values()
        for path, key in (
            ("/members", "q"),
            ("/dns", "name"),
            ("/time", "prefix"),
            ("/log", "member"),
            ("/audit", "actor"),
        )
    ] + [f"/{quote(text)}" for text in PAYLOADS.values()]
    for path in (*box.pages, *asked):
        async with session.get(box.base + path, headers={"Accept": "text/html"}) as reply:
            text = await reply.text()
            assert reply.status < 500, path
            policy = reply.headers["Content-Security-Policy"]
            if reply.content_type == "text/html":
                wrong += [
                    f"{path}: {c}"
                    for c in read(text).complaints
                    if "leads away" not in c and "main headings" not in c
                ]
                wrong += [f"{path}: {c!r} in it" for c in set(control(text, "\n\t\r"))]
                assert "script-src 'self'" in policy or "default-src 'none'" in policy
                assert "alert(1)</script" not in text, path
    return wrong


async def check_tables(box: Box, session: aiohttp.ClientSession) -> list[str]:
    """Every operation that gives CSV, from the live route table."""
    wrong, seen = [], 0
    for mounted in box.app.host.routes.routes():
        if mounted.route.method != "GET" or "text/csv" not in mounted.route.produces:
            continue
        path = mounted.path.replace("{id}", box.member)
        assert "{" not in path, f"say here what to fill into {path}"
        async with session.get(
            box.base + path,
            params={"format": "csv"} if not path.endswith(".csv") else {},
            headers={"Accept": "text/csv"},
        ) as reply:
            text = await reply.text()
            if reply.status != 200 or reply.content_type != "text/csv":
                continue
        seen += 1
        for row in csv.reader(io.StringIO(text, newline="")):
            wrong += [f"{path}: {cell!r} is a formula" for cell in row if formula(cell)]
            # What is read in again, letter by letter, is left as it is: `api/v1/members/export`.
            if "members/export" not in path:
                wrong += [f"{path}: {cell!r} is not inert" for cell in row if control(cell, "")]
    assert seen >= 4
    return wrong


async def check_drawings(box: Box, session: aiohttp.ClientSession) -> list[str]:
    """Every image that is drawn here: well-formed, and nothing in it that runs or leads away."""
    wrong, seen = [], 0
    for mounted in box.app.host.routes.routes():
        if "image/svg+xml" not in mounted.route.produces:
            continue
        path = mounted.path.replace("{id}", box.member).replace("{zone}", "pool.example.org.svg")
        async with session.get(box.base + path) as reply:
            text = await reply.text()
        if reply.content_type == "image/svg+xml":
            seen += 1
            for node in ET.fromstring(text).iter():
                wrong += [f"{path}: <{node.tag}>"] if "script" in node.tag or "foreign" in node.tag else []
                wrong += [
                    f"{path}: {name}" for name in node.attrib if name.startswith("on") or "href" in name
                ]
    assert seen
    return wrong


def formula(cell: str) -> bool:
    """Whether a spreadsheet would run it; a plain number it only reads."""
    if not cell.strip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")) and not cell.startswith(
        ("\t", "\r")
    ):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


COMMANDS = (
    ("member", "list"), ("member", "show", "ID"), ("member", "export"), ("log",), ("sightings",), ("user", "list"), ("token", "list"), ("session", "list"),
    ("audit",), ("audit", "list"), ("dns", "answer", "pool.example.org"), ("demo", "list"), ("clock",), ("zone", "list"), ("plugin", "list"), ("ntp", "clients"),
    *(("probe", f"127.0.0.1:{{{i}}}") for i in range(8)),
    *((*words, text) for text in PAYLOADS.values() for words in (("member", "show"), ("dns", "answer"), ("probe",), ("user", "rm"))),
)  # fmt: skip


async def check_terminal(box: Box, folder: str, ports: list[int]) -> list[str]:
    wrong, worked, cli = [], 0, build()
    for words in COMMANDS:
        filled = [
            box.member if w == "ID" else re.sub(r"\{(\d)\}", lambda m: str(ports[int(m[1])]), w)
            for w in words
        ]
        done = await asyncio.to_thread(
            CliRunner().invoke, cli, ["--state-dir", folder, *filled[:1], *filled[1:]]
        )
        worked += done.exit_code == 0
        wrong += [f"{words}: {c!r} is printed" for c in set(control(done.output, "\n"))]
        wrong += [
            f"{words}: a forged line" for line in done.output.splitlines() if line.startswith("CRITICAL")
        ]
    assert worked >= 8
    return wrong


class Kept(logging.Handler):
    """Every line as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Text())
        self.lines: list[str] = []

    def emit(self, record):
        self.lines += self.format(record).split("\n")


@pytest.fixture
def written():
    handler = Kept()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


async def test_hostile_text_is_inert_wherever_it_shows(tmp_path, written):
    async with (
        liars() as ports,
        whole(tmp_path, "demo", history=False, admin_socket=True) as box,
        aiohttp.ClientSession(
            cookies=dict([box.cookie]), cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session,
    ):
        added = (
            await box.app.post("/api/v1/members", {"address": "127.0.0.1", "port": ports[4], "force": True})
        )["created"]
        box.member = added[0]["id"] if isinstance(added[0], dict) else added[0]
        await put_in(box, session, ports[:4] + ports[5:])
        board = box.app.service(ScoreBoard)
        box.app.host.shared.contribute("liars", {"probe_kinds": lying_kinds()})
        await wait_until(lambda: len(board.recent(box.member)) >= 2, "probes of a liar", timeout_s=60)
        seen = board.rounds.seen
        await wait_until(lambda: len(seen.at(box.member)) == len(PAYLOADS), "looks of liars", timeout_s=60)
        async with session.get(f"{box.base}/members/{box.member}") as reply:
            assert "Other looks" in await reply.text(), "what plugins saw is on the page"
        wrong = await check_pages(box, session)
        wrong += await check_drawings(box, session)
        wrong += await check_tables(box, session)
        wrong += await check_terminal(box, str(tmp_path), ports)
    wrong += [f"log: {c!r} in {line!r}" for line in written.lines for c in set(control(line, "\t"))]
    wrong += [f"log: {line!r} is forged" for line in written.lines if line.startswith("CRITICAL forged")]
    assert not wrong, "\n".join(wrong)
