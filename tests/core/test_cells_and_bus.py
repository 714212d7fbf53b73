"""State is coalesced, facts are queued, and what is lost is counted."""

import asyncio

from appliance.core.bus import Bus
from appliance.core.cells import Cell
from appliance.core.clock import FakeClock
from appliance.core.tasks import spawn


async def test_a_slow_reader_of_a_cell_sees_the_last_value_and_few_others():
    cell = Cell(0, clock=FakeClock())
    seen = []

    async def read():
        async for value in cell.changes():
            seen.append(value)
            await asyncio.sleep(0)
            if value == 1000:
                return

    reader = spawn(read(), name="reader")
    await asyncio.sleep(0)
    for value in range(1, 1001):
        cell.set(value)
    await asyncio.wait_for(reader, 5)
    assert seen[-1] == 1000
    assert len(seen) <= 3


async def test_a_cell_that_nobody_set_is_infinitely_old_and_yields_nothing():
    clock = FakeClock()
    cell = Cell("initial", clock=clock)
    assert cell.get() == "initial"
    assert cell.age_s() == float("inf")
    cell.set("new")
    await clock.advance(5)
    assert cell.age_s() == 5


async def test_watchers_are_called_at_once_and_can_be_taken_off():
    cell = Cell(0, clock=FakeClock())
    seen = []
    undo = cell.watch(seen.append)
    cell.set(1)
    undo()
    cell.set(2)
    assert seen == [1]


async def test_a_subscription_receives_everything_from_its_entry_and_counts_what_it_drops():
    bus = Bus()
    bus.publish("before")
    with bus.subscribe(str, owner="me", maxsize=2) as events:
        for word in ("one", "two", "three"):
            bus.publish(word)
        bus.publish(4)
        assert [await anext(events), await anext(events)] == ["two", "three"]
        assert bus.dropped() == {"me/str": 1}
    bus.publish("after")
    assert bus.dropped() == {}


async def test_drop_newest_keeps_the_first():
    bus = Bus()
    with bus.subscribe(int, maxsize=1, overflow="drop_newest") as events:
        bus.publish(1)
        bus.publish(2)
        assert await anext(events) == 1
        assert events.dropped == 1


async def test_the_fake_clock_wakes_sleepers_in_order_at_their_own_moment():
    clock = FakeClock()
    woken = []

    async def sleep(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic_ns()))

    start = clock.monotonic_ns()
    tasks = [spawn(sleep(s), name="s") for s in (3, 1, 2)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert [(s, (ns - start) / 1e9) for s, ns in woken] == [(1, 1.0), (2, 2.0), (3, 3.0)]


async def test_a_bell_rings_for_its_kinds_and_keeps_nothing():
    bus = Bus()
    with bus.bell(str, int) as rung:
        bus.publish(1.5)
        assert not rung.is_set()
        bus.publish("now")
        assert rung.is_set()
        rung.clear()
        bus.publish(2)
        assert rung.is_set()
        assert bus.dropped() == {}
    rung.clear()
    bus.publish("after")
    assert not rung.is_set()
