"""Figures of the process and the host itself."""

from __future__ import annotations

import gc
import platform
import resource
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appliance.api.contrib import Metric
from appliance.api.model import Level, PluginState
from appliance.api.services import HostView
from appliance.core.clock import Clock

_PAGE_BYTES = resource.getpagesize()
Pairs = Iterable[tuple[tuple[str, ...], float]]


def host_metrics(host: HostView, clock: Clock) -> list[Metric]:
    """What no other plugin can know."""
    started_s = clock.wall_ns() / 1e9

    def build() -> Pairs:
        return [((host.version or "unknown", platform.python_version(), platform.machine()), 1.0)]

    def states() -> Pairs:
        return [
            ((s.id, state.value), float(s.state is state)) for s in host.plugins() for state in PluginState
        ]

    def restarts() -> Pairs:
        return [((s.id,), float(s.restarts)) for s in host.plugins()]

    def levels() -> Pairs:
        now = host.health.get().level
        return [((level.value,), float(level is now)) for level in Level]

    def problems() -> Pairs:
        found = host.health.get().problems
        return [
            ((level.value,), float(sum(p.level is level for p in found)))
            for level in Level
            if level is not Level.OK
        ]

    def dropped() -> Pairs:
        return [
            (tuple(key.split("/", 1)), float(count)) for key, count in host.dropped().items() if "/" in key
        ]

    def lost_by_table() -> Pairs:
        return [((table,), float(n)) for table, n in host.store().get("rows_lost_by_table", {}).items()]

    return [
        Metric(
            "build_info",
            "Always 1; version of the appliance and of what it runs on",
            "gauge",
            build,
            ("version", "python", "machine"),
        ),
        Metric("start_time_seconds", "When this process started, epoch seconds", "gauge", lambda: started_s),
        Metric("health_level", "1 for the level that the appliance is at", "gauge", levels, ("level",)),
        Metric("health_problems", "Problems that are known now", "gauge", problems, ("level",)),
        Metric("plugin_state", "1 for the state that a plugin is in", "gauge", states, ("plugin", "state")),
        Metric("plugin_restarts_total", "Restarts of a plugin", "counter", restarts, ("plugin",)),
        Metric(
            "event_loop_lag_seconds",
            "How late the event loop was last time",
            "gauge",
            lambda: host.lag()["last_s"],
        ),
        Metric(
            "event_loop_lag_worst_seconds",
            "How late the event loop was at worst",
            "gauge",
            lambda: host.lag()["worst_s"],
        ),
        Metric(
            "event_loop_stalls_total",
            "Times that something held the event loop too long",
            "counter",
            lambda: host.lag()["stalls"],
        ),
        Metric(
            "bus_events_dropped_total",
            "Events that a slow subscriber lost",
            "counter",
            dropped,
            ("subscriber", "event"),
        ),
        Metric("db_size_bytes", "Size of the database", "gauge", lambda: _stat(host, "size_bytes")),
        Metric(
            "db_rows_buffered", "Rows that wait to be written", "gauge", lambda: _stat(host, "rows_buffered")
        ),
        Metric(
            "db_rows_lost_total",
            "Rows of history that could not be kept",
            "counter",
            lost_by_table,
            ("table",),
        ),
        Metric(
            "db_writable",
            "1 while the database can be written",
            "gauge",
            lambda: host.store().get("state", "ok") == "ok",
        ),
        Metric("process_cpu_seconds_total", "Processor time of this process", "counter", _cpu_s),
        Metric(
            "process_resident_memory_bytes", "Memory of this process that is in RAM", "gauge", _resident_bytes
        ),
        Metric(
            "process_open_fds",
            "Open files and sockets of this process",
            "gauge",
            lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()),
        ),
        Metric("process_threads", "Threads of this process", "gauge", threading.active_count),
        Metric(
            "process_gc_collections_total",
            "Runs of the garbage collector",
            "counter",
            _collections,
            ("generation",),
        ),
    ]


def _stat(host: HostView, key: str) -> float:
    value: Any = host.store().get(key, 0)
    return float(value or 0)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> float:
    # proc(5): the second number of statm is the resident set in pages.
    return float(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES)


def _collections() -> Pairs:
    return [((str(n),), float(stats["collections"])) for n, stats in enumerate(gc.get_stats())]
