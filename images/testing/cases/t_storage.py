"""A data partition that is full, cannot be written or is damaged; and how much is written when nothing happens."""

from __future__ import annotations

from images.testing import probes
from images.testing.bench import Bench, case, check
from images.testing.cases.b_boot import START_S
from images.testing.cases.t_time import box
from images.testing.inside import begin, inside
from images.testing.machine import Machine
from images.testing.owner import Owner

#: What a card bears for ever: a 16 GB card of 3,000 cycles lasts some two hundred years with it.
MOST_MIB_AN_HOUR = 25.0
LOOK_S = 600.0


def serves(machine: Machine) -> None:
    """The box does what it is for."""
    check(probes.ntp(machine.ports["ntp"], 30) is not None, "NTP is not answered")
    reply = probes.dns(machine.ports["dns"], "pool.home.arpa", 6, within_s=30)
    check(reply is not None and reply.code == 0, f"DNS: {reply}")
    page = probes.web(machine.ports["https"], "/status", tls=True, within_s=60)
    check(page is not None and page.status < 500, f"the page: {page and page.status}")


def told(machine: Machine, words: str, within_s: float = 240) -> str:
    """Wait until the doctor says one of the words (an extended regular expression); its line."""
    found: list[str] = []

    def says() -> bool:
        said = inside(machine, f"timeball doctor 2>&1 | grep -iE '{words}' | head -n 1", 240)
        found[:] = [line for line in said.splitlines() if line.strip()]
        return bool(found)

    machine.until(says, within_s, f"the doctor says {words!r}", alive=True, every_s=5)
    return found[-1].strip()


@case(26, "a full data partition", slow=True)
def full(bench: Bench) -> str:
    """It serves on, says so, refuses changes with words, and works again as soon as there is room."""
    with box(bench, "full") as machine:
        owner = Owner.sign_in(machine, START_S)
        inside(machine, "fallocate -l $(( $(df -B1 --output=avail /data | tail -n 1) - 4096 )) /data/box/filler; "
                      "dd if=/dev/zero of=/data/box/filler2 bs=4k 2>/dev/null; sync")  # fmt: skip
        serves(machine)
        line = told(machine, "full|no space|room|free")
        reply = owner.ask("POST", "/api/v1/members", {"address": "192.0.2.9", "force": True}, within_s=60)
        check(reply is not None, "a change is not answered")
        assert reply is not None
        check(
            reply.status in (200, 201, 503, 507),
            f"a change on a full disk: {reply.status} {reply.body[:200]!r}",
        )
        # Over a restart too.
        machine.cut()
        begin(machine)
        machine.until(
            lambda: probes.ntp(machine.ports["ntp"]) is not None,
            START_S,
            "NTP answers after a restart",
            alive=True,
        )
        machine.until(
            lambda: probes.dns(machine.ports["dns"], "pool.home.arpa", 6) is not None,
            START_S,
            "DNS answers",
            alive=True,
        )
        owner = Owner.sign_in(machine, START_S)
        serves(machine)
        inside(machine, "rm -f /data/box/filler /data/box/filler2; sync")

        def takes() -> bool:
            reply = owner.ask(
                "POST", "/api/v1/members", {"address": "192.0.2.10", "force": True}, within_s=60
            )
            return reply is not None and reply.status in (200, 201, 409)

        machine.until(takes, 180, "changes are taken again", alive=True, every_s=3)
        return line


@case(26, "a data partition that cannot be written", slow=True)
def read_only(bench: Bench) -> str:
    """As ext4 makes it after an error of the card."""
    with box(bench, "readonly") as machine:
        owner = Owner.sign_in(machine, START_S)
        inside(machine, "sync; echo u > /proc/sysrq-trigger; sleep 2; true")
        check("ro" in inside(machine, "grep ' /data ' /proc/mounts"), "/data can still be written")
        owner.ask("POST", "/api/v1/members", {"address": "192.0.2.9", "force": True}, within_s=60)
        serves(machine)
        line = told(machine, "read-only|cannot be written|not be written")
        reply = owner.ask("POST", "/api/v1/members", {"address": "192.0.2.11", "force": True}, within_s=60)
        check(reply is not None and reply.status >= 500, f"a change that cannot be kept: {reply}")
        return line


@case(26, "a damaged database", slow=True)
def damaged(bench: Bench) -> str:
    """The first pages are overwritten while it is off: it starts, serves, says so, and keeps what was there."""
    with box(bench, "damaged") as machine:
        Owner.sign_in(machine, START_S)
        inside(
            machine,
            "systemctl stop timeball.service; "
            "dd if=/dev/urandom of=/var/lib/timeball/timeball.db bs=4096 count=8 conv=notrunc 2>/dev/null; sync; systemctl start --no-block timeball.service",
        )
        machine.until(
            lambda: probes.ntp(machine.ports["ntp"]) is not None, START_S, "NTP answers", alive=True
        )
        machine.until(
            lambda: probes.dns(machine.ports["dns"], "pool.home.arpa", 6) is not None,
            START_S,
            "DNS answers",
            alive=True,
        )
        serves(machine)
        line = told(machine, "damaged|malformed|corrupt")
        kept = inside(machine, "ls /var/lib/timeball | grep corrupt || true").strip()
        check(kept, "what was there is gone")
        return f"{line}; kept as {kept.splitlines()[-1]}"


@case(27, "what is written while nothing happens", slow=True)
def idle(bench: Bench) -> str:
    with box(bench, "idle") as machine:
        Owner.sign_in(machine, START_S)
        # What a start writes is over when the load has settled.
        began_s = machine.since_start_s()
        machine.until(lambda: machine.since_start_s() - began_s > 120, 180, "two minutes")
        before, at_s = machine.written_bytes(), machine.since_start_s()
        machine.until(lambda: machine.since_start_s() - at_s > LOOK_S, LOOK_S + 60, "ten minutes", every_s=5)
        mib_an_hour = (machine.written_bytes() - before) / 2**20 / (machine.since_start_s() - at_s) * 3600
        check(mib_an_hour < MOST_MIB_AN_HOUR, f"{mib_an_hour:.1f} MiB an hour are written")
        return f"{mib_an_hour:.1f} MiB an hour"
