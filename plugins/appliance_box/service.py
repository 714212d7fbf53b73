"""The plugin's life: says what it runs on."""

from __future__ import annotations

import asyncio

from appliance.api.context import RunContext
from appliance_box import operations
from appliance_box.image import read_image, slot


async def serve(ctx: RunContext) -> None:
    """Until the run ends."""
    image = await ctx.to_thread(read_image, operations.ROOT)
    if image is None:
        ctx.status("no image of ours: the system's own tools manage host name, network and SSH")
    else:
        place = slot(operations.ROOT)
        ctx.status(f"{image.id} {image.version}" + (f", system {place}" if place else ""))
    ctx.ready()
    await asyncio.Event().wait()
