"""Whether the world finds the zone: what its parent should say, and what the configured resolver makes of it.

Nothing is asked until somebody wants to know, and then only the machine's own resolver, twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from appliance.wire.dns import is_below, name_text
from appliance_dns.zone import Zone, name_servers

if TYPE_CHECKING:
    import dns.message

TIMEOUT_S = 2.0
#: A second look within this time is answered with the first.
FRESH_S = 15.0
#: TTL that parents commonly give a delegation.
_PARENT_TTL_S = 3600
#: Names that no parent in the Internet will ever delegate (RFC 6761, 6762, 8375, 9476 and ICANN's .internal).
_PRIVATE = (
    "home.arpa",
    "local",
    "internal",
    "test",
    "lan",
    "localhost",
    "invalid",
    "example",
    "onion",
    "alt",
)

State = Literal["unknown", "private", "missing", "differs", "ok"]
#: Asks the resolver for (name, type); raises OSError or TimeoutError when it cannot be had.
Ask = Callable[[str, str], Awaitable["dns.message.Message"]]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the world found.

    Attributes:
        said: one sentence.
        resolver: which was asked, or "".
        seen: names of the name servers that it tells, sorted, without the last dot.
        serial: of the SOA record that it tells, or None.
        ts: epoch seconds.
    """

    state: State
    said: str
    resolver: str = ""
    seen: tuple[str, ...] = ()
    serial: int | None = None
    ts: float = 0.0


def expected(zone: Zone) -> list[str]:
    """The lines that the parent zone needs: one NS record for each name server, and glue for those inside the zone."""
    apex = zone.snapshot.zone
    lines, glue = [], []
    for name, server in name_servers(zone.plan):
        lines.append(f"{name_text(apex)}. {_PARENT_TTL_S} IN NS {name_text(name)}.")
        if is_below(name, apex):
            glue += [
                f"{name_text(name)}. {_PARENT_TTL_S} IN {'AAAA' if ':' in address else 'A'} {address}"
                for address in server.addresses
            ]
    return lines + glue


def forwarding(zone: Zone) -> list[tuple[str, str]]:
    """How a resolver of one's own is sent here for this zone, without any parent: (program, lines)."""
    name = zone.plan.config.zone
    port = next((e.port for e in zone.plan.config.endpoints() if e.port), 53)
    found = [a for _, server in name_servers(zone.plan) for a in server.addresses]
    address = next((a for a in found if ":" not in a), found[0] if found else "ADDRESS")
    at = "" if port == 53 else f"@{port}"
    return [
        (
            "Unbound",
            f'server:\n  domain-insecure: "{name}"\nstub-zone:\n  name: "{name}"\n  stub-addr: {address}{at}',
        ),
        ("dnsmasq, Pi-hole", f"server=/{name}/{address}{'' if port == 53 else f'#{port}'}"),
        ("BIND", f'zone "{name}" {{ type static-stub; server-addresses {{ {address}; }}; }};'),
    ]


def is_private(zone_name: str) -> bool:
    """Whether a name is one of those that are never delegated."""
    labels = zone_name.lower().rstrip(".")
    return any(labels == name or labels.endswith(f".{name}") for name in _PRIVATE)


async def look(zone: Zone, ask: Ask, resolver: str, now: float) -> Look:
    """Ask the resolver for the zone's NS and SOA records and judge what it says."""
    import dns.exception

    name = zone.plan.config.zone
    wanted = tuple(sorted(name_text(n).rstrip(".") for n, _ in name_servers(zone.plan)))
    if not resolver:
        return Look(_unseen(name), f"This machine has no resolver configured{_or_private(name)}.", ts=now)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            servers, soa = await asyncio.gather(ask(name, "NS"), ask(name, "SOA"))
    except (OSError, TimeoutError, dns.exception.DNSException):
        said = f"The resolver {resolver} does not answer: offline, or it cannot reach the zone's name servers"
        return Look(_unseen(name), f"{said}{_or_private(name)}.", resolver, ts=now)
    seen = _names(servers)
    serial = _serial(soa)
    if not seen:
        if is_private(name):
            said = f"{name} is a private name, which no parent delegates: resolvers have to be sent here, see below."
            return Look("private", said, resolver, ts=now)
        said = f"The resolver {resolver} does not know {name}: its parent zone does not delegate it, or not rightly."
        return Look("missing", said, resolver, ts=now)
    if seen != wanted:
        more, less = sorted(set(seen) - set(wanted)), sorted(set(wanted) - set(seen))
        parts = [f"it also names {', '.join(more)}"] if more else []
        parts += [f"it does not name {', '.join(less)}"] if less else []
        said = (
            f"The resolver {resolver} sees other name servers than the configuration has: {'; '.join(parts)}."
        )
        return Look("differs", said, resolver, seen, serial, now)
    said = f"The resolver {resolver} finds the zone with its name servers"
    behind = serial is not None and serial != zone.snapshot.serial
    more_said = (
        f", at serial {serial} (ours is {zone.snapshot.serial}; caches may be behind)" if behind else ""
    )
    return Look("ok", f"{said}{more_said}.", resolver, seen, serial, now)


def _unseen(name: str) -> State:
    return "private" if is_private(name) else "unknown"


def _or_private(name: str) -> str:
    return f"; {name} is a private name anyway, which no parent delegates" if is_private(name) else ""


def _names(reply: dns.message.Message) -> tuple[str, ...]:
    import dns.rdatatype

    found = [
        str(r.target).rstrip(".").lower() for g in reply.answer if g.rdtype == dns.rdatatype.NS for r in g
    ]
    return tuple(sorted(found))


def _serial(reply: dns.message.Message) -> int | None:
    import dns.rdatatype

    return next((int(r.serial) for g in reply.answer if g.rdtype == dns.rdatatype.SOA for r in g), None)


def system_resolver() -> tuple[str, int]:
    """Address and port of the machine's first resolver; ("", 0) when none is configured."""
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver()
    except (dns.resolver.NoResolverConfiguration, OSError):
        return "", 0
    servers = [str(server) for server in resolver.nameservers]
    return (servers[0], resolver.port) if servers else ("", 0)


def asking(address: str, port: int) -> Ask:
    """Asks one resolver over UDP, and over TCP when the answer is too long for that."""

    async def ask(name: str, rrtype: str) -> dns.message.Message:
        import dns.asyncquery
        import dns.message

        query = dns.message.make_query(name, rrtype)
        reply, _ = await dns.asyncquery.udp_with_fallback(query, address, timeout=TIMEOUT_S, port=port)
        return reply

    return ask


class Delegation:
    """The last look, and a new one on request."""

    def __init__(self, resolver: Callable[[], tuple[str, int]] = system_resolver) -> None:
        self._resolver = resolver
        self._last: Look | None = None
        self._looking = asyncio.Lock()

    async def told(self, zone: Zone, now: float, *, anew: bool) -> dict[str, Any]:
        """What the parent should say, and the last look or (with `anew`) a fresh one."""
        if anew:
            async with self._looking:
                if self._last is None or not 0 <= now - self._last.ts < FRESH_S:
                    address, port = self._resolver()
                    self._last = await look(zone, asking(address, port), address, now)
        return {
            "zone": zone.plan.config.zone,
            "private": is_private(zone.plan.config.zone),
            "parent": expected(zone),
            "forwarding": [{"program": program, "lines": lines} for program, lines in forwarding(zone)],
            "look": asdict(self._last) if self._last is not None else None,
        }
