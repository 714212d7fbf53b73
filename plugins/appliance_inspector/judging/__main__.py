# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""The inspector's child: reads frames from standard input, which is a socket, and answers there.

Run by its path (`python -I .../judging`), so that nothing of the appliance is imported: neither its licence nor its memory
nor its state is in this process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The package around us imports the whole appliance: an empty one takes its place.
_HERE = Path(__file__).resolve().parent
_around = types.ModuleType("appliance_inspector")
_around.__path__ = [str(_HERE.parent)]
sys.modules["appliance_inspector"] = _around

from appliance_inspector.judging.confine import confine  # noqa: E402 - the lines above make it possible
from appliance_inspector.judging.dissect import describer, plain  # noqa: E402
from appliance_inspector.judging.frames import (  # noqa: E402
    FILE,
    LENGTH,
    MOST_IN_BYTES,
    MOST_OUT_BYTES,
    PACKETS,
    RULES,
    read_frame,
    unpack,
)
from appliance_inspector.judging.judge import MOST_ALERTS, Judge  # noqa: E402
from appliance_inspector.judging.replay import Replay  # noqa: E402

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Judge until the parent closes its end."""
    describe, scapy = (plain, "") if "--without-scapy" in sys.argv else describer()
    lacking = confine()
    _answer({"scapy": scapy, "lacking": lacking, "pid": os.getpid()})
    judge = Judge([], describe)
    replay = Replay(judge)
    while frame := read_frame(lambda size: os.read(0, size), MOST_IN_BYTES):
        kind, body = frame
        if kind == RULES:
            judge = Judge(json.loads(body), describe)
            replay = Replay(judge)
            _answer({"rules": len(judge.rules)})
        elif kind == PACKETS:
            packets = unpack(body)
            judge.descriptions = MOST_ALERTS
            alerts = (alert for packet in packets for alert in judge.look(packet))
            _answer({"packets": len(packets), **_verdict(alerts)})
        elif kind == FILE:
            judge.descriptions = MOST_ALERTS
            verdict = _verdict(replay.take(body))
            read = {"packets": replay.judged, "others": replay.others, "problem": replay.problem}
            _answer({**read, **verdict})
    return 0


def _verdict(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Alerts, as many as may be, and what they cost."""
    alerts: list[dict[str, Any]] = []
    more = 0
    for alert in found:
        if len(alerts) < MOST_ALERTS:
            alerts.append(alert)
        else:
            more += 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime
    return {"alerts": alerts, "more": more, "cpu_s": cpu_s, "memory_bytes": _resident_bytes()}


def _resident_bytes() -> int:
    """What it takes now. The maximum of `getrusage` is no use: it begins with that of the process that started us."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:  # a machine that hides processes from each other
        return 0


def _answer(value: dict[str, object]) -> None:
    body = json.dumps(value).encode()
    if len(body) > MOST_OUT_BYTES:
        raise ValueError("an answer that is too long")
    rest = memoryview(LENGTH.pack(len(body), 0) + body)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    sys.exit(main())
