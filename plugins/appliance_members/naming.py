"""Host names of members: looked up now and then, and what follows when the answer changes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from appliance_members.addresses import canonical_address, endpoint
from appliance_members.config import DeclaredMember
from appliance_members.registry import Entry, Registry

#: A name with more addresses than this is a mistake, or somebody's attempt to fill the registry.
MAX_ADDRESSES: Final = 16
_LOOKUP_S: Final = 10.0

#: Gives the canonical addresses of a host name; raises OSError when it has none or nobody answers.
HostLookup = Callable[[str], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class NameState:
    """What is known about one name.

    Attributes:
        addresses: of the last lookup that worked.
        seen: epoch second at which each address was last among them.
        error: why the last lookup failed, "" when it worked.
        looked_at: epoch seconds of the last lookup.
        answered_at: epoch seconds of the last one that worked.
    """

    addresses: tuple[str, ...] = ()
    seen: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    looked_at: float = 0.0
    answered_at: float = 0.0

    def answered(self, addresses: Sequence[str], former: Iterable[str], now: float) -> NameState:
        """After a lookup that worked; `former` are addresses held by this name whose last sight nobody remembers."""
        seen = {**dict.fromkeys(former, now), **self.seen, **dict.fromkeys(addresses, now)}
        return NameState(tuple(addresses), seen, "", now, now)

    def failed(self, error: str, now: float) -> NameState:
        return replace(self, error=error, looked_at=now)


async def lookup_host(name: str) -> list[str]:
    """The canonical A and AAAA addresses of `name` that a member can have, from the system's resolver.

    Raises:
        OSError: it has none, or nobody answered in time.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOKUP_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except TimeoutError:
        raise OSError(f"{name} could not be looked up: no answer within {_LOOKUP_S:.0f} s") from None
    except OSError as error:
        raise OSError(f"{name} could not be looked up: {error.strerror or error}") from None
    return usable(name, (str(sockaddr[0]) for *_, sockaddr in found))


def usable(name: str, texts: Iterable[str]) -> list[str]:
    """Those addresses of a name that a member can have, each once, at most `MAX_ADDRESSES`.

    Raises:
        OSError: none is left.
    """
    good: dict[str, None] = {}
    why = "it has no address"
    for text in texts:
        try:
            good[canonical_address(text)] = None
        except ValueError as error:
            why = str(error)
    if not good:
        raise OSError(f"{name}: {why}")
    return list(good)[:MAX_ADDRESSES]


def wanted_entries(
    declared: Sequence[DeclaredMember],
    names: Mapping[str, NameState],
    registry: Registry,
    grace_s: float,
) -> list[Entry]:
    """The declared members as entries: literal addresses as they stand, names by their last known addresses.

    Nothing is lost to a resolver that fails: a name keeps the members that it had. An address that DNS no longer
    gives for a name stays for `grace_s` seconds more, because answers may rotate. And a name never takes over a
    member that stands there in its own right: whoever controls DNS must not be able to rewrite it.
    """
    entries: dict[tuple[str, int], Entry] = {}
    holders = registry.by_endpoint()
    for member in declared:
        if not member.host:
            entries[member.address, member.port] = _entry(member, member.address, member.name)
    for member in declared:
        if not member.host:
            continue
        state = names.get(member.host, NameState())
        for address in _known_addresses(member, state, registry, grace_s):
            holder = holders.get((address, member.port))
            if holder is not None and not holder.declared:
                continue
            entries.setdefault((address, member.port), _entry(member, address, member.host))
    return list(entries.values())


def _known_addresses(
    member: DeclaredMember, state: NameState, registry: Registry, grace_s: float
) -> list[str]:
    former = [
        e.address
        for e in registry.entries.values()
        if e.declared and e.name == member.host and e.port == member.port and e.address not in state.addresses
    ]
    if state.addresses:
        former = [a for a in former if state.answered_at - state.seen.get(a, state.answered_at) < grace_s]
    return [*state.addresses, *former]


def _entry(member: DeclaredMember, address: str, name: str) -> Entry:
    return Entry(
        id="", address=address, port=member.port, name=name, netspeed=member.netspeed, zones=member.zones,
        tags=member.tags, operator=member.operator, note=member.note, paused=member.paused,
    )  # fmt: skip


def name_warnings(address: str, name: str, names: Mapping[str, NameState]) -> list[str]:
    """What deserves a word about a member's name."""
    state = names.get(name)
    # A name that DNS does not know at all may be a mere label; only one that points elsewhere is worth a word.
    if state is not None and state.addresses and address not in state.addresses:
        return [f"{name} no longer points here but to {', '.join(state.addresses)}"]
    return []


def pending_names(
    declared: Sequence[DeclaredMember], names: Mapping[str, NameState], registry: Registry
) -> list[str]:
    """Declared names that have no member at all yet, each with the reason."""
    held = {(e.name, e.port) for e in registry.entries.values() if e.declared}
    return [
        f"{endpoint(member.host, member.port)}: {names.get(member.host, NameState()).error or 'being looked up'}"
        for member in declared
        if member.host and (member.host, member.port) not in held
    ]
