"""A clock that is set by years, forward and back, while people are signed in and history is kept."""

from __future__ import annotations

import pytest

from appliance.api.events import ClockStepped
from tests.plugins.people.bed import box
from tests.support.wait import wait_for

YEAR_S = 365 * 86_400.0
DAY_S = 86_400.0


async def jump(bed, by_s: float) -> None:
    """As the clock's plugin tells it."""
    bed.clock.wall_offset_ns += int(by_s * 1e9)
    before = {s.id: s.seen for s in bed.people.sessions.values()}
    bed.app.host.bus.publish(ClockStepped(by_s))
    await wait_for(
        lambda: all(s.seen != before[s.id] for s in bed.people.sessions.values() if s.id in before),
        "people to take note",
    )


@pytest.mark.parametrize("by_s", [YEAR_S, 12 * YEAR_S, -2 * DAY_S, -8 * YEAR_S])
async def test_who_is_signed_in_stays_it_and_tokens_go_on(tmp_path, by_s) -> None:
    """A board without a clock is set by years when a network comes, maybe in the middle of the setup."""
    async with box(tmp_path) as bed:
        ada = await bed.owner()
        made = await ada.post("/api/v1/tokens", {"label": "job", "scopes": ["users:read"], "days": 30})
        assert made.status == 201, made.value
        job = bed.visitor()
        job.bearer = made.value["token"]
        await jump(bed, by_s)
        assert (await job.get("/api/v1/users")).status == 200
        assert (await ada.get("/api/v1/users")).status == 200
        await jump(bed, -by_s)
        assert (await ada.get("/api/v1/users")).status == 200
        # It ends as any other does: half an hour after the last request.
        await bed.clock.advance(31 * 60)
        assert (await ada.get("/api/v1/users")).status == 401


async def test_a_session_from_before_the_start_is_not_made_longer(tmp_path) -> None:
    """The clock was right when it was last seen, and has stood since: it is over, and a step does not wake it."""
    async with box(tmp_path) as bed:
        ada = await bed.owner()
        (session,) = bed.people.sessions.values()
        bed.people.sessions[session.id] = session.moved(
            -2 * 3600.0
        )  # seen two hours ago, the box was started meanwhile
        bed.clock.wall_offset_ns += int(YEAR_S * 1e9)
        bed.app.host.bus.publish(ClockStepped(YEAR_S))
        await bed.clock.advance(1)
        assert (await ada.get("/api/v1/users")).status == 401


async def test_small_steps_write_nothing(tmp_path) -> None:
    async with box(tmp_path) as bed:
        await bed.owner()
        (before,) = bed.people.sessions.values()
        bed.clock.wall_offset_ns += 2_000_000_000
        bed.app.host.bus.publish(ClockStepped(2.0))
        await bed.clock.advance(1)
        assert next(iter(bed.people.sessions.values())) == before
