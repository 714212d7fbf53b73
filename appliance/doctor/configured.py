"""Settings that are valid and still unwise, and such as are not in force."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.model import Level
from appliance.core.config import ENV_PREFIX
from appliance.dataplane.interface import Endpoint
from appliance.doctor.surroundings import Surroundings

_KNOWN = ("APPLIANCE__", "PLUGINS__", "STATE_DIR")


def checks(around: Surroundings) -> list[HealthCheck]:
    async def waiting() -> Finding | None:
        if around.refused:
            return Finding(
                "the configuration files have mistakes: the next start fails", id="refused",
                evidence=around.refused[:10],
                remedy="correct them before anything restarts; what runs now goes on with what it read before",
                commands=("timeball check --config /etc/timeball/config.toml",),
            )  # fmt: skip
        keys = around.on_disk()
        if not keys:
            return None
        return Finding(
            f"{len(keys)} setting{'s' if len(keys) > 1 else ''} in the files {'are' if len(keys) > 1 else 'is'} not in force",
            evidence=tuple(keys), remedy="start it again, or reload what can be reloaded",
            commands=("systemctl reload timeball", "systemctl restart timeball"),
        )  # fmt: skip

    async def variables() -> list[Finding]:
        strange = [
            n
            for n in os.environ
            if n.startswith(ENV_PREFIX) and not n.removeprefix(ENV_PREFIX).startswith(_KNOWN)
        ]
        return [
            Finding(f"the environment variable {name} does nothing", id=name.lower(), evidence=(f"{name} is set",),
                    remedy=f"variables look like {ENV_PREFIX}PLUGINS__DNS__TTL; correct or remove it")
            for name in sorted(strange)
        ]  # fmt: skip

    async def world() -> Finding | None:
        return open_to_the_world(around)

    async def glue() -> Finding | None:
        return names_without_glue(around)

    async def root() -> Finding | None:
        return as_root(around)

    return [
        HealthCheck("settings in force", waiting, well="what the files say is in force",
                    why="What you read in the files is not what the box does."),
        HealthCheck("environment", variables, well="no variable is misspelt",
                    why="A setting that somebody meant to make is not made."),
        HealthCheck("open to the world", world, well="strangers are limited, or there are none",
                    why="Without a limit, one client can take all the capacity, and forged requests make the box shoot at others."),
        HealthCheck("name servers", glue, well="the zone's name servers can be found",
                    why="Resolvers that follow the delegation need an address for each name server, or they ask nobody."),
        HealthCheck("privileges", root, Level.DEGRADED, well="it does not run as root",
                    why="A fault in a program that runs as root is a fault of the whole box."),
    ]  # fmt: skip


def open_to_the_world(around: Surroundings) -> Finding | None:
    """Time for everybody on public addresses and no limit for each client."""
    ntp: Any = around.config.plugins.get("ntp")
    if ntp is None or not {"0.0.0.0/0", "::/0"} & set(getattr(ntp, "allow", ())):
        return None
    hosts = [Endpoint.parse(text).host.partition("%")[0] for text in ntp.listen]
    if all(_private(host) for host in hosts):
        return None
    if getattr(getattr(ntp, "rate_limit", None), "enabled", True):
        return None
    return Finding(
        "time is served to everybody, with no limit for a single client", id="unlimited",
        evidence=(f"plugins.ntp.allow = {list(ntp.allow)}", "no rate limit is set"),
        remedy="set a rate limit, or allow your own networks only",
    )  # fmt: skip


def names_without_glue(around: Surroundings) -> Finding | None:
    """A name server inside the zone without an address."""
    dns: Any = around.config.plugins.get("dns")
    if dns is None:
        return None
    bare = [
        server.name for server in getattr(dns, "ns", ())
        if not server.addresses and ("." not in server.name or server.name.endswith(f".{dns.zone}"))
    ]  # fmt: skip
    if not bare:
        return None
    return Finding(
        f"name server{'s' if len(bare) > 1 else ''} {', '.join(bare)} of {dns.zone} ha{'ve' if len(bare) > 1 else 's'} no address",
        level=Level.FAILING, id="glue", evidence=(f"plugins.dns.ns names {', '.join(bare)} without addresses",),
        remedy="give each its `addresses`, and the same ones to whoever runs the zone above",
    )  # fmt: skip


def as_root(around: Surroundings) -> Finding | None:
    """Only where an appliance runs: a doctor that was started with sudo says nothing about it."""
    if not around.running or not around.is_root:
        return None
    return Finding(
        "it runs as root",
        info=True, id="root", evidence=(f"user {os.geteuid()}",),
        remedy='set `user = "timeball"` under [appliance]: it keeps only the right to bind ports below 1024',
    )  # fmt: skip


def _private(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return not address.is_unspecified and (address.is_private or address.is_loopback)
