"""`[plugins.web]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint


class WebConfig(PluginConfig):
    """Where the pages are served and how much one visitor may ask for."""

    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("127.0.0.1:8080",),
        help="Address and port of the pages, one or a list. For now only addresses of this machine itself (loopback) work.",
        examples=["127.0.0.1:8080", ["127.0.0.1:8080", "[::1]:8080"]],
    )
    hosts: tuple[str, ...] = setting(
        (),
        help="Names besides the addresses and localhost by which a browser may call this box; others are refused.",
        examples=[["time.example.org"]],
    )
    public: Literal["status", "read"] = setting(
        "status",
        help="What everybody may see who does not sign in: health, scores and the manual, or all that is no secret.",
    )
    trust_loopback: Literal["no", "read", "operate"] = setting(
        "read",
        help="What everybody on this machine itself may do without signing in: nothing special, look, or run the pool.",
    )
    allow_http_admin: bool = setting(
        default=False,
        help="Let people of private networks sign in over plain HTTP, where others on the wire can read along.",
    )
    max_streams: int = setting(64, help="Live pages that may be open at once.", ge=1, le=1000, advanced=True)
    max_connections: int = setting(
        256, help="Connections at once; more are closed.", ge=8, le=10000, advanced=True
    )
    access_log: bool = setting(default=False, help="Write one log line for each request.", live=True)

    @field_validator("listen", "hosts", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value
