"""What is kept of the clock, and the advice that is read from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.testing import running
from appliance_clock.advice import advice
from tests.plugins.clock.test_clock_plugin import GOOD, appliance, world
from tests.support.wait import wait_for

__all__ = ["world"]  # a fixture

LOST = replace(GOOD, stratum=0, leap=3)


async def points(app, **query):
    told = await app.get("/api/v1/clock/history", **query)
    return [p for p in told["points"] if p["n"]]


async def test_a_reading_is_kept_every_half_minute_and_survives_a_restart(tmp_path, world):
    world.tracking = replace(GOOD, last_offset_s=-2e-5, frequency_ppm=12.5)
    async with appliance(tmp_path, source="chrony") as (app, clock, _):
        for _ in range(4):
            await clock.advance(30)
        found = await points(app, range="1h")
        assert len(found) >= 4
        assert {(p["offset_s"], p["frequency_ppm"], p["synchronised"]) for p in found} == {(-2e-5, 12.5, 1)}
        assert found[0]["root_distance_s"] > 0
        world.tracking = LOST
        await clock.advance(2)
        await clock.advance(30)
        last = (await points(app, range="1h"))[-1]
        assert (last["offset_s"], last["root_distance_s"], last["synchronised"]) == (None, None, 0)
    async with appliance(tmp_path, source="chrony") as (app, clock, _):
        await clock.advance(300)  # the test's clock begins anew
        assert len(await points(app, range="1h")) > len(found)


async def test_the_history_is_a_file_too(tmp_path, world):
    async with appliance(tmp_path, source="chrony") as (app, clock, _):
        await clock.advance(30)
        text = await app.get("/api/v1/clock/history.csv", range="1h")
        head, *lines = text.splitlines()
        assert head.startswith("ts,n,offset_s")
        assert lines
        assert all(len(line.split(",")) == len(head.split(",")) for line in lines)


async def test_a_step_is_remembered_with_its_size(tmp_path, world):
    async with appliance(tmp_path, source="chrony") as (app, clock, source):
        clock.wall_offset_ns += 3_500_000_000
        await clock.advance(2)
        await wait_for(lambda: source.steps == 1, "the step to be seen")
        told = await app.get("/api/v1/clock/history", range="1h")
        assert [round(s["step_s"], 3) for s in told["steps"]] == [3.5]


async def test_a_clock_that_nobody_measures_has_no_offset(tmp_path):
    async with running(["clock"], {"plugins": {"clock": {"source": "local"}}}, state_dir=tmp_path) as app:
        await app.until_running("clock")
        (first, *_) = await points(app, range="1h")
        assert (first["offset_s"], first["frequency_ppm"], first["synchronised"]) == (None, None, 1)


def source(number=1, **fields):
    values = {
        "name": "", "address": f"192.0.2.{number}", "state": "not selected", "mode": "server", "reach": 255,
        "stratum": 2, "since_sample_s": 1, "offset_s": 0.0, "error_s": 0.001, "poll": 6,
    }  # fmt: skip
    return values | fields


def clock(sources=None, **fields):
    values = {
        "source": "chrony", "synchronised": True, "root_distance_s": 0.001, "root_delay_s": 0.001, "root_dispersion_s": 0.0005,
        "kernel": {"tai_offset_s": 37}, "chrony": {"sources": sources, "withheld": {}} if sources is not None else None,
    }  # fmt: skip
    return values | fields


FOUR = [source(n) for n in range(4)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (clock(FOUR), []),
        (clock([]), ["chronyd has no sources"]),
        (clock([source()]), ["there is one usable source"]),
        (clock([source(1), source(2)]), ["nobody knows which is right"]),
        (clock([*FOUR, source(9, state="falseticker", name="wrong.example")]), ["wrong.example disagrees"]),
        (clock([*FOUR, source(9, reach=0, state="not selectable")]), ["192.0.2.9 does not answer"]),
        (clock([*FOUR, *[source(9, reach=0, state="not selectable", name="pool.example", address="")] * 4]), ["pool.example does"]),
        (clock([*FOUR, source(9, reach=0b10101010)]), ["missed 4 of its last 8 polls"]),
        (clock([*FOUR, source(9, reach=0b1)]), []),  # it was asked once only
        (clock([source(mode="reference clock", address="GPS", state="selected")]), ["beside the reference clock"]),
        (clock(FOUR, root_distance_s=0.05, root_delay_s=0.09), ["the way to the reference and back"]),
        (clock(FOUR, root_distance_s=0.05, root_dispersion_s=0.045), ["is dispersion"]),
        (clock(FOUR, kernel={"tai_offset_s": 0}), ["TAI"]),
        (clock(source="kernel"), ["true stratum"]),
        (clock(source="local"), ["Nobody vouches"]),
        (clock(chrony={"sources": [], "withheld": {"sources": "denied"}}), []),  # not told is not none
    ],
)  # fmt: skip
def test_advice_names_what_is_missing_and_nothing_else(told, words):
    found = advice(told)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
