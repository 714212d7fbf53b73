"""What a worker remembers of its clients, in both planes: the same decisions, replies and tables, packet by packet."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.model import ClockState
from appliance.dataplane import ntp_book, ntp_decide
from appliance.dataplane.client_keys import client_key, client_network
from appliance.dataplane.interface import Action, NtpPolicy, PrefixRule, RateLimit, Reason
from appliance.dataplane.native import clock_tuple, limit_tuple, policy_rules
from appliance.dataplane.ntp_clients import WAYS, ClientTable
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, Source
from appliance.dataplane.ntp_memory import Memory
from appliance.dataplane.ntp_networks import NetworkBuckets
from tests.support.mutation import mutated
from tests.support.native import need_native
from tests.support.ntp_packets import SEEDS, request

WALL_NS = 1_800_000_000_123_456_789
SECRET = bytes(range(16))
CLOCK = ClockState(0, 2, b"GPS\0", WALL_NS - 10**9, 0.001, 0.001, 1e-6, 0, precision=-24)
_CLOCK = clock_tuple(CLOCK)
NETWORKS = [
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/30", "0.0.0.0/0", "2001:db8::/48", "2001:db8:0:1::/64", "198.51.100.7/32")
]

limits = st.builds(
    RateLimit,
    interval=st.integers(-12, 12),
    burst=st.integers(1, 255),
    leak=st.integers(1, 4),
    kod=st.integers(0, 4),
    exempt=st.lists(st.sampled_from(NETWORKS[:1] + NETWORKS[2:]), max_size=2, unique=True).map(tuple),
    prefix_interval=st.integers(-12, 12),
    prefix_burst=st.integers(1, 64),
)
policies = st.builds(
    NtpPolicy,
    rules=st.lists(
        st.builds(PrefixRule, st.sampled_from(NETWORKS), st.sampled_from(["allow", "ignore", "deny"])),
        max_size=2,
    ).map(tuple),
    default=st.just("allow"),
    limit=st.none() | limits,
)
sources = st.one_of(
    st.integers(0xC0000200, 0xC000020F).map(lambda address: Source(4, address, 40000)),
    st.integers(0xC6336400, 0xC63364FF).map(lambda address: Source(4, address, 123)),
    st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)).map(
        lambda part: Source(6, 0x20010DB8 << 96 | part[0] << 64 | part[1], 999)
    ),
    st.integers(0, 2**64 - 1).map(lambda low: Source(6, low, 40000)),
    st.integers(1, 2**32 - 1).map(lambda address: Source(4, address, 124)),
)
#: What passes between two packets: nothing, less than a batch, a burst's spacing, a poll, a day, or backwards.
pauses = st.sampled_from(
    [
        0,
        0,
        0,
        1,
        50_000,
        2_000_000,
        10**9,
        2 * 10**9,
        8 * 10**9,
        64 * 10**9,
        86400 * 10**9,
        -(10**9),
        -(10**13),
    ]
) | st.integers(0, 10**11)
packets = st.sampled_from(
    [request()] * 8 + [request(1, 0), request(3), request(poll=0), request(poll=17), *SEEDS]
)
steps = st.lists(st.tuples(pauses, sources, packets, st.integers(0, 2**64 - 1)), min_size=1, max_size=60)


class Twins:
    """One worker of each plane that get the same packets; every difference is an error."""

    def __init__(self, slots: int = 2, cells: int = 16) -> None:
        table = ClientTable(slots, SECRET) if slots else None
        self.memory = Memory(table, NetworkBuckets(cells, SECRET))
        self.native = need_native()
        self.obey(NtpPolicy())
        self.twin = self.native.NtpMemory(slots, cells, SECRET)

    def obey(self, policy: NtpPolicy) -> None:
        """Decide by this policy from now on."""
        self.table = PolicyTable(policy)
        self.rules = policy_rules(policy), policy.default, ntp_decide.LATE_NS, limit_tuple(policy)

    def ask(self, packet: bytes, source: Source, mono_ns: int, noise: int) -> ntp_decide.Decision:
        expected = ntp_decide.decide(
            packet, source, rx_ns=WALL_NS, tx_ns=WALL_NS + 9000, noise=noise, mono_ns=mono_ns, memory=self.memory,
            snapshot=Snapshot.at(mono_ns, CLOCK, self.table),
        )  # fmt: skip
        reason, action, reply = self.native.ntp_decide(
            packet, (source.family == 6, source.address, source.port), (0, 0), WALL_NS, WALL_NS + 9000, noise, mono_ns,
            _CLOCK, *self.rules, self.twin,
        )  # fmt: skip
        assert (Reason(reason), Action(action), reply and bytes(reply)) == expected
        return expected

    def compare(self) -> None:
        table = self.memory.clients
        assert self.twin.clients() == ([tuple(record[:12]) for record in table.all()] if table else [])
        assert self.memory.networks is not None
        assert self.twin.cells() == self.memory.networks.cells
        assert self.twin.remembered() == tuple(self.memory.remembered())


@settings(max_examples=150)
@given(
    runs=st.lists(st.tuples(policies, steps), min_size=1, max_size=3),
    slots=st.integers(0, 3),
    cells=st.sampled_from([8, 16]),
)
def test_both_planes_remember_and_decide_alike(runs, slots, cells):
    """Also across changes of the limits, with tables that are too small, and with a clock that jumps."""
    twins = Twins(slots, cells)
    now_ns = 10**14
    for policy, packets_in_turn in runs:
        twins.obey(policy)
        for pause_ns, source, packet, noise in packets_in_turn:
            now_ns = max(0, now_ns + pause_ns)
            twins.ask(packet, source, now_ns, noise)
        twins.compare()
        table = twins.memory.clients
        if table is None:
            assert twins.memory.remembered().known == 0
            continue
        records = table.all()
        assert len(records) == len(table.where) <= slots * WAYS
        assert {record.handle: table.places.index(tuple(record)) for record in records} == table.where
        for record in records:
            assert record.packets == record.replies + record.dropped + record.kisses
            if policy.limit:
                cap_ns = int(2.0**policy.limit.interval * 1e9) * policy.limit.burst
                changed = len(runs) > 1  # what an earlier policy left is judged with the next packet
                assert changed or record.full_at_ns - record.last_ns <= cap_ns


def test_a_flood_of_damaged_packets_from_everywhere_is_remembered_alike():
    twins = Twins(slots=5, cells=64)
    rng = random.Random(11)
    twins.obey(NtpPolicy(limit=RateLimit(interval=0, burst=2, kod=2, prefix_interval=-3, prefix_burst=4)))
    now_ns, seen = 10**12, set()
    for packet in mutated(SEEDS, 20_000, seed=5):
        now_ns += rng.choice((0, 0, 10**6, 10**7))
        host = 0x0A000000 + rng.getrandbits(2) if rng.random() < 0.9 else rng.getrandbits(32)
        source = Source(4, host, 1024) if rng.getrandbits(2) else Source(6, host << 64 | 1, 123)
        seen.add(twins.ask(packet, source, now_ns, rng.getrandbits(64))[:2])
    twins.compare()
    remembered = twins.memory.remembered()
    assert {(Reason.RATE, Action.IGNORE), (Reason.RATE, Action.KISS), (Reason.OK, Action.REPLY)} <= seen
    assert remembered.known == remembered.room == 40
    assert all(remembered[2:])  # forgotten, and every way to be limited


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1", "fe80::/64"),
    ],
)
def test_a_key_says_who_it_is(host, network):
    key = client_key(ipaddress.ip_address(host).packed)
    assert key
    assert str(client_network(key)) == network


@given(st.ip_addresses(), st.ip_addresses())
def test_two_clients_share_a_key_only_inside_a_slash_64(one, other):
    def who(address):
        return (4, int(address)) if address.version == 4 else (6, int(address) >> 64)

    reserved = ipaddress.ip_network("ff00::/8")
    if one not in reserved and other not in reserved:
        assert (client_key(one.packed) == client_key(other.packed)) == (who(one) == who(other))


def test_a_client_of_several_workers_is_told_once():
    key = client_key(bytes([192, 0, 2, 7]))
    rows = [
        (key, 10, 90, 5, 4, 1, 0, 95, 0x63, True, 1920, 0),
        (key, 5, 70, 3, 3, 0, 0, 0, 0x1B, False, 1984, 0),
    ]
    (client,) = ntp_book.clients_of(rows)
    assert str(client.network) == "192.0.2.7/32"
    assert client[1:] == (5, 90, 8, 7, 1, 0, 5, 4, 3, 1, True, 2**30 / 1e9, None)
