"""The live check: real packets to simulated servers, and every refusal says what was found."""

from __future__ import annotations

import pytest

from appliance.api.model import ProbeResult, Sample, Target
from appliance_members.admission import Limits, examine, forced, judge

LIMITS = Limits()


@pytest.mark.parametrize(
    ("address", "accepted", "words"),
    [
        ("127.0.0.31", True, ["answered", "stratum"]),
        ("127.0.0.32", True, ["answered", "ms"]),
        ("127.0.0.33", False, ["not synchronised"]),
        ("127.0.0.34", False, ["RATE", "limits our requests"]),
        ("127.0.0.35", False, ["no answer", "firewall"]),
        ("127.0.0.36", False, ["stratum is 12", "at most 10"]),
        ("127.0.0.37", False, ["away from ours", "at most 1 s"]),
        ("127.0.0.38", True, ["stratum 9"]),
    ],
)
async def test_the_finding_has_the_figures(servers, prober, address, accepted, words):
    check = await examine(prober, address, servers.port, LIMITS)
    assert check.accepted is accepted, check
    for word in words:
        assert word in check.why


async def test_what_will_cost_points_is_said_beforehand(servers, prober):
    off = await examine(prober, "127.0.0.32", servers.port, LIMITS)
    assert abs(off.offset_s - 0.3) <= off.rtt_s / 2 + 1e-5
    assert any("ms off" in w for w in off.warnings)
    low = await examine(prober, "127.0.0.38", servers.port, LIMITS)
    assert any("stratum 9" in w for w in low.warnings)
    good = await examine(prober, "127.0.0.31", servers.port, LIMITS)
    assert good.warnings == ()


async def test_only_silence_is_asked_again(servers, prober):
    await examine(prober, "127.0.0.35", servers.port, Limits(attempts=3))
    assert len(prober.asked) == 3
    prober.asked.clear()
    await examine(prober, "127.0.0.34", servers.port, Limits(attempts=3))
    assert len(prober.asked) == 1


async def test_a_lost_packet_does_not_refuse_a_server(servers, prober):
    class Lossy:
        async def probe(self, target, **_):
            if len(prober.asked) < 2:
                prober.asked.append(target)
                return ProbeResult(0, "", "t", target, None, None, None, None, "timeout", False, ())
            return await prober.probe(target)

    assert (await examine(Lossy(), "127.0.0.31", servers.port, LIMITS)).accepted


def result(**fields) -> ProbeResult:
    sample = Sample(**{"offset_s": 0.0, "rtt_s": 0.01, "stratum": 2, "leap": 0, **fields})
    return ProbeResult(0, "", "t", Target("192.0.2.1"), sample.offset_s, sample.rtt_s, sample.stratum, sample.leap,
                       sample.error, True, (sample,))  # fmt: skip


def test_half_the_round_trip_is_not_held_against_a_server():
    assert judge(result(offset_s=1.2, rtt_s=0.5), LIMITS).accepted
    assert not judge(result(offset_s=1.2, rtt_s=0.1), LIMITS).accepted
    assert judge(result(offset_s=-0.15, rtt_s=0.2), LIMITS).warnings == ()


def test_an_unsynchronised_clock_of_ours_judges_nobody_by_the_offset():
    check = judge(result(offset_s=5000.0), Limits(judge_offset=False))
    assert check.accepted
    assert any("our own clock" in w for w in check.warnings)
    assert not judge(result(leap=3), Limits(judge_offset=False)).accepted


@pytest.mark.parametrize("stratum", [0, 16, 255])
def test_a_stratum_that_means_unsynchronised_is_refused(stratum):
    assert not judge(result(stratum=stratum), Limits(max_stratum=15)).accepted


def test_force_keeps_the_finding():
    check = forced(judge(result(stratum=12), LIMITS))
    assert check.accepted
    assert check.forced
    assert "12" in check.why
    assert not forced(judge(result(), LIMITS)).forced


def test_a_result_without_samples_is_no_answer():
    empty = ProbeResult(0, "", "t", Target("192.0.2.1"), None, None, None, None, None, False, ())
    assert "no answer" in judge(empty, LIMITS).why
