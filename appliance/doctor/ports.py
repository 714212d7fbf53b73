"""Is every port ours that we want? If not, who has it, and how is it got back?"""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.model import Level
from appliance.core.port_holder import port_holder
from appliance.dataplane import handed
from appliance.doctor.fixes import FIXES, for_holder
from appliance.doctor.surroundings import Door, Surroundings, threaded

_WHY = {
    53: "Clients that ask this box for the pool's names get no answer, or somebody else's.",
    123: "Clients that ask this box for the time get no answer, or somebody else's.",
}


def checks(around: Surroundings) -> list[HealthCheck]:
    def ports() -> list[Finding]:
        return [finding for door in around.doors if (finding := look(door, around)) is not None]

    return [
        HealthCheck(
            "ports", threaded(ports), Level.FAILING, 15.0, well="every port that is wanted is served, or free",
            why="A port that somebody else holds is a service that nobody gets.",
        )
    ]  # fmt: skip


def look(door: Door, around: Surroundings) -> Finding | None:
    """What keeps the plugin from this door, or None."""
    kind = socket.SOCK_DGRAM if door.protocol == "udp" else socket.SOCK_STREAM
    if door.served or handed.descriptors(door.endpoint, kind):
        return None
    refused = _refusal(door)
    if refused is None:
        return None
    key = f"{door.plugin}-{door.endpoint.port}-{door.protocol}" + ("-v6" if ":" in door.endpoint.host else "")
    why = _WHY.get(door.endpoint.port, f"{door.title} cannot be reached.")
    if refused == errno.EADDRINUSE:
        return _taken(door, around, key, why)
    if refused in (errno.EACCES, errno.EPERM):
        return Finding(
            f"{door.title} may not bind {door}", id=key, why=why, evidence=("ports below 1024 need a privilege",),
            remedy="start it as the service that came with it, or as root with `user` set, or choose a port above 1023",
        )  # fmt: skip
    if refused == errno.EADDRNOTAVAIL:
        return Finding(
            f"{door.title} wants {door}, which is no address of this box", id=key, why=why, evidence=_addresses(),
            remedy=f"correct plugins.{door.plugin}.listen, or give the box that address",
        )  # fmt: skip
    if refused == errno.EAFNOSUPPORT:
        return Finding(
            f"{door.title} wants {door}, and this kernel has no IPv6", id=key, info=True, why=why,
            remedy="nothing has to be done: IPv4 is served",
        )  # fmt: skip
    return Finding(
        f"{door.title} cannot bind {door}: {errno.errorcode.get(refused, refused)}", id=key, why=why
    )


def _refusal(door: Door) -> int | None:
    """The error number of trying to bind, None when it works."""
    family = socket.AF_INET6 if ":" in door.endpoint.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if door.protocol == "udp" else socket.SOCK_STREAM
    host, _, zone = door.endpoint.host.partition("%")
    try:
        with socket.socket(family, kind) as trial:
            if (
                kind == socket.SOCK_STREAM
            ):  # as a server does: not to stumble over connections that have just ended
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                scope = socket.if_nametoindex(zone) if zone else 0
                trial.bind((host, door.endpoint.port, 0, scope))
            else:
                trial.bind((host, door.endpoint.port))
            if kind == socket.SOCK_STREAM:
                trial.listen(1)
    except OSError as error:
        return error.errno or 0
    return None


def _taken(door: Door, around: Surroundings, key: str, why: str) -> Finding:
    beside = handed.advice(door.endpoint, socket.SOCK_DGRAM if door.protocol == "udp" else socket.SOCK_STREAM)
    if beside:
        return Finding(
            f"{door.title} cannot have {door} beside the sockets that were handed over", id=key, why=why, evidence=(beside,),
            remedy=f"correct plugins.{door.plugin}.listen, or the socket's unit",
        )  # fmt: skip
    holder = port_holder(door.endpoint.port, tcp=door.protocol == "tcp", proc=around.proc)
    name = holder.partition(" (")[0]
    known = for_holder(name, door.endpoint.port)
    evidence = (f"{door} is in use" + (f" by {holder}" if holder else ""),)
    if not holder:
        return Finding(
            f"{door.title} wants {door}, which another program holds", id=key, why=why, evidence=evidence,
            remedy="ask again as root, who can see which one it is: sudo timeball doctor",
        )  # fmt: skip
    if known is None:
        return Finding(
            f"{door.title} wants {door}, which {name} holds", id=key, why=why, evidence=evidence,
            remedy=f"stop {name}, or let it listen elsewhere, or change plugins.{door.plugin}.listen",
        )  # fmt: skip
    return Finding(
        f"{door.title} wants {door}, which {known.called} holds", id=key, why=f"{why} {known.about}", evidence=evidence,
        remedy=known.remedy, commands=known.commands, fix=FIXES[known.fix].fix(around) if known.fix else None,
    )  # fmt: skip


def _addresses() -> tuple[str, ...]:
    """This box's addresses, from the kernel's own tables."""
    found = []
    try:
        text = Path("/proc/net/fib_trie").read_text(encoding="ascii")
        four = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", text)
        found += sorted(set(four))
    except OSError:
        pass
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
        found += [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) for line in lines]
    except OSError:
        pass
    return (f"the box has {', '.join(found)}",) if found else ()
