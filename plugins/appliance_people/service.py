"""Starts what the plugin is made of, and keeps it in order."""

from __future__ import annotations

import asyncio

from appliance.api.context import RunContext
from appliance.core.routes import RouteTable
from appliance_people.claim import Claim
from appliance_people.people import People
from appliance_people.trail import Trail

_FLUSH_S = 5.0
_SWEEP_S = 3600.0


async def serve(ctx: RunContext) -> None:
    """The plugin's life."""
    people, claim, trail = ctx.get(People), ctx.get(Claim), ctx.get(Trail)
    people.hashing.in_thread = ctx.to_thread
    ctx.on_stop(lambda: setattr(people.hashing, "in_thread", None))
    await people.recall()
    await claim.begin()
    ctx.get(RouteTable).witness = trail
    ctx.every(_FLUSH_S, trail.flush)
    ctx.every(_SWEEP_S, people.sweep)
    # What is compared with where there is no account has to be there before the first stranger comes.
    await people.hashing.matches("", None)
    if not people.claimed:
        code, _ = claim.current()
        ctx.log.warning("this box has no owner yet: open its pages and type the setup code %s", code)
        ctx.log.warning("the code changes every ten minutes; timeball setup code tells the new one")
        ctx.status("no owner yet: timeball setup code")
    else:
        ctx.status(f"{len(people.users)} user{'s' if len(people.users) != 1 else ''}")
    ctx.ready()
    await asyncio.Event().wait()  # until the run ends
