"""`[plugins.web]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint


class WebConfig(PluginConfig):
    """Where the pages are served and how much one visitor may ask for."""

    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("127.0.0.1:8080",),
        help="Address and port of the pages, one or a list. For now only addresses of this machine itself (loopback) work.",
        restart="plugin",
        locks_out=True,
        examples=["127.0.0.1:8080", ["127.0.0.1:8080", "[::1]:8080"]],
    )
    hosts: tuple[str, ...] = setting(
        (),
        help="Names besides the addresses and localhost by which a browser may call this box; others are refused.",
        restart="plugin",
        locks_out=True,
        examples=[["time.example.org"]],
    )
    max_streams: int = setting(64, help="Live pages that may be open at once.", ge=1, le=1000, advanced=True)
    max_connections: int = setting(
        256, help="Connections at once; more are closed.", ge=8, le=10000, advanced=True, restart="plugin"
    )
    access_log: bool = setting(default=False, help="Write one log line for each request.", live=True)

    @field_validator("listen", "hosts", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value
