"""What the monitor contributes to the overview page, to /metrics and to /health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import HealthCheck, Metric, Panel
from appliance.core.beginning import beginning
from appliance_monitor import sightings
from appliance_monitor.service import STALE_S

if TYPE_CHECKING:
    from appliance_monitor.service import Monitor


def panel(monitor: Monitor) -> Panel:
    """The card "Monitor"."""

    async def data() -> Mapping[str, Any]:
        verdicts = monitor.verdicts.get()
        inside = sum(v.in_pool for v in verdicts.values())
        if monitor.trouble:
            verdict, level = f"Cannot tell: {monitor.trouble}", "degraded"
        elif not verdicts:
            verdict, level = "No servers to watch yet.", "none"
        else:
            verdict = f"{inside} of {len(verdicts)} servers are good enough to be answered."
            level = "ok" if inside else "none" if beginning(v.code for v in verdicts.values()) else "failing"
        answered, failed = (
            monitor.results["ok"],
            sum(n for k, n in monitor.results.items() if k not in ("ok", "discarded")),
        )
        facts = [
            ["Probes since the start", f"{answered + failed:,}"],
            ["That cost points", f"{failed:,}"],
            ["Under way", str(monitor.in_flight())],
            ["Timestamps", "kernel" if monitor.sampler.kernel_stamps else "user space (the kernel has none)"],
            ["Score rules", monitor.config.profile],
        ]
        return {"verdict": verdict, "level": level, "facts": facts}

    return Panel(id="monitor", title="Monitor", data=data, order=30, link="/log")


def health_checks(monitor: Monitor) -> list[HealthCheck]:
    """Can it judge, and is anybody good?"""

    async def judging() -> str | None:
        return f"cannot tell: {monitor.trouble}; no score moves" if monitor.trouble else None

    async def fresh() -> str | None:
        age_s = monitor.verdicts.age_s()
        if age_s > STALE_S and not monitor.trouble:
            return (
                "no verdict was given lately"
                if age_s == float("inf")
                else f"the last verdict is {age_s:.0f} s old"
            )
        return None

    return [
        HealthCheck(
            "judging",
            judging,
            remedy="see `timeball clock`; the monitor goes on by itself when our own time is good",
            why="While this box cannot tell whether it is wrong itself, it judges nobody.",
            well="members are judged",
        ),
        HealthCheck(
            "fresh",
            fresh,
            remedy="see `timeball plugin list`",
            why="Old verdicts keep members in the answers that may have gone wrong since.",
            well="verdicts are fresh",
        ),
    ]


def metrics(monitor: Monitor) -> list[Metric]:
    """Scores, offsets and what became of the probes."""

    def last(name: str) -> Iterable[tuple[tuple[str, ...], float]]:
        for member in monitor.verdicts.get():
            row = next(iter(monitor.recent(member, 1)), None)
            if row is not None and row[name] is not None:
                yield (member,), float(row[name])

    def scores() -> Iterable[tuple[tuple[str, ...], float]]:
        return [((v.member,), v.score) for v in monitor.verdicts.get().values() if v.score is not None]

    def inside() -> Iterable[tuple[tuple[str, ...], float]]:
        return [((v.member,), float(v.in_pool)) for v in monitor.verdicts.get().values()]

    def results() -> Iterable[tuple[tuple[str, ...], float]]:
        return [((result,), float(number)) for result, number in monitor.results.items()]

    def looks() -> Iterable[tuple[tuple[str, ...], float]]:
        return [(key, float(number)) for key, number in monitor.rounds.seen.counted.items()]

    def well() -> Iterable[tuple[tuple[str, ...], float]]:
        # A kind of two plugins, or two places at one address, would else be two values of one name.
        seen = {(s.kind, sightings.row(s)["place"]): s for s in monitor.rounds.seen.all()}
        return [(key, float(s.sample.error is None)) for key, s in seen.items()]

    return [
        Metric(
            "looks_total",
            "Looks of the probe kinds besides NTP, by what became of them",
            "counter",
            looks,
            ("kind", "result"),
        ),
        Metric(
            "look_ok",
            "1 where a probe kind besides NTP found all well at its last look",
            "gauge",
            well,
            ("kind", "place"),
        ),
        Metric("server_score", "Overall score of a member", "gauge", scores, ("server",)),
        Metric("server_in_pool", "1 for a member that may be answered", "gauge", inside, ("server",)),
        Metric(
            "probe_offset_seconds",
            "Offset found by the last probe",
            "gauge",
            lambda: last("offset_s"),
            ("server",),
        ),
        Metric(
            "probe_rtt_seconds", "Round trip of the last probe", "gauge", lambda: last("rtt_s"), ("server",)
        ),
        Metric("probes_total", "Probes by what became of them", "counter", results, ("result",)),
        Metric(
            "monitor_can_tell",
            "1 while the monitor is fit to judge others",
            "gauge",
            lambda: float(not monitor.trouble),
        ),
    ]
