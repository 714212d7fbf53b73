"""The rate limiter: who is let through, who is not, and what nobody can make of it."""

from __future__ import annotations

import ipaddress
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane.interface import Action, NtpPolicy, RateLimit, Reason
from appliance.dataplane.ntp_clients import ClientTable
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, Source, decide
from appliance.dataplane.ntp_limit import OCTAVE, insists, log_spacing, spacing_s
from appliance.dataplane.ntp_memory import Memory
from appliance.dataplane.ntp_networks import NetworkBuckets
from appliance.wire.ntp import parse_header
from tests.dataplane.test_ntp_decide import MONO_NS, NOW_NS, SYNCHRONISED
from tests.support.ntp_packets import request

S = 10**9
SECRET = bytes(range(16))
DEFAULT = RateLimit()


class Worker:
    """One worker's view: packets of chosen sources at chosen times, with noise from a seed."""

    def __init__(self, limit: RateLimit | None = DEFAULT, *, slots: int = 64, seed: int = 1) -> None:
        table = ClientTable(slots, SECRET) if slots else None
        self.memory = Memory(table, NetworkBuckets(1024, SECRET))
        self.rng = random.Random(seed)
        self.now_ns = MONO_NS + 3600 * S
        self.set(limit)

    def set(self, limit: RateLimit | None) -> None:
        self.table = PolicyTable(NtpPolicy(limit=limit))

    def decision(self, host="192.0.2.7", port=40000, *, after_s=0.0, poll=6, noise=None):
        self.now_ns += round(after_s * 1e9)
        return decide(
            request(poll=poll), Source.of(host, port), rx_ns=NOW_NS, tx_ns=NOW_NS + 9000, mono_ns=self.now_ns, memory=self.memory,
            noise=self.rng.getrandbits(64) if noise is None else noise, snapshot=Snapshot.at(MONO_NS, SYNCHRONISED, self.table),
        )  # fmt: skip

    def ask(self, host="192.0.2.7", **how) -> bool:
        """Whether a request is answered with time."""
        return self.decision(host, **how).action is Action.REPLY


#: No chance lets anybody through.
SILENCE = 2**64 - 1


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize(
    ("client", "spacings_s"),
    [
        ("chronyd iburst, then minpoll 6", [0, *[2.0] * 7, *[64.0] * 20]),
        ("chronyd iburst with short polls", [0, *[0.2] * 3, *[16.0] * 50]),
        ("ntpd iburst", [0, *[2.0] * 7, *[64.0] * 10]),
        ("ntpd burst at every poll", [0, *([2.0] * 7 + [64.0]) * 20]),
        ("ntpdate", [0, *[0.2] * 3]),
        ("ntpdate in a cron job of every five minutes", [0, *([0.2] * 3 + [300.0]) * 20]),
        ("ntpdig and sntp", [0, 60.0, 60.0]),
        ("systemd-timesyncd", [0, 32.0, 64.0, 128.0, 256.0, 512.0]),
        ("Windows, started twice", [0, 0.5, 1.0, 1.0, 15.0, 64.0]),
        ("the monitor of the NTP Pool", [0, *([2.0, 2.0, 540.0]) * 20]),
        ("RIPE Atlas", [0, *([0.0, 0.0, 900.0]) * 20]),
        ("a client that asks every eight seconds for ever", [0, *[8.0] * 400]),
    ],
)
def test_what_ordinary_clients_do_is_let_through(host, client, spacings_s):
    """With the defaults, without any luck."""
    worker = Worker()
    for number, after_s in enumerate(spacings_s):
        assert worker.ask(host, after_s=after_s, noise=SILENCE), f"{client}, packet {number}"


def test_a_classroom_that_is_switched_on_together_is_let_through():
    """250 machines of one /24, or one IPv6 /64, each with iburst within half a minute."""
    worker = Worker(slots=256)
    for _ in range(8):
        for machine in range(1, 251):
            assert worker.ask(f"192.0.2.{machine}", noise=SILENCE)
        worker.now_ns += 2 * S
    for _ in range(4):
        for machine in range(1, 251):
            assert worker.ask(f"2001:db8::{machine:x}", noise=SILENCE)
        worker.now_ns += 2 * S


@given(
    spacings=st.lists(st.floats(1.0, 100.0), min_size=1, max_size=200),
    interval=st.integers(-8, 6),
    burst=st.integers(1, 255),
)
def test_a_client_at_or_below_the_average_rate_is_never_dropped(spacings, interval, burst):
    worker = Worker(RateLimit(interval=interval, burst=burst))
    for spacing in spacings:
        worker.now_ns += math.ceil(spacing * 2.0**interval * 1e9)
        assert worker.ask(noise=SILENCE)


def test_over_the_limit_one_in_four_is_answered_and_the_rest_is_silence():
    worker = Worker()
    decisions = [worker.decision(after_s=0.01) for _ in range(4000)]
    answered = sum(decision.action is Action.REPLY for decision in decisions)
    assert all(decision.action is Action.REPLY for decision in decisions[:16])
    assert 850 < answered < 1150
    assert {d[:2] for d in decisions} == {(Reason.OK, Action.REPLY), (Reason.RATE, Action.IGNORE)}
    (record,) = worker.memory.clients.all()
    assert (record.packets, record.replies, record.dropped) == (4000, answered, 4000 - answered)
    assert worker.memory.over_client == record.dropped


def test_a_flood_in_somebodys_name_cannot_silence_him():
    """The leak: of a victim's own requests about a quarter is still answered, whatever is sent in its name."""
    worker, answered = Worker(), 0
    for _ in range(400):
        for _ in range(30):
            worker.ask(after_s=0.001)
        answered += worker.ask(after_s=0.001)
    assert answered > 60


@pytest.mark.parametrize("kind", ["even", "jittered", "random"])
def test_a_steady_flood_does_not_turn_the_leak_around(kind):
    worker, rng = Worker(), random.Random(3)
    spacing_s = {
        "even": lambda: 0.1,
        "jittered": lambda: rng.uniform(0.05, 0.15),
        "random": lambda: rng.expovariate(10),
    }[kind]
    answered = sum(worker.ask(after_s=spacing_s()) for _ in range(5000))
    assert answered < 0.4 * 5000


def test_one_that_asks_faster_when_it_is_silenced_is_answered_mostly():
    """Silence would make it worse: chrony's observation of what poor clients do."""
    worker, answered, silent, asked = Worker(), 0, 0, 0
    last = True
    for _ in range(3000):
        last = worker.ask(after_s=4.0 if last else 0.5)
        asked += 1
        answered += last
        silent += not last
    assert answered > 0.6 * asked
    assert silent


def test_a_kiss_tells_to_slow_down_and_carries_no_time():
    worker = Worker(RateLimit(kod=1))
    for _ in range(16):
        worker.ask()
    decision = worker.decision(noise=2**64 - 1 - (1 << 52), poll=1)
    assert decision[:2] == (Reason.RATE, Action.KISS)
    kiss = parse_header(decision.reply)
    assert kiss.kiss_code == "RATE"
    assert (kiss.leap, kiss.stratum, kiss.poll) == (3, 0, 3)
    assert kiss.receive == kiss.transmit == kiss.origin
    assert worker.decision(noise=SILENCE)[:2] == (Reason.RATE, Action.IGNORE)


@pytest.mark.parametrize(("poll", "answer"), [(6, 6), (0, 3), (3, 3), (0xFE, 3), (17, 17)])
def test_replies_ask_for_polls_that_will_be_answered(poll, answer):
    assert parse_header(Worker().decision(poll=poll).reply).poll == answer
    free = parse_header(Worker(None).decision(poll=poll).reply).poll
    assert free & 0xFF == poll


def test_exempt_sources_are_remembered_and_not_limited():
    worker = Worker(RateLimit(exempt=(ipaddress.ip_network("192.0.2.0/24"),)))
    assert all(worker.ask(poll=0, noise=SILENCE) for _ in range(500))
    assert parse_header(worker.decision(poll=0).reply).poll == 0
    assert sum(worker.ask("198.51.100.1", noise=SILENCE) for _ in range(50)) == 16
    assert sorted(record.packets for record in worker.memory.clients.all()) == [50, 501]


def test_a_network_as_a_whole_has_a_limit_of_its_own():
    """One machine that goes through the addresses of its /48 or /24 is no thousand clients."""
    worker = Worker(RateLimit(prefix_interval=0, prefix_burst=100), slots=512)
    six = sum(worker.ask(f"2001:db8:1:{n:x}::1", noise=SILENCE) for n in range(1000))
    four = sum(worker.ask(f"192.0.2.{n % 256}", noise=SILENCE) for n in range(1000))
    assert (six, four) == (100, 100)
    assert worker.memory.over_network == 1800
    assert worker.ask("2001:db8:2::1", noise=SILENCE)
    assert worker.ask("192.0.3.1", noise=SILENCE)
    assert sum(worker.ask("2001:db8:1:ffff::1", after_s=0) for _ in range(16)) > 0  # the leak


def test_without_a_table_the_networks_are_still_limited():
    worker = Worker(RateLimit(prefix_interval=0, prefix_burst=10), slots=0)
    assert sum(worker.ask(noise=SILENCE) for _ in range(50)) == 10


def test_a_clock_that_goes_backwards_locks_nobody_out():
    worker = Worker()
    for _ in range(100):
        worker.ask(noise=SILENCE)
    worker.now_ns -= 3000 * S
    assert worker.ask(noise=SILENCE)
    worker.now_ns = 0  # restored on another machine
    assert worker.ask(noise=SILENCE)


def test_new_limits_hold_at_once_and_nobody_is_forgotten():
    worker = Worker(None)
    assert all(worker.ask() for _ in range(100))
    worker.set(DEFAULT)
    assert sum(worker.ask(noise=SILENCE) for _ in range(100)) == 16
    worker.set(RateLimit(interval=-4))
    assert worker.ask(noise=SILENCE)
    worker.set(None)
    assert all(worker.ask(noise=SILENCE) for _ in range(100))
    (record,) = worker.memory.clients.all()
    assert record.packets == 301


def test_a_flood_from_everywhere_forgets_and_counts_but_never_grows():
    worker = Worker(slots=4)
    for _ in range(5000):
        worker.ask(str(ipaddress.ip_address(worker.rng.randint(0x01000000, 0xDFFFFFFF))))
    remembered = worker.memory.remembered()
    assert remembered.known == remembered.room == 32
    assert remembered.forgotten == 5000 - 32


@given(st.integers(0, 2**63))
def test_spacings_are_kept_well_enough_to_be_shown(ns):
    logarithm = log_spacing(ns)
    within = max(2**20, min(2**37, ns)) / 1e9
    assert within / 1.02 <= spacing_s(logarithm) <= within
    assert spacing_s(0) is None


def test_insisting_is_more_than_a_doubling():
    assert insists(2000, 2000 - OCTAVE - 1)
    assert not insists(2000, 2000 - OCTAVE)
    assert not insists(0, 1000)
    assert not insists(2000, 0)
