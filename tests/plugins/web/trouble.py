"""Somebody's plugin in every kind of trouble: its run ends, its card and its check raise, its page breaks."""

from __future__ import annotations

from typing import Any, NoReturn

from appliance import PluginInfo, hookimpl
from appliance.api.contrib import HealthCheck, Menu, Panel, Route

plugin = PluginInfo(id="trouble", title="Trouble <b>&amp; strife</b>", api=1)


async def broken(*_asked: Any) -> NoReturn:
    raise RuntimeError("a fault with <script>alert(1)</script> in it")


@hookimpl
def routes(ctx: Any) -> list[Route]:
    return [Route("GET", "/trouble", broken, scope="read", page=True, menu=Menu("Trouble", "pool"))]


@hookimpl
def panels(ctx: Any) -> list[Panel]:
    return [Panel("trouble", "Trouble", broken)]


@hookimpl
def health_checks(ctx: Any) -> list[HealthCheck]:
    return [HealthCheck("trouble", broken)]


@hookimpl
async def run(ctx: Any) -> None:
    await broken()
