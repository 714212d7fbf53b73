"""The monitor as a whole, on a clock that tests turn: verdicts, self-check, restart, a store that fails."""

from __future__ import annotations

import itertools
import types
from collections import Counter
from dataclasses import replace

import pytest

from appliance.api.contrib import ProbeKind, ScoreRule
from appliance.api.errors import NotFound
from appliance.api.events import ClockStepped, ProbeFinished, VerdictChanged
from appliance.api.model import ClockState, Member, PluginState, Sample, ScoredProbe, Step, Target
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Members, ScoreBoard, TimeSource
from appliance.core.cells import Cell
from appliance.core.clock import FakeClock
from appliance.core.tasks import spawn
from appliance.testing import running, wait_until
from appliance_monitor.board import Board
from appliance_monitor.gate import GatePolicy
from appliance_monitor.samples import result_of
from tests.support.wait import wait_for

GOOD = Sample(offset_s=0.001, rtt_s=0.01, stratum=2, leap=0)
WRONG = replace(GOOD, offset_s=0.3)
SILENT = Sample(error="timeout")
REFUSED = Sample(error="refused")
UNSYNCHRONISED = replace(GOOD, leap=3)


class Network:
    """Members with scripted answers, in place of sockets, registry and clock plugin."""

    def __init__(self, clock: FakeClock, number: int = 3) -> None:
        self.clock = clock
        members = {f"m{i}": Member(f"m{i}", f"10.0.0.{i}") for i in range(1, number + 1)}
        self.table = Cell(members, clock=clock)
        self.state = Cell(ClockState(0, 1, b"GPS\0", 0, 0.0, 0.0, 0.0, 0), clock=clock)
        self.answers = {member.address: GOOD for member in members.values()}
        self.asked = 0
        self.asked_of: Counter[str] = Counter()
        self.table.set(members)

    def find(self, key: str) -> Member:
        for member in self.table.get().values():
            if key in (member.id, member.address):
                return member
        raise NotFound(key)

    async def details(self):
        return {}

    async def sample(self, target, timeout_s):
        self.asked += 1
        self.asked_of[target.address] += 1
        sample = self.answers[target.address]
        await self.clock.sleep(timeout_s if sample is SILENT else 0.01)
        return sample

    def plugin(self) -> types.ModuleType:
        made = types.ModuleType("scripted")
        made.plugin = PluginInfo(id="scripted", title="Scripted", api=1, after=("monitor",))

        def probe_kinds(ctx):
            return [ProbeKind("ntp", self.sample)]

        made.probe_kinds = hookimpl(probe_kinds)
        return made


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def network(clock):
    return Network(clock)


def appliance(network, tmp_path, config="[plugins.monitor]\ninterval_s = 2\nsamples = 1\n"):
    return running(
        ["monitor", network.plugin()], config, state_dir=tmp_path, clock=network.clock,
        provide={Members: network, TimeSource: network},
    )  # fmt: skip


def board(app):
    return app.host.services.get(ScoreBoard)


def inside(app):
    return {key for key, verdict in board(app).verdicts.get().items() if verdict.in_pool}


async def until_inside(app, clock, number=3):
    for _ in range(40):
        await clock.advance(2)
        if len(inside(app)) == number:
            return
    raise AssertionError(board(app).verdicts.get())


async def test_new_members_enter_at_ten_after_fourteen_good_probes(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        rows = list(reversed(board(app).recent("m1", 60)))
        scores = [row["score"] for row in rows]
        assert scores[13] == pytest.approx(20 * (1 - 0.95**14))
        assert scores[12] < 10 <= scores[13]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("death", [SILENT, REFUSED])
async def test_a_killed_member_leaves_within_15_s_and_comes_back(network, clock, tmp_path, samples, death):
    """At an interval of 2 s, with the contract's spacing and timeout, refused or silent, with one sample or three."""
    async with appliance(
        network, tmp_path, f"[plugins.monitor]\ninterval_s = 2\nsamples = {samples}\n"
    ) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        await clock.advance(30)
        network.answers["10.0.0.1"] = death
        began_ns = clock.monotonic_ns()
        while "m1" in inside(app):
            await clock.advance(0.25)
            assert clock.monotonic_ns() - began_ns < 12e9  # the answers follow within a second
        assert board(app).verdicts.get()["m1"].code in ("silent", "low_score")
        assert inside(app) == {"m2", "m3"}
        await clock.advance(10)
        network.answers["10.0.0.1"] = GOOD
        began_ns = clock.monotonic_ns()
        while "m1" not in inside(app):
            await clock.advance(0.5)
            assert clock.monotonic_ns() - began_ns < 60e9
        assert board(app).verdicts.get()["m1"].weight_factor == 0.25


async def test_a_wrong_clock_leaves_after_two_probes_whatever_its_score(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.answers["10.0.0.1"] = WRONG
        await clock.advance(5)
        verdict = board(app).verdicts.get()["m1"]
        assert (verdict.in_pool, verdict.truthful, verdict.code) == (False, False, "wrong_time")
        assert "+300 ms" in verdict.reason


async def test_an_unsynchronised_member_never_enters_though_its_score_is_the_pools(network, clock, tmp_path):
    network.answers["10.0.0.1"] = UNSYNCHRONISED
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock, 2)
        for _ in range(20):
            await clock.advance(2)
            assert inside(app) == {"m2", "m3"}
        verdict = board(app).verdicts.get()["m1"]
        assert verdict.score > 10
        assert verdict.code == "unsynchronised"


async def test_silence_of_everybody_is_our_own_trouble_and_moves_no_score(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        while board(app).in_flight():
            await clock.advance(0.01)
        scores = {key: verdict.score for key, verdict in board(app).verdicts.get().items()}
        for address in network.answers:
            network.answers[address] = SILENT
        await clock.advance(60)
        assert {key: verdict.score for key, verdict in board(app).verdicts.get().items()} == scores
        assert inside(app) == {"m1", "m2", "m3"}
        assert "silent" in board(app).trouble
        assert board(app).verdicts.age_s() > 30
        network.answers = dict.fromkeys(network.answers, GOOD)
        await clock.advance(30)
        assert board(app).trouble == ""
        assert board(app).verdicts.age_s() < 15


async def test_refusals_of_everybody_are_answers_of_the_network_and_count(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.answers = dict.fromkeys(network.answers, REFUSED)
        await clock.advance(15)
        assert all(verdict.score < 15 for verdict in board(app).verdicts.get().values())


async def test_an_unsynchronised_clock_of_our_own_stops_judging(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.state.set(ClockState.unsynchronised("chronyd has no source"))
        await clock.advance(12)
        asked = network.asked
        before = dict(board(app).verdicts.get())
        await clock.advance(60)
        assert network.asked == asked
        assert board(app).verdicts.get() == before
        assert "chronyd has no source" in board(app).trouble
        health = await app.ask("GET", "/health")
        assert any("cannot tell" in problem.text for problem in health.value["problems"])


async def test_a_step_of_the_clock_discards_what_is_under_way(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.answers["10.0.0.1"] = SILENT
        before = board(app).verdicts.get()["m1"].score
        asked = network.asked_of["10.0.0.1"]
        while network.asked_of["10.0.0.1"] == asked:
            await clock.advance(0.05)
        network.answers["10.0.0.1"] = GOOD
        assert board(app).in_flight() >= 1
        app.host.bus.publish(ClockStepped(100.0))
        await clock.advance(2.1)
        assert board(app).results["discarded"] >= 1
        assert board(app).verdicts.get()["m1"].score >= before * 0.95


async def test_events_tell_each_probe_and_only_crossings(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        with (
            app.host.bus.subscribe(VerdictChanged) as verdicts,
            app.host.bus.subscribe(ProbeFinished, maxsize=999) as probes,
        ):
            await app.until_running("monitor")
            await until_inside(app, clock)
            await clock.advance(20)
            assert len(verdicts._queue) == 3
            assert len(probes._queue) >= 3 * 14


async def test_a_restart_brings_scores_and_verdicts_back_before_the_first_probe(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        before = {key: verdict.score for key, verdict in board(app).verdicts.get().items()}
    network.answers = dict.fromkeys(network.answers, SILENT)
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        assert inside(app) == {"m1", "m2", "m3"}
        assert {key: verdict.score for key, verdict in board(app).verdicts.get().items()} == before
        assert board(app).recent("m1", 5)


async def test_a_paused_member_is_out_at_once_and_still_watched(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        members = dict(network.table.get())
        members["m1"] = replace(members["m1"], state="paused")
        network.table.set(members)
        assert inside(app) == {"m2", "m3"}
        asked = len(board(app).recent("m1", 60))
        await clock.advance(6)
        assert len(board(app).recent("m1", 60)) > asked


async def test_the_last_of_few_is_kept_though_it_loses_packets(network, clock, tmp_path):
    """With one of three left by its own merit the keep-floor (1 of 3) is met; without any, the best silent one stays."""
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.answers["10.0.0.1"] = REFUSED
        network.answers["10.0.0.2"] = REFUSED
        await clock.advance(20)
        assert inside(app) == {"m3"}
        network.answers["10.0.0.3"] = WRONG
        await clock.advance(10)
        assert "m3" not in inside(app)


async def test_history_log_and_the_pools_own_shapes(network, clock, tmp_path):
    network.answers["10.0.0.2"] = SILENT
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await clock.advance(30)
        history = await app.get("/api/v1/members/m1/history", range="1h")
        assert sum(point["n"] for point in history["points"]) == len(board(app).recent("m1", 60))
        assert (await app.ask("GET", "/api/v1/members/m1/history", query={"range": "5y"})).status == 422
        assert (await app.get("/api/v1/members/m1/history.csv")).startswith("ts,offset_s,")
        rows = await app.get("/api/v1/log", limit=5, member="m2")
        assert {row["rule"] for row in rows} == {"no_response"}
        probes = await app.get("/api/v1/members/m2/probes", limit=3)
        assert [row["error"] for row in probes] == ["timeout"] * 3
        assert (await app.ask("GET", "/api/v1/members/m9/probes")).status == 404
        scores = {row["member"]: row for row in await app.get("/api/v1/scores")}
        assert scores["m1"]["address"] == "10.0.0.1"
        assert scores["m2"]["in_pool"] is False
        assert scores["m2"]["reason"]
        document = await app.get("/scores/10.0.0.1/json", limit=3)
        assert set(document) == {"history", "monitors", "server"}
        assert len(document["history"]) == 3
        assert document["history"][0]["ts"] >= document["history"][-1]["ts"]
        text = await app.get("/scores/10.0.0.1/log", limit=2)
        lines = text.splitlines()
        assert lines[0] == "ts_epoch,ts,offset,step,score,monitor_id,monitor_name,rtt,leap,error"
        assert len(lines) == 3
        assert (await app.ask("GET", "/scores/10.9.9.9/json")).status == 404
        scoring = await app.get("/api/v1/scoring")
        assert (scoring["good_s"], scoring["enter_score"]) == (0.025, 10)


async def test_each_step_and_score_follows_the_formula(network, clock, tmp_path):
    """Recomputed from the log alone, in the test's own words."""
    offsets = {"10.0.0.1": 0.04, "10.0.0.2": 0.2, "10.0.0.3": 1.5}
    network.answers = {address: replace(GOOD, offset_s=offset) for address, offset in offsets.items()}
    expected = {"10.0.0.1": -6.667 * 0.04 + 1.167, "10.0.0.2": -2.308 * 0.2 + 0.731, "10.0.0.3": -2.0}
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await clock.advance(40)
        for number, (_, step) in enumerate(expected.items(), 1):
            score = 0.0
            for row in reversed(board(app).recent(f"m{number}", 60)):
                score = 0.95 * score + step
                assert row["step"] == pytest.approx(step)
                assert row["score"] == pytest.approx(score)


SLOW = "[plugins.monitor]\ninterval_s = 540\nconfirm_interval_s = 60\nsamples = 1\n"


async def test_one_silence_between_long_intervals_is_explained_by_a_witness(network, clock, tmp_path):
    """With nine minutes between probes nobody else is due while a silence is held back: those who answered last are asked."""
    async with appliance(network, tmp_path, SLOW) as app:
        await app.until_running("monitor")
        for _ in range(16):
            await clock.advance(15)
        assert inside(app) == {"m1", "m2", "m3"}
        network.answers["10.0.0.1"] = SILENT
        await clock.advance(700)
        assert app.host.services.get(ScoreBoard).results["no_response"] >= 2
        assert inside(app) == {"m2", "m3"}
        assert board(app).trouble == ""


async def test_an_outage_between_long_intervals_moves_no_score_at_all(network, clock, tmp_path):
    async with appliance(network, tmp_path, SLOW) as app:
        await app.until_running("monitor")
        for _ in range(16):
            await clock.advance(15)
        await clock.advance(30)
        network.answers = dict.fromkeys(network.answers, SILENT)
        for _ in range(60):
            await clock.advance(10)
        assert board(app).results["no_response"] == 0
        assert board(app).results["discarded"] >= 3
        assert "silent" in board(app).trouble
        assert inside(app) == {"m1", "m2", "m3"}


async def test_one_good_among_dead_ones_is_enough_to_judge_the_dead(clock, tmp_path):
    network = Network(clock, 5)
    network.answers |= {f"10.0.0.{n}": SILENT for n in (2, 3, 4, 5)}
    async with appliance(network, tmp_path, SLOW) as app:
        await app.until_running("monitor")
        for _ in range(60):
            await clock.advance(30)
        assert inside(app) == {"m1"}
        assert all(board(app).verdicts.get()[f"m{n}"].score < -15 for n in (2, 3, 4, 5))
        assert board(app).trouble == ""


async def test_an_entry_is_on_the_disk_at_once(network, clock, tmp_path):
    """What a kill -9 right after the entry would leave behind."""
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        while len(inside(app)) < 3:
            await clock.advance(0.25)

        def kept(db):
            return db.execute("SELECT standing FROM monitor__standing").fetchall()

        async def all_inside():
            rows = await app.host.store.read(kept)
            return sum('"inside":true' in text for (text,) in rows) == 3

        await wait_for(all_inside, "all three to be kept")


def rules_of(*rules):
    made = types.ModuleType("extra")
    made.plugin = PluginInfo(id="extra", title="Extra", api=1, after=("monitor",))

    def score_rules(ctx):
        return list(rules)

    made.score_rules = hookimpl(score_rules)
    return made


async def test_a_rule_of_another_plugin_that_fails_is_passed_over_and_named_once(
    network, clock, tmp_path, caplog
):
    def broken(result):
        raise ZeroDivisionError

    plugins = [
        "monitor",
        network.plugin(),
        rules_of(ScoreRule("broken", broken), ScoreRule("nan", lambda result: Step("nan", float("nan")))),
    ]
    config = "[plugins.monitor]\ninterval_s = 2\nsamples = 1\n"
    async with running(
        plugins, config, state_dir=tmp_path, clock=clock, provide={Members: network, TimeSource: network}
    ) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        assert app.status("monitor").restarts == 0
        assert sum("score rule broken" in record.getMessage() for record in caplog.records) == 1


async def test_a_look_that_fails_inside_judges_nobody_and_stops_nothing(network, clock, tmp_path):
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        await until_inside(app, clock)
        network.answers.pop("10.0.0.1")  # the scripted kind raises KeyError
        await clock.advance(20)
        assert inside(app) == {"m1", "m2", "m3"}
        assert board(app).results["discarded"] > 3
        assert app.status("monitor").restarts == 0


async def test_an_unknown_profile_is_a_matter_for_a_person(network, clock, tmp_path):
    async with appliance(network, tmp_path, '[plugins.monitor]\nprofile = "ntpool"\n') as app:
        await wait_until(lambda: app.status("monitor").state is PluginState.FAILED, "the monitor to fail")
        assert "ntppool" in app.status("monitor").why


async def test_a_profile_that_nobody_has_is_taken_back_and_judging_goes_on(tmp_path):
    text = '[plugins.clock]\nsource = "local"\n[plugins.monitor]\nname = "m"  # ours\n'
    file = tmp_path / "config.toml"
    async with running(
        ["clock", "members", "monitor"], text, state_dir=tmp_path / "s", config_file=file
    ) as app:
        await app.until_running()
        said = {}
        for profile in ("ntpool", "legacy"):
            change = (
                await app.ask("PATCH", "/api/v1/config", body={"set": {"monitor.profile": profile}})
            ).value["change"]

            async def judged(number=change["id"]):
                entry = await app.get(f"/api/v1/config/changes/{number}")
                return entry if entry["state"] in ("kept", "reverted") else None

            said[profile] = await wait_for(judged, "the change to be judged")
        assert said["ntpool"]["state"] == "reverted"
        assert "there are legacy, ntppool" in said["ntpool"]["why"]
        assert said["legacy"]["state"] == "kept"
        assert file.read_text() == text + 'profile = "legacy"\n'


async def test_a_public_address_is_never_asked_twice_within_the_guard_time(network, clock, tmp_path):
    """Single looks and the schedule share one guard."""
    asked = []

    async def sample(target, timeout_s):
        asked.append(clock.monotonic_ns())
        return GOOD

    network.sample = sample
    async with appliance(network, tmp_path) as app:
        await app.until_running("monitor")
        network.table.set({})
        await clock.advance(5)
        asked.clear()
        looks = [spawn(board(app).probe(Target("9.9.9.9"), samples=2), name=f"look {n}") for n in range(3)]
        await clock.advance(30)
        assert all(look.done() for look in looks)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(asked) == 6
    assert min(gaps) >= 2e9


async def test_memory_of_the_last_probes_is_shared_by_many_members(clock, tmp_path):
    published = []
    members = {f"m{n}": Member(f"m{n}", f"10.1.{n // 250}.{n % 250}") for n in range(10_000)}
    known = Board(Cell({}, clock=clock), published.append)
    known.set_members(members, GatePolicy(), 0.0)
    probe = result_of([GOOD], ts=1.0, target=Target("10.1.0.0"), member="m0")
    for _ in range(100):
        known.absorb(ScoredProbe(probe, Step("offset_ok", 1), 1.0), None, GatePolicy())
    assert len(known.recent("m0", 1000)) == 6
    known.set_members(dict(list(members.items())[:10]), GatePolicy(), 0.0)
    assert len(known.verdicts.get()) == 10
