"""What a plugin raises is its instruction: wait, ask a person, or restart. Siblings never notice."""

import asyncio
import contextlib
import itertools
import logging
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.api.errors import ConfigError, NotReady
from appliance.api.model import PluginState, PluginStatus
from appliance.core.bus import Bus
from appliance.core.clock import FakeClock
from appliance.core.services import Services
from appliance.core.tasks import current_plugin
from appliance.host.backoff import Timing
from appliance.host.contexts import PluginContext, Shared
from appliance.host.supervisor import Supervised
from appliance.testing import wait_until

TIMING = Timing(stop_s=0.2)


@pytest.fixture
def shared(tmp_path):
    threads = ThreadPoolExecutor(2)
    yield Shared(FakeClock(), Services(), Bus(), None, tmp_path, threads, rng=random.Random(1))
    threads.shutdown()


def supervised(shared, run, plugin_id="p"):
    ctx = PluginContext(plugin_id, None, shared, ())
    return Supervised(ctx, run, PluginStatus(plugin_id, plugin_id, PluginState.LOADED), TIMING)


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


async def forever():
    await asyncio.Event().wait()


async def test_ready_then_stopped(shared):
    async def run(ctx):
        ctx.ready()
        await forever()

    p = supervised(shared, run)
    p.start()
    await settle()
    assert p.status.state is PluginState.RUNNING
    assert await p.stop()
    assert p.status.state is PluginState.STOPPED


async def test_not_ready_waits_without_strikes_and_is_told_once(shared, caplog):
    tries = []

    async def run(ctx):
        tries.append(1)
        if len(tries) < 12:
            raise NotReady("no GPS fix")
        ctx.ready()
        await forever()

    caplog.set_level(logging.INFO, "timeball")
    p = supervised(shared, run)
    p.start()
    await settle()
    assert p.status.state is PluginState.BACKOFF
    assert p.status.why == "no GPS fix"
    await shared.clock.advance(1000)
    assert p.status.state is PluginState.RUNNING
    assert p.status.strikes == 0
    told = [r.message for r in caplog.records if "no GPS fix" in r.message]
    assert len(told) == 1
    assert [r.message for r in caplog.records if "ready again" in r.message] == ["p is ready again"]
    await p.stop()


async def test_backoff_doubles_to_a_limit_with_jitter():
    timing, rng = Timing(), random.Random(3)
    waits = [timing.wait_s(n, rng) for n in range(1, 12)]
    for n, wait in enumerate(waits):
        whole = min(60.0, 2.0**n)
        assert whole / 2 <= wait <= whole


async def test_not_ready_inside_a_group_is_not_ready_and_a_mixture_is_a_bug(shared):
    async def only_not_ready(ctx):
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(wait())

    async def wait():
        raise NotReady("still booting")

    async def mixture(ctx):
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(bug())

    async def bug():
        raise ValueError("oops")

    p, q = supervised(shared, only_not_ready), supervised(shared, mixture, "q")
    p.start()
    q.start()
    await settle()
    assert (p.status.why, p.status.strikes) == ("still booting", 0)
    assert q.status.strikes == 1
    await p.stop()
    await q.stop()


async def test_a_configuration_error_stops_until_the_configuration_changes(shared):
    answers = iter([ConfigError("listen", "is taken"), None])

    async def run(ctx):
        error = next(answers)
        if error:
            raise error
        ctx.ready()
        await forever()

    p = supervised(shared, run)
    p.start()
    await settle()
    assert p.status.state is PluginState.FAILED
    assert p.status.why == "listen: is taken"
    await shared.clock.advance(100_000)
    assert p.status.state is PluginState.FAILED
    p.retry_now()
    await settle()
    assert p.status.state is PluginState.RUNNING
    await p.stop()


async def test_five_bugs_within_a_minute_fail_it_and_an_hour_later_it_is_tried_again(shared):
    tries = []

    async def run(ctx):
        tries.append(shared.clock.monotonic_ns())
        raise RuntimeError("broken")

    p = supervised(shared, run)
    p.start()
    await shared.clock.advance(60)
    assert p.status.state is PluginState.FAILED
    assert len(tries) == 5
    assert p.status.why == "RuntimeError: broken"
    await shared.clock.advance(3500)
    assert len(tries) == 5
    await shared.clock.advance(200)
    assert len(tries) > 5
    await p.stop()


async def test_a_plugin_that_ran_well_for_a_minute_starts_over_with_its_backoff(shared):
    lives = []

    async def run(ctx):
        lives.append(1)
        ctx.ready()
        await ctx.clock.sleep(100)
        raise RuntimeError("now and then")

    p = supervised(shared, run)
    p.start()
    await shared.clock.advance(1500)
    assert p.status.state in (PluginState.RUNNING, PluginState.BACKOFF)
    assert len(lives) >= 12
    assert p.status.restarts == len(lives) - 1
    await p.stop()


async def test_awaiting_a_cancelled_future_is_a_bug_of_the_plugin(shared):
    async def run(ctx):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    p = supervised(shared, run)
    p.start()
    await settle()
    assert p.status.state is PluginState.BACKOFF
    assert "SelfCancelled" in p.status.why
    await p.stop()


async def test_a_failing_child_takes_its_plugin_down_and_no_other(shared):
    async def bad(ctx):
        ctx.ready()
        ctx.spawn("child", child())
        await forever()

    async def child():
        await shared.clock.sleep(1)
        raise KeyError("gone")

    async def good(ctx):
        ctx.ready()
        await forever()

    p, q = supervised(shared, bad), supervised(shared, good, "q")
    p.start()
    q.start()
    await shared.clock.advance(1)
    assert p.status.state is PluginState.BACKOFF
    assert q.status.state is PluginState.RUNNING
    await p.stop()
    await q.stop()


async def test_returning_means_finished_and_ends_the_children(shared):
    ended = []

    async def run(ctx):
        ctx.spawn("child", child())
        ctx.on_stop(lambda: ended.append("undo"))
        ctx.ready()
        await asyncio.sleep(0)

    async def child():
        try:
            await forever()
        finally:
            ended.append("child")

    p = supervised(shared, run)
    p.start()
    await settle()
    assert p.status.state is PluginState.STOPPED
    assert p.status.why == "finished its work"
    assert ended == ["child", "undo"]


async def test_undo_runs_in_reverse_even_when_the_start_fails_half_way(shared):
    undone = []

    async def run(ctx):
        ctx.on_stop(lambda: undone.append(1))
        ctx.on_stop(lambda: undone.append(2))
        raise NotReady("half way")

    p = supervised(shared, run)
    p.start()
    await settle()
    assert undone == [2, 1]
    await p.stop()


async def test_a_swallowed_cancellation_is_abandoned_and_named(shared, caplog):
    release = asyncio.Event()

    async def run(ctx):
        ctx.ready()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    p = supervised(shared, run)
    p.start()
    await settle()
    try:
        assert not await p.stop()
    finally:
        release.set()  # or the event loop would wait for it for ever
    assert p.status.state is PluginState.FAILED
    assert "did not stop" in p.status.why
    assert "test_supervision.py" in caplog.text
    await settle()


async def test_slow_to_start_is_visible_and_names_what_it_waits_for(shared, caplog):
    async def run(ctx):
        await forever()

    p = supervised(shared, run)
    p.start()
    await shared.clock.advance(31)
    assert p.status.state is PluginState.STARTING
    assert "still starting" in p.status.why
    assert "in forever" in caplog.text
    await p.stop()


async def test_every_task_of_a_plugin_carries_its_name(shared):
    seen = []

    async def child():
        seen.append(current_plugin.get())

    async def run(ctx):
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        ctx.spawn("child", child())
        ctx.ready()
        await forever()

    p = supervised(shared, run, "webhook")
    p.start()
    await settle()
    assert seen == ["webhook", "webhook"]
    assert current_plugin.get() == "host"
    await p.stop()


async def test_every_keeps_its_rhythm_and_drops_late_ticks(shared):
    ticks = []

    async def run(ctx):
        ctx.every(10, lambda: ticks.append(shared.clock.monotonic_ns()))
        ctx.ready()
        await forever()

    p = supervised(shared, run)
    p.start()
    await shared.clock.advance(100)
    assert len(ticks) == 10
    assert {b - a for a, b in itertools.pairwise(ticks)} == {10_000_000_000}
    await p.stop()


async def test_blocking_work_goes_to_a_thread(shared):
    got = []

    async def run(ctx):
        got.append(await ctx.to_thread(sum, [1, 2]))
        ctx.ready()
        await forever()

    p = supervised(shared, run)
    p.start()
    await wait_until(lambda: bool(got), "the thread")
    assert got == [3]
    await p.stop()
