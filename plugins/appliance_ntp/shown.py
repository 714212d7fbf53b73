"""What the time service contributes to the overview page, to /metrics and to /health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from appliance.api.contrib import HealthCheck, Metric, Panel
from appliance.api.model import Level
from appliance.core.figures import percent
from appliance.dataplane.interface import Action
from appliance_ntp.service import NtpService
from appliance_ntp.view import REASONS, authenticated, clients_verdict, interleaved, verdict

#: A service that lets more than this share of its requests wait too long is too slow for its clients.
_TOO_MANY_LATE = 0.01


def panel(service: NtpService) -> Panel:
    """The card "Time service"."""

    async def data() -> Mapping[str, Any]:
        level, words = verdict(service)
        tally = service.tally
        outcomes = tally.outcomes()
        refused = {pair: count for pair, count in outcomes.items() if pair[1] is not Action.REPLY}
        facts = [
            ["Listens on", ", ".join(str(endpoint) for endpoint in service.endpoints()) or "nothing"],
            ["Replies a second", f"{tally.rate('replied', 10):.1f}"],
            ["Replies since the start", f"{sum(outcomes.values()) - sum(refused.values()):,}"],
            ["Not answered", f"{sum(refused.values()):,}"],
            ["Data plane", f"{service.plane.name} ({service.plane.why})"],
            ["Threads for each address", f"{service.plane.workers}"],
        ]
        if service.plane.faster:
            facts.append(["Faster", service.plane.faster])
        if tally.server:
            facts.append(["Sandbox of the packet threads", str(tally.server.sandbox)])
        if refused:
            (reason, _), count = max(refused.items(), key=lambda item: item[1])
            facts.insert(4, ["Most of them", f"{REASONS[reason]} ({count:,})"])
        facts.insert(4, ["Clients", clients_verdict(tally.remembered())])
        results, told = authenticated(tally), interleaved(service)["replies"]
        if service.keys.path:
            wrong = sum(results.values()) - results["ok"]
            facts.append(["Keys", service.keys.verdict])
            facts.append(["Authenticated replies", f"{results['ok']:,} ({wrong:,} refused)"])
        if told:
            facts.append(["Replies in interleaved mode", f"{told:,}"])
        facts += [[f"Not on {endpoint}", why] for endpoint, why in service.missing.items()]
        return {"verdict": words, "level": level, "facts": facts, "spark": tally.curve()}

    return Panel(id="ntp", title="Time service", data=data, order=20, link="/time")


def health_checks(service: NtpService) -> list[HealthCheck]:
    """Does it run, and does it keep up? What the clock is worth is the clock's own check."""

    async def serving() -> str | None:
        server = service.tally.server
        if server is None:
            return "no time is served"
        failure = server.failure()
        return f"the packet thread died: {failure}" if failure else None

    async def keeping_up() -> str | None:
        received, late = service.tally.rate("received", 60), service.tally.rate("late", 60)
        if late and late > _TOO_MANY_LATE * received:
            return f"{percent(late / received)} of the requests of the last minute waited too long to be answered"
        return None

    async def keys() -> str | None:
        return service.keys.verdict if service.keys.problems else None

    return [
        HealthCheck(
            "keys",
            keys,
            remedy="see what `timeball ntp key check FILE` says, and put it right: the file is read again by itself",
            well="the keys are in order, or there are none",
        ),
        HealthCheck(
            "serving",
            serving,
            level=Level.FAILING,
            remedy="see the status of plugin ntp: `timeball plugin list`",
            why="Clients of this box get no time.",
            well="time is served",
        ),
        HealthCheck(
            "keeping up",
            keeping_up,
            remedy="fewer clients for this box, a faster data plane, or more processor",
            why="A request that waits gets a worse time, or none.",
            well="it keeps up with its clients",
        ),
    ]


def metrics(service: NtpService) -> list[Metric]:
    """Packets in, and what became of them."""

    def received() -> Iterator[tuple[tuple[str, ...], float]]:
        for (version, mode, family), count in service.tally.traffic().items():
            yield (str(version), str(mode), f"ipv{family}"), count

    def responses() -> Iterator[tuple[tuple[str, ...], float]]:
        for (reason, action), count in service.tally.outcomes().items():
            yield (reason.name.lower(), action.name.lower()), count

    def by_result() -> Iterator[tuple[tuple[str, ...], float]]:
        for result, count in authenticated(service.tally).items():
            yield (result,), count

    def limited() -> Iterator[tuple[tuple[str, ...], float]]:
        counted = service.tally.remembered()
        yield ("client",), counted.over_client
        yield ("network",), counted.over_network
        yield ("kiss",), counted.kissed
        yield ("leak",), counted.leaked

    return [
        # No family has a label for addresses: there may be millions.
        Metric("ntp_clients_known", "Clients that are remembered", "gauge", lambda: service.tally.remembered().known),
        Metric("ntp_clients_room", "Clients there is room for", "gauge", lambda: service.tally.remembered().room),
        Metric(
            "ntp_clients_forgotten_total", "Clients that gave way to others for lack of room", "counter",
            lambda: service.tally.remembered().forgotten,
        ),
        Metric(
            "ntp_rate_limited_total",
            "Requests over a limit: silenced (client, network), told to slow down (kiss), answered by chance (leak)",
            "counter", limited, ("kind",),
        ),
        Metric(
            "ntp_authenticated_total", "Requests with authentication by result", "counter", by_result, ("result",)
        ),
        Metric(
            "ntp_interleaved_replies_total", "Replies that told when the one before left", "counter",
            lambda: interleaved(service)["replies"],
        ),
        Metric(
            "ntp_transmit_stamps_total", "Replies of which the kernel told when they left", "counter",
            lambda: interleaved(service)["kernel_stamps"],
        ),
        Metric(
            "ntp_packets_received_total", "NTP packets received", "counter", received, ("version", "mode", "family")
        ),
        Metric(
            "ntp_responses_total", "What became of NTP packets, each counted once", "counter", responses,
            ("reason", "action"),
        ),
    ]  # fmt: skip
