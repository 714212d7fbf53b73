"""Who fails, and what the outside sees of it: a whole pool with its real plugins and simulated members, and one thing broken."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import pytest

from appliance.api.model import Level, PluginState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Endpoint
from appliance.host import collect
from appliance.testing import RunningAppliance, running
from appliance.wire.ntp import parse_header
from appliance_demo.fault import Fault
from appliance_demo.simulator import Simulator
from tests.support.ntp_packets import request
from tests.support.wait import wait_for

GOOD, LOSSY, WRONG = "127.0.91.1", "127.0.91.2", "127.0.91.3"
ALL = ("clock", "dns", "members", "metrics", "monitor", "ntp", "web")

CONFIG = """\
[plugins.clock]
source = "local"
poll_interval_s = 0.05
give_up_after_s = 0.4
stale_after_s = 0.2
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
listen = ["127.0.0.1:0"]
zone = "pool.example.org"
[plugins.web]
listen = "127.0.0.1:0"
[plugins.monitor]
interval_s = 1
samples = 1
timeout_s = 0.3
enter_score = 0.5
leave_score = 0.1
misses = 1
slow_start = false
min_keep = 1
"""


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A loaded machine may let a request wait longer than we would outside of tests."""
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@dataclass
class Pool:
    app: RunningAppliance
    members: Simulator

    async def ntp(self):
        """Header of one reply."""
        where = Endpoint.parse((await self.app.get("/api/v1/ntp"))["listen"][0])
        return await asyncio.to_thread(ask_ntp, (where.host, where.port))

    async def dns(self) -> tuple[set[str], int]:
        """Addresses and TTL of the pool's name."""
        where = Endpoint.parse((await self.app.get("/api/v1/dns"))["listen"][0])
        question = dns.message.make_query("pool.example.org", "A")
        reply = await asyncio.to_thread(dns.query.udp, question, where.host, 10, where.port)
        found = {str(record) for rrset in reply.answer for record in rrset}
        return found, min((rrset.ttl for rrset in reply.answer), default=0)

    async def answered(self) -> set[str]:
        return (await self.dns())[0]

    async def until_answered(self, *addresses: str) -> None:
        async def there() -> bool:
            return await self.answered() == set(addresses)

        await wait_for(there, f"exactly {addresses} to be answered", timeout_s=30)

    async def level(self) -> Level:
        return (await self.app.host.refresh_health()).level

    async def probes(self) -> int:
        return len(await self.app.get("/api/v1/log", limit=1000))


def ask_ntp(where: tuple[str, int]):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(where)
        sock.send(request())
        return parse_header(sock.recv(2048))


@asynccontextmanager
async def pool(state_dir: Path, more: str = "", without: str = ""):
    faults = {GOOD: Fault(), LOSSY: Fault(), WRONG: Fault(offset_s=0.3)}
    with Simulator(faults, port=0) as members:
        declared = "".join(
            f'[[plugins.members.member]]\naddress = "{a}"\nport = {members.port}\n' for a in faults
        )
        text = CONFIG + declared + more
        if without and f"[plugins.{without}]\n" in text:
            text = text.replace(f"[plugins.{without}]\n", f"[plugins.{without}]\nenabled = false\n")
        elif without:
            text += f"[plugins.{without}]\nenabled = false\n"
        async with running(list(ALL), text, state_dir=state_dir) as app:
            yield Pool(app, members)


async def test_the_clock_source_dies_and_replies_say_unsynchronised(tmp_path):
    async with pool(tmp_path) as p:
        await p.app.until_running()
        before = await p.ntp()
        assert (before.leap, before.stratum) == (0, 10)
        assert await p.app.host.supervised["clock"].stop()

        async def unsynchronised() -> bool:
            reply = await p.ntp()
            return (reply.leap, reply.stratum) == (3, 0)

        await wait_for(unsynchronised, "replies that claim nothing")


async def test_the_monitor_dies_and_dns_keeps_the_last_answers_with_half_the_ttl(tmp_path, monkeypatch):
    async with pool(tmp_path) as p:
        await p.app.until_running()
        await p.until_answered(GOOD, LOSSY)
        assert (await p.dns())[1] == 150
        monkeypatch.setattr("appliance_monitor.service.STALE_S", 0.5)
        assert await p.app.host.supervised["monitor"].stop()

        async def half() -> bool:
            return await p.dns() == ({GOOD, LOSSY}, 75)

        await wait_for(half, "the last answers with half the TTL")
        assert await p.level() is Level.DEGRADED


async def test_with_too_few_healthy_members_a_silent_one_may_stay_and_a_wrong_one_never(tmp_path):
    async with pool(tmp_path) as p:
        await p.app.until_running()
        await p.until_answered(GOOD, LOSSY)
        p.members.set_fault(GOOD, Fault(offset_s=5))
        await p.until_answered(LOSSY)
        p.members.set_fault(LOSSY, Fault(silent=True))
        probes = await p.probes()

        async def looked_at() -> bool:
            return await p.probes() >= probes + 9

        await wait_for(looked_at, "some probes more", timeout_s=40)
        assert await p.answered() == {LOSSY}
        assert await p.level() is not Level.OK


async def test_the_disk_is_full_and_scores_and_answers_go_on(tmp_path):
    async with pool(tmp_path) as p:
        await p.app.until_running()
        await p.until_answered(GOOD, LOSSY)
        store = p.app.host.store
        await store.flush()
        store._batch._limit = 3
        full = fill(store)
        await full
        p.members.set_fault(GOOD, Fault(offset_s=5))
        await p.until_answered(LOSSY)  # scored and answered from memory

        async def lost() -> bool:
            await store.flush()
            return bool(store.stats()["rows_lost"])

        await wait_for(lost, "rows that found no place to be counted", timeout_s=60)
        assert await p.level() is not Level.OK
        told = [problem.text for problem in p.app.host.health.get().problems if problem.source == "store"]
        assert any("lost" in text for text in told), told
        assert (await p.ntp()).stratum == 10
        await p.until_answered(LOSSY)


def fill(store):
    """No page more for the database: what a full disk does to it."""
    connect = store._file.connect

    def full(*args, **kwargs):
        db = connect(*args, **kwargs)
        db.execute("PRAGMA max_page_count = 1")
        return db

    store._file.connect = full
    store._writer._connect = full
    return store.write(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())


@pytest.mark.parametrize("victim", ["dns", "web", "metrics"])
async def test_a_plugin_that_fails_takes_nobody_with_it(tmp_path, monkeypatch, victim):
    call = collect.call

    def broken(plugins, loaded, hook, **arguments):
        if loaded.id == victim and hook in ("run", "setup"):
            raise RuntimeError("broken on purpose")
        return call(plugins, loaded, hook, **arguments)

    monkeypatch.setattr(collect, "call", broken)
    async with pool(tmp_path) as p:
        others = [plugin for plugin in ALL if plugin != victim]
        await p.app.until_running(*others)
        assert p.app.status(victim).state is PluginState.FAILED
        assert (await p.ntp()).stratum == 10
        if victim != "dns":
            await p.until_answered(GOOD, LOSSY)
        assert await p.level() is Level.FAILING
        assert {plugin for plugin in others if p.app.status(plugin).restarts} == set()


async def test_a_stalled_event_loop_does_not_stop_the_time(tmp_path):
    async with pool(tmp_path) as p:
        await p.app.until_running()
        await p.ntp()
        where = Endpoint.parse((await p.app.get("/api/v1/ntp"))["listen"][0])
        stalled, over, replies = threading.Event(), threading.Event(), []

        def ask() -> None:
            stalled.wait()
            while len(replies) < 20:
                replies.append(ask_ntp((where.host, where.port)))
            over.set()

        asker = threading.Thread(target=ask)
        asker.start()
        stalled.set()
        assert over.wait(30)  # blocks the event loop, as a careless plugin would
        asker.join()
        assert {reply.stratum for reply in replies} == {10}


async def _serves(p):
    return (await p.ntp()).stratum == 10


@pytest.mark.parametrize("absent", ALL)
async def test_everything_else_runs_without_one_plugin(tmp_path, absent):
    async with pool(tmp_path, without=absent) as p:
        needs = {"members": {"monitor"}}.get(absent, set())
        rest = [plugin for plugin in ALL if plugin != absent and plugin not in needs]
        await p.app.until_running(*rest)
        for plugin in needs:
            assert "no running plugin provides" in p.app.status(plugin).why
        if absent not in ("ntp", "clock"):
            await wait_for(lambda: _serves(p), "time that is synchronised")
        if absent == "clock":  # nobody tells the time: we say so, and judge nobody
            assert ((await p.ntp()).leap, (await p.ntp()).stratum) == (3, 0)
            assert {m["score"] for m in await p.app.get("/api/v1/members")} <= {None, 0}
        if absent not in ("dns", "monitor", "clock", "members"):
            await p.until_answered(GOOD, LOSSY)
        elif absent != "dns":
            assert await p.answered() == set()
        pages = "/api/v1/status", "/api/v1/plugins", "/api/v1/openapi.json"
        for path in pages:
            assert (await p.app.ask("GET", path)).status == 200
