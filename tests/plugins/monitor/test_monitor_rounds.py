"""Probe kinds of plugins: looked with beside NTP, kept, shown, no part of the score unless a rule asks; one that fails is alone."""

from __future__ import annotations

import asyncio
import types
from dataclasses import replace

import pytest

from appliance.api.contrib import Metric, ProbeKind, ScoreRule
from appliance.api.model import ClockState, Member, Sample, Sighting, Step, Target
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Members, ScoreBoard, TimeSource
from appliance.core.cells import Cell
from appliance.core.clock import FakeClock
from appliance.testing import running, wait_until
from appliance_monitor import rounds

GOOD = Sample(offset_s=0.001, rtt_s=0.01, stratum=2, leap=0)
OPEN = Sample(rtt_s=0.02, value=3.0, text="three doors open")
SHUT = Sample(error="refused")


class Bed:
    """Three members whose NTP is played, and a plugin "knock" with the kinds and rules that a test gives it."""

    def __init__(self, *kinds: ProbeKind, rules: tuple[ScoreRule, ...] = ()) -> None:
        self.clock = FakeClock()
        members = {f"m{i}": Member(f"m{i}", f"10.0.0.{i}") for i in (1, 2, 3)}
        self.table = Cell(members, clock=self.clock)
        self.table.set(members)
        self.state = Cell(ClockState(0, 1, b"GPS\0", 0, 0.0, 0.0, 0.0, 0), clock=self.clock)
        self.ntp = GOOD
        self.kinds = list(kinds)
        self.rules = list(rules)

    def find(self, key):
        return next(m for m in self.table.get().values() if key in (m.id, m.address))

    async def details(self):
        return {}

    def running(self, tmp_path):
        async def sample(target, timeout_s):
            return self.ntp

        scripted = _plugin("scripted", probe_kinds=lambda ctx: [ProbeKind("ntp", sample)])
        knock = _plugin("knock", probe_kinds=lambda ctx: self.kinds, score_rules=lambda ctx: self.rules)
        config = "[plugins.monitor]\ninterval_s = 4\nsamples = 1\n"
        provide = {Members: self, TimeSource: self}
        return running(
            ["monitor", scripted, knock], config, state_dir=tmp_path, clock=self.clock, provide=provide
        )


def _plugin(name, **hooks):
    made = types.ModuleType(name)
    made.plugin = PluginInfo(id=name, title=name, api=1, after=("monitor",))
    for hook, function in hooks.items():
        setattr(made, hook, _named(hook, function))
    return made


def _named(hook, function):
    def described(ctx):
        return function(ctx)

    described.__name__ = hook
    return hookimpl(described)


class Knock:
    """A kind whose answers a test gives, and which counts."""

    def __init__(self, answer=OPEN) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def sample(self, target: Target, timeout_s: float) -> Sample:
        self.asked.append(target.address)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_every_member_is_looked_at_as_often_as_the_kind_says_and_what_was_found_is_kept(tmp_path):
    knock = Knock()
    bed = Bed(ProbeKind("knock", knock.sample, title="Doors", interval_s=10, unit="doors"))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(35)
        assert {address: knock.asked.count(address) for address in set(knock.asked)} == {
            "10.0.0.1": 4, "10.0.0.2": 4, "10.0.0.3": 4,
        }  # fmt: skip
        latest = await app.get("/api/v1/sightings/latest", member="m2")
        assert [(s["kind"], s["title"], s["value"], s["unit"], s["text"], s["error"]) for s in latest] == [
            ("knock", "Doors", 3.0, "doors", "three doors open", None)
        ]
        rows = await app.get("/api/v1/sightings", member="m2", limit=2)
        assert [row["place"] for row in rows] == ["10.0.0.2:123"] * 2
        assert rows[0]["ts"] > rows[1]["ts"]
        (kind,) = await app.get("/api/v1/sightings/kinds")
        assert (kind["places"], kind["outcomes"]) == (3, {"ok": 12})
        metrics = {metric.name: metric for metric in app.contributed(Metric)}
        assert metrics["looks_total"].read() == [(("knock", "ok"), 12.0)]
        assert (("knock", "10.0.0.1:123"), 1.0) in metrics["look_ok"].read()


async def test_a_kind_may_pass_members_over_and_have_another_port_at_them(tmp_path):
    knock = Knock()
    places = {"m1": Target("10.0.0.1", 4460)}
    bed = Bed(ProbeKind("nts", knock.sample, target=lambda member: places.get(member.id)))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(5)
        assert [s["place"] for s in await app.get("/api/v1/sightings/latest")] == ["10.0.0.1:4460"]


async def test_a_kind_may_look_at_places_of_its_own_and_follows_them(tmp_path):
    knock, own = Knock(), [Target("192.168.0.1", 80)]
    bed = Bed(ProbeKind("gateway", knock.sample, targets=lambda: own))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(5)
        (seen,) = await app.get("/api/v1/sightings/latest")
        assert (seen["member"], seen["place"]) == ("", "192.168.0.1:80")
        own[:] = [Target("fe80::1", 80)]
        await bed.clock.advance(15)
        assert [s["place"] for s in await app.get("/api/v1/sightings/latest")] == ["[fe80::1]:80"]


async def test_what_it_finds_moves_no_score_by_itself(tmp_path):
    bed = Bed(ProbeKind("knock", Knock(SHUT).sample, interval_s=2))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(30)
        rows = app.service(ScoreBoard).recent("m1", 100)
        assert {row["rule"] for row in rows} == {"offset_ok"}
        assert (await app.get("/api/v1/sightings/latest"))[0]["error"] == "refused"


def shut_out(probe):
    seen = probe.seen("knock")
    return Step("shut", 0.25, why="its door is shut") if seen is not None and seen.error else None


async def test_a_score_rule_may_ask_what_it_found_as_long_as_that_is_fresh(tmp_path):
    knock = Knock(SHUT)
    bed = Bed(ProbeKind("knock", knock.sample, interval_s=2), rules=(ScoreRule("shut", shut_out),))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(10)
        board = app.service(ScoreBoard)
        assert board.recent("m1", 1)[0]["rule"] == "shut"
        knock.answer = OPEN
        await bed.clock.advance(10)
        assert board.recent("m1", 1)[0]["rule"] == "offset_ok"


def test_what_is_old_counts_no_more():
    kind = ProbeKind("knock", Knock().sample, interval_s=10, timeout_s=5)
    made = rounds.Rounds(FakeClock(), None, list, None, None)
    made._rounds["knock"] = rounds._Round(kind, None)
    made.seen.add("m1", Sighting(100.0, "knock", "m1", Target("10.0.0.1"), SHUT))
    assert len(made.of("m1", 134.0)) == 1
    assert made.of("m1", 136.0) == ()


@pytest.mark.parametrize("wrong", [RuntimeError("no luck"), None])
async def test_a_kind_that_fails_is_named_and_neither_ntp_nor_another_kind_waits_for_it(tmp_path, wrong):
    """It raises, or returns what is no Sample."""
    broken, knock = Knock(wrong), Knock()
    bed = Bed(
        ProbeKind("broken", broken.sample, interval_s=2), ProbeKind("knock", knock.sample, interval_s=2)
    )
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(20)
        assert app.status("monitor").restarts == 0
        assert len(app.service(ScoreBoard).recent("m1", 100)) > 3
        assert len(knock.asked) > 20
        assert {s["kind"] for s in await app.get("/api/v1/sightings/latest")} == {"knock"}
        kinds = {kind["kind"]: kind["outcomes"] for kind in await app.get("/api/v1/sightings/kinds")}
        assert list(kinds["broken"]) == ["raised"]
        (entry,) = [p for p in await app.get("/api/v1/plugins") if p["id"] == "knock"]
        assert "the probe kind broken fails" in entry["faults"][0]


async def test_a_kind_that_hangs_and_will_not_be_cancelled_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "GRACE_S", 0.01)
    let_go = asyncio.Event()

    async def hang(target, timeout_s):
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return OPEN

    knock = Knock()
    bed = Bed(ProbeKind("stuck", hang, timeout_s=0.01), ProbeKind("knock", knock.sample, interval_s=2))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(1)
        await wait_until(
            lambda: len(app.host.services.get(ScoreBoard).rounds.seen.at("m1")) == 2, "it to be cut off"
        )
        await bed.clock.advance(10)
        assert len(knock.asked) > 10
        assert {s["error"] for s in await app.get("/api/v1/sightings/latest")} == {None, "timeout"}
    let_go.set()  # and the appliance has stopped before


async def test_functions_that_raise_or_give_nonsense_are_named(tmp_path):
    def raises(member):
        raise KeyError(member.id)

    kinds = [
        ProbeKind("where", Knock().sample, target=raises),
        ProbeKind("nowhere", Knock().sample, targets=lambda: ["10.0.0.1"]),
        ProbeKind("names", Knock().sample, targets=lambda: [Target("gateway.example", 80)]),
    ]
    bed = Bed(*kinds)
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(30)
        assert app.status("monitor").restarts == 0
        assert await app.get("/api/v1/sightings/latest") == []
        (entry,) = [p for p in await app.get("/api/v1/plugins") if p["id"] == "knock"]
        for name in ("where", "nowhere", "names"):
            assert any(f"the probe kind {name}, asked where to look, fails" in f for f in entry["faults"]), (
                name
            )


@pytest.mark.parametrize(
    "wrong", [{"name": "Bad Name"}, {"interval_s": float("nan")}, {"interval_s": 0.1}, {"timeout_s": 0}, {"timeout_s": 1e9}]
)  # fmt: skip
def test_a_kind_that_cannot_be_scheduled_is_refused_where_it_is_made(wrong):
    with pytest.raises(ValueError, match=r"cannot name|looks every second|up to 60 s"):
        ProbeKind(**{"name": "knock", "sample": Knock().sample, **wrong})


async def test_failures_while_our_own_network_fails_are_nobodys_fault(tmp_path):
    knock = Knock()
    bed = Bed(ProbeKind("knock", knock.sample, interval_s=2), rules=(ScoreRule("shut", shut_out),))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(20)
        knock.answer, bed.ntp = SHUT, Sample(error="timeout")
        await bed.clock.advance(60)
        board = app.service(ScoreBoard)
        assert board.trouble
        assert all(s["error"] is None for s in await app.get("/api/v1/sightings/latest"))
        knock.answer, bed.ntp = OPEN, GOOD
        await bed.clock.advance(60)
        assert "shut" not in {row["rule"] for row in board.recent("m1", 100)}


async def test_kinds_and_members_come_and_go(tmp_path):
    first, second = Knock(), Knock()
    bed = Bed(ProbeKind("first", first.sample, interval_s=2))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(5)
        contributed = app.host.shared.contributions["knock"]
        kinds = (ProbeKind("second", second.sample, interval_s=2),)
        app.host.shared.contribute("knock", {**contributed, "probe_kinds": kinds})
        bed.table.set({key: member for key, member in bed.table.get().items() if key != "m3"})
        await bed.clock.advance(5)
        asked = len(first.asked)
        await bed.clock.advance(10)
        assert len(first.asked) == asked
        assert set(second.asked) == {"10.0.0.1", "10.0.0.2"}
        latest = await app.get("/api/v1/sightings/latest")
        assert {(s["kind"], s["member"]) for s in latest} == {("second", "m1"), ("second", "m2")}


async def test_long_words_are_cut_before_they_are_kept(tmp_path):
    long = replace(OPEN, text="x" * 5000)
    bed = Bed(ProbeKind("knock", Knock(long).sample))
    async with bed.running(tmp_path) as app:
        await app.until_running("monitor")
        await bed.clock.advance(5)
        assert {len(row["text"]) for row in await app.get("/api/v1/sightings")} == {200}
