"""Every input that coverage-guided fuzzing kept: both planes answer its packets alike, byte by byte.

`cargo test` in rust/core replays the same inputs through the invariants of the fuzz targets.
"""

from __future__ import annotations

from collections import Counter

from appliance.dataplane import ntp_decide
from appliance.dataplane.dns_decide import decide
from appliance.dataplane.interface import Action, Reason
from appliance.dataplane.native import clock_tuple, limit_tuple, policy_rules
from appliance.dataplane.native_dns import answers_tuple
from appliance.dataplane.ntp_clients import ClientTable
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, Source
from appliance.dataplane.ntp_memory import Memory
from appliance.dataplane.ntp_networks import NetworkBuckets
from tests.support import fuzz_inputs
from tests.support.native import need_native

_SECRET = bytes(range(16))


def test_both_planes_decide_alike_about_every_kept_ntp_packet() -> None:
    native, outcomes = need_native(), Counter[tuple[Reason, Action]]()
    for path in fuzz_inputs.corpus("ntp"):
        clock, policy, _, packets = fuzz_inputs.ntp(path.read_bytes())
        table, rules, state = PolicyTable(policy), policy_rules(policy), clock_tuple(clock)
        memory = Memory(ClientTable(1, _SECRET), NetworkBuckets(8, _SECRET))
        twin, limit = native.NtpMemory(1, 8, _SECRET), limit_tuple(policy)
        for packet, source, own, rx_ns, tx_ns, mono_ns, noise in packets:
            snapshot = Snapshot.at(mono_ns, clock, table)
            expected = ntp_decide.decide(
                packet, Source(*source), rx_ns=rx_ns, tx_ns=tx_ns, noise=noise, snapshot=snapshot, own=own,
                mono_ns=mono_ns, memory=memory,
            )  # fmt: skip
            reason, action, reply = native.ntp_decide(
                packet, (source[0] == 6, *source[1:]), own, rx_ns, tx_ns, noise, mono_ns,
                state, rules, policy.default, ntp_decide.LATE_NS, limit, twin,
            )  # fmt: skip
            told = Reason(reason), Action(action), reply and bytes(reply)
            assert told == expected, f"{path.name}: {packet.hex()}"
            outcomes[told[:2]] += 1
        assert memory.clients is not None
        assert twin.clients() == [record[:12] for record in memory.clients.all()]
    # The corpus reaches what a header can lead to, and has not become a heap of one kind.
    assert {reason for reason, _ in outcomes} >= {
        Reason.OK, Reason.UNSYNCHRONISED, Reason.TOO_SHORT, Reason.BAD_LENGTH, Reason.BAD_VERSION, Reason.BAD_MODE,
        Reason.REPLY, Reason.CONTROL, Reason.AUTH, Reason.POLICY, Reason.RATE, Reason.BAD_SOURCE, Reason.LATE,
    }  # fmt: skip
    assert {action for _, action in outcomes} == set(Action)


def test_both_planes_decide_alike_about_every_kept_dns_query() -> None:
    native, outcomes = need_native(), Counter[int]()
    for path in fuzz_inputs.corpus("dns"):
        snapshot, queries = fuzz_inputs.dns(path.read_bytes())
        try:
            answers = native.DnsAnswers(answers_tuple(snapshot))
        except ValueError:
            continue  # a snapshot that the control side never makes
        for message, source, now_ns, sequence in queries:
            expected = decide(message, source, "udp", now_ns, snapshot, sequence=sequence)
            told = native.dns_decide(message, source, now_ns, answers, sequence)
            assert told == expected, f"{path.name}: {message.hex()} from {source}"
            outcomes[told[1]] += 1
    assert set(outcomes) >= {-1, 0, 1, 2, 3, 4, 5, 9, 16}, outcomes
