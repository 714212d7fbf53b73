"""A clock that is wrong at the start, or is set while the box runs; no network at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from images.testing import probes, receiver
from images.testing.bench import VMS, Bench, case, check
from images.testing.cases.b_boot import START_S
from images.testing.inside import begin, inside
from images.testing.machine import Machine
from images.testing.owner import SETTINGS, Owner
from images.testing.source import SEEN_AS, time_source

YEAR_S = 365 * 86_400.0


@case(11, "starts without a network as fast as with one")
def no_network(bench: Bench) -> str:
    """Nothing waits for it: the console says how to claim the box."""
    machine = begin(bench.machine("alone", network=False))
    machine.wait_said("timeball setup code", START_S)
    alone_s = machine.since_start_s()
    bench.done_with(machine)
    machine = begin(bench.machine("beside"))
    machine.wait_said("timeball setup code", START_S)
    beside_s = machine.since_start_s()
    bench.done_with(machine)
    check(alone_s < 2 * beside_s + 20, f"{alone_s:.0f} s without a network, {beside_s:.0f} s with one")
    return f"{alone_s:.0f} s without, {beside_s:.0f} s with"


def clock_s(machine: Machine) -> float:
    """What the machine's clock shows."""
    return float(inside(machine, "date +%s.%N").strip().splitlines()[-1])


def built_s(machine: Machine) -> float:
    """When the image was made, as it says itself."""
    found = inside(machine, "sed -n 's/^built *= *//p' /usr/lib/timeball/image.toml")
    return float(found.strip())


@contextlib.contextmanager
def box(bench: Bench, name: str, **hardware: object) -> Iterator[Machine]:
    """A machine with an owner, a shell, and a network that ends at this machine."""
    credentials = {"timeball.toml": SETTINGS}
    machine = begin(bench.machine(name, door=True, credentials=credentials, **hardware))
    try:
        yield machine
    finally:
        bench.done_with(machine)


def synchronised(machine: Machine, within_s: float = 300) -> probes.NtpReply:
    """Wait until replies say so; the first that does."""
    found: list[probes.NtpReply] = []

    def says() -> bool:
        reply = probes.ntp(machine.ports["ntp"])
        found[:] = [reply] if reply is not None and reply.leap == 0 and reply.stratum else []
        return bool(found)

    machine.until(says, within_s, "replies say synchronised", alive=True, every_s=2)
    return found[0]


def says_that_it_does_not_know(machine: Machine) -> None:
    """NTP says unsynchronised, everything else works."""
    machine.until(lambda: probes.ntp(machine.ports["ntp"]) is not None, START_S, "NTP answers", alive=True)
    for _ in range(3):
        # A datagram may be lost on the way into an emulated board; what a reply says is the matter here.
        replies = (probes.ntp(machine.ports["ntp"], 30) for _ in range(5))
        reply = next((r for r in replies if r is not None), None)
        check(
            reply is not None and (reply.leap, reply.stratum) == (3, 0), f"without a source it says {reply}"
        )
    machine.until(
        lambda: (probes.dns(machine.ports["dns"], "pool.home.arpa", 6) or probes.DnsReply(2, 0, authoritative=False)).answers == 1,
        START_S, "DNS answers", alive=True,
    )  # fmt: skip


def wrong_clock(bench: Bench, name: str, rtc: str, *, floor: bool) -> str:
    """From a wrong clock to the right one, and over a restart with the wrong one again."""
    with box(bench, name, rtc=rtc) as machine, time_source(bench.work / f"{name}-source"):
        owner = Owner.sign_in(machine, START_S)
        up_s = machine.since_start_s()
        before_s, true_s = clock_s(machine), probes.now_s()
        if floor:
            check(
                before_s >= built_s(machine), f"the clock starts at {before_s:.0f}, before the image was made"
            )
        says_that_it_does_not_know(machine)
        ends_s, begins_s = probes.validity(machine.ports["https"])
        check(
            begins_s < true_s < ends_s, "a visitor who knows the time finds a certificate that does not hold"
        )
        check(not owner.get("/api/v1/clock")["synchronised"], "the page says that the time is right")

        said = inside(machine, f"timeball clock source add {SEEN_AS}")
        check("chosen" in said, f"the source cannot be added: {said}")
        reply = synchronised(machine)
        off_s = reply.transmit_s - probes.now_s()
        check(abs(off_s) < 5, f"it says that it is right, and is wrong by {off_s:.1f} s")
        clock = owner.get("/api/v1/clock")  # the session of before: nobody is signed out
        steps = clock["steps"]["count"]
        wrong_s = before_s - true_s
        check(steps == (1 if abs(wrong_s) > 2 else steps), f"the clock was set {steps} times")
        members = owner.ask("POST", "/api/v1/members", {"address": "192.0.2.7", "force": True})
        check(members is not None and members.status in (200, 201), f"after the step: {members}")
        ends_s, begins_s = probes.validity(machine.ports["https"])
        check(begins_s < probes.now_s() < ends_s, "after the step the certificate does not hold")

        inside(machine, "systemctl start timeball-clock-save.service; sync")
        noted_s = clock_s(machine)
        machine.cut()
        begin(machine)
        machine.until(
            lambda: "there" in inside(machine, "echo there"), START_S, "the shell answers", alive=True
        )
        again_s = clock_s(machine)
        check(
            not floor or again_s >= noted_s - 2,
            f"after the restart it is {noted_s - again_s:.0f} s before what was noted",
        )
        listed = Owner.sign_in(machine, START_S).get("/api/v1/members")
        check("192.0.2.7" in json.dumps(listed), "the member that was added after the step is gone")
        return f"up after {up_s:.0f} s, {wrong_s / 86_400:+.1f} days off, right after {steps} step(s) to {off_s:+.3f} s"


@case(15, "wrong clock: 2001", images=VMS)
def of_2001(bench: Bench) -> str:
    return wrong_clock(bench, "y2001", "2001-01-01T00:00:00", floor=True)


@case(15, "wrong clock: 1970", images=VMS, slow=True)
def of_1970(bench: Bench) -> str:
    return wrong_clock(bench, "y1970", "1970-01-01T00:00:10", floor=True)


@case(15, "wrong clock: 2038, after 32 bits have run over", images=VMS, slow=True)
def of_2038(bench: Bench) -> str:
    return wrong_clock(bench, "y2038", "2038-02-01T00:00:00", floor=False)


@case(15, "wrong clock: 2090, which is not believed", images=VMS, slow=True)
def of_2090(bench: Bench) -> str:
    return wrong_clock(bench, "y2090", "2090-01-01T00:00:00", floor=True)


@case(15, "a receiver alone gives it the time", images=("vm-amd64",))
def receiver_alone(bench: Bench) -> str:
    """No server answers; a GPS receiver on a serial line, read by the sealed service, sets a clock that starts in 2001."""
    folder = bench.work / "receiver"
    with (
        box(bench, "receiver", rtc="2001-01-01T00:00:00", more=receiver.plugged(folder)) as machine,
        receiver.speaking(folder),
    ):
        owner = Owner.sign_in(machine, START_S)
        says_that_it_does_not_know(machine)
        before_s = clock_s(machine)
        inside(machine, f"timeball config set gps.receiver={receiver.SEEN_AS}")
        reply = synchronised(machine, 600)
        off_s = reply.transmit_s - probes.now_s()
        gps = owner.get("/api/v1/gps")
        check(gps["read_by"] == "service", f"who reads it: {gps}")
        check(gps["receiver"]["standing"] == "fix", f"{gps}")
        check(reply.stratum == 1, f"{reply}")
        # What it claims: half a second, which is what a serial line without a pulse is worth.
        check(abs(off_s) < 2, f"it says that it is right, and is wrong by {off_s:.2f} s")
        return f"from {before_s - probes.now_s():+.0f} s to {off_s:+.2f} s, stratum {reply.stratum}; {gps['verdict']}"


@case(16, "the clock is set by hours while it runs", slow=True)
def set_while_running(bench: Bench) -> str:
    """Forward and back: at once nobody is told a time as right, soon it is right again, and nothing has started anew."""
    with box(bench, "jumps") as machine, time_source(bench.work / "jumps-source"):
        owner = Owner.sign_in(machine, START_S)
        inside(machine, f"timeball clock source add {SEEN_AS}")
        synchronised(machine)
        pid = inside(machine, "systemctl show -P MainPID timeball").strip()
        took = []
        for by in ("+5 hours", "-3 hours", "+400 days", "-8 days"):
            # As somebody with root's rights would; chronyd sees its own clock run away.
            inside(machine, f"date -s \"$(date -d '{by}' '+%F %T')\" >/dev/null")
            reply = probes.ntp(machine.ports["ntp"], 30)
            wrong_s = 0.0 if reply is None else reply.transmit_s - probes.now_s()
            check(
                reply is None or reply.leap == 3 or abs(wrong_s) < 5,
                f"set by {by}, it says that {wrong_s:+.0f} s is right",
            )
            began_s = machine.since_start_s()
            reply = synchronised(machine, 900)
            took.append(machine.since_start_s() - began_s)
            check(
                abs(reply.transmit_s - probes.now_s()) < 5,
                f"set by {by}, it says that it is right and is not: {reply}",
            )
            owner.get("/api/v1/members")
        check(
            inside(machine, "systemctl show -P MainPID timeball").strip() == pid,
            "the service has started anew",
        )
        return "right again after " + ", ".join(f"{each:.0f}" for each in took) + " s"
