"""Health is asked anew when something turned: no reading of before stands beside what the pages show now."""

import asyncio

from appliance.api.actor import NOBODY, Actor, local
from appliance.api.contrib import HealthCheck
from appliance.api.events import ClockStepped
from appliance.core.clock import FakeClock
from appliance.core.routes import Request
from appliance.core.tasks import spawn
from appliance.host import health
from appliance.testing import running, wait_until

INTERVAL_S = 10.0


async def _waits(turned: asyncio.Event, clock: FakeClock) -> asyncio.Task[None]:
    waiting = spawn(health.until_next(turned, clock.sleep, INTERVAL_S), name="until the next reading")
    await clock.advance(0)
    return waiting


async def test_at_rest_the_whole_interval_passes():
    clock, turned = FakeClock(), asyncio.Event()
    waiting = await _waits(turned, clock)
    await clock.advance(INTERVAL_S - 0.5)
    assert not waiting.done()
    await clock.advance(0.5)
    assert waiting.done()


async def test_what_turned_is_looked_at_soon_but_not_before_it_has_settled():
    clock, turned = FakeClock(), asyncio.Event()
    waiting = await _waits(turned, clock)
    await clock.advance(2.5)
    turned.set()
    await clock.advance(0.6)
    assert not waiting.done()
    await clock.advance(2 * health.SETTLE_S)
    assert waiting.done()
    assert not turned.is_set()


async def test_a_storm_of_events_asks_no_faster_than_every_other_second():
    clock, turned = FakeClock(), asyncio.Event()
    for _ in range(3):
        turned.set()
        waiting = await _waits(turned, clock)
        await clock.advance(health.SETTLE_S - 0.1)
        assert not waiting.done()
        await clock.advance(health.SETTLE_S)
        assert waiting.done()


async def test_a_running_appliance_forgets_a_problem_when_it_is_over(tmp_path, monkeypatch):
    """The first reading is made while plugins still start; it must not stay until the next one by the clock."""
    monkeypatch.setattr("appliance.host.app.HEALTH_S", 3600.0)
    wrong = ["not yet"]

    async def ping() -> str | None:
        return wrong[0] or None

    async with running([], {}, state_dir=tmp_path) as app:
        app.host.shared.contributions["mine"] = {"health_checks": [HealthCheck("x", ping, remedy="wait")]}
        app.host.bus.publish(ClockStepped(1.0))
        await wait_until(lambda: app.host.health.get().problems, "the problem to be seen")
        wrong[0] = ""
        app.host.bus.publish(ClockStepped(1.0))
        await wait_until(lambda: not app.host.health.get().problems, "the problem to be forgotten")


async def test_however_many_strangers_look_the_checks_work_once_and_who_is_known_sees_what_is_now(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("appliance.host.app.HEALTH_S", 3600.0)
    monkeypatch.setattr("appliance.host.app.RECENT_S", 3600.0)
    asked = []

    async def ping() -> str | None:
        asked.append(1)
        return "wrong" if len(asked) > 1 else None

    async def look(actor: Actor) -> list[str]:
        reply = await app.host.routes.dispatch(Request("GET", "/health", actor=actor))
        return [problem.text for problem in reply.value["problems"]]

    async with running([], {}, state_dir=tmp_path) as app:
        await wait_until(lambda: app.host.health.get().as_of, "the first reading")
        app.host.shared.contributions["mine"] = {"health_checks": [HealthCheck("x", ping, remedy="wait")]}
        app.host._looked_s = float("-inf")  # an hour later
        assert await asyncio.gather(*(look(NOBODY) for _ in range(50))) == [[]] * 50
        assert len(asked) == 1
        assert await look(local("ada")) == ["wrong"]
        assert len(asked) == 2
