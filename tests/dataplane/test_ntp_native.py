"""The native plane decides as the Python plane does, byte by byte, over valid and broken packets and any snapshot."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.api.model import ClockState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Action, NtpPolicy, PrefixRule, Reason
from appliance.dataplane.native import clock_tuple, policy_rules
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, Source
from tests.support.native import need_native
from tests.support.ntp_packets import SEEDS

WALL_NS = 1_800_000_000_123_456_789
ASK = bytes([0x23]) + bytes(47)

clocks = st.builds(
    ClockState,
    leap=st.integers(0, 3),
    stratum=st.integers(0, 16),
    refid=st.binary(min_size=4, max_size=4),
    reference_ns=st.integers(WALL_NS - 10**15, WALL_NS + 10**12) | st.just(0),
    root_delay_s=st.floats(0, 2),
    root_dispersion_s=st.floats(0, 2),
    dispersion_rate=st.floats(0, 1e-3),
    as_of_mono_ns=st.integers(0, 10**12),
    correction_s=st.floats(-1, 1),
    precision=st.integers(-32, 0),
    max_distance_s=st.floats(0, 3),
    expires_mono_ns=st.integers(0, 10**13) | st.just(2**63 - 1),
)
networks = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
        lambda p: ipaddress.ip_network(p, strict=False)
    ),
    st.tuples(st.integers(2**32, 2**128 - 1), st.integers(0, 128)).map(
        lambda p: ipaddress.ip_network(p, strict=False)
    ),
)
actions = st.sampled_from(["allow", "ignore", "deny"])
policies = st.builds(
    NtpPolicy,
    rules=st.lists(st.builds(PrefixRule, networks, actions), max_size=4).map(tuple),
    default=actions,
)
ports = st.sampled_from([0, 123, 124, 40000, 65535])
addresses = st.one_of(
    st.tuples(
        st.just(4), st.integers(0, 2**32 - 1) | st.sampled_from([0x7F000001, 0xE0000001, 0xFFFFFFFF, 1])
    ),
    st.tuples(st.just(6), st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, 0xFF << 120])),
)
packets = st.one_of(
    st.sampled_from(SEEDS),
    st.binary(max_size=120),
    st.tuples(st.integers(0, 255), st.binary(min_size=47, max_size=200)).map(lambda p: bytes([p[0]]) + p[1]),
    st.tuples(st.sampled_from(SEEDS), st.integers(0, 200), st.integers(0, 255)).map(
        lambda p: p[0][: p[1]] + bytes([p[2]]) + p[0][p[1] + 1 :]
    ),
    st.binary(max_size=40).map(lambda tail: bytes([0x23]) + bytes(47) + tail),
)


@settings(max_examples=1500)
@example(packet=SEEDS[0], clock=ClockState.unsynchronised("new"), policy=NtpPolicy(), source=(4, 1 << 24), port=40000,
         own=(1, 123), noise=0, rx_ago_ns=0, mono_ns=0)  # fmt: skip
@given(
    packet=packets, clock=clocks, policy=policies, source=addresses, port=ports,
    own=st.tuples(st.sampled_from([0, 0x7F000001]), ports), noise=st.integers(0, 2**64 - 1),
    rx_ago_ns=st.integers(-2_000_000, 60_000_000), mono_ns=st.integers(0, 10**13),
)  # fmt: skip
def test_both_planes_decide_alike(packet, clock, policy, source, port, own, noise, rx_ago_ns, mono_ns):
    native = need_native()
    family, address = source
    expected = ntp_decide.decide(
        packet, Source(family, address, port), rx_ns=WALL_NS - rx_ago_ns, tx_ns=WALL_NS, noise=noise,
        snapshot=Snapshot.at(mono_ns, clock, PolicyTable(policy)), own=own,
    )  # fmt: skip
    reason, action, reply = native.ntp_decide(
        packet, (family == 6, address, port), own, WALL_NS - rx_ago_ns, WALL_NS, noise, mono_ns,
        clock_tuple(clock), policy_rules(policy), policy.default, ntp_decide.LATE_NS,
    )  # fmt: skip
    assert (Reason(reason), Action(action), reply and bytes(reply)) == expected


def test_the_numbers_of_the_reasons_and_actions_are_the_same():
    assert dict(need_native().reasons()) == {reason.name: int(reason) for reason in Reason}
    assert dict(need_native().actions()) == {action.name: int(action) for action in Action}


@pytest.mark.parametrize(
    "ns", [0, 1, WALL_NS, 2_085_978_495_999_999_999, 2_085_978_496_000_000_000, 4 * 10**18]
)
def test_both_planes_write_the_same_timestamps_across_the_end_of_an_era(ns):
    native = need_native()
    clock = ClockState(0, 1, b"GPS\0", 0, 0.0, 0.0, 0.0, 0, precision=-32)
    expected = ntp_decide.decide(ASK, Source(4, 1 << 25, 999), rx_ns=ns, tx_ns=ns, noise=0,
                                 snapshot=Snapshot.at(0, clock, PolicyTable(NtpPolicy())))  # fmt: skip
    _, _, reply = native.ntp_decide(
        ASK, (False, 1 << 25, 999), (0, 0), ns, ns, 0, 0, clock_tuple(clock), [], "allow", 50_000_000
    )
    assert bytes(reply) == expected.reply
