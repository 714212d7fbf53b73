"""Monitor: probes a second and processor time with 10,000 simulated members on loopback, and what 50 members cost at rest.

The members live in one child process (`python -m appliance_demo.simulator`), whose processor time is not counted. `--json` prints
the rows as JSON, `--members` and `--seconds` make it smaller or longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from _common import ROOT, Row, cpu_s, main, resident_bytes

sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from appliance.api.model import Member, Target  # noqa: E402
from appliance.api.services import Members  # noqa: E402
from appliance.core.cells import Cell  # noqa: E402
from appliance.core.clock import SystemClock  # noqa: E402
from appliance.testing import running  # noqa: E402
from appliance_demo.simulator import spread  # noqa: E402
from appliance_monitor.probe import Sampler  # noqa: E402
from appliance_monitor.schedule import Schedule  # noqa: E402

INTERVAL_S = 540
SAMPLES = 3
FEW = 50
FIRST = "127.1.0.1"
AT_A_TIME = 256
SETTLE_S = 5.0


@contextlib.contextmanager
def simulated(count: int) -> Iterator[int]:
    """`count` good members in a child process; gives their port."""
    spec = json.dumps({"members": [{"address": FIRST, "count": count}]})
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    with subprocess.Popen(
        [sys.executable, "-m", "appliance_demo.simulator", spec],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        yield int(json.loads(child.stdout.readline())["port"])
        child.stdin.close()


def scheduling(count: int) -> Row:
    """The schedule alone: how long it takes to hand out and put back every member once."""
    schedule = Schedule(random.Random(1))  # noqa: S311 - only jitter
    for number in range(count):
        schedule.add(str(number), 0)
    now_ns = count * 1_000_000_000
    began = time.process_time()
    rounds = 10
    for turn in range(rounds):
        now_ns += INTERVAL_S * 2_000_000_000
        for _ in range(count):
            member = schedule.take(now_ns)
            assert member is not None, turn
            schedule.again(member, now_ns, INTERVAL_S, now_ns)
    each_s = (time.process_time() - began) / (rounds * count)
    return Row(f"schedule, {count:,} members", f"{each_s * 1e6:.1f} µs a probe", note="take and again")


async def flat_out(count: int, port: int, seconds: float) -> Row:
    """Samples as fast as one event loop takes them, each member in its turn."""
    sampler = Sampler(SystemClock(), random.SystemRandom().getrandbits, lambda: None)
    addresses = list(spread(FIRST, count))
    turn = iter(range(sys.maxsize))
    good = bad = 0
    until = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal good, bad
        while time.perf_counter() < until:
            sample = await sampler.sample(Target(addresses[next(turn) % count], port), 3.0)
            if sample.error is None:
                good += 1
            else:
                bad += 1

    began, used = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(worker())
    elapsed_s, used_s = time.perf_counter() - began, time.process_time() - used
    each_us = used_s / (good + bad) * 1e6
    return Row(
        f"samples flat out, {AT_A_TIME} at a time",
        f"{good / elapsed_s:,.0f} /s",
        note=f"{each_us:.0f} µs of processor each, {used_s / elapsed_s:.0%} of a core, {bad} of {good + bad} failed; "
        f"the simulator has the other core",
    )


class Registered:
    """A registry of simulated members that never changes."""

    def __init__(self, count: int, port: int) -> None:
        members = [Member(f"m{number}", address, port) for number, address in enumerate(spread(FIRST, count))]
        self.table: Cell[dict[str, Member]] = Cell(
            {member.id: member for member in members}, clock=SystemClock(), name="members"
        )


async def monitor_at_work(count: int, port: int, seconds: float) -> list[Row]:
    """The monitor itself (schedule, probes, scores, rows in the store) in its first round over `count` members."""
    config = {
        "plugins": {
            "clock": {"source": "local"},
            "monitor": {
                "interval_s": INTERVAL_S, "confirm_interval_s": INTERVAL_S, "samples": SAMPLES, "max_in_flight": 1024,
            },
        }
    }  # fmt: skip
    registry = Registered(count, port)
    with tempfile.TemporaryDirectory() as folder:
        async with running(
            ["clock", "monitor"], config, state_dir=Path(folder), provide={Members: registry}
        ) as app:
            await app.until_running()
            await asyncio.sleep(SETTLE_S + SAMPLES * 2.0)  # the first probes take this long to come back
            results = monitor_results(app)
            before, began, used = results(), time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            after, elapsed_s, used_s = (
                results(),
                time.perf_counter() - began,
                time.process_time() - used,
            )
            memory = resident_bytes(os.getpid())
    probes = sum(after.values()) - sum(before.values())
    good = after.get("ok", 0) - before.get("ok", 0)
    each_ms = used_s / max(1, probes) * 1e3
    needed = count / INTERVAL_S
    return [
        Row(
            f"monitor, {count:,} members, first round",
            f"{probes / elapsed_s:.1f} probes/s",
            note=f"{SAMPLES} samples each, {used_s / elapsed_s:.1%} of a core, {each_ms:.2f} ms a probe, "
            f"{probes - good} of {probes} not ok, {memory / 1e6:.0f} MB resident",
        ),
        Row(
            f"monitor, {count:,} members every {INTERVAL_S} s",
            f"{needed * each_ms / 10:.1f} % of a core",
            note=f"worked out: {needed:.1f} probes/s needed x {each_ms:.2f} ms",
        ),
    ]


def monitor_results(app: Any) -> Any:
    """Reads the outcomes of probes so far, by name."""
    from appliance.api.services import ScoreBoard

    monitor = app.host.services.get(ScoreBoard)
    return lambda: dict(monitor.results)


def at_rest(port: int, seconds: float) -> list[Row]:
    """The whole appliance with 50 members, in a process of its own, when it has nothing special to do."""
    from appliance.api.cli import Admin, Failure

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "timeball.toml")
        members = "".join(
            f'[[plugins.members.member]]\naddress = "{address}"\nport = {port}\n'
            for address in spread(FIRST, FEW)
        )
        config.write_text(
            f'[appliance]\nstate_dir = "{folder}/state"\n[plugins.clock]\nsource = "local"\n'
            '[plugins.ntp]\nlisten = ["127.0.0.1:0"]\n[plugins.web]\nlisten = "127.0.0.1:0"\n'
            '[plugins.dns]\nzone = "pool.example.org"\nlisten = ["127.0.0.1:0"]\n'
            f"[plugins.monitor]\ninterval_s = {INTERVAL_S}\nconfirm_interval_s = {INTERVAL_S}\n{members}",
            encoding="utf-8",
        )
        began = time.perf_counter()
        timeball = Path(sys.executable).with_name("timeball")
        with subprocess.Popen([timeball, "run", "--config", config], stderr=subprocess.PIPE) as process:
            try:
                admin = Admin(Path(folder, "state", "admin.sock"))
                members_seen = 0
                while members_seen < FEW:
                    if process.poll() is not None or time.perf_counter() - began > 60:
                        raise RuntimeError("the appliance did not start")
                    time.sleep(0.1)  # noqa: TID251 - between two looks
                    with contextlib.suppress(Failure):
                        members_seen = sum(1 for m in admin.get("/api/v1/members") if m["score"] is not None)
                time.sleep(SETTLE_S)  # noqa: TID251 - until the first round is written down
                used, start = cpu_s(process.pid), time.perf_counter()
                time.sleep(seconds)  # noqa: TID251 - the measurement
                share = (cpu_s(process.pid) - used) / (time.perf_counter() - start)
                memory = resident_bytes(process.pid)
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)
    return [
        Row(f"whole appliance at rest, {FEW} members", f"{share:.2%} of a core", note=f"{seconds:.0f} s"),
        Row(f"whole appliance at rest, {FEW} members", f"{memory / 1e6:.0f} MB resident"),
    ]


def measure(members: int = 10_000, seconds: float = 20.0) -> Iterable[Row]:
    """All rows."""
    yield scheduling(members)
    with simulated(members) as port:
        yield asyncio.run(flat_out(members, port, seconds / 2))
        yield from asyncio.run(monitor_at_work(members, port, seconds))
        yield from at_rest(port, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=10_000, help="simulated members (default 10000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement (default 20)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    chosen = parser.parse_args()
    if chosen.json:
        found = [dataclasses.asdict(row) for row in measure(chosen.members, chosen.seconds)]
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        main(lambda: measure(chosen.members, chosen.seconds))
