"""136, on paper: whom the rate limit lets through, the same in both planes, and what the others are sent."""

from __future__ import annotations

import ipaddress
import random
import struct
from dataclasses import replace
from types import ModuleType
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane.dns_decide import decide
from appliance.dataplane.dns_edns import make_cookie
from appliance.dataplane.dns_limited import LIMITED, LIMITED_BADCOOKIE, LIMITED_TRUNCATED
from appliance.dataplane.dns_rate import ANSWERS, ERRORS, Limiter, RateLimit, Verdict, rate_limit
from appliance.dataplane.dns_reply import Decision
from appliance.dataplane.dns_snapshot import AnswerSnapshot
from appliance.dataplane.native_dns import answers_tuple
from appliance_dns.config import DnsConfig
from tests.dataplane.dns_looks import TC
from tests.dataplane.dns_stub import COOKIE_SECRET, NOW_NS, edns, option, plain_stub, query
from tests.dataplane.test_dns_fuzz import seeds
from tests.support.mutation import mutated
from tests.support.native import need_native

KEY = bytes(range(100, 116))
SECOND = 10**9
SOURCES = ("192.0.2.1", "192.0.2.2", "192.0.2.255", "192.0.3.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1",
           "2001:db8:0:100::1", "2001:db8:1::1", "127.0.0.1", "fe80::1%lo")  # fmt: skip


def limits(per_second: int = 10, burst: int = 5, slip: int = 2, exempt: tuple[str, ...] = ()) -> RateLimit:
    return rate_limit(per_second, burst, slip, [ipaddress.ip_network(text) for text in exempt])


def limited_stub(**fields: Any) -> AnswerSnapshot:
    return replace(plain_stub(), rate_limit=limits(**fields))


def passed(limiter: Limiter, rate: RateLimit, source: str, count: int, at_s: float = 1.0, kind: int = ANSWERS) -> int:  # fmt: skip
    return sum(limiter.charge(rate, source, kind, int(at_s * SECOND)) is Verdict.PASS for _ in range(count))


# -- who passes


def test_a_burst_passes_then_the_rate_and_after_a_pause_a_burst_again() -> None:
    limiter, rate = Limiter(KEY), limits()
    assert passed(limiter, rate, "192.0.2.1", 50) == 5
    assert passed(limiter, rate, "192.0.2.1", 50, 1.1) == 1
    assert passed(limiter, rate, "192.0.2.1", 50, 1.45) == 3
    assert passed(limiter, rate, "192.0.2.1", 50, 100) == 5


@pytest.mark.parametrize(
    ("sources", "neighbour", "times"),
    [
        ([f"192.0.2.{n}" for n in range(256)], "192.0.3.1", 8),
        ([f"2001:db8:0:{n:x}::1" for n in range(256)], "2001:db8:0:100::1", 4),
        ([f"2001:db8:0:{256 * n:x}::1" for n in range(256)], "2001:db8:1::1", 8),
        ([f"2001:db8::{n:x}" for n in range(256)], "2001:db8:0:1::1", 1),
    ],
)
def test_136_forged_addresses_of_one_network_share_its_limit_and_others_are_unaffected(
    sources: list[str], neighbour: str, times: int
) -> None:
    limiter, rate = Limiter(KEY), limits()
    assert sum(passed(limiter, rate, source, 5) for source in sources) == 5 * times
    assert passed(limiter, rate, neighbour, 5) == 5


def test_one_loud_address_does_not_use_up_what_its_network_may_have() -> None:
    limiter, rate = Limiter(KEY), limits()
    assert passed(limiter, rate, "192.0.2.1", 10_000) == 5
    assert passed(limiter, rate, "192.0.2.2", 5) == 5


def test_a_flood_of_names_that_are_not_there_does_not_silence_those_that_are() -> None:
    limiter, rate = Limiter(KEY), limits()
    assert passed(limiter, rate, "192.0.2.1", 1000, kind=ERRORS) == 5
    assert passed(limiter, rate, "192.0.2.1", 5) == 5


def test_exempt_networks_have_no_limit() -> None:
    limiter, rate = Limiter(KEY), limits(exempt=("127.0.0.0/8", "192.0.2.7/32", "::1/128"))
    for source in ("127.1.2.3", "192.0.2.7", "::1"):
        assert passed(limiter, rate, source, 1000) == 1000
    assert passed(limiter, rate, "192.0.2.8", 1000) == 5


def test_another_limit_counts_from_the_next_reply_on() -> None:
    limiter = Limiter(KEY)
    assert passed(limiter, limits(), "192.0.2.1", 1000) == 5
    assert passed(limiter, limits(exempt=("192.0.2.0/24",)), "192.0.2.1", 1000) == 1000
    assert passed(limiter, limits(per_second=1000, burst=100), "192.0.2.1", 1000, 2.0) == 100


@given(
    st.integers(1, 1000),
    st.integers(1, 50),
    st.lists(st.integers(0, 200_000_000), min_size=1, max_size=200),
)
def test_no_address_is_ever_sent_more_than_a_burst_and_the_rate(
    per_second: int, burst: int, gaps_ns: list[int]
) -> None:
    limiter, rate = Limiter(KEY), limits(per_second, burst)
    now_ns, sent = SECOND, 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        sent += limiter.charge(rate, "192.0.2.1", ANSWERS, now_ns) is Verdict.PASS
    assert sent <= burst + (now_ns - SECOND) / SECOND * per_second * 1.001 + 1


def test_the_default_lets_the_resolvers_of_a_large_network_through() -> None:
    """Hundreds of caches in one /24, each asking for every name of a large pool in both families once in a TTL.

    The busiest that can be: five names in a hundred zones, two types, 150 s, and 64 resolvers that share nothing.
    """
    limiter, rate = Limiter(KEY), DnsConfig().rate_limit.compiled()
    assert rate is not None
    names, ttl_s, resolvers = 5 * 100 * 2, 150, 64
    rng = random.Random(1)
    asked = sorted(
        (rng.random() * ttl_s, f"192.0.2.{1 + rng.randrange(resolvers)}") for _ in range(names * resolvers)
    )
    verdicts = [limiter.charge(rate, source, ANSWERS, int(at_s * SECOND)) for at_s, source in asked]
    assert all(verdict is Verdict.PASS for verdict in verdicts)


def test_who_is_limited_is_told_by_network_and_the_list_has_an_end() -> None:
    limiter, rate = Limiter(KEY), limits(burst=1)
    assert limiter.offenders() == []
    for number in range(1000):
        passed(limiter, rate, f"10.{number // 256}.{number % 256}.1", 3, 1 + number)
    told = limiter.offenders()
    assert len(told) == 128
    assert {offender.limited for offender in told} == {2}
    assert max(told, key=lambda offender: offender.last_ns).network == "10.3.231.0/24"
    passed(limiter, rate, "2001:db8:5:6::7", 5, 2000)
    assert [o.network for o in limiter.offenders() if ":" in o.network] == ["2001:db8:5::/48"]


# -- both planes


@st.composite
def rates(draw: st.DrawFn) -> RateLimit:
    exempt = draw(st.sampled_from([(), ("127.0.0.0/8", "::1/128"), ("192.0.2.2/32", "2001:db8::/47")]))
    return limits(draw(st.sampled_from([1, 10, 1000, 10**6])), draw(st.integers(1, 20)), draw(st.integers(0, 15)), exempt)  # fmt: skip


steps = st.tuples(
    st.sampled_from(SOURCES), st.booleans(), st.sampled_from([0, 0, 1, 10**6, 10**8, 10**12, -(10**7)]) | st.integers(0, 2**46)
)  # fmt: skip


@given(
    st.lists(rates(), min_size=1, max_size=2),
    st.lists(steps, max_size=300),
    st.binary(min_size=16, max_size=16),
)
def test_both_planes_charge_any_sequence_alike(
    choices: list[RateLimit], sequence: list[tuple[str, bool, int]], key: bytes
) -> None:
    native = need_native()
    answers = [native.DnsAnswers(answers_tuple(AnswerSnapshot(rate_limit=rate))) for rate in choices]
    ours, theirs = Limiter(key), native.DnsLimiter(key)
    mono_ns = SECOND
    for number, (source, error, gap_ns) in enumerate(sequence):
        mono_ns = max(0, mono_ns + gap_ns)
        which = number * len(choices) // len(sequence)
        expected = ours.charge(choices[which], source, int(error), mono_ns)
        assert theirs.charge(answers[which], source.partition("%")[0], error, mono_ns) == expected


def test_both_planes_forget_the_same_buckets_when_the_table_is_full() -> None:
    native, rate = need_native(), limits(per_second=1, burst=3, slip=3)
    answers = native.DnsAnswers(answers_tuple(AnswerSnapshot(rate_limit=rate)))
    ours, theirs = Limiter(KEY), native.DnsLimiter(KEY)
    rng = random.Random(1)
    verdicts = set()
    for number in range(60_000):
        source = str(ipaddress.IPv4Address(0x0A000000 + rng.randrange(40_000)))
        expected = ours.charge(rate, source, ANSWERS, number * 1000)
        assert theirs.charge(answers, source, False, number * 1000) == expected
        verdicts.add(expected)
    assert verdicts == set(Verdict)


def pair(native: ModuleType, snapshot: AnswerSnapshot) -> tuple[object, Limiter, object]:
    return native.DnsAnswers(answers_tuple(snapshot)), Limiter(KEY), native.DnsLimiter(KEY)


def cookies(source: str) -> list[bytes]:
    """None, a client's alone, a good one, an old one, somebody else's, one from the future."""
    now_s = NOW_NS // SECOND
    client = b"12345678"
    return [
        b"",
        client,
        *(make_cookie(client, source, now_s - age_s, COOKIE_SECRET) for age_s in (5, 1900, 3601, -301)),
        make_cookie(client, "198.51.100.1", now_s, COOKIE_SECRET),
    ]


def test_both_planes_send_the_same_to_whoever_is_over_the_limit() -> None:
    native, snapshot = need_native(), limited_stub(per_second=5, burst=2)
    answers, ours, theirs = pair(native, snapshot)
    rng = random.Random(2)
    outcomes = set()
    with_cookies = [
        edns(name, "A", *([option(10, cookie)] if cookie else []), want_dnssec=dnssec).to_wire()
        for name in ("0", "x", "ns1")
        for cookie in cookies("192.0.2.1")
        for dnssec in (False, True)
    ]
    lone = dns.message.from_wire(with_cookies[2])
    lone.question = []
    for sequence, message in enumerate(
        mutated([*seeds(), *with_cookies * 3, lone.to_wire()], 20_000, seed=9)
    ):
        mono_ns = sequence * 10**7
        source = rng.choice(("192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::77"))
        expected = decide(
            message, source, "udp", NOW_NS, snapshot, sequence=sequence, mono_ns=mono_ns, limiter=ours
        )
        found = native.dns_decide(message, source, NOW_NS, answers, sequence, mono_ns, theirs)
        assert found == expected, message.hex()
        outcomes.add(expected[1])
        reply = expected[0]
        if expected[1] == LIMITED_TRUNCATED:
            assert reply is not None and len(reply) <= len(message)
            assert reply[2] & 2
        elif expected[1] == LIMITED_BADCOOKIE:
            assert reply is not None and len(reply) <= len(message) + 16
        elif expected[1] == LIMITED:
            assert reply is None
    assert {0, 3, LIMITED, LIMITED_TRUNCATED, LIMITED_BADCOOKIE} <= outcomes


# -- what they are sent


class Flooded:
    """A client of ours in a network that is over the limit."""

    def __init__(self, snapshot: AnswerSnapshot) -> None:
        self.snapshot = snapshot
        self.limiter = Limiter(KEY)
        assert snapshot.rate_limit is not None
        for kind in (ANSWERS, ERRORS):
            passed(self.limiter, snapshot.rate_limit, "192.0.2.1", 1000, kind=kind)

    def ask(self, message: dns.message.Message, transport: str = "udp") -> Decision:
        return decide(
            message.to_wire(),
            "192.0.2.1",
            transport,
            NOW_NS,
            self.snapshot,
            mono_ns=SECOND,
            limiter=self.limiter,
        )


@pytest.mark.parametrize("slip", [0, 1, 2, 3, 10])
def test_every_nth_limited_reply_is_sent_truncated_and_no_other(slip: int) -> None:
    flooded = Flooded(limited_stub(slip=slip))
    outcomes = [flooded.ask(query("0"))[1] for _ in range(60)]
    assert set(outcomes) <= {LIMITED, LIMITED_TRUNCATED}
    assert outcomes.count(LIMITED_TRUNCATED) == (60 // slip if slip else 0)


@pytest.mark.parametrize(("name", "rcode"), [("0", 0), ("x", 3), ("example.net.", 5)])
def test_136_a_truncated_reply_has_the_question_and_no_records_and_is_no_longer_than_the_query(
    name: str, rcode: int
) -> None:
    for message in (query(name), edns(name), edns(name, "A", option(3), want_dnssec=True)):
        reply, outcome, _, mark = Flooded(limited_stub(slip=1)).ask(message)
        assert (outcome, mark) == (LIMITED_TRUNCATED, -1)
        assert reply is not None
        assert len(reply) <= len(message.to_wire())
        told = dns.message.from_wire(reply)
        assert told.flags & TC
        assert told.rcode() == rcode
        assert told.question == message.question
        assert not (told.answer or told.authority or told.additional)
        assert (told.edns, told.ednsflags) == (message.edns, message.ednsflags)


def test_what_could_not_be_read_is_told_so_in_a_header() -> None:
    flooded = Flooded(limited_stub(slip=1))
    broken = query("0").to_wire()[:-1]
    reply, outcome, _, _ = decide(broken, "192.0.2.1", "udp", NOW_NS, flooded.snapshot, mono_ns=SECOND, limiter=flooded.limiter)  # fmt: skip
    assert outcome == LIMITED_TRUNCATED
    assert reply is not None
    assert reply[2:] == struct.pack("!H", 0x8201) + bytes(8)


def test_136_over_tcp_nobody_is_limited() -> None:
    flooded = Flooded(limited_stub())
    assert [flooded.ask(query("0"), "tcp")[1] for _ in range(20)] == [0] * 20


def test_136_a_client_with_our_cookie_is_never_limited_and_one_without_is_given_one() -> None:
    flooded = Flooded(limited_stub(slip=1))
    first = edns("0", "A", option(10, b"12345678"))
    reply, outcome, _, _ = flooded.ask(first)
    assert outcome == LIMITED_BADCOOKIE
    assert reply is not None
    assert len(reply) == len(first.to_wire()) + 16
    told = dns.message.from_wire(reply)
    assert told.rcode() == dns.rcode.BADCOOKIE
    assert not told.answer
    [cookie] = told.options
    assert isinstance(cookie, dns.edns.CookieOption)
    again = edns("0", "A", option(10, cookie.client + cookie.server))
    assert [flooded.ask(again)[1] for _ in range(100)] == [0] * 100


def test_a_cookie_of_another_address_or_too_old_proves_nothing() -> None:
    for number, cookie in enumerate(cookies("192.0.2.1")):
        outcome = Flooded(limited_stub(slip=1)).ask(
            edns("0", "A", *([option(10, cookie)] if cookie else []))
        )[1]
        assert outcome == (LIMITED_TRUNCATED if number == 0 else 0 if number in (2, 3) else LIMITED_BADCOOKIE)


def test_without_cookie_secrets_the_reply_is_truncated() -> None:
    flooded = Flooded(replace(limited_stub(slip=1), cookie_secrets=()))
    assert flooded.ask(edns("0", "A", option(10, b"12345678")))[1] == LIMITED_TRUNCATED


def test_a_step_of_the_system_clock_does_not_move_the_limit() -> None:
    snapshot, limiter = limited_stub(), Limiter(KEY)
    wire = query("0").to_wire()
    for wall_ns in (NOW_NS, NOW_NS - 10**15, NOW_NS + 10**15):
        outcomes = [decide(wire, "192.0.2.1", "udp", wall_ns, snapshot, mono_ns=SECOND, limiter=limiter)[1] for _ in range(10)]  # fmt: skip
        assert outcomes.count(0) == (5 if wall_ns == NOW_NS else 0)
