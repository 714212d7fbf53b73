"""Samples shared out among readers: each gets its rate, nobody gets more than he has room for, a capture ends by itself."""

from __future__ import annotations

import socket

import pytest

from appliance.api.errors import Conflict
from appliance.core.clock import FakeClock
from appliance.core.packet_tap import DRAIN_S, QUIET_S, ServiceTap
from appliance.core.tasks import spawn
from appliance.dataplane.sampling import DRAWN, FOCUSED, NOTHING, UNUSUAL, Sample, Sampled, Sampling

HERE = socket.inet_aton("192.0.2.7")


class Plane:
    """Packet threads that have what a test puts there."""

    def __init__(self) -> None:
        self.asked = NOTHING
        self.waiting: list[Sample] = []
        self.dropped = 0

    def sample(self, sampling: Sampling) -> None:
        self.asked = sampling

    def take_samples(self, most: int) -> list[Sample]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def sampled(self) -> Sampled:
        return Sampled(0, self.dropped)

    def bring(self, count: int, why: int = DRAWN) -> None:
        self.waiting += [Sample(b"x", 1, HERE, 1234, HERE, 123, n, 7, why) for n in range(count)]


def tapped() -> tuple[ServiceTap, Plane, FakeClock]:
    clock, plane = FakeClock(), Plane()
    tap = ServiceTap("ntp", lambda outcome: (f"reason {outcome}", "reply"), clock)
    tap.serve(plane)  # type: ignore[arg-type]
    return tap, plane, clock


async def all_of(reader):
    return [packet async for batch in reader for packet in batch]


async def test_each_reader_gets_the_rate_that_it_asked_for():
    tap, plane, _ = tapped()
    with tap.samples(every=10, keep=64) as often, tap.samples(every=40, keep=200) as seldom:
        assert (plane.asked.every, plane.asked.keep) == (10, 200)
        plane.bring(100)
        tap.drain()
    assert plane.asked == NOTHING
    packets = await all_of(often)
    assert len(packets) == 100
    assert len(await all_of(seldom)) == 25
    assert packets[0][:7] == ("ntp", b"x", 1, "192.0.2.7", 1234, "192.0.2.7", 123)
    assert packets[0].reason == "reason 7"


async def test_a_reader_may_ask_apart_for_what_is_not_ordinary_and_the_others_get_it_at_their_rate():
    tap, plane, _ = tapped()
    with tap.samples(every=10, unusual=2) as careful, tap.samples(every=20) as plain:
        assert (plane.asked.every, plane.asked.unusual) == (10, 2)
        plane.bring(100)
        plane.bring(100, UNUSUAL)
        tap.drain()
    seen = [(packet.unusual, packet.stands_for) for packet in await all_of(careful)]
    assert seen == [(False, 10)] * 100 + [(True, 2)] * 100
    seen = [packet.stands_for for packet in await all_of(plain)]
    assert seen == [20] * (50 + 10)
    with tap.samples(every=20):
        assert plane.asked.unusual == 0, "nobody asks for them apart any more"


async def test_who_is_slow_loses_the_newest_and_is_told_how_many():
    tap, plane, _ = tapped()
    with tap.samples(every=1, room=10) as reader:
        plane.bring(25)
        plane.dropped = 3
        tap.drain()
    assert [packet.rx_ns for packet in await all_of(reader)] == list(range(10))
    assert reader.lost == 15 + 3


async def test_a_capture_ends_with_its_number_and_disturbs_no_sampling():
    tap, plane, _ = tapped()
    with tap.samples(every=5) as sampled, tap.capture("192.0.2.0/24", for_s=10, most=2) as reader:
        assert plane.asked.focus is not None
        assert (str(plane.asked.focus.network), plane.asked.focus.most) == ("192.0.2.0/24", 2)
        with pytest.raises(Conflict, match=r"192\.0\.2\.0/24"), tap.capture("10.0.0.0/8", for_s=1, most=1):
            pass
        plane.bring(1, DRAWN | FOCUSED)
        plane.bring(1, FOCUSED)
        tap.drain()
        assert len(await all_of(reader)) == 2
    assert len(await all_of(sampled)) == 1


async def test_a_capture_of_nothing_ends_with_its_time():
    tap, _, clock = tapped()
    with tap.capture("192.0.2.0/24", for_s=10, most=2) as reader:
        await clock.advance(11)
        tap.drain()
        assert await all_of(reader) == []


def test_a_service_that_starts_later_is_asked_for_what_readers_want():
    clock, plane = FakeClock(), Plane()
    tap = ServiceTap("dns", lambda outcome: ("", ""), clock)
    with tap.samples(every=3):
        tap.serve(plane)  # type: ignore[arg-type]
        assert plane.asked.every == 3


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 1, "keep": 4000}, {"every": 1, "room": 0}])
def test_samples_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="1"), tapped()[0].samples(**wrong):
        pass


@pytest.mark.parametrize(
    ("prefix", "wrong"), [("x", {}), ("::/0", {"for_s": 0}), ("::/0", {"most": 0}), ("::/0", {"for_s": 1e9})]
)
def test_captures_that_make_no_sense_are_refused(prefix, wrong):
    with (
        pytest.raises(ValueError, match=r"."),
        tapped()[0].capture(prefix, **{"for_s": 1, "most": 1, **wrong}),
    ):
        pass


async def test_rings_are_looked_into_less_often_while_nothing_comes():
    tap, plane, clock = tapped()
    with tap.samples(every=1) as reader:
        draining = spawn(tap.keep_drained(), name="draining")
        batches = aiter(reader)
        await clock.advance(0)  # the first look
        for look_s in (QUIET_S, DRAIN_S, DRAIN_S):
            plane.bring(1)
            await clock.advance(look_s - 0.001)
            assert plane.waiting
            await clock.advance(0.001)
            assert len(await anext(batches)) == 1
        await clock.advance(DRAIN_S)  # nothing came
        plane.bring(1)
        await clock.advance(DRAIN_S)
        assert plane.waiting
        draining.cancel()
