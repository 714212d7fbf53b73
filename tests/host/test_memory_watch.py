"""A plugin that never lets go is named with its line and how fast it grows; who does not grow never pays for the look."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc

import pytest

from appliance.api.plugin import PluginInfo
from appliance.core.clock import FakeClock
from appliance.host import memory
from appliance.host.loader import load_file
from appliance.host.memory import Leak, MemoryWatch, leaks
from appliance.host.watching import Used
from appliance.testing import running

PLUGIN = """\
import json
kept = []
cache = {}

def leak():
    kept.append(json.loads('["' + "x" * 500 + '"]'))

def work(n):
    cache[n % 3] = [str(i) for i in range(1000)]
"""


class Hurrying(FakeClock):
    """Nobody waits; what happens meanwhile, happens before each second."""

    def __init__(self, meanwhile):
        super().__init__()
        self.meanwhile = meanwhile
        self.seconds = 0

    async def sleep(self, delay_s):
        self.seconds += int(delay_s)
        self._mono_ns += int(delay_s * 1e9)
        self.meanwhile(self.seconds)
        await asyncio.sleep(0)


class Enough(Exception):
    pass


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "leaky.py").write_text(PLUGIN)
    return load_file("leaky", tmp_path / "leaky.py")


async def watched(
    plugin, meanwhile, *, grown=lambda _: 100 * 2**20, late=lambda: 0.0, busy=lambda: 0.0, most_s=8 * 3600
):
    """What the watch tells within some hours of such a life; `grown` is the memory at each second."""
    told = []

    def live(seconds):
        if seconds > most_s:
            raise Enough
        meanwhile(seconds)

    clock = Hurrying(live)
    watch = MemoryWatch(
        clock, lambda file: "leaky" if file == plugin.__file__ else "", lambda *said: told.append(said),
        late_s=late, busy=busy, resident=lambda: grown(clock.seconds),
    )  # fmt: skip
    with pytest.raises(Enough):
        await watch.run()
    assert not tracemalloc.is_tracing()
    return told


def growing(seconds):
    return 80 * 2**20 + seconds * 5000


async def test_a_leak_is_named_with_its_line_and_what_it_costs_an_hour(plugin):
    told = await watched(plugin, lambda _: plugin.leak(), grown=growing, most_s=3 * 3600)
    (found, grown_bytes), *_ = told
    (leak,) = found
    assert leak.plugin == "leaky"
    assert leak.where == f"{plugin.__file__}:6"
    assert 0.5e6 * 3.6 < leak.bytes_per_h < 0.9e6 * 3.6  # a list and 500 characters, each second
    assert grown_bytes >= memory.GROWN_BYTES


async def test_what_is_kept_within_bounds_is_no_leak(plugin):
    ((found, _), *_) = await watched(plugin, plugin.work, grown=growing, most_s=3 * 3600)
    assert found == []


async def test_where_nothing_grows_nothing_is_traced(plugin):
    def untraced(_):
        assert not tracemalloc.is_tracing()

    assert await watched(plugin, untraced) == []


async def test_it_rests_an_hour_after_five_minutes_and_starts_no_sooner_than_memory_grows_on(plugin):
    traced = []

    def count(seconds):
        if tracemalloc.is_tracing():
            traced.append(seconds)

    await watched(plugin, count, grown=lambda s: 2**30 * (s > 1000), most_s=6 * 3600)
    assert 0 < len(traced) <= 301, traced  # once: it did not grow any more
    traced.clear()
    await watched(plugin, count, grown=growing, most_s=6 * 3600)
    assert len(traced) <= 4 * 301
    assert min(b - a for a, b in itertools.pairwise(traced) if b - a > 1) >= memory.REST_S


async def test_a_loop_that_falls_behind_ends_it_at_once(plugin):
    traced = []

    def count(_):
        if tracemalloc.is_tracing():
            traced.append(1)

    assert await watched(plugin, count, grown=growing, late=lambda: 0.8, most_s=2 * 3600) == []
    assert len(traced) <= 3


async def test_a_busy_plane_in_python_is_not_traced_or_no_longer(plugin):
    """Before it begins, and while it goes on."""
    traced = []

    def count(_):
        if tracemalloc.is_tracing():
            traced.append(1)

    assert await watched(plugin, count, grown=growing, busy=lambda: 0.04, most_s=4 * 3600) == []
    assert traced == []
    assert (
        await watched(
            plugin,
            count,
            grown=growing,
            busy=lambda: 0.8 if tracemalloc.is_tracing() else 0.0,
            most_s=2 * 3600,
        )
        == []
    )
    assert len(traced) == 1


async def test_who_traces_himself_is_left_alone(plugin):
    tracemalloc.start()
    try:
        told = []
        watch = MemoryWatch(Hurrying(lambda _: None), lambda _: "", lambda *said: told.append(said))
        assert await watch._trace() is None
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ([10_000, 20_000, 30_000, 40_000, 50_000], True),
        ([10_000, 12_000, 22_000, 40_000, 50_000], True),
        ([10_000, 10_001, 10_002, 10_003, 50_000], False),  # once, not evenly
        ([10_000, 50_000, 50_000, 50_000, 50_000], False),  # a cache that is full
        ([10_000, 30_000, 20_000, 40_000, 50_000], False),
        ([0, 500, 1_000, 1_500, 2_000], False),  # no harm
    ],
)
def test_only_what_grows_evenly_is_a_leak(sizes, named):
    takes = [{("p", "a.py:1"): size} for size in sizes]
    found = leaks(takes, 60)
    assert bool(found) is named
    if named:
        assert found[0].bytes_per_h == 40_000 * 15


def test_the_part_of_a_core_that_is_used_is_known():
    used = Used()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0 < used() < 1.5
    assert used() < 1.5


def test_the_memory_of_this_process_is_known():
    assert memory.resident_bytes() > 10 * 2**20


async def test_the_doctor_and_the_page_name_it_until_a_look_does_not(tmp_path, plugin):
    plugin.plugin = PluginInfo(id="leaky", title="Leaky", api=1)
    async with running([plugin], state_dir=tmp_path / "s") as app:
        tell = app.host.watch.leaks
        tell([Leak("leaky", "/x/leaky.py:6", 3 * 2**20)], 30 * 2**20)
        checks = {c["id"]: c for c in (await app.get("/api/v1/doctor"))["checks"]}
        said = "what it keeps in memory grows by 3.0 MB an hour, most of it at /x/leaky.py:6"
        assert checks["leaky.memory"]["text"] == f"the plugin leaky: {said}"
        assert said in str(await app.get("/api/v1/plugins"))
        tell([], 30 * 2**20)
        assert "leaky.memory" not in {c["id"] for c in (await app.get("/api/v1/doctor"))["checks"]}
