"""The time service as a plugin: what the outside sees of binding, policy, clock and failure."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from types import ModuleType

from appliance.api.contrib import PacketPolicy, PolicyRule
from appliance.api.model import ClockState, PluginState
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import NtpStats
from appliance.wire.ntp import parse_header
from tests.support.ntp_packets import COOKIE, READVAR, request
from tests.support.ntp_service import endpoint, synchronised
from tests.support.programs import free_port
from tests.support.wait import wait_for


async def ask(app, packet=None, family=4, timeout_s=10.0):
    """The reply's header, or None when there was none in time."""
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(await endpoint(app, family))
        sock.send(packet or request())
        try:
            async with asyncio.timeout(timeout_s):
                return parse_header(await asyncio.get_running_loop().sock_recv(sock, 2048))
        except TimeoutError:
            return None


async def test_it_answers_on_both_families_with_what_the_clock_says(serving, source):
    async with serving() as app:
        await app.until_running("ntp")
        for family in (4, 6):
            reply = await ask(app, family=family)
            assert (reply.leap, reply.stratum, reply.origin) == (0, 3, COOKIE)
        source.state.set(ClockState.unsynchronised("the source fell silent"))
        assert (await ask(app)).leap == 3
        source.state.set(synchronised(stratum=9))
        assert (await ask(app)).stratum == 9


async def test_what_it_tells_about_itself(serving):
    async with serving() as app:
        await app.until_running("ntp")
        await ask(app)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(READVAR, await endpoint(app))
        told = await wait_for_counts(app, 2)
        assert (told["level"], told["verdict"]) == ("ok", "Serves time as stratum 3")
        assert told["replied"] == 1
        assert {(o["reason"], o["action"], o["count"]) for o in told["outcomes"]} == {
            ("ok", "reply", 1), ("control", "ignore", 1)
        }  # fmt: skip
        assert {(t["version"], t["mode"], t["family"], t["count"]) for t in told["traffic"]} == {
            (4, 3, 4, 1), (2, 6, 4, 1)
        }  # fmt: skip
        assert told["plane"] == {
            "name": "python", "why": "asked for", "workers": 1, "faster": told["plane"]["faster"],
            "sandbox": {"on": False, "why": "the Python plane runs inside the interpreter"},
        }  # fmt: skip
        assert told["policy"] == {"rules": [], "others": "allow"}
        contributed = app.host.shared.contributions["ntp"]
        values = {m.name: dict(m.read()) for m in contributed["metrics"] if m.labels}
        assert values["ntp_packets_received_total"] == {("4", "3", "ipv4"): 1, ("2", "6", "ipv4"): 1}
        assert values["ntp_responses_total"] == {("ok", "reply"): 1, ("control", "ignore"): 1}
        [panel] = contributed["panels"]
        data = await panel.data()
        assert data["level"] == "ok"
        assert ["Replies since the start", "1"] in data["facts"]
        assert ["Most of them", "control message (mode 6 or 7) (1)"] in data["facts"]
        assert [await check.ping() for check in contributed["health_checks"]] == [None, None, None]


async def wait_for_counts(app, received):
    async def told():
        now = await app.get("/api/v1/ntp")
        return now if now["received"] >= received else None

    return await wait_for(told, f"{received} packets to be counted")


async def test_an_unsynchronised_clock_is_said_in_words(serving, source):
    source.state.set(ClockState.unsynchronised("chronyd does not answer"))
    async with serving() as app:
        await app.until_running("ntp")
        told = await app.get("/api/v1/ntp")
        assert told["level"] == "degraded"
        assert "chronyd does not answer" in told["verdict"]


async def test_prefixes_decide_and_change_without_a_restart(serving):
    async with serving('ignore = ["::1"]\n') as app:
        await app.until_running("ntp")
        listening = await endpoint(app)
        assert (await ask(app)).stratum == 3
        assert await ask(app, family=6, timeout_s=0.3) is None
        supervised = app.host.supervised["ntp"]
        config = supervised.ctx.config
        supervised.ctx.config_changes.set(config.model_copy(update={"ignore": (), "deny": ("127.0.0.0/8",)}))
        assert (await ask(app)).kiss_code == "DENY"
        assert (await ask(app, family=6)).stratum == 3
        assert await endpoint(app) == listening
        assert app.status("ntp").restarts == 0


async def test_whoever_is_in_no_list_is_ignored(serving):
    async with serving('allow = ["10.0.0.0/8", "::1"]\n') as app:
        await app.until_running("ntp")
        assert await ask(app, timeout_s=0.3) is None
        assert (await ask(app, family=6)).stratum == 3


async def test_other_plugins_add_rules_that_may_change(serving, caplog):
    rules = [PolicyRule("127.0.0.1/32", "deny")]
    neighbour = ModuleType("neighbour")
    neighbour.plugin = PluginInfo(id="neighbour", title="Neighbour", api=1)

    @hookimpl
    def packet_policies(ctx):
        return [PacketPolicy(current=lambda: rules)]

    neighbour.packet_policies = packet_policies
    async with serving(plugins=("ntp", neighbour)) as app:
        await app.until_running("ntp")
        assert (await ask(app)).kiss_code == "DENY"
        rules.append(PolicyRule("not a prefix", "allow"))
        await wait_for(lambda: "makes no sense" in caplog.text, "the log to say that a rule is wrong")
        assert (await ask(app)).kiss_code == "DENY"
        rules.clear()
        await wait_for(lambda: answered(app), "the withdrawal to be in force")


async def answered(app) -> bool:
    return (await ask(app)).stratum == 3


async def test_a_port_in_use_is_waited_for_and_its_holder_named(serving):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", port))
        async with serving(f'[plugins.ntp]\nlisten = ["127.0.0.1:{port}"]\n') as app:
            await wait_for(lambda: app.status("ntp").state is PluginState.BACKOFF, "the plugin to wait")
            why = app.status("ntp").why
            assert f"127.0.0.1:{port} is in use by" in why
            assert f"(process {os.getpid()})" in why
            assert (await app.get("/api/v1/ntp"))["level"] == "failing"
            holder.close()
            await app.until_running("ntp")
            assert (await ask(app)).stratum == 3


async def test_a_kernel_without_ipv6_serves_ipv4(serving, monkeypatch):
    real = socket.socket

    def without_ipv6(family=-1, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *args, **kwargs)

    monkeypatch.setattr("appliance.dataplane.udp_socket.socket.socket", without_ipv6)
    async with serving() as app:
        await app.until_running("ntp")
        assert (await ask(app)).stratum == 3
        assert "not on [::1]:0: the kernel has no IPv6" in app.status("ntp").text
        assert (await app.get("/api/v1/ntp"))["missing"] == {"[::1]:0": "the kernel has no IPv6"}


async def test_an_address_that_is_not_there_is_waited_for(serving):
    async with serving('[plugins.ntp]\nlisten = ["192.0.2.200:0"]\n') as app:
        await wait_for(lambda: app.status("ntp").state is PluginState.BACKOFF, "the plugin to wait")
        assert "no such address" in app.status("ntp").why


async def test_a_forbidden_port_is_a_matter_for_a_person(serving, monkeypatch):
    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "127.0.0.1:123")

    monkeypatch.setattr("appliance.dataplane.python_ntp.open_udp", forbidden)
    async with serving('[plugins.ntp]\nlisten = ["127.0.0.1:123"]\n') as app:
        await wait_for(lambda: app.status("ntp").state is PluginState.FAILED, "the plugin to give up")
        assert "CAP_NET_BIND_SERVICE" in app.status("ntp").why


async def test_a_dead_packet_thread_is_replaced_and_nothing_counted_is_lost(serving):
    async with serving() as app:
        await app.until_running("ntp")
        await ask(app)
        await wait_for_counts(app, 1)
        service = app.host.supervised["ntp"].ctx.get(NtpStats)
        first = service.tally.server
        first._failure = RuntimeError("as if")
        await wait_for(
            lambda: (
                service.tally.server not in (None, first) and app.status("ntp").state is PluginState.RUNNING
            ),
            "the plugin to start again",
        )
        assert (await ask(app)).stratum == 3
        assert (await wait_for_counts(app, 2))["replied"] == 2


async def test_rates_are_made_of_counts(serving):
    async with serving() as app:
        await app.until_running("ntp")
        for _ in range(5):
            await ask(app)

        async def seen():
            return (await app.get("/api/v1/ntp"))["rates"]["replied_per_s"]["60"] > 0

        await wait_for(seen, "a rate above zero")
