"""Updates: installed from a stick, tried, taken back; refused before a byte is written; cut in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from images.testing import probes
from images.testing.bench import VMS, Bench, check
from images.testing.bench import case as on_register
from images.testing.bundles import Bundles
from images.testing.inside import Shell
from images.testing.machine import Machine, Waited

STICK = "stick:sda"
#: Emulated, and beside other work.
UP_S, INSTALL_S = 600, 900
NEW = "99.1.0"
#: A new system that is not well is given up so soon.
SOON = "systemd.setenv=TIMEBALL_PROVE_WITHIN_S=30"

Check = Callable[[Bench], "str | None"]


def case(number: int, name: str, *, slow: bool = True) -> Callable[[Check], Check]:
    return on_register(number, f"update: {name}", images=VMS, slow=slow)


def bundles(bench: Bench) -> Bundles:
    return Bundles(bench.folder / f"{bench.id}.parts", bench.folder / "test-bundles")


def plug_in(bench: Bench, name: str, *files: Any) -> Machine:
    """A machine with a stick, up and well."""
    machine = bench.machine(name, door=True, sticks=(bundles(bench).stick(*files),)).start()
    well(machine)
    return machine


def sh(machine: Machine, command: str, within_s: float = 300) -> str:
    """What a command prints inside, run by root."""
    with Shell(machine) as shell:
        return shell.ready(within_s).run(command, within_s=within_s).said


def well(machine: Machine) -> None:
    """The appliance answers its own command."""
    machine.until(
        lambda: "slots" in status(machine),
        UP_S,
        "the appliance says how its updates are",
        alive=True,
        every_s=3,
    )


def status(machine: Machine) -> dict[str, Any]:
    try:
        said = sh(machine, "timeball update status --json 2>&1")
    except (OSError, Waited):  # it starts, or restarts: nobody is inside now
        return {}
    begin = said.find("{")
    try:
        found: dict[str, Any] = json.loads(said[begin:]) if begin >= 0 else {}
    except ValueError:
        return {}
    return found


def running(machine: Machine) -> str:
    """Slot that runs, and whether it is good: "A good"."""
    for slot in status(machine).get("slots", ()):
        if slot["running"]:
            return f"{slot['name']} {'good' if slot['good'] else 'on trial'}"
    return ""


def install(machine: Machine, name: str, *, more: str = "") -> str:
    return sh(machine, f"timeball update install {STICK}/{name}.raucb {more} 2>&1", INSTALL_S)


def until_running(machine: Machine, wanted: str, within_s: float = UP_S) -> None:
    """After a restart: which slot runs. The shell answers only some of the time meanwhile."""
    machine.until(lambda: running(machine) == wanted, within_s, f"the slot that runs is {wanted}", every_s=3)


def until_said(machine: Machine, pattern: str) -> None:
    """Wait until the installation that runs in the background has said something."""
    with Shell(machine).ready() as shell:
        machine.until(
            lambda: re.search(pattern, shell.run("cat /tmp/said").said) is not None,
            INSTALL_S, f"the installation says {pattern}", every_s=0.2,
        )  # fmt: skip


@case(22, "what cannot work is refused before it is written", slow=False)
def refused(bench: Bench) -> str:
    """Wrong signature, wrong board, cut, one bad byte, older, the same: each with its reason, and slot B stays empty."""
    made = bundles(bench)
    good = made.make("new", NEW)
    files = {
        "stranger": "not signed by a key that this image trusts",
        "board": "it is for timeball-pi-arm64",
        "cut": "not all of it is there",
        "byte": "at least one byte differs",
        "old": "it is version 0.0.1",
        "far": "can be installed from 98.0",
    }
    machine = plug_in(
        bench, "refused", made.stranger("stranger", NEW), made.make("board", NEW, compatible="timeball-pi-arm64"),
        made.damaged("cut", good, cut=100_000), made.damaged("byte", good, at=good.stat().st_size // 2),
        made.make("old", "0.0.1"), made.make("far", NEW, minimum="98.0"),
    )  # fmt: skip
    listed = sh(machine, "timeball update check")
    for name, reason in files.items():
        check(f"{STICK}/{name}.raucb" in listed, f"{name} is not listed: {listed}")
        said = install(machine, name)
        check(reason in said, f"{name}: expected {reason!r}, it said {said!r}")
    check(
        not any(sh(machine, "head -c 1048576 /dev/disk/by-partlabel/root-b | tr -d '\\0' | head -c 10")),
        "B was written",
    )
    check(running(machine) == "A good", running(machine))
    bench.done_with(machine)
    return f"{len(files)} bundles"


@case(19, "keeps data, settings and identity; goes back and forth by hand")
def kept(bench: Bench) -> str:
    """What the old one knew the new one knows; going back finds what the old one left, going forth what the new one left."""
    made = bundles(bench)
    machine = plug_in(bench, "kept", made.make("real", NEW, real=True))
    identity = sh(machine, "cat /etc/machine-id /etc/ssh/*.pub | sha256sum")
    sh(
        machine,
        "timeball member add 192.0.2.11 --name before --force; timeball config set plugins.web.trust_loopback no",
    )
    said = install(machine, "real")
    check(f"{NEW} is in slot B" in said, said)
    began_s = machine.since_start_s()
    sh(machine, "timeball update restart")
    until_running(machine, "B good")
    took_s = machine.since_start_s() - began_s
    check(sh(machine, "cat /etc/machine-id /etc/ssh/*.pub | sha256sum") == identity, "another identity")
    check("before" in sh(machine, "timeball member list"), "the member is gone")
    check(status(machine)["history"][0]["kind"] == "updated", str(status(machine)["history"]))
    check(probes.ntp(machine.ports["ntp"]) is not None, "no NTP")
    sh(machine, "timeball member add 192.0.2.12 --name after --force")
    check(made.version in sh(machine, "timeball update rollback"), "no way back")
    sh(machine, "timeball update restart")
    until_running(machine, "A good")
    members = sh(machine, "timeball member list")
    check("before" in members and "after" not in members, f"not what the old one left: {members}")
    sh(machine, "timeball update rollback; timeball update restart")
    until_running(machine, "B good")
    check("after" in sh(machine, "timeball member list"), "not what the new one left")
    bench.done_with(machine)
    return f"from the restart to good in {took_s:.0f} s"


@case(20, "a new system that panics falls back, with its reason", slow=False)
def panics(bench: Bench) -> str:
    """Its kernel finds no root; after three starts the old one runs, with its data, and says why."""
    # No initramfs program, so that the kernel itself tries to mount what it has no driver for.
    machine = plug_in(
        bench, "panics", bundles(bench).make("panics", NEW, arguments="rdinit=/none init=/none")
    )
    install(machine, "panics")
    began_s = machine.since_start_s()
    sh(machine, "timeball update restart")
    machine.until(
        lambda: len(re.findall(r"Kernel panic - not syncing", machine.said())) >= 3, UP_S, "three panics"
    )
    until_running(machine, "A good")
    took_s = machine.since_start_s() - began_s
    told = status(machine)
    check(told["history"][0]["kind"] == "fell-back", str(told["history"]))
    said = sh(machine, "timeball update status")
    check(f"The update to {NEW} failed" in said, said)
    check("3 of 3 starts were used" in said, said)
    doctor = sh(machine, "timeball doctor 2>&1")
    check(f"The update to {NEW} failed" in doctor, doctor)
    why = told["history"][0]["why"][0]
    bench.done_with(machine)
    return f"back after {took_s:.0f} s: {why}"


@case(20, "a new system whose service never gets well falls back")
def sick(bench: Bench) -> str:
    """The kernel starts, the appliance does not; after three proofs that fail the old one runs and names the reason."""
    arguments = f"systemd.mask=timeball.service {SOON}"
    machine = plug_in(bench, "sick", bundles(bench).make("sick", NEW, arguments=arguments))
    install(machine, "sick")
    began_s = machine.since_start_s()
    sh(machine, "timeball update restart")
    until_running(machine, "A good", 3 * UP_S)
    took_s = machine.since_start_s() - began_s
    event = status(machine)["history"][0]
    check(event["kind"] == "fell-back", str(event))
    check("the appliance does not answer" in event["why"][0], str(event["why"]))
    bench.done_with(machine)
    return f"back after {took_s:.0f} s: {event['why'][0]}"


@case(21, "both used up: the last good one starts")
def both_bad(bench: Bench) -> str:
    """No slot may start any more by the boot loader's book; the one that was good last does, and proves itself anew."""
    machine = bench.machine("both-bad", door=True).start()
    well(machine)
    book = (
        "import sys; from pathlib import Path; from appliance.boot import grub_block as g; from appliance.boot.scheme import *; "
        "p = Path('/boot/grub/grubenv'); "
        "p.write_bytes(g.encode(BootState(('B', 'A'), {'A': Slot(), 'B': Slot()}, 'A'), {}))"
    )
    said = sh(
        machine,
        f'mount -o remount,rw /boot; /usr/lib/timeball/bin/python3 -I -c "{book}"; sync; mount -o remount,ro /boot',
    )
    check("Error" not in said, said)
    machine.cut()
    machine.start()
    until_running(machine, "A good")
    bench.done_with(machine)
    return "started, and marked good again"


@case(18, "a power cut in the middle leaves the system that ran")
def cut(bench: Bench) -> str:
    """At each stage: while every byte is checked, while the slot is written, while it is made the next one, and just after."""
    machine = plug_in(bench, "cut", bundles(bench).make("real", NEW, real=True))
    stages = (
        "Checking every byte", r"Copying image to rootfs\.1", r"Copying image to boot\.1", "Updating slots done",
    )  # fmt: skip
    for stage in stages:
        sh(machine, f"nohup timeball update install {STICK}/real.raucb >/tmp/said 2>&1 &")
        until_said(machine, f"{stage}|starts when the box restarts|Error")
        said = sh(machine, "cat /tmp/said")
        machine.cut()
        machine.start()
        machine.until(lambda: running(machine) != "", UP_S, "a system runs", every_s=3)
        found = running(machine)
        if found.startswith("B"):
            until_running(machine, "B good")
            check(
                "starts when the box restarts" in said or stage == stages[-1],
                f"B runs after a cut at {stage}: {said}",
            )
            break
        check(found == "A good", f"after a cut at {stage} there is {found}")
        told = status(machine)
        check(told["pending"] is None, f"after a cut at {stage}: {told['pending']}")
    bench.done_with(machine)
    return f"{len(stages)} stages"
