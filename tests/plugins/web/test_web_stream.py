"""The event stream: numbered, replayed to those who come back, bounded, and gone when the reader goes."""

from __future__ import annotations

import asyncio
import json

import pytest

from appliance.api.events import ClockStepped, MembersChanged, ProbeFinished, VerdictChanged
from appliance.api.model import Member, ProbeResult, ScoredProbe, Step, Target, Verdict
from appliance.testing import wait_until
from appliance_web import service
from appliance_web.stream import WAITING, Hub, TooManyStreams
from tests.plugins.web.visiting import visited

MEMBER = Member("m1", "192.0.2.1", name="ntp1.example.org")
OUT = Verdict("m1", 3.0, in_pool=False, reason="its time is off", code="wrong_time")
IN = Verdict("m1", 20.0, in_pool=True, reason="score 20.0", code="ok")


def events_of(lines):
    """Kind and number of each event among raw lines."""
    found = []
    for line in lines:
        fields = dict(
            part.split(": ", 1)
            for part in line.decode().strip().split("\n")
            if ": " in part and not part.startswith(":")
        )
        if "event" in fields:
            found.append((fields["event"], int(fields["id"].rpartition(".")[2])))
    return found


async def drain(stream):
    lines = []
    try:
        async with asyncio.timeout(0.05):
            async for line in stream:
                lines.append(line)  # noqa: PERF401 - what came before the end of patience counts
    except TimeoutError:
        pass
    return lines


async def test_a_reader_gets_what_happens_after_it_came():
    hub = Hub("e")
    hub.publish("early", {})
    with hub.listen() as stream:
        hub.publish("late", {"a": 1})
        assert events_of(await drain(stream)) == [("late", 2)]


async def test_a_reader_that_comes_back_gets_what_it_missed():
    hub = Hub("e")
    for i in range(5):
        hub.publish("tick", {"i": i})
    with hub.listen("e.3") as stream:
        assert events_of(await drain(stream)) == [("tick", 4), ("tick", 5)]
    with hub.listen("e.5") as stream:
        assert events_of(await drain(stream)) == []


@pytest.mark.parametrize("last", ["other.3", "e.99", "e.-1", "e.x", "nonsense", "e." + "9" * 40, "e.²"])
async def test_an_id_that_cannot_be_followed_means_start_afresh(last):
    hub = Hub("e")
    for _ in range(5):
        hub.publish("tick", {})
    with hub.listen(last) as stream:
        assert events_of(await drain(stream)) == [("reset", 5)]


async def test_missing_too_much_means_start_afresh():
    hub = Hub("e")
    for _ in range(2000):
        hub.publish("tick", {})
    with hub.listen("e.1") as stream:
        assert events_of(await drain(stream)) == [("reset", 2000)]


async def test_a_slow_reader_costs_no_memory_and_is_told():
    hub = Hub("e")
    with hub.listen() as stream:
        for _ in range(WAITING * 3):
            hub.publish("tick", {})
        lines = events_of(await drain(stream))
        assert lines[0][0] == "reset"
        assert len(lines) <= WAITING


async def test_places_are_limited_and_given_back():
    hub = Hub("e", most=2)
    with hub.listen(), hub.listen(), pytest.raises(TooManyStreams), hub.listen():
        pass
    assert len(hub) == 0
    with hub.listen():
        assert len(hub) == 1


async def test_nobody_takes_all_places():
    hub = Hub("e", most=4)
    with hub.listen(who="ada"), hub.listen(who="ada"):
        with pytest.raises(TooManyStreams), hub.listen(who="ada"):
            pass
        with hub.listen(who="eve"), hub.listen(who="eve"):
            assert len(hub) == 4
        assert len(hub) == 2
    with hub.listen(who="ada"), hub.listen(who="ada"):
        assert len(hub) == 2


def test_hostile_text_cannot_forge_an_event():
    hub = Hub("e")
    with hub.listen() as stream:
        hub.publish("tick", {"text": "\n\nevent: forged\ndata: {}\r\r\u2028"})
        line = list(stream._queue)[-1]
        assert line.count(b"\n\n") == 1
        assert b"\nevent: forged" not in line
        assert b"\r" not in line


async def read_events(reply, number):
    found = []
    async with asyncio.timeout(15):
        while len(found) < number:
            line = (await reply.content.readline()).decode().strip()
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
            elif line.startswith("id: "):
                reply.last_id = line[4:]
    return found


def probe(number):
    result = ProbeResult(
        ts=1.0,
        member="m1",
        monitor="local",
        target=Target("192.0.2.1"),
        offset_s=0.001,
        rtt_s=0.01,
        stratum=2,
        leap=0,
        error=None,
        responded=True,
    )
    return ProbeFinished(ScoredProbe(result, Step("offset_ok", 1.0), float(number)))


async def test_what_happens_in_the_box_reaches_the_stream_and_the_journal(tmp_path):
    async with visited(tmp_path) as visitor:
        bus = visitor.app.host.bus
        async with visitor.session.get(visitor.base + "/api/v1/events") as reply:
            assert reply.headers["Content-Type"] == "text/event-stream"
            assert "Content-Security-Policy" in reply.headers
            assert "Content-Encoding" not in reply.headers
            bus.publish(VerdictChanged(MEMBER, IN, OUT))
            bus.publish(MembersChanged(MEMBER, "changed"))
            bus.publish(ClockStepped(-1.25))
            kinds = {}
            while not {"verdict", "member", "clock"} <= set(kinds):
                kinds |= dict(await read_events(reply, 1))
            assert kinds["verdict"]["reason"] == "its time is off"
        _, text, _ = await visitor.get("/")
        assert "ntp1.example.org left the pool: its time is off" in text
        assert "The system clock jumped by \u22121.250 s" in text


async def test_many_probes_are_told_in_one_event(tmp_path):
    async with visited(tmp_path) as visitor, visitor.session.get(visitor.base + "/api/v1/events") as reply:
        for i in range(300):
            visitor.app.host.bus.publish(probe(i))
        while True:
            [(kind, value)] = await read_events(reply, 1)
            if kind == "probes":
                break
        assert value["count"] == 300
        assert len(value["probes"]) == service.PROBES_TOLD


async def test_reconnecting_over_http_replays(tmp_path):
    async with visited(tmp_path) as visitor:
        url = visitor.base + "/api/v1/events"
        async with visitor.session.get(url) as reply:
            visitor.app.host.bus.publish(ClockStepped(1.0))
            while (await read_events(reply, 1))[0][1].get("step_s") != 1.0:
                pass
            last = reply.last_id
        visitor.app.host.bus.publish(ClockStepped(2.0))
        async with visitor.session.get(url, headers={"Last-Event-ID": last}) as reply:
            while (await read_events(reply, 1))[0][1].get("step_s") != 2.0:
                pass
        async with visitor.session.get(url, headers={"Last-Event-ID": "before-the-restart.5"}) as reply:
            assert (await read_events(reply, 1))[0][0] == "reset"


async def test_a_reader_that_left_is_forgotten_at_the_next_heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "HEARTBEAT_S", 0.1)
    async with visited(tmp_path) as visitor:
        hub = visitor.app.host.services.get(Hub)
        for _ in range(5):
            reply = await visitor.session.get(visitor.base + "/api/v1/events")
            await reply.content.readline()
            reply.close()
        await wait_until(lambda: len(hub) == 0, "streams to end")


async def test_too_many_streams_are_refused_in_words(tmp_path):
    async with visited(tmp_path, config="max_streams = 1") as visitor:
        url = visitor.base + "/api/v1/events"
        async with visitor.session.get(url) as first:
            await first.content.readline()
            status, text, _ = await visitor.get("/api/v1/events")
            assert status == 503
            assert "too many live pages" in text


async def test_stopping_ends_the_streams(tmp_path):
    async with visited(tmp_path) as visitor:
        reply = await visitor.session.get(visitor.base + "/api/v1/events")
        await reply.content.readline()
        assert await visitor.app.host.supervised["web"].stop()
        async with asyncio.timeout(5):
            await reply.read()


async def test_the_journal_outlives_a_restart(tmp_path):
    async with visited(tmp_path) as visitor:
        visitor.app.host.bus.publish(VerdictChanged(MEMBER, IN, OUT))
        while "left the pool" not in (await visitor.get("/"))[1]:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.01)
    async with visited(tmp_path) as visitor:
        assert "ntp1.example.org left the pool" in (await visitor.get("/"))[1]
