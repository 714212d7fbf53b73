"""What becomes of a packet: the whole matrix, the fields of a reply, who is answered, and nothing else ever."""

from __future__ import annotations

import dataclasses
import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import ClockState
from appliance.dataplane.interface import Action, NtpPolicy, PrefixRule, Reason
from appliance.dataplane.ntp_decide import (
    LATE_NS,
    REFRESH_NS,
    PolicyTable,
    Snapshot,
    Source,
    decide,
)
from appliance.wire.ntp import Header, ntp_from_unix_ns, pack_field, parse_header, unix_ns_from_ntp
from tests.support.mutation import mutated
from tests.support.ntp_packets import (
    COOKIE,
    CRYPTO_NAK,
    MAC_20,
    MAC_24,
    MONLIST,
    NTS_TAIL,
    READVAR,
    SEEDS,
    UNIQUE_IDENTIFIER,
    UNKNOWN_FIELD,
    request,
)

NOW_NS = 1_790_000_000_123_456_789
MONO_NS = 5_000_000_000
CLIENT = Source.of("192.0.2.7", 40000)
SYNCHRONISED = ClockState(
    leap=0, stratum=2, refid=b"\xc6\x33\x64\x01", reference_ns=NOW_NS - 30 * 10**9, root_delay_s=0.0101,
    root_dispersion_s=0.002, dispersion_rate=15e-6, as_of_mono_ns=MONO_NS, precision=-24, source="test",
)  # fmt: skip


def policy(*rules: tuple[str, str], default: str = "allow") -> PolicyTable:
    return PolicyTable(
        NtpPolicy(
            tuple(PrefixRule(ipaddress.ip_network(prefix), action) for prefix, action in rules), default
        )
    )


def ask(
    packet=None, source=CLIENT, *, clock=SYNCHRONISED, rules=None, rx_ns=NOW_NS, wait_ns=20_000, noise=0, mono_ns=MONO_NS, own=(0, 0)
):  # fmt: skip
    snapshot = Snapshot.at(mono_ns, clock, rules or policy())
    return decide(
        request() if packet is None else packet, source, rx_ns=rx_ns, tx_ns=rx_ns + wait_ns, noise=noise, snapshot=snapshot, own=own
    )  # fmt: skip


def reply_to(*args, **kwargs) -> Header:
    decision = ask(*args, **kwargs)
    assert decision.action is not Action.IGNORE, decision
    assert len(decision.reply) == 48
    return parse_header(decision.reply)


@pytest.mark.parametrize(
    ("packet", "port", "reason", "version_and_mode"),
    [
        *((request(version, 3), 40000, Reason.OK, (version, 4)) for version in (1, 2, 3, 4)),
        *((request(version, 3), 123, Reason.OK, (version, 4)) for version in (1, 2, 3, 4)),
        *((request(version, 1), 40000, Reason.OK, (version, 2)) for version in (1, 2, 3, 4)),
        (request(1, 0), 40000, Reason.OK, (1, 4)),
        (request(1, 0), 123, Reason.BAD_MODE, None),
        *((request(version, 0), 40000, Reason.BAD_MODE, None) for version in (2, 3, 4)),
        *((request(4, mode), 40000, Reason.BAD_MODE, None) for mode in (2, 5)),
        (request(4, 4), 40000, Reason.REPLY, None),
        (request(4, 6), 40000, Reason.CONTROL, None),
        (request(4, 7), 40000, Reason.CONTROL, None),
        (READVAR, 40000, Reason.CONTROL, None),
        (MONLIST, 40000, Reason.CONTROL, None),
        *((request(version, 3), 40000, Reason.BAD_VERSION, None) for version in (0, 5, 6, 7)),
        (request(tail=UNKNOWN_FIELD), 40000, Reason.OK, (4, 4)),
        (request(tail=UNKNOWN_FIELD * 5), 40000, Reason.OK, (4, 4)),
        (request(tail=UNIQUE_IDENTIFIER), 40000, Reason.AUTH, None),
        (request(tail=NTS_TAIL), 40000, Reason.AUTH, None),
        (request(tail=CRYPTO_NAK), 40000, Reason.AUTH, None),
        (request(tail=MAC_20), 40000, Reason.AUTH, None),
        (request(tail=MAC_24), 40000, Reason.AUTH, None),
        (request(tail=UNKNOWN_FIELD + MAC_20), 40000, Reason.AUTH, None),
        (request(3, tail=MAC_20), 40000, Reason.AUTH, None),
        (request(3, tail=UNKNOWN_FIELD), 40000, Reason.AUTH, None),
        (request(tail=bytes(8)), 40000, Reason.BAD_LENGTH, None),
        (request(tail=bytes(28)), 40000, Reason.BAD_LENGTH, None),
        (request(tail=bytes(2)), 40000, Reason.BAD_LENGTH, None),
        (request(tail=pack_field(0x2005, bytes(2000))), 40000, Reason.BAD_LENGTH, None),
        (request()[:47], 40000, Reason.TOO_SHORT, None),
        (request()[:1], 40000, Reason.TOO_SHORT, None),
        (b"", 40000, Reason.TOO_SHORT, None),
        (request(), 0, Reason.BAD_SOURCE, None),
    ],
)
def test_matrix(packet, port, reason, version_and_mode):
    """Each kind of packet gets the reply, or the silence, that chrony gives it."""
    decision = ask(packet, Source.of("192.0.2.7", port))
    assert decision.reason is reason
    if version_and_mode is None:
        assert decision.action is Action.IGNORE
        assert decision.reply is None
    else:
        assert decision.action is Action.REPLY
        reply = parse_header(decision.reply)
        assert (reply.version, reply.mode) == version_and_mode
        assert reply.origin == COOKIE
        assert reply.poll == 6


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "0.1.2.3", "224.0.1.1", "239.255.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::101"],
)
def test_what_cannot_be_a_client_is_not_answered(host):
    assert ask(source=Source.of(host, 40000)).reason is Reason.BAD_SOURCE


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "223.255.255.255", "::1", "fe80::1%eth0", "2001:db8::1"]
)
def test_ordinary_clients_are_answered(host):
    assert ask(source=Source.of(host, 40000)).reason is Reason.OK


def test_our_own_service_is_not_answered():
    own = Source.of("192.0.2.1", 123)
    assert ask(source=own, own=(own.address, 123)).reason is Reason.BAD_SOURCE
    assert ask(source=own, own=(own.address, 1123)).reason is Reason.OK
    assert ask(source=Source.of("192.0.2.2", 123), own=(own.address, 123)).reason is Reason.OK


def test_fields_of_a_synchronised_reply():
    reply = reply_to(wait_ns=20_000)
    assert (reply.leap, reply.stratum, reply.precision, reply.refid) == (0, 2, -24, SYNCHRONISED.refid)
    assert reply.root_delay == 662  # 0.0101 s is 661.9 units: rounded up
    assert abs(unix_ns_from_ntp(reply.receive, NOW_NS) - NOW_NS) <= 60
    assert abs(unix_ns_from_ntp(reply.transmit, NOW_NS) - NOW_NS - 20_000) <= 60
    assert abs(unix_ns_from_ntp(reply.reference, NOW_NS) - SYNCHRONISED.reference_ns) <= 60


def test_an_unsynchronised_reply_claims_nothing():
    decision = ask(clock=ClockState.unsynchronised("no source"))
    assert decision.reason is Reason.UNSYNCHRONISED
    reply = parse_header(decision.reply)
    assert (reply.leap, reply.stratum, reply.refid, reply.reference) == (3, 0, bytes(4), 0)
    assert (reply.root_delay, reply.root_dispersion) == (65536, 65536)


def test_dispersion_grows_by_itself_and_is_never_understated():
    for age_s in (0, 1, 60, 3600):
        mono_ns = MONO_NS + age_s * 10**9
        reply = reply_to(mono_ns=mono_ns)
        assert reply.root_dispersion_s >= SYNCHRONISED.dispersion_s(mono_ns + REFRESH_NS - 1)
        assert reply.root_dispersion_s <= SYNCHRONISED.dispersion_s(mono_ns + REFRESH_NS) + 2 / 65536


def test_a_stale_clock_becomes_unsynchronised_by_itself():
    """Nobody needs to tell the data plane: the coefficients in the state are enough."""
    limit_s = (SYNCHRONISED.max_distance_s - SYNCHRONISED.distance_s(MONO_NS)) / SYNCHRONISED.dispersion_rate
    assert ask(mono_ns=MONO_NS + int((limit_s - 1) * 1e9)).reason is Reason.OK
    assert ask(mono_ns=MONO_NS + int((limit_s + 1) * 1e9)).reason is Reason.UNSYNCHRONISED


def test_an_expired_clock_becomes_unsynchronised_to_the_nanosecond():
    clock = dataclasses.replace(SYNCHRONISED, expires_mono_ns=MONO_NS + 10)
    last = Snapshot.at(MONO_NS, clock, policy())
    assert last.served == Reason.OK
    assert last.valid_until_mono_ns == MONO_NS + 10
    assert Snapshot.at(MONO_NS + 10, clock, policy()).served == Reason.UNSYNCHRONISED


def test_correction_moves_both_times():
    clock = dataclasses.replace(SYNCHRONISED, correction_s=-0.004)
    plain, moved = reply_to(), reply_to(clock=clock)
    for field in ("receive", "transmit"):
        difference = (getattr(plain, field) - getattr(moved, field)) / 2**32
        assert difference == pytest.approx(0.004, abs=2**-23)


def test_a_reference_time_after_the_reply_is_held_back():
    clock = dataclasses.replace(SYNCHRONISED, reference_ns=NOW_NS + 5 * 10**9)
    reply = reply_to(clock=clock)
    assert reply.reference == reply.receive < reply.transmit


@given(
    wait_ns=st.integers(-900_000, LATE_NS),
    noise=st.integers(0, 2**64 - 1),
    precision=st.integers(-32, 0),
    rx_ns=st.integers(0, 2**62),
    origin_is=st.sampled_from(["cookie", "transmit", "zero"]),
    correction_s=st.floats(-0.01, 0.01),
    reference_age_ns=st.integers(-(10**9), 10**12),
)
def test_times_of_a_reply_keep_their_promises(
    wait_ns, noise, precision, rx_ns, origin_is, correction_s, reference_age_ns
):
    """Receive odd, transmit even, later than receive and unlike the origin; reference never later than transmit."""
    clock = dataclasses.replace(
        SYNCHRONISED, precision=precision, correction_s=correction_s, reference_ns=rx_ns - reference_age_ns
    )
    asked = {"rx_ns": rx_ns, "wait_ns": wait_ns, "noise": noise, "clock": clock}
    transmit = reply_to(**asked).transmit
    cookie = {"cookie": COOKIE, "zero": 0, "transmit": transmit}[origin_is]
    reply = reply_to(request(cookie=cookie), **asked)
    assert reply.origin == cookie
    assert reply.receive & 1 == 1
    assert reply.transmit & 1 == 0
    assert reply.transmit not in (0, reply.origin)
    assert 0 < (reply.transmit - reply.receive) % 2**64 < 2**63
    assert (reply.transmit - reply.reference) % 2**64 < 2**63
    off_ns = unix_ns_from_ntp(reply.receive, rx_ns) - rx_ns - correction_s * 1e9
    assert abs(off_ns) <= 2.0**precision * 1e9 + 2


def test_noise_fills_the_bits_below_the_precision():
    quiet, loud = reply_to(noise=0), reply_to(noise=2**64 - 1)
    assert loud.receive - quiet.receive == 0xFE  # the lowest bit is 1 in both
    assert loud.transmit - quiet.transmit == 0xFE


def test_the_end_of_the_era_between_receive_and_transmit():
    rollover_ns = 2_085_978_496 * 10**9
    reply = reply_to(rx_ns=rollover_ns - 1000, wait_ns=3000)
    assert reply.receive > 2**63 > reply.transmit
    assert reply.transmit >> 32 == 0


@pytest.mark.parametrize("wait_ns", [LATE_NS + 1, 10**9, 3600 * 10**9, -2_000_000, -3600 * 10**9])
def test_a_request_that_waited_or_crossed_a_clock_step_is_not_answered(wait_ns):
    assert ask(wait_ns=wait_ns).reason is Reason.LATE


def test_the_longest_prefix_wins():
    rules = policy(
        ("0.0.0.0/0", "ignore"), ("10.0.0.0/8", "allow"), ("10.9.0.0/16", "deny"), ("10.9.1.1/32", "allow"),
        ("2001:db8::/32", "deny"), ("2001:db8:1::/48", "allow"),
    )  # fmt: skip
    expected = {
        "192.0.2.1": (Reason.POLICY, Action.IGNORE),
        "10.1.1.1": (Reason.OK, Action.REPLY),
        "10.9.1.2": (Reason.POLICY, Action.KISS),
        "10.9.1.1": (Reason.OK, Action.REPLY),
        "2001:db8:2::1": (Reason.POLICY, Action.KISS),
        "2001:db8:1::1": (Reason.OK, Action.REPLY),
        "2001:db9::1": (Reason.OK, Action.REPLY),
    }
    got = {host: ask(source=Source.of(host, 40000), rules=rules)[:2] for host in expected}
    assert got == expected


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
                    lambda p: ipaddress.ip_network(p, strict=False)
                ),
                st.tuples(st.integers(2**120, 2**128 - 1), st.integers(0, 128)).map(
                    lambda p: ipaddress.ip_network(p, strict=False)
                ),
            ),
            st.sampled_from(["allow", "ignore", "deny"]),
        ),
        max_size=8,
        unique_by=lambda rule: rule[0],
    ),
    st.ip_addresses(),
    st.sampled_from(["allow", "ignore", "deny"]),
)
def test_lookup_agrees_with_reading_the_rules(rules, address, default):
    table = PolicyTable(NtpPolicy(tuple(PrefixRule(*rule) for rule in rules), default))
    matching = [rule for rule in rules if rule[0].version == address.version and address in rule[0]]
    expected = max(matching, key=lambda rule: rule[0].prefixlen)[1] if matching else default
    assert ("allow", "ignore", "deny")[table.action(address.packed)] == expected


def test_a_denied_client_gets_a_kiss_without_our_time():
    reply = reply_to(rules=policy(("192.0.2.0/24", "deny")))
    assert reply.kiss_code == "DENY"
    assert (reply.leap, reply.stratum, reply.mode, reply.version, reply.poll) == (3, 0, 4, 4, 6)
    assert reply.origin == reply.receive == reply.transmit == COOKIE
    assert reply.reference == 0


def test_only_requests_are_denied_with_a_kiss():
    """A reply to a reply would loop, whatever the policy says."""
    rules = policy(default="deny")
    for packet in (request(4, 4), request(4, 5), request(4, 6), request(5, 3), b"\x23", request(tail=MAC_20)):
        assert ask(packet, rules=rules).action is Action.IGNORE


@given(
    packet=st.one_of(st.binary(max_size=120), st.binary(min_size=47, max_size=49)), port=st.integers(0, 65535)
)
def test_no_reply_is_longer_than_its_request(packet, port):
    for rules in (policy(), policy(default="deny")):
        decision = ask(packet, Source.of("192.0.2.7", port), rules=rules)
        assert (decision.reply is None) == (decision.action is Action.IGNORE)
        assert len(decision.reply or b"") <= len(packet)


def test_a_hundred_thousand_damaged_packets():
    """Each gets exactly one outcome, a reply only when it is a request, and no reply is ever a request in disguise."""
    rng = random.Random(7)
    tables = (policy(), policy(("192.0.2.0/25", "deny"), ("2001:db8::/32", "ignore")))
    clocks = (SYNCHRONISED, ClockState.unsynchronised("test"))
    snapshots = [Snapshot.at(MONO_NS, clock, table) for clock in clocks for table in tables]
    sources = [
        Source.of(host, port) for host in ("192.0.2.7", "192.0.2.200", "2001:db8::1") for port in (123, 1024)
    ]
    seen = set()
    for packet in mutated(SEEDS, 100_000, seed=42):
        decision = decide(
            packet, rng.choice(sources), rx_ns=NOW_NS, tx_ns=NOW_NS + 9000, noise=rng.getrandbits(64), snapshot=rng.choice(snapshots)
        )  # fmt: skip
        seen.add(decision[:2])
        if decision.reply is not None:
            assert len(decision.reply) == 48 <= len(packet)
            assert decision.reply[0] & 7 in (2, 4)
            assert packet[0] & 7 in (0, 1, 3)
            assert packet[0] >> 3 & 7 == decision.reply[0] >> 3 & 7
            assert packet[40:48] == decision.reply[24:32]
            assert ask(decision.reply).action is Action.IGNORE
    assert {reason for reason, _ in seen} == set(Reason) - {
        Reason.LATE, Reason.RATE, Reason.SEND_FAILED, Reason.BAD_SOURCE, Reason.BUG
    }  # fmt: skip


def test_the_numbers_of_reasons_and_actions_are_fixed():
    """Metrics and other data planes share them."""
    assert [int(reason) for reason in Reason] == list(range(15))
    assert (Reason.OK, Reason.REPLY, Reason.CONTROL, Reason.POLICY, Reason.SEND_FAILED) == (0, 6, 7, 9, 13)
    assert (Action.REPLY, Action.IGNORE, Action.KISS) == (0, 1, 2)


def test_ntp_time_of_the_test_is_what_it_should_be():
    assert ntp_from_unix_ns(NOW_NS) >> 32 == NOW_NS // 10**9 + 2_208_988_800
