"""A new system proves itself: it is marked good when the appliance is well, and gives up its start when it is not in time.

Run by timeball-good.service as root: `python3 -m appliance_updates.proving`. A system that is marked good already is left alone.
"""

from __future__ import annotations

import dataclasses
import http.client
import logging
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.api.agent import Runs, run_program
from appliance.api.cli import Admin, Failure
from appliance.boot.keeping import BootPartition, NoState
from appliance.boot.scheme import mark_good, other
from appliance.core import logs
from appliance_updates import here, record
from appliance_updates.record import Event, Try

log = logging.getLogger("timeball.updates")

#: From the start of this program to its verdict. Generous: a first start may have to change a large database on a slow card.
WITHIN_S = 600.0
LOOK_S = 5.0
#: It has to be well so often in a row.
IN_A_ROW = 3
#: What these find depends on other machines and on the hour: no fault of a release.
_OTHERS = frozenset({"clock", "dns", "members", "monitor", "updates"})
_OF_THE_BOX = frozenset({"box.ports", "box.settings-in-force"})
_AT_WORK = {"running", "disabled", "stopped"}


class Looks:
    """Looks at the appliance of this machine from outside.

    Args:
        state_dir: of the appliance.
    """

    def __init__(self, state_dir: Path = Path("/var/lib/timeball")) -> None:
        self._admin = Admin(state_dir / "admin.sock")

    def complaints(self, known: Collection[str]) -> list[str]:
        """What is wrong now; nothing when all is well. `known` are faults that were there before."""
        try:
            plugins: Sequence[Mapping[str, Any]] = self._admin.get("/api/v1/plugins")
            found = [
                f"{plugin['title']} does not run ({plugin['state']}): {plugin.get('why') or 'no reason given'}"
                for plugin in plugins
                if str(plugin["state"]).lower() not in _AT_WORK
            ]
            running = {str(p["id"]): p for p in plugins if str(p["state"]).lower() == "running"}
            if "ntp" in running:
                found += _ntp_complaint(self._admin.get("/api/v1/ntp").get("listen") or [])
            if "web" in running:
                found += _page_complaint(
                    str(running["web"].get("text") or running["web"].get("status") or "")
                )
            return found or new_faults(self._admin.get("/api/v1/doctor")["checks"], known)
        except Failure as failure:
            return [f"the appliance does not answer: {failure.message}"]
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            return [f"the appliance answers in a way that makes no sense: {type(error).__name__}: {error}"]


def faults(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ids of what the doctor calls failing."""
    return [str(check["id"]) for check in checks if check["level"] == "failing"]


def new_faults(checks: Sequence[Mapping[str, Any]], known: Collection[str]) -> list[str]:
    """What is failing now, was not before, and can be the release's own fault."""
    texts = {str(check["id"]): str(check["text"]) for check in checks}
    found = []
    for name in faults(checks):
        who = name.partition(".")[0]
        own = name.endswith(".state") or (who not in _OTHERS and (who != "box" or name in _OF_THE_BOX))
        if own and name not in known:
            found.append(f"the doctor finds what was not there before: {texts[name]} ({name})")
    return found


def _ntp_complaint(listen: Sequence[str]) -> list[str]:
    """Ask for the time on this machine; an answer of any kind will do."""
    if not listen:
        return []
    host, _, port = listen[0].rpartition(":")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    there = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    request = bytes([0x23]) + bytes(39) + secrets.token_bytes(8)
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.settimeout(3)
        try:
            line.connect((there, int(port)))
            line.send(request)
            reply = line.recv(1024)
        except OSError as error:
            return [f"NTP on port {port} gives no answer: {error}"]
    return [] if reply[24:32] == request[40:48] else ["NTP gives an answer that is none"]


def _page_complaint(status: str) -> list[str]:
    """Get /health from the address that the plugin says it serves."""
    found = re.search(r"http://(\[[^\]]*\]|[^/: ]+):(\d+)/", status)
    if found is None:
        return []
    there = "::1" if found[1].startswith("[") else "127.0.0.1"
    connection = http.client.HTTPConnection(there, int(found[2]), timeout=10)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})
        status_code = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return [f"the pages on port {found[2]} give no answer: {error}"]
    finally:
        connection.close()
    return [] if status_code in (200, 503) else [f"the pages answer with {status_code}"]


@dataclasses.dataclass(slots=True)
class Proof:
    """What came of it: good, or what was wrong in the end."""

    good: bool
    why: list[str] = dataclasses.field(default_factory=list)


def prove(
    look: Callable[[], list[str]],
    within_s: float,
    monotonic_s: Callable[[], float],
    wait: Callable[[float], object],
) -> Proof:
    """Look until all is well some times in a row, or the time is over."""
    end_s = monotonic_s() + within_s
    well, why = 0, ["it was not looked at"]
    while True:
        found = look()
        well = 0 if found else well + 1
        why = found or why
        if well >= IN_A_ROW:
            return Proof(good=True)
        if found and monotonic_s() >= end_s:
            return Proof(good=False, why=why)
        wait(LOOK_S)


def judge(
    root: Path,
    partition: BootPartition,
    proof: Callable[[Collection[str]], Proof],
    program: Runs,
    now_s: Callable[[], float],
) -> str:
    """Let the running system prove itself, unless it has; what was done: "good already", "good", "restarted", "left".

    Raises:
        NoState: no boot loader of ours.
        OSError: what came of it cannot be written down.
    """
    image = here.image(root)
    if image is None or not image.slot:
        raise NoState("this is no image of ours, or nobody says which slot runs")
    state, guessed = partition.read()
    if state.slots[image.slot].good:
        if guessed:
            partition.change(lambda same: same)
        return "good already"
    pending = record.load(root).pending
    mine = pending if pending is not None and pending.slot == image.slot else None
    outcome = proof(mine.faults if mine else ())
    if outcome.good:
        partition.change(lambda found: mark_good(found, image.slot))
        _proved(root, image.slot, now_s())
        return "good"
    _unhealthy(root, image.slot, outcome.why, now_s())
    state, _ = partition.read()
    if not state.slots[other(image.slot)].good:
        return "left"  # nothing to come back to: a box that restarts for ever helps nobody
    program("systemctl", "reboot")
    return "restarted"


def _proved(root: Path, slot: str, now_s: float) -> None:
    found = record.load(root)
    pending = found.pending
    if pending is not None and pending.slot == slot:
        kind = "went-back" if pending.kind == "back" else "updated"
        found.add(Event(kind, now_s, pending.old, pending.new))
        found.pending = None
        record.save(root, found)
    if found.pending is None:
        record.settle(root, slot)


def _unhealthy(root: Path, slot: str, why: list[str], now_s: float) -> None:
    found = record.load(root)
    pending = found.pending
    if pending is None or pending.slot != slot:
        return
    boot = here.boot_id(root)
    mine = next((one for one in pending.tries if one.boot_id == boot), None)
    if mine is None:
        mine = Try(boot, now_s)
        pending.tries.append(mine)
    mine.stage, mine.why = "unhealthy", why
    record.save(root, found)


def main() -> int:
    logs.configure("info")
    within_s = float(os.environ.get("TIMEBALL_PROVE_WITHIN_S") or WITHIN_S)
    looks, pause = Looks(), threading.Event()

    def proof(known: Collection[str]) -> Proof:
        return prove(lambda: looks.complaints(known), within_s, time.monotonic, pause.wait)

    try:
        done = judge(Path("/"), BootPartition(), proof, run_program, time.time)  # noqa: TID251 - a program of its own
    except (NoState, OSError) as error:
        log.warning("whether this system is good was not written down: %s", error)
        return 1
    log.info("this system: %s", done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
