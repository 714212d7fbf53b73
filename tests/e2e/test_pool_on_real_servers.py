"""The whole loop against real daemons: who is answered, what is scored, who leaves, who comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from tests.e2e.formula import Ledger, expected_step
from tests.e2e.pool import Asker, Pool, own_loopback, running
from tests.e2e.servers import Daemon, RateLimiter, chronyd, look, ntpsec, openntpd
from tests.support.netns import network
from tests.support.programs import free_port, need
from tests.support.wait import wait_until

ZONE = "pool.example.org"
NAMES = [ZONE, *(f"{number}.{ZONE}" for number in range(4))]


@pytest.mark.parametrize(
    ("offset_ms", "step"),
    [
        (25, 1.0),
        (26, 0.9937),
        (50, 0.8337),
        (100, 0.5003),
        (125, 0.4425),
        (300, 0.0386),
        (500, -0.423),
        (749, -0.9977),
        (750.1, -2),
        (3001, -4),
    ],
)
def test_the_second_writing_of_the_formula_gives_the_known_values(offset_ms: float, step: float) -> None:
    """The judge is judged first."""
    for sign in (1, -1):
        probe = {"offset_s": sign * offset_ms / 1000, "stratum": 2, "error": None}
        assert expected_step(probe)[0] == pytest.approx(step, abs=1e-4)


def config(members: list[tuple[str, int]], dns: list[str], ntp: list[str]) -> str:
    declared = "".join(
        f'[[plugins.members.member]]\naddress = "{host}"\nport = {port}\n' for host, port in members
    )
    return f"""
dataplane = "python"
[plugins.clock]
source = "local"
[plugins.ntp]
listen = {ntp!r}
{declared}
[plugins.monitor]
interval_s = 2
[plugins.dns]
zone = "{ZONE}"
listen = {dns!r}
[plugins.web]
enabled = false
"""


class Bed(NamedTuple):
    """Seven members, of which three are good."""

    good: list[Daemon]
    wrong: Daemon
    unsynchronised: Daemon
    limited: RateLimiter
    dead: tuple[str, int]

    def members(self) -> list[tuple[str, int]]:
        others = (self.wrong, self.unsynchronised, self.limited)
        return [(member.address, member.port) for member in (*self.good, *others)] + [self.dead]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """Each member is seen to behave as intended before anything is asked of the appliance."""

    def at(number: int, name: str, *lines: str) -> Daemon:
        address = own_loopback(number)
        return chronyd(tmp_path / name, address, free_port(address, tcp=False), *lines)

    good = [at(11 + i, f"good{i}", f"local stratum {2 + i}") for i in range(3)]
    first = good[0]
    source = f"server {first.address} port {first.port} offset 0.3 iburst minpoll -2 maxpoll -2"
    wrong = at(21, "wrong", source)
    unsynchronised = at(22, "unsynchronised")
    # Held, so that nobody else answers there, and never read.
    mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mute.bind((own_loopback(24), 0))
    dead = mute.getsockname()
    limited_at = own_loopback(23)
    with contextlib.ExitStack() as stack:
        stack.callback(mute.close)
        limited = RateLimiter(limited_at, free_port(limited_at, tcp=False))
        stack.callback(limited.close)
        for daemon in (*good, wrong, unsynchronised):
            daemon.start()
            stack.callback(daemon.stop)
        for number, daemon in enumerate(good):
            seen = daemon.wait_synchronised()
            assert (seen.stratum, abs(seen.offset_s) < 0.02) == (2 + number, True)
        assert wait_until(
            lambda: abs(wrong.wait_synchronised().offset_s - 0.3) < 0.02, "a member that is 300 ms off"
        )
        seen = unsynchronised.wait_answering()
        assert (seen.leap, seen.stratum) == (3, 0)
        kiss = look(limited.address, limited.port)
        assert kiss is not None
        assert (kiss.stratum, kiss.refid) == (0, b"RATE")
        assert look(*dead) is None
        yield Bed(good, wrong, unsynchronised, limited, dead)


class Watch(threading.Thread):
    """Follows the scores of all members in the background: twenty rows are shown of each, and none may be missed.

    Args:
        pool: a running appliance.
        since: time of day; older rows do not count.
    """

    def __init__(self, pool: Pool, since: float = 0.0) -> None:
        super().__init__(name="watch", daemon=True)
        self._pool = pool
        self._since = since
        self._over = threading.Event()
        self._trouble: Exception | None = None
        self.ledgers: dict[str, Ledger] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - belongs to whoever asks for the faults
                self._trouble = error
                return
            self._over.wait(2)

    def _look(self) -> None:
        for address, member in self._pool.members().items():
            shown = self._pool.get(f"/api/v1/members/{member['id']}")
            rows = [row for row in shown["probes"] if row["ts"] >= self._since]
            self.ledgers.setdefault(address, Ledger()).add(rows)
            if rows:
                # The list rounds; with a single monitor its score is the score.
                assert shown["score"] == pytest.approx(rows[0]["score"], abs=0.01), shown

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float) -> Any:
        """Wait; a failure says where each member stands."""
        try:
            return wait_until(condition, what, timeout_s=timeout_s, interval_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.summary()}") from None

    def summary(self) -> str:
        """Where each member stands, for whoever reads a failure."""
        members = self._pool.members()
        lines = [f"{address}: {member['score']} {member['reason']}" for address, member in members.items()]
        for address, ledger in dict(self.ledgers).items():
            lines += [f"{address} {row}" for _, row in sorted(ledger.probes.items())[-3:]]
        return "\n".join(lines)

    def assert_formula(self, begins_at: float | None) -> None:
        """Every step and score was the formula's; to be called after the watch, `begins_at` is the score before it."""
        if self._trouble:
            raise self._trouble
        assert self.ledgers
        faults = [
            f"{a}: {fault}"
            for a, ledger in self.ledgers.items()
            for fault in ledger.faults(begins_at=begins_at)
        ]
        assert not faults, "\n".join(faults)

    def steps(self, address: str) -> set[float]:
        return {round(row["step"], 3) for row in self.ledgers[address].probes.values()}


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_only_good_members_are_ever_answered_and_each_score_follows_the_formula(
    bed: Bed, tmp_path: Path
) -> None:
    """Three good members beside one 300 ms off, one unsynchronised, one that answers RATE and one dead."""
    port = free_port()
    pool = Pool(tmp_path, config(bed.members(), [f"127.0.0.1:{port}"], [f"127.0.0.1:{free_port()}"]))
    good = {daemon.address for daemon in bed.good}
    with Asker(("127.0.0.1", port), NAMES) as asker, running(pool):
        with Watch(pool) as watch:
            watch.until(lambda: asker.ever() >= good, "all good members to be answered", 90)
            asked_by_dig(port, good)
            command_tells_the_same(pool)
            left_s, back_s = one_dies_and_returns(pool, bed.good[2], asker, watch)
        watch.assert_formula(begins_at=0.0)
        assert left_s < 15
        assert watch.steps(bed.limited.address) == {-3.5}
        assert watch.steps(bed.dead[0]) == {-5.0}
        assert watch.steps(bed.unsynchronised.address) == {-4.0}
        assert all(0.0 < step < 0.09 for step in watch.steps(bed.wrong.address)), "300 ms: 0.039"
        assert all(len(ledger.probes) > 15 for ledger in watch.ledgers.values())

        first_s = killed_and_started_again(pool, asker, good)
        with Watch(pool, since=time.time()) as watch:  # noqa: TID251 - rows carry the time of day
            watch.until(lambda: seven_with(3, watch), "three more probes of everybody", 60)
            assert all(member["in_pool"] == (address in good) for address, member in pool.members().items())
        watch.assert_formula(begins_at=None)

        code, took_s = pool.stop()
        assert (code, took_s < 5) == (0, True)
        assert asker.ever() == good, "never anybody else, from the first question to the last"
        replied = [answer for answer in asker.answers if answer.rcode is not None]
        assert len(replied) > 1000
        assert {answer.rcode for answer in replied} == {0}
    sys.stdout.write(
        f"out of the answers {left_s:.1f} s after the kill, back {back_s:.1f} s after the restart; first answer "
        f"{first_s:.1f} s after kill -9 and start; stopped in {took_s:.1f} s; {len(replied)} answers\n"
    )


def one_dies_and_returns(pool: Pool, victim: Daemon, asker: Asker, watch: Watch) -> tuple[float, float]:
    """Kill a member, start it again when it is out; returns the seconds until it was out, and until it was back."""
    victim.stop()
    killed = time.monotonic()
    out = lambda: not pool.members()[victim.address]["in_pool"]  # noqa: E731
    silent = lambda: (asker.last_with(victim.address) or killed) < time.monotonic() - 3  # noqa: E731
    watch.until(lambda: out() and silent(), "the killed member to be out of the answers", 30)
    left_s = (asker.last_with(victim.address) or killed) - killed
    assert pool.members()[victim.address]["reason"].startswith("out"), "it says why"
    victim.start()
    back = time.monotonic()
    watch.until(lambda: victim.address in asker.ever(back), "the member to come back", 120)
    return left_s, time.monotonic() - back


def killed_and_started_again(pool: Pool, asker: Asker, good: set[str]) -> float:
    """kill -9 and start: seconds until the first answer, which has nobody else in it, as all others shortly after."""
    pool.kill()
    pool.start()
    started = time.monotonic()
    first = wait_until(lambda: asker.first(started), "an answer after kill -9", timeout_s=15)
    wait_until(lambda: asker.ever(started) >= good, "all good members", timeout_s=5)
    assert asker.ever(started) == good
    pool.wait_ready()
    return first.at - started


def seven_with(number: int, watch: Watch) -> bool:
    ledgers = list(watch.ledgers.values())
    return len(ledgers) == 7 and all(len(ledger.probes) >= number for ledger in ledgers)


def command_tells_the_same(pool: Pool) -> None:
    """`timeball member list` and `show` give what a test bed relies on."""
    listed = pool.ask("member", "list")
    keys = {"id", "address", "port", "netspeed", "zones", "score", "in_pool", "reason"}
    assert all(keys <= member.keys() for member in listed)
    for member in listed:
        shown = pool.ask("member", "show", member["id"])
        columns = {"ts", "offset_s", "rtt_s", "stratum", "leap", "step", "score", "error", "rule"}
        assert all(columns <= row.keys() for row in shown["probes"])
    good = next(member for member in listed if member["in_pool"])
    answer = pool.ask("dns", "answer", ZONE)
    assert good["address"] in json.dumps(answer)


def asked_by_dig(port: int, good: set[str]) -> None:
    dig = [need("dig"), "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=2"]
    for name in NAMES:
        said = subprocess.run(
            [*dig, name, "A"], capture_output=True, text=True, check=True, timeout=20
        ).stdout.split()
        assert said
        assert set(said) <= good


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_ntpsec_and_openntpd_are_members_like_chronyd(tmp_path: Path) -> None:
    """Three makers on port 123 of their own machines, both families; an NTPsec that limits its clients stays out."""
    need("ip")
    with network() as net, contextlib.ExitStack() as stack:
        spaces = {
            name: net.namespace() for name in ("box", "chrony", "ntpsec", "openntpd", "limited", "client")
        }
        numbers = {name: number for number, name in enumerate(spaces, 1)}
        net.switch(
            [
                (space, [f"10.78.0.{numbers[name]}/24", f"fd78::{numbers[name]}/64"])
                for name, space in spaces.items()
            ]
        )
        v4 = {name: f"10.78.0.{number}" for name, number in numbers.items()}
        v6 = {name: f"fd78::{number}" for name, number in numbers.items()}
        limits = ("restrict default limited kod", "limit average 0.05 burst 1 kod 1000")
        daemons = {
            "chrony": chronyd(
                tmp_path / "chrony",
                v4["chrony"],
                123,
                f"bindaddress {v6['chrony']}",
                "local stratum 3",
                inside=spaces["chrony"],
            ),
            "ntpsec": ntpsec(tmp_path / "ntpsec", v4["ntpsec"], spaces["ntpsec"]),
            "openntpd": openntpd(tmp_path / "openntpd", v4["openntpd"], v4["chrony"], spaces["openntpd"]),
            "limited": ntpsec(tmp_path / "limited", v4["limited"], spaces["limited"], *limits),
        }
        for name, daemon in daemons.items():
            daemon.start()
            stack.callback(daemon.stop)
            # One after the other: OpenNTPD gives up when its source refuses its first question.
            if name != "limited":
                assert abs(daemon.wait_synchronised().offset_s) < 0.2, (
                    name
                )  # rough: a busy machine reads late
        wait_until(
            lambda: (seen := daemons["limited"].look()) and seen.refid == b"RATE", "NTPsec to limit us"
        )

        good4 = {v4[name] for name in ("chrony", "ntpsec", "openntpd")}
        good6 = {v6[name] for name in ("chrony", "ntpsec")}
        members = [(address, 123) for address in (*good4, *good6, v4["limited"], v6["limited"])]
        listen = ["0.0.0.0:{}", "[::]:{}"]
        pool = Pool(
            tmp_path,
            config(members, [text.format(53) for text in listen], [text.format(123) for text in listen]),
            inside=spaces["box"],
        )
        asker4 = stack.enter_context(Asker((v4["box"], 53), NAMES, inside=spaces["client"]))
        asker6 = stack.enter_context(Asker((v6["box"], 53), NAMES, qtype=28, inside=spaces["client"]))
        with running(pool):
            with Watch(pool) as watch:
                all_there = lambda: asker4.ever() >= good4 and asker6.ever() >= good6  # noqa: E731
                watch.until(all_there, "five good members to be answered", 100)
                # A request that had to wait too long on a busy machine is rightly not answered: ask again.
                served = wait_until(lambda: look(v4["box"], inside=spaces["client"]), "the box to serve time")
                assert (served.leap, abs(served.offset_s) < 0.02) == (0, True)
            watch.assert_formula(begins_at=0.0)
            assert watch.steps(v4["limited"]) & {-3.5, -5.0}, "it kissed us, or was silent"
            assert (asker4.ever(), asker6.ever()) == (good4, good6), "never anybody else"
