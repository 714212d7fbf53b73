"""Keys and interleaved mode: what a sequence of packets gets, and that both planes give it byte for byte."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.model import ClockState
from appliance.dataplane.interface import Action, NtpPolicy, Reason
from appliance.dataplane.native import clock_tuple, key_tuples
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, answer
from appliance.dataplane.ntp_interleaved import DISORDER, LATEST_STAMP_NS, STEP_NS, Interleaved, stamp_in
from appliance.dataplane.ntp_keys import Fault, KeyRing, NtpKey
from appliance.dataplane.ntp_memory import Memory
from appliance.dataplane.ntp_outcome import AUTHENTICATED, FAULT_SHIFT, INTERLEAVED, STAMP, split
from appliance.wire.ntp import HEADER_BYTES, Header, pack_field, parse_header
from appliance.wire.ntp_mac import MacType, digester
from tests.support.native import need_native

NOW_NS = 1_790_000_000_123_456_789
DELAY_NS = 700
CLOCK = ClockState(
    leap=0, stratum=2, refid=b"\xc6\x33\x64\x01", reference_ns=NOW_NS - 30 * 10**9, root_delay_s=0.0101,
    root_dispersion_s=0.002, dispersion_rate=15e-6, as_of_mono_ns=0, precision=-24, source="test",
)  # fmt: skip
KEYS = tuple(
    NtpKey(number, kind, bytes(range(number, number + (kind.key_bytes or 20))))
    for number, kind in enumerate(MacType, 1)
)
HOME = ipaddress.ip_network("10.0.0.0/8")
PRIVATE = NtpKey(99, MacType.AES128, bytes(16), (HOME, ipaddress.ip_network("2001:db8::/32")))
RING = (*KEYS, PRIVATE)
FIELD = pack_field(0x2005, bytes(24))


class Answer:
    """What one packet got."""

    def __init__(self, outcome: int, reply: bytes, memory: Memory) -> None:
        self.reason, self.action = split(outcome)
        answered = self.action is not Action.IGNORE
        self.packet = reply + (memory.mac if outcome & AUTHENTICATED else b"") if answered else b""
        self.fault = outcome >> FAULT_SHIFT
        self.interleaved, self.stamp = bool(outcome & INTERLEAVED), bool(outcome & STAMP)

    @property
    def header(self) -> Header:
        return parse_header(self.packet)


class Worker:
    """One packet thread without its socket."""

    def __init__(self, keys=RING, capacity=64) -> None:
        self.memory = Memory()
        self.memory.interleaved = Interleaved(capacity)
        self.keys = KeyRing(keys, DELAY_NS)

    def ask(
        self,
        packet: bytes,
        host="192.0.2.7",
        *,
        rx_ns=NOW_NS,
        wait_ns=20_000,
        noise=0,
        clock=CLOCK,
        mono_ns=0,
    ) -> Answer:
        reply = bytearray(HEADER_BYTES)
        snapshot = Snapshot.at(mono_ns, clock, PolicyTable(NtpPolicy()), self.keys)
        source = ipaddress.ip_address(host).packed
        outcome = answer(
            packet, len(packet), source, b"\x9c\x40", bytes(len(source)), bytes(2), rx_ns, rx_ns + wait_ns,
            mono_ns, noise, snapshot, self.memory, reply,
        )  # fmt: skip
        return Answer(outcome, bytes(reply), self.memory)


def request(version=4, *, mode=3, tail=b"", origin=0, receive=0, transmit=0x1122334455667788) -> bytes:
    return (
        Header(version=version, mode=mode, poll=6, origin=origin, receive=receive, transmit=transmit).pack()
        + tail
    )


def signed(packet: bytes, key: NtpKey, *, number: int | None = None, size: int | None = None) -> bytes:
    """`packet` with the MAC that a client with this key puts behind it."""
    size = key.kind.digest_on_wire(packet[0] >> 3 & 7) if size is None else size
    digest = digester(key.kind, key.secret)(packet)[:size]
    return packet + struct.pack("!I", key.id if number is None else number) + digest


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.kind.label)
@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_request_with_a_right_mac_gets_a_reply_with_one(key, version):
    asked = signed(request(version), key)
    got = Worker().ask(asked)
    assert (got.reason, got.action, got.fault) == (Reason.OK, Action.REPLY, 0)
    assert len(got.packet) == len(asked)
    assert got.packet == signed(got.packet[:HEADER_BYTES], key)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.kind.label)
def test_fields_in_front_of_the_mac_are_covered_by_it_and_not_repeated(key):
    got = Worker().ask(signed(request(tail=FIELD), key))
    assert got.packet == signed(got.packet[:HEADER_BYTES], key)
    covered_not = request(tail=FIELD) + signed(request(), key)[HEADER_BYTES:]
    assert Worker().ask(covered_not).fault == Fault.WRONG_MAC


def test_a_reply_with_a_mac_says_that_it_leaves_when_the_mac_is_made():
    plain, sealed = Worker().ask(request()), Worker().ask(signed(request(), KEYS[0]))
    later = sealed.header.transmit - plain.header.transmit
    assert abs(later * 1e9 / 2**32 - DELAY_NS) < 130  # two ticks of the precision
    assert sealed.header.receive == plain.header.receive


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (signed(request(), KEYS[5], number=1234), Fault.UNKNOWN_KEY),
        (signed(request(), KEYS[5], number=0), Fault.UNKNOWN_KEY),
        (signed(request(), KEYS[5], number=KEYS[1].id), Fault.WRONG_MAC),
        (signed(request(), KEYS[5]._replace(secret=bytes(16))), Fault.WRONG_MAC),
        (signed(request(), KEYS[1], size=16), Fault.WRONG_MAC),
        (signed(request(3), KEYS[2], size=20), Fault.WRONG_MAC),
        (signed(request(), PRIVATE), Fault.WRONG_SOURCE),
    ],
)  # fmt: skip
def test_what_is_not_authenticated_gets_silence(packet, fault):
    got = Worker().ask(packet)
    assert (got.reason, got.action, got.fault, got.packet) == (Reason.AUTH, Action.IGNORE, fault, b"")


def test_without_keys_every_mac_is_unknown():
    assert Worker(()).ask(signed(request(), KEYS[0])).fault == Fault.UNKNOWN_KEY


def test_a_key_with_networks_is_for_those_alone():
    packet = signed(request(), PRIVATE)
    got = {
        host: Worker().ask(packet, host).action
        for host in ("10.1.2.3", "2001:db8::7", "11.0.0.1", "2001:db9::1")
    }
    assert [action is Action.REPLY for action in got.values()] == [True, True, False, False]


@pytest.mark.parametrize("byte", range(72))
def test_every_byte_of_a_request_counts(byte):
    packet = bytearray(signed(request(), KEYS[1]))
    packet[byte] ^= 1
    assert Worker().ask(bytes(packet)).action is Action.IGNORE


@pytest.mark.parametrize("size", [16, 20])
def test_damaged_digests_of_full_length_are_refused_before_version_4_too(size):
    assert Worker().ask(request(3) + struct.pack("!I", 3) + bytes(size)).reason is Reason.AUTH


def test_a_key_does_not_show_itself():
    key = KEYS[5]
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert key.secret.hex() not in text
        assert repr(key.secret)[2:-1] not in text


class Client:
    """A client in interleaved mode, as RFC 9769 section 2 has it."""

    def __init__(self, worker: Worker, host="192.0.2.7", key: NtpKey | None = None) -> None:
        self.worker, self.host, self.key = worker, host, key
        self.last: Header | None = None
        self.ticks = 1000
        self.asked = b""

    def ask(self, rx_ns: int, **more) -> Answer:
        self.ticks += 10
        origin = self.last.receive if self.last else 0
        packet = request(origin=origin, receive=self.ticks if origin else 0, transmit=self.ticks + 1)
        self.asked = signed(packet, self.key) if self.key else packet
        got = self.worker.ask(self.asked, self.host, rx_ns=rx_ns, **more)
        self.last = got.header
        return got


@pytest.mark.parametrize("key", [None, KEYS[5], KEYS[2]])
def test_the_third_reply_tells_when_the_second_one_left(key):
    client = Client(Worker(), key=key)
    first = client.ask(NOW_NS)
    assert (first.interleaved, first.stamp) == (False, False)
    second = client.ask(NOW_NS + 10**9)
    assert (second.interleaved, second.stamp) == (False, True)
    assert second.header.origin == parse_header(client.asked).transmit
    third = client.ask(NOW_NS + 2 * 10**9)
    assert (third.interleaved, third.stamp) == (True, True)
    assert third.header.origin == parse_header(client.asked).receive
    assert third.header.transmit == second.header.transmit
    assert third.header.receive > second.header.receive
    fourth = client.ask(NOW_NS + 3 * 10**9)
    assert fourth.interleaved
    assert fourth.header.transmit > third.header.receive


def test_what_the_kernel_told_stands_in_the_next_reply():
    worker = Worker()
    client = Client(worker)
    client.ask(NOW_NS)
    second = client.ask(NOW_NS + 10**9)
    left_ns = NOW_NS + 10**9 + 53_123
    assert stamp_in(bytes(42) + second.packet, left_ns, worker.memory.interleaved)
    third = client.ask(NOW_NS + 2 * 10**9)
    took_s = (third.header.transmit - second.header.receive) / 2**32
    assert abs(took_s - 53_123e-9) < 130e-9
    assert third.header.transmit % 2 == 0


def test_a_replay_gets_basic_mode_and_learns_nothing():
    client = Client(Worker())
    for second in range(3):
        got = client.ask(NOW_NS + second * 10**9)
    assert got.interleaved
    again = client.worker.ask(client.asked, rx_ns=NOW_NS + 4 * 10**9)
    assert not again.interleaved
    assert again.header.origin == parse_header(client.asked).transmit


def test_nobody_else_is_told():
    client = Client(Worker())
    for second in range(2):
        client.ask(NOW_NS + second * 10**9)
    stranger = Client(client.worker, "192.0.2.8")
    stranger.last = client.last
    assert not stranger.ask(NOW_NS + 2 * 10**9).interleaved
    assert client.ask(NOW_NS + 3 * 10**9).interleaved


@pytest.mark.parametrize(
    "changed", [{"version": 3}, {"mode": 1}, {"receive": 0x1122334455667788}, {"origin": 2}], ids=str
)
def test_what_is_no_request_in_interleaved_mode_gets_basic_mode(changed):
    worker = Worker()
    client = Client(worker)
    for second in range(2):
        client.ask(NOW_NS + second * 10**9)
    fields = {"origin": client.last.receive, "receive": 7} | changed
    assert not worker.ask(request(**fields), rx_ns=NOW_NS + 2 * 10**9).interleaved


def test_clients_in_basic_mode_are_not_remembered():
    worker = Worker()
    for second in range(9):
        worker.ask(request(origin=2 * second), rx_ns=NOW_NS + second * 10**9)
    assert len(worker.memory.interleaved) == 0


def test_a_step_of_the_clock_ends_what_was_before():
    worker = Worker()
    client = Client(worker)
    interleaved = worker.memory.interleaved
    interleaved.watch_clock(NOW_NS, 0)
    for second in range(2):
        client.ask(NOW_NS + second * 10**9)
    interleaved.watch_clock(NOW_NS + 2 * 10**9 + STEP_NS // 2, 2 * 10**9)
    assert client.ask(NOW_NS + 2 * 10**9).interleaved
    interleaved.watch_clock(NOW_NS + 5 * 10**9, 3 * 10**9)
    assert not client.ask(NOW_NS + 5 * 10**9).interleaved


def test_more_clients_than_it_remembers_get_basic_mode():
    worker = Worker(capacity=32)
    clients = [Client(worker, f"192.0.2.{number}") for number in range(40)]
    for turn in range(2):
        for number, client in enumerate(clients):
            client.ask(NOW_NS + turn * 10**9 + number * 10**6)
    assert len(worker.memory.interleaved) == 32
    told = [client.ask(NOW_NS + 2 * 10**9).interleaved for client in clients[39:40] + clients[:1]]
    assert told == [True, False]


# --- both planes ----------------------------------------------------------------------------------------------------

#: What a step may be, the usual first and often: a sequence where all goes wrong at once reaches nothing.
CHOICES = {
    "kind": ["interleaved"] * 6 + ["basic", "replay", "equal"],
    "host": ["192.0.2.7"] * 4 + ["192.0.2.8", "10.1.2.3", "2001:db8::7", "2001:db9::7"],
    "version": [4] * 9 + [3, 2, 1],
    "mode": [3] * 9 + [1],
    "key": [*[None] * 6, *RING, KEYS[5]._replace(id=555), KEYS[3]._replace(secret=b"another")],
    "field": [False] * 3 + [True],
    "damage": [None] * 12 + [(0, 0x40), (0, 1), (28, 1), (31, 1), (47, 2), (49, 2), (60, 4), (71, 1)],
    "later_ns": [10**9] * 8 + [1, 0, -1000, 10**6, -(10**9)],
    "stamp_ns": [None, 30_000, 30_000, 10, LATEST_STAMP_NS * 2],
    "step": [False] * 30 + [True],
    "correction_s": [0.0, 0.0, 1e-4],
    "noise": [0, 2**64 - 1, 0x0123456789ABCDEF, 0xFEDCBA9876543210],
}
Step = dict[str, object]
CAPACITY = DISORDER + 4


def compare(steps: list[Step]) -> Counter[str]:
    """Both planes answer these alike, byte for byte; what was reached on the way."""
    native = need_native().NtpDecider(key_tuples(RING), DELAY_NS, CAPACITY)
    worker, seen = Worker(capacity=CAPACITY), Counter[str]()
    last: dict[str, Header] = {}
    wall_ns, packet = NOW_NS, request()
    for number, step in enumerate(steps, 1):
        wall_ns += step["later_ns"]
        host, known = step["host"], last.get(step["host"])
        if step["kind"] != "replay":
            origin = known.receive if known and step["kind"] != "basic" else 0
            receive = number + (0 if step["kind"] == "equal" else 1 << 20)
            tail = FIELD if step["field"] and step["version"] == 4 else b""
            packet = request(
                step["version"], mode=step["mode"], tail=tail, origin=origin, receive=receive, transmit=number
            )
            packet = signed(packet, step["key"]) if step["key"] else packet
        if step["damage"]:
            at, bits = step["damage"]
            packet = (
                packet[:at] + bytes([packet[at] ^ bits]) + packet[at + 1 :] if at < len(packet) else packet
            )
        if step["step"]:
            for memory in (worker.memory.interleaved, native):
                memory.watch_clock(wall_ns + STEP_NS * 2 * number, 0)
        clock = dataclasses.replace(CLOCK, correction_s=step["correction_s"])
        ours = worker.ask(packet, host, rx_ns=wall_ns, noise=step["noise"], clock=clock)
        address = ipaddress.ip_address(host)
        theirs = native.decide(
            packet, (address.version == 6, int(address), 40000), (wall_ns, wall_ns + 20_000, 0), step["noise"],
            clock_tuple(clock),
        )  # fmt: skip
        assert theirs == (ours.reason, ours.action, ours.packet, ours.fault, ours.interleaved, ours.stamp)
        seen[ours.reason.name] += 1
        seen["interleaved"] += ours.interleaved
        seen["interleaved with a MAC"] += ours.interleaved and len(ours.packet) > HEADER_BYTES
        if ours.fault:
            seen[Fault(ours.fault).name] += 1
        if ours.action is Action.REPLY:
            assert len(ours.packet) <= len(packet)
            last[host] = ours.header
            if step["stamp_ns"] is not None:
                frame, left_ns = bytes(14) + ours.packet, wall_ns + step["stamp_ns"]
                told = stamp_in(frame, left_ns, worker.memory.interleaved)
                assert native.stamp(frame, left_ns) == told
                seen["stamped"] += told
        remembered = len(worker.memory.interleaved)
        assert native.remembered() == remembered <= CAPACITY
        seen["full"] += remembered == CAPACITY
    return seen


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in CHOICES.items()}),
        max_size=60,
    )
)
def test_both_planes_answer_any_sequence_alike(steps):
    compare(steps)


def test_both_planes_answer_long_sequences_alike_and_nothing_is_left_out():
    """Clients with and without keys, interleaved or not, replays, damage, steps of the clock: all of it comes to pass."""
    chance, seen = random.Random(9769), Counter[str]()
    for _ in range(20):
        seen += compare(
            [{name: chance.choice(choices) for name, choices in CHOICES.items()} for _ in range(300)]
        )
    wanted = {
        "OK", "AUTH", "BAD_MODE", "interleaved", "interleaved with a MAC", "stamped", "full",
        *(fault.name for fault in Fault),
    }  # fmt: skip
    assert {what for what in wanted if seen[what] < 20} == set(), seen
