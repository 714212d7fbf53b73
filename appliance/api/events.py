"""Facts on the bus: each says that something happened, once."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.api.model import Member, PluginStatus, ScoredProbe, Verdict


@dataclass(frozen=True, slots=True)
class ProbeFinished:
    """A member was probed and scored."""

    scored: ScoredProbe


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """A member entered or left the pool."""

    member: Member
    before: Verdict | None
    after: Verdict


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """The registry changed: `action` is "added", "changed" or "removed"."""

    member: Member
    action: str


@dataclass(frozen=True, slots=True)
class AccountRemoved:
    """A user is gone, and the account with it; it never comes back."""

    account: str


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The system clock jumped by `step_s` seconds against monotonic time."""

    step_s: float


@dataclass(frozen=True, slots=True)
class PluginChanged:
    """A plugin changed its state."""

    status: PluginStatus


@dataclass(frozen=True, slots=True)
class AnswersChanged:
    """The DNS answer table was rebuilt: `serial` is the new SOA serial."""

    serial: int
    members_in: int
    members_out: int


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """The configuration was changed, or what was changed was judged.

    Attributes:
        change: its number in the history.
        state: "watching", "waiting" (to be confirmed), "kept", "reverted".
        actor: who changed it.
        keys: what.
        why: it was taken back.
    """

    change: int
    state: str
    actor: str
    keys: tuple[str, ...]
    why: str = ""
