"""Can clients reach us over both families?"""

from __future__ import annotations

import ipaddress
import socket

from appliance.api.contrib import Finding, HealthCheck
from appliance.doctor.surroundings import Surroundings, threaded


def checks(around: Surroundings) -> list[HealthCheck]:
    def six() -> Finding | None:
        return without_ipv6(around)

    return [
        HealthCheck(
            "ipv6", threaded(six), well="IPv6 is there, or not asked for",
            why="Clients with IPv6 only, many telephones among them, cannot reach a box without it.",
        )
    ]  # fmt: skip


def without_ipv6(around: Surroundings) -> Finding | None:
    """Wanted on all addresses, and the box has none that others could reach."""
    wanted = [door for door in around.doors if door.endpoint.host == "::"]
    if not wanted:
        return None
    try:
        lines = (around.proc / "net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return Finding(
            "this kernel has no IPv6", info=True, id="none", evidence=("/proc/net/if_inet6 is not there",),
            remedy="nothing has to be done: IPv4 is served",
        )  # fmt: skip
    found = [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
    usable = [a for a in found if not a.is_loopback and not a.is_link_local]
    evidence = (f"addresses: {', '.join(map(str, found)) or 'none'}",)
    if not usable:
        return Finding(
            f"{' and '.join(sorted({d.title for d in wanted}))} listen on IPv6, but this box has no address that others could "
            "reach", info=True, id="address", evidence=evidence, remedy="switch IPv6 on in the router, or leave [::] out",
        )  # fmt: skip
    if any(a.is_global for a in usable) and not _routed():
        return Finding(
            "this box has a global IPv6 address and no route for it", id="route", evidence=evidence,
            remedy="look at the router: it gives addresses, but does not say that it forwards",
            commands=("ip -6 route",),
        )  # fmt: skip
    return None


def _routed() -> bool:
    """Whether the kernel knows a way to a global address; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.connect(("2001:500:2f::f", 53))
    except OSError:
        return False
    return True
