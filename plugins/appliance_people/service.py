"""Starts what the plugin is made of, and keeps it in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from appliance.api.actor import local
from appliance.api.context import RunContext
from appliance.api.errors import ApiError
from appliance.api.events import ClockStepped
from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request, RouteTable
from appliance_people import preseed
from appliance_people.claim import Claim
from appliance_people.config import PeopleConfig
from appliance_people.people import People
from appliance_people.trail import Trail
from appliance_people.users import Users

_FLUSH_S = 5.0
_REFUSALS_S = 1.0
#: Whether the audit trail is due to be verified; the first time some minutes after the start, which has enough to do.
_VERIFY_S = 300.0
_SWEEP_S = 3600.0
_TOLD_S = 2.0
_PRESEED = local("preseed")
#: In the plugin's own folder: what the box was told at its first start, handed over once, and gone after that.
HANDED_OVER = "preseed.toml"


async def serve(ctx: RunContext) -> None:
    """The plugin's life."""
    config: PeopleConfig = ctx.config
    people, claim, trail = ctx.get(People), ctx.get(Claim), ctx.get(Trail)
    await people.recall()
    settings = await _take_preseed(ctx, config)
    await claim.begin()
    ctx.every(_FLUSH_S, trail.flush)
    ctx.every(_REFUSALS_S, trail.write_refusals)
    ctx.every(_VERIFY_S, trail.verify_when_due)
    ctx.every(_SWEEP_S, people.sweep)
    ctx.spawn("steps of the clock", _follow_steps(ctx, people))
    if not people.claimed:
        code, _ = claim.current()
        ctx.log.warning("this box has no owner yet: open its pages and type the setup code %s", code)
        ctx.log.warning("the code changes every ten minutes; timeball setup code tells the new one")
    ctx.status(_summary(people))
    ctx.every(_TOLD_S, lambda: ctx.status(_summary(people)))
    ctx.ready()
    if settings:
        await _configure(ctx, settings)
    try:
        await asyncio.Event().wait()  # until the run ends
    finally:
        await trail.write_refusals(end=True)


def _summary(people: People) -> str:
    """Whether anybody owns the box, and how many users there are."""
    if not people.claimed:
        return "no owner yet: timeball setup code"
    return f"{len(people.users)} user{'s' if len(people.users) != 1 else ''}"


async def _follow_steps(ctx: RunContext, people: People) -> None:
    with ctx.subscribe(ClockStepped) as steps:
        async for step in steps:
            await people.stepped(step.step_s)


async def _take_preseed(ctx: RunContext, config: PeopleConfig) -> dict[str, object]:
    """Make the owner that the file names, and take its secrets away; returns the settings that it wants."""
    people, trail = ctx.get(People), ctx.get(Trail)
    settings: dict[str, object] = {}
    handed = ctx.state_dir / HANDED_OVER
    given = None if config.preseed or handed.is_file() else preseed.credential()
    file = given or (Path(config.preseed) if config.preseed else handed)
    try:
        found = await ctx.to_thread(preseed.read, file)
        if found is None:
            return {}
        if found.owner is not None and not people.claimed:
            owner = found.owner
            user = await Users(people).add_user(
                _PRESEED, owner.name, "owner", owner.password, password_hash=owner.password_hash
            )
            await trail.write(actor=_PRESEED.name, action="preseed", target=user.name)
            ctx.log.warning("the box has an owner now: %r, from %s", user.name, file)
            settings = found.settings()
        elif found.owner is None and file == handed:
            settings = found.settings()
    except preseed.Wrong as wrong:
        ctx.log.error("the preseed file was not used: %s", wrong)
    except ApiError as error:
        ctx.log.error("the preseed file was not used: %s: owner: %s", file, error)
    if file == handed:
        with contextlib.suppress(OSError):
            await ctx.to_thread(file.unlink)
    # A credential is the service manager's, in memory, and cannot be written.
    elif people.claimed and not given:
        try:
            if await ctx.to_thread(preseed.scrub, file):
                ctx.log.warning("the password was taken out of %s", file)
        except OSError as error:
            ctx.log.error(
                "the password still stands in %s, which cannot be written: %s", file, error.strerror
            )
    return settings


async def _configure(ctx: RunContext, settings: dict[str, object]) -> None:
    """Write the pool's name and the roles as an owner would; what is refused is told, and the box runs on as it is."""
    body = json.dumps({"set": settings}).encode()
    reply = await ctx.get(RouteTable).dispatch(
        Request("PATCH", "/api/v1/config", content=body, actor=_PRESEED)
    )
    if isinstance(reply, Reply) and reply.status >= 300:
        why, fields = refusal(reply)
        detail = "".join(f"; {key}: {text}" for key, text in fields.items())
        ctx.log.error("the preseed file's name and roles were not taken: %s%s", why, detail)
