"""Configuration of `[plugins.members]`: declared members, the live check, verification, limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, field_validator, model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance_members import fields
from appliance_members.addresses import canonical_address, canonical_host, canonical_target, endpoint
from appliance_members.trust import PRIVATE_NETWORKS, parse_networks
from appliance_members.zones import canonical_zone

#: One zone may be written without the brackets of a list.
Zones = Annotated[
    tuple[Annotated[str, checked(canonical_zone)], ...],
    BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    AfterValidator(fields.zones),
]
Tags = Annotated[tuple[str, ...], AfterValidator(fields.tags)]
Line = Annotated[str, AfterValidator(fields.line)]


class DeclaredMember(PluginConfig):
    """One `[[plugins.members.member]]`."""

    address: str = setting(
        "", help="IPv4 or IPv6 address, or a host name that is looked up.", examples=["192.0.2.11"]
    )
    name: str = setting(
        "", help="Host name. Without an address it is looked up; beside one it is only shown."
    )
    port: int = setting(
        123, help="UDP port that is probed; clients of the pool always use 123.", ge=1, le=65535
    )
    netspeed: int = setting(
        1000,
        help="Relative weight in the answers; 0 is watched but never answered.",
        unit="kbit",
        ge=0,
        le=fields.MAX_NETSPEED,
    )
    zones: Zones = setting(
        ("@",), help='Zones it is in; "@" is the pool itself, "rack1.berlin" lies below it.'
    )
    tags: Tags = setting((), help="Free words for searching.")
    operator: Line = setting("", help="Who runs it; one answer avoids two members of one operator.")
    note: Line = setting("", help="Free text, one line.")
    paused: bool = setting(default=False, help="Watched but not answered.")

    @field_validator("address", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return value
        address, name = canonical_target(value)
        return address or name

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return canonical_host(value) if value else ""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.address and not self.name:
            raise ValueError('a member needs an address, such as address = "192.0.2.11"')
        if self.host and self.name and self.host != self.name:
            raise ValueError(
                f"address {self.address!r} and name {self.name!r} are two different names; give one"
            )
        return self

    @property
    def host(self) -> str:
        """The name that must be looked up, or "" when there is an address."""
        try:
            canonical_address(self.address)
        except ValueError:
            return self.address or self.name
        return ""


class AdmissionSettings(PluginConfig):
    """`[plugins.members.admission]`: the live check before a member is accepted."""

    attempts: int = setting(3, help="How often an unanswered request is repeated.", live=True, ge=1, le=10)
    max_stratum: int = setting(
        10, help="Highest stratum that is accepted; the NTP Pool wants 1 to 5.", live=True, ge=1, le=15
    )
    max_offset_s: float = setting(
        1.0, help="Largest offset that is accepted, plus half the round trip.", unit="s", live=True, gt=0
    )


class VerificationSettings(PluginConfig):
    """`[plugins.members.verify]`: who has to prove that a server is theirs."""

    trusted_networks: tuple[str, ...] = setting(
        PRIVATE_NETWORKS, help="Networks whose members need no proof; by default the private ones.", live=True
    )
    trust_console: bool = setting(
        default=True,
        help="Members added over the admin socket need no proof: whoever can do that owns the machine.",
        live=True,
    )
    methods: tuple[Literal["http", "txt"], ...] = setting(
        ("http", "txt"), help="Proofs that are offered besides an administrator's word.", live=True
    )
    token_hours: float = setting(
        72.0, help="How long a token for a proof is good.", unit="h", live=True, gt=0, le=720
    )

    @field_validator("trusted_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network) for network in parse_networks(value))


class Config(PluginConfig):
    """`[plugins.members]`."""

    member: tuple[DeclaredMember, ...] = setting(
        (), help="Members that belong to this file; more can be added at run time.", live=True
    )
    removal_grace_days: float = setting(
        14.0,
        help="A member leaves the answers so long before its scheduled removal.",
        unit="d",
        live=True,
        ge=0,
        le=365,
    )
    resolve_interval_s: float = setting(
        3600.0,
        help="How often the host names of members are looked up again.",
        unit="s",
        live=True,
        ge=10,
        advanced=True,
    )
    name_grace_hours: float = setting(
        24.0,
        help="How long a declared name's old address stays after DNS dropped it.",
        unit="h",
        live=True,
        ge=0,
        advanced=True,
    )
    max_members: int = setting(
        20_000, help="The most members that are taken.", live=True, ge=1, advanced=True
    )
    max_members_each: int = setting(
        100,
        help="The most servers that one person with the role member may have.",
        live=True,
        ge=0,
        advanced=True,
    )
    admission: AdmissionSettings = setting(
        help="The live check before a member is accepted.", live=True, default_factory=AdmissionSettings
    )
    verify: VerificationSettings = setting(
        help="Who has to prove that a server is theirs.", live=True, default_factory=VerificationSettings
    )

    @field_validator("member")
    @classmethod
    def _each_once(cls, members: tuple[DeclaredMember, ...]) -> tuple[DeclaredMember, ...]:
        first: dict[tuple[str, int], int] = {}
        twice = []
        for number, member in enumerate(members, 1):
            key = (member.host or member.address, member.port)
            if key in first:
                twice.append(f"{endpoint(*key)} stands in entries {first[key]} and {number}")
            first.setdefault(key, number)
        if twice:
            raise ValueError("; ".join(twice) + ": leave one of them")
        return members
