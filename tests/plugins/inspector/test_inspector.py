"""The inspector in a running appliance: from a packet on the wire to an alert, and from a button to silence."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess

import pytest
from click.testing import CliRunner

from appliance.api.packets import TappedPacket
from appliance.api.services import NtpTap, TimeSource
from appliance.cli import build
from appliance.core.clock import FakeClock
from appliance.testing import running, wait_until
from appliance_inspector.captures import MOST_FILES, Captures
from appliance_inspector.ignored import IgnoreList
from appliance_inspector.service import Inspector, next_rate
from appliance_inspector.verdicts import Hello
from appliance_inspector.warden import ChildGone
from tests.support.attacks import client_request
from tests.support.native import need_native
from tests.support.ntp_service import Source, endpoint
from tests.support.programs import cannot_run

CONFIG = """
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.inspector]
enabled = true
services = ["ntp"]
most_per_s = 50000
"""
MONLIST = b"\x17\x00\x03\x2a" + bytes(4)
BASE = "/api/v1/inspector"


def appliance(tmp_path, config=CONFIG):
    return running(["ntp", "inspector"], config, state_dir=tmp_path, provide={TimeSource: Source()})


async def send(app, *packets: bytes) -> None:
    where = await endpoint(app)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for packet in packets:
            sock.sendto(packet, where)


async def noticed(app) -> dict:
    """The first alert; packets are sent until there is one, since sampling begins when the child is there."""
    await app.until_running()
    await send(app, MONLIST)
    await wait_until(lambda: len(app.host.services.get(Inspector).alerts) > 0, "an alert", timeout_s=60)
    return (await app.get(f"{BASE}/alerts"))[0]


async def until_answered(app, *, wanted: bool) -> None:
    """The policy follows within a second or so."""
    async with asyncio.timeout(60):
        while await answered(app) != wanted:
            pass


async def answered(app) -> bool:
    where = await endpoint(app)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(client_request(), where)
        try:
            async with asyncio.timeout(0.3):
                await asyncio.get_running_loop().sock_recv(sock, 100)
        except TimeoutError:
            return False
        return True


async def test_an_attack_on_the_wire_becomes_an_alert_that_says_what_would_stop_it(tmp_path):
    async with appliance(tmp_path) as app:
        alert = await noticed(app)
        assert (alert["rule"], alert["severity"], alert["who"]) == ("ntp-monlist", "high", "127.0.0.0/24")
        assert alert["policy"]["says"] == "ignore NTP packets from 127.0.0.0/24"
        assert alert["text"].startswith("Asks for the list of clients (monlist): 1 packets within 60 s")
        assert bytes.fromhex(alert["sample"]) == MONLIST
        status = await app.get(BASE)
        assert status["running"]
        assert status["samples"]["judged"] >= 1
        assert status["memory_bytes"] > 0


@pytest.mark.parametrize("dataplane", ["python", "native"])
async def test_a_few_odd_packets_are_found_among_many_of_which_one_in_a_thousand_is_sampled(
    tmp_path, dataplane
):
    if dataplane == "native":
        need_native()
    config = CONFIG + f'every = 1000\n[appliance]\ndataplane = "{dataplane}"\n'
    async with appliance(tmp_path, config) as app:
        await app.until_running()
        inspector = app.host.services.get(Inspector)
        await wait_until(lambda: inspector.every.get("ntp") == 1000, "sampling", timeout_s=60)
        for version in range(8):
            await send(app, *[client_request()] * 20, client_request(version))
        await wait_until(lambda: len(inspector.alerts) > 0, "an alert", timeout_s=60)
        (alert,) = await app.get(f"{BASE}/alerts")
        assert (alert["rule"], alert["exact"]) == ("ntp-version-scan", True)
        assert inspector.counts.sampled < 20
        assert (await app.get(BASE))["unusual"] == {"ntp": 1}


async def test_one_step_ignores_the_network_and_another_takes_it_back(tmp_path):
    async with appliance(tmp_path) as app:
        alert = await noticed(app)
        assert await answered(app)
        entry = await app.post(f"{BASE}/alerts/{alert['id']}/apply", {"for_s": 3600})
        await until_answered(app, wanted=False)
        again = await app.ask("POST", f"{BASE}/alerts/{alert['id']}/apply", body={})
        assert again.status == 409
        assert (await app.get(f"{BASE}/alerts/{alert['id']}"))["ignored"] == entry["id"]
        assert [one["prefix"] for one in await app.get(f"{BASE}/ignored")] == ["127.0.0.0/24"]
        assert (await app.ask("DELETE", f"{BASE}/ignored/{entry['id']}")).status == 200
        await until_answered(app, wanted=True)


async def test_a_child_that_is_killed_in_the_middle_is_started_again_and_nothing_is_lost_uncounted(tmp_path):
    async with appliance(tmp_path) as app:
        await noticed(app)
        inspector = app.host.services.get(Inspector)
        os.kill(inspector.warden.pid, signal.SIGKILL)
        await send(app, *[client_request()] * 50)
        await wait_until(lambda: inspector.counts.starts == 2, "a second child", timeout_s=60)
        await send(app, *[client_request()] * 50)
        counts = inspector.counts

        def settled() -> bool:
            whole = counts.judged + counts.lost + counts.skipped + len(inspector._waiting)
            return counts.sampled >= 101 and whole == counts.sampled and not inspector._waiting

        await wait_until(settled, "every sample to be accounted for", timeout_s=60)
        assert counts.deaths == 1
        assert "signal 9" in inspector.why_dead or inspector.why_dead == ""


async def test_a_flood_of_forged_sources_floods_no_log(tmp_path, caplog):
    async with appliance(tmp_path) as app:
        await noticed(app)
        inspector = app.host.services.get(Inspector)
        alert = inspector.alerts.all()[0]
        caplog.clear()
        for _ in range(500):
            inspector._log(inspector.run_ctx, alert)
        assert len([record for record in caplog.records if "monlist" in record.message]) <= 20


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 200)])
async def test_captures_are_for_administrators(tmp_path, role, status):
    async with appliance(tmp_path) as app:
        await app.until_running()
        assert (await app.ask("GET", f"{BASE}/captures", role=role)).status == status


async def captured(app, packets: list[bytes]) -> bytes:
    await app.until_running()
    begun = await app.post(f"{BASE}/captures", {"prefix": "127.0.0.1", "for_s": 60, "most": len(packets)})
    inspector = app.host.services.get(Inspector)
    await wait_until(lambda: inspector.tap("ntp")._capture is not None, "the capture to begin")
    await send(app, *packets)
    await wait_until(lambda: not inspector.captures.find(begun["id"]).running, "the capture to end")
    reply = await app.ask("GET", f"{BASE}/captures/{begun['id']}/pcap")
    assert reply.content_type == "application/vnd.tcpdump.pcap"
    return reply.body()


async def test_a_capture_is_saved_and_discarded_at_the_command_line(tmp_path):
    async with running(
        ["ntp", "inspector"], CONFIG, state_dir=tmp_path, provide={TimeSource: Source()}, admin_socket=True
    ) as app:
        content = await captured(app, [client_request()] * 3)
        (one,) = await app.get(f"{BASE}/captures")

        async def run(*words):
            state = ["--state-dir", str(tmp_path), "inspector"]
            return await asyncio.to_thread(CliRunner().invoke, build(), [*state, *words])

        listed = await run("captures")
        assert f"timeball inspector save {one['id']}" in listed.output
        (tmp_path / "out").mkdir()
        for _ in range(2):  # the second must not write over the first
            done = await run("save", one["id"], str(tmp_path / "out"))
        assert (done.exit_code, "File exists" in done.output) == (1, True)
        (file,) = (tmp_path / "out").iterdir()
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (content, 0o600)
        assert (await run("discard", one["id"])).exit_code == 0
        assert await app.get(f"{BASE}/captures") == []
        assert (await run("save", one["id"])).exit_code == 5


async def test_a_capture_opens_in_tshark_with_the_right_fields(tmp_path):
    tshark = shutil.which("tshark") or cannot_run("tshark is not installed")
    async with appliance(tmp_path) as app:
        packets = [client_request(), MONLIST, client_request(3) + bytes(900)]
        file = tmp_path / "got.pcap"
        file.write_bytes(await captured(app, packets))
        port = (await endpoint(app))[1]
    fields = ("ip.src", "ip.dst", "ip.checksum.status", "udp.dstport", "udp.length", "ntp.flags.mode")
    command = [
        tshark,
        "-r",
        str(file),
        "-d",
        f"udp.port=={port},ntp",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
    ]
    for field in fields:
        command += ["-e", field]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:5] for row in rows] == [
        ["127.0.0.1", "127.0.0.1", "1", str(port), str(8 + len(packet))] for packet in packets
    ]
    assert [row[5] for row in rows] == ["3", "7", "3"]


async def test_an_own_rules_file_that_makes_no_sense_is_told_with_its_line(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[[rule]]\nid = "x"\ntitle = "x"\n[rule.when]\n"ntp.mod" = 3\n')
    async with appliance(tmp_path, CONFIG + f'rules_file = "{own}"\n') as app:
        await wait_until(lambda: "own.toml:" in app.status("inspector").why, "the reason", timeout_s=20)
        assert 'did you mean "ntp.mode"' in app.status("inspector").why


def test_what_is_ignored_survives_a_restart_and_ends_by_itself(tmp_path):
    now = [1000.0]
    path = tmp_path / "ignored.json"
    entry = IgnoreList(path, lambda: now[0]).add("192.0.2.0/24", "ntp-monlist", 60)
    again = IgnoreList(path, lambda: now[0])
    assert again.all() == [entry]
    assert [(rule.prefix, rule.action) for rule in again.rules()] == [("192.0.2.0/24", "ignore")]
    assert again.covering("192.0.2.7/32") == entry.id
    now[0] += 61
    assert again.all() == []
    path.write_text("{")
    broken = IgnoreList(path, lambda: now[0])
    assert broken.all() == []
    assert "cannot be read" in broken.problem


def test_captures_are_few_and_are_deleted_when_their_time_is_over(tmp_path):
    clock = FakeClock()
    now = [clock.wall_ns() / 1e9]
    captures = Captures(tmp_path / "c", lambda: now[0], keep_s=100)
    begun = [captures.begin("ntp", "192.0.2.0/24") for _ in range(MOST_FILES)]
    for capture in begun:
        capture.running = False
    captures.begin("dns", "192.0.2.0/24")
    assert len(captures.all()) == len(list((tmp_path / "c").iterdir())) == MOST_FILES
    now[0] += 101
    captures.expire()
    assert captures.all() == list((tmp_path / "c").iterdir()) == []


def test_under_load_fewer_packets_are_sampled_and_more_again_afterwards():
    assert next_rate(1, 501, 500) == 2
    assert next_rate(2, 300, 500) == 2
    assert next_rate(2, 100, 500) == 1
    assert next_rate(1, 0, 500) == 1


async def test_a_child_that_dies_of_whatever_it_reads_is_started_ever_more_seldom_and_harms_nobody(
    tmp_path, monkeypatch
):
    """Somebody found a packet that kills it and sends it without end: each death is counted, and they are few."""
    clock, born_s = FakeClock(), []
    packet = TappedPacket("ntp", MONLIST, 8, "192.0.2.1", 80, "192.0.2.2", 123, 1, "control", "ignore")

    class Tap:
        lost = 0

        def samples(self, **asked):
            return contextlib.nullcontext(self)

        async def __aiter__(self):
            while True:
                yield [packet]
                await clock.sleep(1)

    class Doomed:
        hello, last, pid = Hello(scapy="", lacking=[], pid=1), None, 1

        def __init__(self, log):
            pass

        async def start(self, rules):
            born_s.append(clock.monotonic_ns() / 1e9)

        async def judge(self, packets):
            raise ChildGone("it was ended by signal 11")

        async def close(self):
            pass

    monkeypatch.setattr("appliance_inspector.service.Warden", Doomed)
    async with running(
        ["inspector"],
        "[plugins.inspector]\nenabled = true\n",
        state_dir=tmp_path,
        clock=clock,
        provide={NtpTap: Tap()},
    ) as app:
        await app.until_running("inspector")
        await clock.advance(600)
        inspector = app.host.services.get(Inspector)
        counts = inspector.counts
        assert len(born_s) == counts.starts
        assert counts.deaths <= 16, "half a second, one, two ... a minute"
        waits_s = [b - a for a, b in itertools.pairwise(born_s)]
        assert waits_s == sorted(waits_s)
        assert counts.sampled == counts.lost + counts.skipped + len(inspector._waiting)
        assert len(inspector._waiting) < 100
        assert app.status("inspector").state.value == "running"
        health = await app.get("/health")
        assert "does not stay alive: it was ended by signal 11" in str(health)
