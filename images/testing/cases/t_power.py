"""Power that fails at any moment while people work; a system that hangs; half the memory."""

from __future__ import annotations

import random
import secrets
import threading

from images.testing import probes
from images.testing.bench import VMS, Bench, case, check
from images.testing.cases.b_boot import START_S
from images.testing.inside import BOOT_ID, Shell, begin, inside, started_anew
from images.testing.machine import Machine, Waited
from images.testing.owner import SETTINGS, Owner

#: Of the acceptance list: 3 in every run, 30 before a release.
FEW, MANY = 3, 30
#: The bit of a watchdog that says it reset the machine (WDIOF_CARDRESET of linux/watchdog.h).
CARD_RESET = 0x20


class Writer:
    """Works as a busy owner does, and notes what was acknowledged: members that are added and removed, tokens that are made."""

    def __init__(self, owner: Owner, chance: random.Random) -> None:
        self._owner = owner
        self._chance = chance
        self._over = threading.Event()
        self.members: set[str] = set()
        self.gone: set[str] = set()
        self.tokens: dict[str, str] = {}
        self.acknowledged = 0
        self.refused = ""
        #: Asked for and not answered: it may have happened, and need not have.
        self.open: set[str] = set()

    def begin(self) -> None:
        """Write until it is over or nobody answers any more."""
        self._over.clear()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def sign_in_again(self, owner: Owner) -> None:
        self._owner = owner

    def _write(self) -> None:
        while not self._over.is_set():
            turn = self._chance.random()
            if turn < 0.3 or not self.members:
                done = self._add()
            elif turn < 0.45:
                done = self._remove()
            else:
                done = self._token()
            if not done:
                return

    def _acknowledged(self, reply: probes.WebReply | None) -> bool:
        if reply is None:
            return False
        if reply.status // 100 == 2:
            self.acknowledged += 1
            return True
        self.refused = f"{reply.status} {reply.body[:300]!r}"
        # Who is refused for asking too often asks a little later.
        self._over.wait(1.0)
        return False

    def _add(self) -> bool:
        address = f"198.18.{self._chance.randrange(256)}.{self._chance.randrange(1, 255)}"
        if address in self.members | self.gone | self.open:
            return True
        self.open.add(address)
        reply = self._owner.ask("POST", "/api/v1/members", {"address": address, "force": True}, within_s=60)
        if not self._acknowledged(reply):
            return reply is not None
        self.open.discard(address)
        self.members.add(address)
        return True

    def _remove(self) -> bool:
        address = self._chance.choice(sorted(self.members))
        self.members.discard(address)
        self.open.add(address)
        reply = self._owner.ask("DELETE", f"/api/v1/members/{address}", within_s=60)
        if not self._acknowledged(reply):
            return reply is not None
        self.open.discard(address)
        self.gone.add(address)
        return True

    def _token(self) -> bool:
        label = secrets.token_hex(6)
        reply = self._owner.ask(
            "POST", "/api/v1/tokens", {"label": label, "scopes": ["servers:read"]}, within_s=60
        )
        if not self._acknowledged(reply):
            return reply is not None
        assert reply is not None
        self.tokens[label] = reply.json()["token"]
        return True


def cuts(bench: Bench, count: int) -> str:
    """Nothing acknowledged is lost, nothing removed is back, the database and the file system are whole."""
    chance = random.Random(bench.kind)  # noqa: S311 - moments of cuts, the same in each run
    machine = begin(bench.machine("cuts", door=True, credentials={"timeball.toml": SETTINGS}))
    writer = Writer(Owner.sign_in(machine, START_S), chance)
    starts: list[float] = []
    for number in range(count):
        _until_it_writes(machine, writer)
        wait_s = chance.uniform(0.5, 12.0)
        _passed(machine, wait_s)
        machine.cut()
        writer.end()
        begin(machine)
        writer.sign_in_again(owner := Owner.sign_in(machine, START_S))
        starts.append(machine.since_start_s())
        _compare(machine, owner, writer, f"cut {number + 1} after {wait_s:.1f} s")
    bench.done_with(machine)
    return (
        f"{count} cuts, {writer.acknowledged} acknowledged changes, none lost; "
        f"up again after {min(starts):.0f} to {max(starts):.0f} s"
    )


def _until_it_writes(machine: Machine, writer: Writer) -> None:
    """Cuts come in the middle of work: the first change of each round is acknowledged before the clock of the cut runs."""
    before = writer.acknowledged
    writer.begin()
    try:
        machine.until(lambda: writer.acknowledged > before, 240, "a change is acknowledged", alive=True)
    except Waited as waited:
        machine.cut()
        writer.end()
        raise Waited(f"the last refusal: {writer.refused or 'none'}; {waited}") from None


def _passed(machine: Machine, seconds: float) -> None:
    began_s = machine.since_start_s()
    machine.until(lambda: machine.since_start_s() - began_s > seconds, 60, "some seconds", every_s=0.05)


def _compare(machine: Machine, owner: Owner, writer: Writer, what: str) -> None:
    there = {member["address"] for member in owner.get("/api/v1/members?limit=100000")}
    lost = writer.members - there
    check(not lost, f"{what}: {len(lost)} members that were acknowledged are gone: {sorted(lost)[:5]}")
    back = writer.gone & there
    check(not back, f"{what}: {len(back)} members that were removed are back: {sorted(back)[:5]}")
    writer.members |= writer.open & there
    writer.open.clear()
    labels = {token["label"] for token in owner.get("/api/v1/tokens")}
    missing = writer.tokens.keys() - labels
    check(not missing, f"{what}: {len(missing)} tokens that were acknowledged are gone")
    for label, token in list(writer.tokens.items())[-2:]:
        reply = probes.web(
            machine.ports["https"], "/api/v1/members?limit=1", tls=True, heads={"Authorization": f"Bearer {token}"}, within_s=60
        )  # fmt: skip
        check(
            reply is not None and reply.status == 200,
            f"{what}: token {label} was acknowledged and does not work: {reply}",
        )
    said = inside(
        machine,
        "timeball doctor --json 2>/dev/null | grep -ci 'damaged\\|malformed' ; ls /run/timeball/ ; "
        "ls /var/lib/timeball | grep corrupt ; true",
    )
    check("data-problem" not in said and "corrupt" not in said, f"{what}: {said}")


@case(17, "a few power cuts while people work")
def few_cuts(bench: Bench) -> str:
    return cuts(bench, FEW)


@case(17, "many power cuts while people work", slow=True)
def many_cuts(bench: Bench) -> str:
    return cuts(bench, MANY)


@case(25, "the watchdog starts a frozen system anew", slow=True, images=("vm-amd64",))
def watchdog(bench: Bench) -> str:
    """PID 1 freezes after a fault and feeds the watchdog no more; the watchdog's own register says that it was the cause."""
    machine = begin(bench.machine("frozen", door=True, watchdog=True))
    machine.wait_said("timeball setup code", START_S)
    check("watchdog0" in inside(machine, "ls /dev"), "the watchdog's device is not there")
    with Shell(machine).ready(START_S) as shell:
        before = shell.must(BOOT_ID)
        began_s = machine.since_start_s()
        shell.must("(sleep 1; kill -SEGV 1) &")
    started_anew(machine, before, START_S).close()
    took_s = machine.since_start_s() - began_s
    cause = int(inside(machine, "cat /sys/class/watchdog/watchdog0/bootstatus").split()[-1])
    check(
        bool(cause & CARD_RESET),
        f"it started anew, and the watchdog says that it was not the cause ({cause})",
    )
    bench.done_with(machine)
    return f"frozen, reset by the watchdog, and the shell is back {took_s:.0f} s after the fault"


@case(28, "works with 256 MB", images=VMS, slow=True)
def a_quarter(bench: Bench) -> str:
    """Less than any board that we name has; it serves all the same."""
    machine = begin(bench.machine("m256", door=True, memory_mib=256))
    machine.until(lambda: probes.ntp(machine.ports["ntp"]) is not None, START_S, "NTP answers", alive=True)
    machine.until(
        lambda: probes.web(machine.ports["https"], "/api/v1/setup", tls=True) is not None,
        START_S,
        "HTTPS answers",
        alive=True,
    )
    machine.until(
        lambda: probes.dns(machine.ports["dns"], "pool.home.arpa", 6) is not None,
        START_S,
        "DNS answers",
        alive=True,
    )
    killed = (
        inside(machine, "journalctl -k --no-pager | grep -ci 'out of memory' || true")
        .strip()
        .splitlines()[-1]
    )
    check(killed == "0", f"the kernel ran out of memory {killed} times")
    free = inside(machine, "free -m | tail -n 2").strip()
    bench.done_with(machine)
    return " / ".join(" ".join(line.split()) for line in free.splitlines())
