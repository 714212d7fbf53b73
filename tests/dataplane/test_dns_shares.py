"""Fairness end to end: asked over UDP from many addresses, everybody gets its share, and we count it right.

The index of the answer is the multinomial variable, so chi-square is about it; members are drawn without replacement, so
each of them gets a z of its own.
"""

from __future__ import annotations

import itertools
import math
import socket
from collections import Counter

import dns.message
import pytest

from appliance.core.clock import FakeClock
from appliance.dataplane.dns_decide import decide, pick
from appliance.dataplane.dns_shares import Tally, add_shares
from appliance.dataplane.dns_snapshot import ONE, AnswerSnapshot, Rotation
from tests.dataplane.dns_stub import NOW_NS, OverSockets, query, stub
from tests.support.wait import wait_until

HEAVY = [500, 500, 1000, 1000, 3000, 5000, 10000, 10000, 25000, 50000, 100000, 1000000]


def chi_square_tail(value: float, df: int) -> float:
    """P(X > value), by the Wilson-Hilferty approximation: good to a few per cent of itself where it matters."""
    z = ((value / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df))
    return 0.5 * math.erfc(z / math.sqrt(2))


def rotation_of(snapshot: AnswerSnapshot) -> Rotation:
    return snapshot.names[query("0").question[0].name.to_wire()].rotating[1]


def interval_lengths(rotation: Rotation) -> list[int]:
    edges = [*rotation.cuts, ONE]
    return [b - a for a, b in itertools.pairwise(edges)]


def addresses_of(records: bytes, rotation: Rotation) -> list[str]:
    return [socket.inet_ntoa(records[i * 16 + 12 : i * 16 + 16]) for i in range(rotation.size)]


@pytest.mark.parametrize("secret", [b"first secret 123", b"second secret 12", b"third secret 123"])
@pytest.mark.parametrize("weights", [[1000] * 12, HEAVY], ids=["equal", "heavy-tailed"])
def test_122_shares_over_udp_from_many_addresses(weights: list[int], secret: bytes, plane: str) -> None:
    snapshot = stub(weights=weights, secret=secret, coherence_s=8)
    rotation = rotation_of(snapshot)
    asker = OverSockets(snapshot, clock=FakeClock(), plane=plane)
    wire = query("0").to_wire()
    clients = 200 * len(rotation.sets)
    replies: Counter[bytes] = Counter()
    for n in range(clients):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.bind((f"127.{100 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}", 0))
            client.connect(asker.address)
            client.send(wire)
            replies[client.recv(512)[len(wire) :]] += 1
    asker.close()

    by_set = [0] * len(rotation.sets)
    by_member: Counter[str] = Counter()
    by_first: Counter[str] = Counter()
    index_of = {frozenset(addresses_of(records, rotation)): i for i, records in enumerate(rotation.sets)}
    merged = [0.0] * len(rotation.sets)
    for i, (records, length) in enumerate(zip(rotation.sets, interval_lengths(rotation), strict=True)):
        merged[index_of[frozenset(addresses_of(records, rotation))]] += clients * length / ONE
        assert i < len(weights)
    for records, number in replies.items():
        answered = addresses_of(records, rotation)
        assert len(set(answered)) == 4
        by_set[index_of[frozenset(answered)]] += number
        by_first[answered[0]] += number
        for address in answered:
            by_member[address] += number

    assert_fits(by_set, merged)
    chance: Counter[str] = Counter()
    for records, length in zip(rotation.sets, interval_lengths(rotation), strict=True):
        for address in addresses_of(records, rotation):
            chance[address] += length
    for address, length in chance.items():
        p = length / ONE
        if p < 1:
            z = (by_member[address] - clients * p) / math.sqrt(clients * p * (1 - p))
            assert abs(z) < 4.5, (address, z)
        else:
            assert by_member[address] == clients
    # 123: the first place is shared as the answers are.
    assert_fits([by_first[a] for a in chance], [clients * length / ONE / 4 for length in chance.values()])


def assert_fits(observed: list[int], expected: list[float]) -> None:
    """Chi-square with cells of too little expectation put together; p must be above 1e-4."""
    cells = sorted(zip(expected, observed, strict=True))
    small_e = small_o = 0.0
    chi = 0.0
    df = -1
    for e, o in cells:
        if e < 5:
            small_e, small_o = small_e + e, small_o + o
            continue
        chi += (o - e) ** 2 / e
        df += 1
    if small_e >= 1:
        chi += (small_o - small_e) ** 2 / small_e
        df += 1
    assert df >= 1
    assert chi_square_tail(chi, df) > 1e-4, (chi, df)


def test_the_chi_square_tail_is_the_tabulated_one() -> None:
    for value, df, tail in ((18.307, 10, 0.05), (29.588, 10, 0.001), (19.675, 11, 0.05), (3.841, 1, 0.05)):
        assert chi_square_tail(value, df) == pytest.approx(tail, rel=0.1)


@pytest.mark.parametrize("name", ["@", "0", "1", "2", "3"])
def test_walking_over_the_whole_circle_gives_exact_counts(name: str) -> None:
    """u in T equal steps: each member's count differs from T * p by less than one for each cut that it has."""
    snapshot = stub(weights=HEAVY)
    rotation = snapshot.names[query(name).question[0].name.to_wire()].rotating[1]
    steps = 1024
    counts: Counter[str] = Counter()
    for t in range(steps):
        u = (2 * t + 1) * ONE // (2 * steps)
        records, _mark = pick(rotation, u)
        counts.update(addresses_of(records, rotation))
    chance: Counter[str] = Counter()
    for records, length in zip(rotation.sets, interval_lengths(rotation), strict=True):
        for address in addresses_of(records, rotation):
            chance[address] += length
    for address, length in chance.items():
        assert abs(counts[address] - steps * length / ONE) < 2


def test_what_was_given_is_counted_against_the_exact_share() -> None:
    snapshot = stub(weights=HEAVY, coherence_s=0)
    tally = Tally(snapshot)
    wires = [query(n, t).to_wire() for n in ("@", "0", "1", "2", "3") for t in ("A", "AAAA")]
    given: Counter[str] = Counter()
    for sequence in range(4000):
        reply, _, _, mark = decide(
            wires[sequence % 10], "192.0.2.9", "udp", NOW_NS, snapshot, sequence=sequence
        )
        tally.given[mark] = tally.given.get(mark, 0) + 1
        given.update(r.to_text() for r in dns.message.from_wire(reply or b"").answer[0])
    shares: dict[str, tuple[int, float]] = {}
    add_shares(shares, tally)
    assert {address: had for address, (had, _) in shares.items() if had} == dict(given)
    assert sum(fair for _, fair in shares.values()) == pytest.approx(16000)
    for had, fair in shares.values():
        assert abs(had - fair) < 6 * math.sqrt(fair + 1)


def test_counts_survive_a_new_snapshot(plane: str) -> None:
    asker = OverSockets(stub(v4=3), plane=plane)
    for round_ in range(3):
        for _ in range(10):
            asker.udp.send(query("0").to_wire())
            asker.udp.recv(512)
        wanted = 10 * (round_ + 1)
        wait_until(
            lambda wanted=wanted: sum(asker.server.counters().values()) == wanted, "the queries to be counted"
        )
        asker.server.set_answers(stub(v4=3, ttl=100 + round_))
    assert asker.server.shares() == {f"192.0.2.{n}": (30, 30.0) for n in (1, 2, 3)}
    asker.close()
