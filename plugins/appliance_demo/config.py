"""Which members are simulated, and what each does wrong."""

from __future__ import annotations

import ipaddress

from pydantic import field_validator

from appliance.api.config import PluginConfig, setting
from appliance_demo.fault import Fault


class SimulatedMember(Fault):
    """One simulated server: its address and, if any, its fault."""

    address: str = setting(help="IPv4 loopback address it answers on.", examples=["127.0.0.11"])

    @field_validator("address")
    @classmethod
    def _is_loopback(cls, value: str) -> str:
        try:
            loopback = ipaddress.IPv4Address(value).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(f"expected an IPv4 loopback address such as 127.0.0.11, got {value!r}")
        return value

    def fault(self) -> Fault:
        """The behaviour alone."""
        return Fault(**self.model_dump(exclude={"address"}))


def _three() -> tuple[SimulatedMember, ...]:
    return (
        SimulatedMember(address="127.0.0.11"),
        SimulatedMember(address="127.0.0.12"),
        SimulatedMember(address="127.0.0.13", offset_s=0.3),
    )


class DemoConfig(PluginConfig):
    """`[plugins.demo]`."""

    port: int = setting(11124, help="UDP port that all simulated members share.", ge=0, le=65535)
    member: tuple[SimulatedMember, ...] = setting(
        default_factory=_three,
        help="The simulated members; without any, three of which the last is 300 ms wrong.",
    )
