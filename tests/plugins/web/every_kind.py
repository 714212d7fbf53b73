"""Somebody's plugin whose configuration has every kind of key that a form must know; also a drop-in for looking at it."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr, field_validator, model_validator

from appliance import PluginInfo, hookimpl
from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint


class Signal(PluginConfig):
    """A nested table."""

    colour: Literal["red", "green", "white"] = setting("red", help="What ships see.", live=True)
    flashes: int = setting(3, help="In one group.", ge=1, le=9, live=True)
    period_s: float = setting(12.5, help="From group to group.", unit="s", gt=0, le=60, live=True)


class Berth(PluginConfig):
    """A row."""

    name: str = setting(help="As on the chart.", examples=["North quay"], max_length=40)
    depth: float = setting(4.5, help="At the lowest tide.", unit="m", ge=0)
    ships: tuple[str, ...] = setting((), help="Who may moor there.")
    kinds: tuple[Literal["sail", "steam"], ...] = setting(("sail",), help="What may moor there.")
    lit: bool = setting(default=False, help="With a lamp.")
    key: str = setting("", help="For its gate.", secret=True)


class Config(PluginConfig):
    """Every kind of key."""

    name: str = setting(
        "harbour", help="What it is called; never `nowhere`.", live=True, examples=["Cuxhaven"]
    )
    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("127.0.0.1:9",), help="Where it listens.", min_length=1, examples=[["127.0.0.1:9", "[::1]:9"]]
    )
    pilots: int = setting(4, help="How many there are.", ge=1, le=20)
    draught: float = setting(7.25, help="The deepest ship.", unit="m", ge=0.5, le=20, live=True)
    open: bool = setting(default=True, help="Whether anybody may come in.", live=True)
    flag: Literal["none", "blue peter", "quarantine"] = setting("none", help="What is hoisted.", live=True)
    watch: int | None = setting(None, help="A number, or nobody.", ge=1, live=True)
    depths: list[int] = setting(help="Soundings, in order.", default_factory=list, live=True)
    services: tuple[Literal["water", "coal", "post"], ...] = setting(
        ("water",), help="What is offered.", live=True
    )
    password: SecretStr = setting(SecretStr(""), help="For the harbour master.", live=True)
    token: str = setting("", help="For the signal tower.", secret=True, live=True)
    chart: Path = setting(Path("/tmp/chart"), help="A file.", live=True)
    signal: Signal = setting(help="The light.", default_factory=Signal, live=True)
    berth: tuple[Berth, ...] = setting((), help="Where ships moor.", live=True, max_length=20)
    tariff: dict[str, float] = setting(help="Price by cargo.", default_factory=dict, live=True)
    gate: str = setting("open", help="The way in.", locks_out=True)
    spare: float = setting(0.5, help="For emergencies.", advanced=True, live=True)

    @field_validator("name")
    @classmethod
    def _somewhere(cls, value: str) -> str:
        if value == "nowhere":
            raise ValueError("expected a place, such as Cuxhaven")
        return value

    @model_validator(mode="after")
    def _enough(self) -> Any:
        if len(self.berth) > self.pilots:
            raise ValueError(f"{len(self.berth)} berths need as many pilots, and there are {self.pilots}")
        return self


plugin = PluginInfo(id="every", title="Every kind", api=1, config=Config)


@hookimpl
async def run(ctx):
    ctx.ready()
    await asyncio.Event().wait()
