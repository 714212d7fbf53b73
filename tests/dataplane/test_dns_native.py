"""The native plane decides about DNS as the Python plane does, byte by byte, over valid and broken queries and any snapshot."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
from collections.abc import Callable
from types import ModuleType

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane.dns_decide import decide
from appliance.dataplane.dns_edns import make_cookie
from appliance.dataplane.dns_snapshot import ONE, AnswerSnapshot, Denial, HandUp, Node, Rotation, Section
from appliance.dataplane.native_dns import NativeDnsServer, answers_tuple
from appliance.dataplane.python_dns import OUTCOME_NAMES
from appliance.wire.dns import TYPE_NAMES, is_below
from tests.dataplane.dns_stub import COOKIE_SECRET, NOW_NS, OverSockets, plain_stub, query, stub
from tests.dataplane.test_dns_fuzz import seeds
from tests.support.mutation import mutated
from tests.support.native import need_native

SOURCES = ("192.0.2.77", "127.0.0.1", "2001:db8::77", "fe80::1")
TYPES = st.sampled_from([0, *TYPE_NAMES, 666, 65535])


def compare(
    native: ModuleType,
    answers: object,
    snapshot: AnswerSnapshot,
    message: bytes,
    source: str,
    at: tuple[int, int],
) -> int:
    """Both planes on one message; the outcome."""
    now_ns, sequence = at
    expected = decide(message, source, "udp", now_ns, snapshot, sequence=sequence)
    assert native.dns_decide(message, source, now_ns, answers, sequence) == expected, message.hex()
    return expected[1]


SNAPSHOTS: dict[str, Callable[[], AnswerSnapshot]] = {
    "plain": plain_stub,
    "drawn for 8 s": lambda: stub(coherence_s=8),
    "nothing hidden, nothing shown": lambda: stub(nsid="", version="", cookie_secrets=()),
    "two cookie secrets": lambda: stub(cookie_secrets=(bytes(16), COOKIE_SECRET)),
    "one member, none for IPv6": lambda: stub(v4=1, v6=0),
    "servfail without members": lambda: stub(v4=0, v6=0, on_empty="servfail"),
    "a long NSID": lambda: stub(nsid="n" * 64, weights=[1, 2, 3], v4=3),
    "no zone": AnswerSnapshot,
}


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_both_planes_answer_damaged_queries_alike(kind: str) -> None:
    native, snapshot = need_native(), SNAPSHOTS[kind]()
    answers = native.DnsAnswers(answers_tuple(snapshot))
    rng = random.Random(kind)
    for sequence, message in enumerate(mutated(seeds(), 6000, seed=len(kind), longest=4096)):
        now_ns = NOW_NS + rng.randrange(10**14)
        compare(native, answers, snapshot, message, rng.choice(SOURCES), (now_ns, sequence))


# -- random snapshots

LABELS = (b"0", b"a", b"pool", b"x" * 63, b"\x00\xff", b"-")


def wire_name(labels: tuple[bytes, ...]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


labels = st.lists(st.sampled_from(LABELS), max_size=3).map(tuple)
octets = st.sampled_from([0, 1, 17, 200, 460, 480, 1150, 1190, 1300]).map(
    lambda n: bytes(i & 255 for i in range(n))
)
sections = st.builds(Section, st.integers(0, 9), octets, st.integers(0, 9), octets)
denials = st.builds(
    Denial, st.sampled_from([0, 2, 3]), st.lists(octets, max_size=4).map(tuple), st.sampled_from([b"", b"\0\x16why"])
)  # fmt: skip


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    size, stride = draw(st.integers(1, 8)), draw(st.sampled_from([1, 16, 28, 150]))
    cuts = (0, *sorted(draw(st.lists(st.integers(0, ONE - 1), max_size=4))))
    sets = tuple(bytes((7 * n + i) & 255 for i in range(size * stride)) * 2 for n in range(len(cuts)))
    return Rotation(
        cuts,
        sets,
        size,
        stride,
        draw(st.integers(0, ONE - 1)),
        draw(st.integers(-3, 9)),
        draw(st.integers(0, 5000)),
    )


def by_type(values: st.SearchStrategy[object]) -> st.SearchStrategy[dict[int, object]]:
    return st.dictionaries(st.sampled_from([1, 2, 6, 16, 28, 255, 666]), values, max_size=3)


nodes = st.builds(Node, by_type(sections), by_type(rotations()), by_type(denials), st.none() | sections)
secrets = st.binary(min_size=16, max_size=16)


def hand_ups(zone: tuple[bytes, ...]) -> st.SearchStrategy[HandUp]:
    suffix = labels.map(lambda above: wire_name(above + zone).lower()).filter(lambda name: len(name) <= 255)
    some = st.builds(
        HandUp,
        st.lists(suffix, max_size=2).map(tuple),
        st.frozensets(st.sampled_from([0, 4, 5, 6]), max_size=3),
        st.booleans(),
    )
    return st.just(HandUp()) | some


@st.composite
def snapshots(draw: st.DrawFn) -> AnswerSnapshot:
    zone = draw(labels)
    owners = labels.map(lambda above: wire_name(above + zone).lower()).filter(lambda name: len(name) <= 255)
    names = draw(st.dictionaries(owners, nodes, min_size=1, max_size=4))
    return AnswerSnapshot(
        zone=wire_name(zone), names=names, nodata=draw(denials), nxdomain=draw(denials), any_section=draw(sections),
        expire_s=draw(st.sampled_from([0, 1209600])), nsid=draw(st.sampled_from([b"", b"ball-1", b"n" * 400])),
        chaos=draw(st.dictionaries(labels.map(wire_name), sections, max_size=2)), draw_secret=draw(secrets),
        slot_ns=draw(st.sampled_from([0, 1, 8 * 10**9])), cookie_secrets=draw(st.lists(secrets, max_size=2).map(tuple)),
        hand_up=draw(hand_ups(zone)), largest_unproven=draw(st.sampled_from([512, 700, 1232])),
    )  # fmt: skip


@st.composite
def options(draw: st.DrawFn, snapshot: AnswerSnapshot, source: str) -> bytes:
    code = draw(st.sampled_from([3, 8, 9, 10, 11, 12, 15, 65001]))
    right = draw(st.sampled_from([True, True, True, False]))
    value = draw(st.binary(max_size=45))
    if code == 8 and right:
        family, longest = draw(st.sampled_from([(0, 0), (1, 32), (2, 128)]))
        prefix = draw(st.integers(0, longest))
        value = struct.pack("!HBB", family, prefix, draw(st.sampled_from([0] * 7 + [1])))
        value += draw(st.sampled_from([b"\0", b"\0", b"\xff"])) * ((prefix + 7) // 8)
    elif code == 10 and right:
        secret = draw(st.sampled_from([*snapshot.cookie_secrets, bytes(16)]))
        age_s = draw(st.sampled_from([0, 1800, 1801, 3600, 3601, -300, -301, 2**31]))
        value = make_cookie(b"12345678", source, NOW_NS // 10**9 - age_s, secret)
        value = value[: draw(st.sampled_from([8, 24, 24, 24, 24, 24, 23, 15]))]
    return struct.pack("!HH", code, len(value)) + value


@st.composite
def records(draw: st.DrawFn, snapshot: AnswerSnapshot, source: str) -> bytes:
    kind = draw(st.sampled_from(["opt", "opt", "opt", "opt", "tsig", "other"]))
    if kind == "opt":
        data = b"".join(draw(st.lists(options(snapshot, source), max_size=3)))
        ttl = draw(st.sampled_from([0, 0, 0, 0x8000, 0x8000, 0xFF007FFF, 0x10000]))
        head = struct.pack(
            "!HHIH", 41, draw(st.sampled_from([0, 511, 512, 700, 1232, 65535])), ttl, len(data)
        )
        return draw(st.sampled_from([b"\0"] * 9 + [b"\xc0\x0c"])) + head + data
    owner = draw(
        st.sampled_from([b"\0", b"\xc0\x0c", b"\3key\0", b"\3key\xc0\x0c", wire_name((b"k" * 63,) * 3)])
    )
    if kind == "tsig":
        data = draw(
            st.sampled_from([wire_name((b"hmac-sha256",)), b"\xc0\x0c", b"", b"\7hmac", b"\0"])
        ) + bytes(16)
        return owner + struct.pack("!HHIH", 250, draw(st.sampled_from([255, 255, 1])), 0, len(data)) + data
    data = draw(st.binary(max_size=30))
    return owner + struct.pack("!HHIH", draw(TYPES), 1, 0, len(data)) + data


@st.composite
def queries(draw: st.DrawFn, snapshot: AnswerSnapshot, source: str) -> bytes:
    """A query that is good, or one with something wrong about its header, its question or its end."""
    above = draw(labels)
    known = st.sampled_from([*snapshot.names] * 3 + [*snapshot.chaos, snapshot.zone])
    name = draw(
        known | known | known.map(lambda name: wire_name(above)[:-1] + name) | st.just(wire_name(above))
    )
    node = snapshot.names.get(name, Node())
    kinds = [*node.static, *node.rotating, *node.rotating, *node.denied]
    qtype = draw(st.sampled_from(kinds) | TYPES if kinds else TYPES)
    qclass = draw(st.sampled_from([1] * 6 + [3] * (name in snapshot.chaos) * 9 + [255]))
    more = draw(st.lists(records(snapshot, source), max_size=2))
    questions, flags, split = 1, draw(st.sampled_from([0, 0x0100])), [0, 0]
    name = draw(st.sampled_from([name, name.upper(), name.swapcase()]))
    if broken := draw(st.sampled_from(["", "", "", "", "header", "question", "end"])):
        questions = draw(st.sampled_from([0, 1, 2])) if broken == "question" else 1
        name = draw(st.sampled_from([name, b"\xc0\x0c", name[:-1]])) if broken == "question" else name
        if broken == "header":
            flags = draw(st.sampled_from([0x2000, 0x2830, 0x0670, 0x8000]))
            split = sorted(draw(st.lists(st.integers(0, len(more)), min_size=2, max_size=2)))
            qclass = draw(st.sampled_from([1, 4, 254]))
    counts = (questions, split[0], split[1] - split[0], len(more) - split[1])
    message = struct.pack("!6H", draw(st.integers(0, 65535)), flags, *counts)
    message += (name + struct.pack("!HH", qtype, qclass)) * questions + b"".join(more)
    if broken == "end":
        return message[: draw(st.integers(11, len(message)))]
    return message + draw(st.sampled_from([b"", b"", b"tail"]))


@given(st.data(), snapshots(), st.sampled_from(SOURCES), st.integers(0, 2**64 - 1))
def test_both_planes_answer_good_and_hostile_queries_from_any_snapshot_alike(
    data: st.DataObject, snapshot: AnswerSnapshot, source: str, sequence: int
) -> None:
    native = need_native()
    assert all(is_below(name, snapshot.zone) for name in snapshot.names)
    answers = native.DnsAnswers(answers_tuple(snapshot))
    for message in data.draw(st.lists(queries(snapshot, source), min_size=1, max_size=12)):
        compare(native, answers, snapshot, message, source, (NOW_NS, sequence))


def test_a_snapshot_that_would_lead_out_of_its_tables_is_refused() -> None:
    native = need_native()
    zone = b"\4pool\0"

    def refused(**changes: object) -> None:
        with pytest.raises(ValueError):
            native.DnsAnswers(answers_tuple(AnswerSnapshot(zone=zone, **changes)))  # type: ignore[arg-type]

    def rotating(rotation: Rotation) -> dict[bytes, Node]:
        return {zone: Node(rotating={1: rotation})}

    refused(names=rotating(Rotation((0,), (bytes(15),), 1, 8)))
    refused(names=rotating(Rotation((1,), (bytes(16),), 1, 8)))
    refused(names=rotating(Rotation((0, 5, 4), (bytes(16),) * 3, 1, 8)))
    refused(names=rotating(Rotation((0,), (b"",), 0, 8)))
    refused(names=rotating(Rotation((0,), (bytes(16),), 1, 8, mark=1 << 30)))
    refused(names={b"\5other\0": Node()})
    refused(nsid=bytes(3000))
    native.DnsAnswers(
        answers_tuple(AnswerSnapshot(zone=zone, names=rotating(Rotation((0,), (bytes(16),), 1, 8))))
    )


# -- on its sockets


def ask_all(address: tuple[str, int], source: str, windows: int, window: int) -> list[bytes]:
    """`windows` times `window` queries at once; every one of them must be answered."""
    wire = query("0").to_wire()
    got: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.bind((source, 0))
        client.connect(address)
        for begin in range(0, windows * window, window):
            for number in range(begin, begin + window):
                client.send(struct.pack("!H", number & 0xFFFF) + wire[2:])
            batch = [client.recv(4096) for _ in range(window)]
            assert {reply[:2] for reply in batch} == {
                struct.pack("!H", number & 0xFFFF) for number in range(begin, begin + window)
            }
            got += batch
    return got


def test_membership_swapped_ten_times_a_second_under_load_loses_nothing_and_mixes_nothing() -> None:
    """Each snapshot has its own TTL and members: an answer with the TTL of one and a member of another is a mixture."""
    need_native()
    members = {100 + n: n for n in range(3, 13)}
    # A limit that these queries stay under: it is asked about every one of them, whatever is swapped.
    limit = {"per_second": 100_000, "burst": 1_000_000, "exempt": []}
    snapshots = [stub(v4=n, ttl=ttl, rate_limit=limit) for ttl, n in members.items()]
    asker = OverSockets(snapshots[0], plane="native")
    server = asker.server
    assert isinstance(server, NativeDnsServer)
    stop = threading.Event()
    most_kept = 0

    def swap() -> None:
        nonlocal most_kept
        for snapshot in itertools.cycle(snapshots):
            server.set_answers(snapshot)
            most_kept = max(most_kept, len(server._epochs))
            if stop.wait(0.1):
                return

    swapper = threading.Thread(target=swap)
    swapper.start()
    results: list[list[bytes]] = []
    clients = [
        threading.Thread(target=lambda n=n: results.append(ask_all(asker.address, f"127.0.0.{n}", 150, 50)))
        for n in range(1, 5)
    ]
    try:
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    finally:
        stop.set()
        swapper.join()
    assert [len(replies) for replies in results] == [7500] * 4, "a query was lost"
    seen = set()
    for body in {reply[2:] for replies in results for reply in replies}:
        [group] = dns.message.from_wire(b"\0\0" + body).answer
        seen.add(group.ttl)
        assert len(group) == min(4, members[group.ttl])
        assert all(int(r.to_text().rpartition(".")[2]) <= members[group.ttl] for r in group)
    assert len(seen) > 1
    given = sum(
        min(4, members[struct.unpack_from("!I", reply, len(query("0").to_wire()) + 6)[0]])
        for replies in results
        for reply in replies
    )
    assert sum(had for had, _ in server.shares().values()) == given
    assert sum(fair for _, fair in server.shares().values()) == pytest.approx(given)
    assert most_kept <= 10, "snapshots that nobody answers from are kept"
    asker.close()


def test_every_worker_counts_and_all_are_told_together() -> None:
    need_native()
    from appliance.dataplane.interface import Endpoint
    from appliance.dataplane.native import NativePlane

    server = NativePlane(workers=3).serve_dns([Endpoint("127.0.0.1", 0)], plain_stub())
    try:
        for n in range(1, 31):
            ask_all(("127.0.0.1", server.endpoints[0].port), f"127.0.1.{n}", 1, 10)
        assert sum(had for had, _ in server.shares().values()) == 4 * 300
    finally:
        server.close()
    assert dict(server.counters()) == {("udp", "A", "NOERROR"): 300}
    assert server.failure() is None


def test_the_numbers_of_the_outcomes_are_the_same() -> None:
    told = dict(need_native().dns_outcomes())
    # BADCOOKIE is sent by the limiter alone and counted as what it did; what waited too long never comes back to Rust.
    assert {number: name for name, number in told.items()} == {
        number: name for number, name in OUTCOME_NAMES.items() if name not in ("BADCOOKIE", "too_late")
    }
    # the counters of the native plane have places for these and no others
    assert min(told.values()) == -8
    assert max(told.values()) <= 16
