"""What the child may say, and nothing else: it has seen hostile packets, so it is believed like a stranger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyAddress, IPvAnyNetwork

from appliance.api.foreign import printable

_NS = Field(ge=0, le=2**62)
_MOST_TEXT = 2200


#: Without what could move a terminal's cursor or turn its direction; pages escape the rest.
_Inert = AfterValidator(printable)
Text = Annotated[str, Field(max_length=_MOST_TEXT), _Inert]


class _FromChild(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class Hello(_FromChild):
    """Its first words: what it has, and what of its confinement is lacking."""

    scapy: Annotated[str, Field(max_length=32), _Inert]
    lacking: Annotated[list[Text], Field(max_length=16)]
    pid: Annotated[int, Field(ge=1)]


class RulesTaken(_FromChild):
    """How many rules it has now."""

    rules: Annotated[int, Field(ge=0, le=10_000)]


class Seen(_FromChild):
    """One alert. `rule` must be one of ours, which who reads it looks up."""

    rule: Annotated[str, Field(max_length=63)]
    who: IPvAnyNetwork
    address: IPvAnyAddress
    key: Annotated[str, Field(max_length=255), _Inert]
    since_ns: Annotated[int, _NS]
    last_ns: Annotated[int, _NS]
    count: Annotated[int, Field(ge=0, le=2**53)]
    exact: bool
    service: Literal["ntp", "dns"]
    sample: Annotated[str, Field(max_length=1024, pattern=r"^([0-9a-f]{2})*$")]
    shown: Text


class _Made(_FromChild):
    alerts: Annotated[list[Seen], Field(max_length=64)]
    more: Annotated[int, Field(ge=0, le=10**9)]
    cpu_s: Annotated[float, Field(ge=0, le=1e9)]
    memory_bytes: Annotated[int, Field(ge=0, le=2**50)]


class Verdict(_Made):
    """What it makes of one batch of packets."""

    packets: Annotated[int, Field(ge=0, le=1_000_000)]


class FileVerdict(_Made):
    """What it makes of a capture file so far: packets judged and others of all pieces, alerts of the last one."""

    packets: Annotated[int, Field(ge=0, le=2**53)]
    others: Annotated[int, Field(ge=0, le=2**53)]
    problem: Text
