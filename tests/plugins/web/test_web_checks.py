"""Live checks: what the lines say, who may have how many, and how they come to a reader with and without a script."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import ProbeResult, Sample, Target
from appliance.api.services import Prober
from appliance_web.charts import Thresholds
from appliance_web.checking import MOST_BY_ONE, SAMPLES, Busy, Checks
from appliance_web.views.check import findings, sample_line, verdict
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_browser import OVERFLOW, window
from tests.plugins.web.visiting import visited

LIMITS = Thresholds(0.025, 0.1, 10)
SOMEWHERE = Target("192.0.2.1")


def good(offset_s=0.0004, **more):
    values = {
        "offset_s": offset_s,
        "rtt_s": 0.003,
        "stratum": 2,
        "leap": 0,
        "refid": b"\x0a\0\0\1",
        "root_delay_s": 0.01,
        "root_dispersion_s": 0.002,
        "version": 4,
    }
    return Sample(**(values | more))


def result(*samples, target=SOMEWHERE):
    best = next((s for s in samples if s.error is None), samples[0])
    return ProbeResult(
        1.0, "", "local", target, best.offset_s, best.rtt_s, best.stratum, best.leap, best.error,
        any(s.stratum is not None for s in samples), tuple(samples),
    )  # fmt: skip


class FakeProber:
    """Answers as told; waits before each answer until it may."""

    def __init__(self, *samples):
        self.samples = samples or (good(),) * SAMPLES
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.asked = []

    async def probe(self, target, *, samples=None, on_sample=None):
        self.asked.append((target, samples))
        self.begun.set()
        for sample in self.samples:
            await self.go.wait()
            if on_sample is not None:
                on_sample(sample)
        return result(*self.samples, target=target)


def said(found):
    return [(line.shape, line.text) for line in found]


def test_a_good_server_is_told_in_words_with_its_figures():
    lines = said(findings(result(*(good() for _ in range(5)))))
    assert lines == [
        ("ok", "Reachable: 5 of 5 requests answered"),
        ("ok", "No kiss code, also when asked several times in a row"),
        ("ok", "Stratum 2"),
        ("ok", "Leap indicator: none"),
        ("none", "It follows 10.0.0.1"),
        ("ok", "Root distance 7.00 ms: the most that it says it may be wrong by"),
        ("ok", "Answers in NTP version 4"),
    ]
    assert (
        verdict(result(good()), LIMITS).text
        == "Good time: +400 µs from our clock, stratum 2, 3.00 ms there and back."
    )
    assert verdict(result(good(0.3)), LIMITS).shape == "failing"


def test_silence_a_kiss_and_an_unset_clock_are_told_apart():
    silence = result(Sample(error="timeout"))
    assert said(findings(silence)) == [
        ("failing", "Not reachable: is it running, and does a firewall let UDP through?")
    ]
    assert verdict(silence, LIMITS).text == "No answer: timeout."
    kiss = Sample(stratum=0, error="RATE", version=4)
    assert ("failing", "Kiss code RATE: it asks us to slow down") in said(findings(result(good(), kiss)))
    unset = result(good(leap=3))
    assert ("failing", "Leap indicator: not synchronised") in said(findings(unset))
    assert verdict(unset, LIMITS).text == "It says that its clock is not synchronised."


samples = st.lists(
    st.builds(
        Sample,
        offset_s=st.none() | st.floats(),
        rtt_s=st.none() | st.floats(min_value=0),
        stratum=st.none() | st.integers(0, 255),
        leap=st.none() | st.integers(0, 3),
        refid=st.binary(max_size=4),
        root_delay_s=st.none() | st.floats(),
        root_dispersion_s=st.none() | st.floats(),
        version=st.none() | st.integers(0, 7),
        error=st.none() | st.text(max_size=8),
    ),
    min_size=1,
    max_size=6,
)


@given(samples)
def test_whatever_a_server_answers_can_be_told(samples):
    for number, sample in enumerate(samples, 1):
        assert sample_line(number, sample, LIMITS).text
    found = result(*samples)
    assert all(line.text for line in findings(found))
    assert verdict(found, LIMITS).text


async def test_one_person_has_few_checks_at_once():
    checks = Checks()
    for _ in range(MOST_BY_ONE):
        checks.start("me", FakeProber(), [Target("192.0.2.1")], None)
    with pytest.raises(Busy):
        checks.start("me", FakeProber(), [Target("192.0.2.1")], None)
    checks.start("you", FakeProber(), [Target("192.0.2.1")], None)


async def test_a_check_that_is_broken_off_is_over_for_its_readers():
    checks, prober = Checks(), FakeProber()
    check = checks.start("me", prober, [Target("192.0.2.1")], None)
    running = asyncio.get_running_loop().create_task(checks.run())
    await prober.begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert check.done
    assert check.parts[0].said is not None


async def test_a_failing_prober_ends_the_check_with_a_word_and_others_go_on():
    class Broken:
        async def probe(self, target, **options):
            raise RuntimeError("no socket left")

    checks, prober = Checks(), FakeProber()
    prober.go.set()
    running = asyncio.get_running_loop().create_task(checks.run())
    bad = checks.start("me", Broken(), [Target("192.0.2.1")], None)
    fine = checks.start("me", prober, [Target("192.0.2.2")], LIMITS)
    async with asyncio.timeout(10):
        for check in (bad, fine):
            while not check.done:
                await check.changed.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "no socket left" in bad.parts[0].lines[-1].text
    assert fine.parts[0].said.shape == "ok"


async def test_a_check_streams_line_by_line_and_stands_on_the_page_for_who_has_no_script(tmp_path):
    prober = FakeProber(good(), Sample(error=HOSTILE))
    async with visited(tmp_path, 7, provide={Prober: prober}) as visitor:
        status, _, where = await visitor.post("/members/m00002/probe", {})
        assert status == 303
        assert where.startswith("/members/m00002?check=")
        page = (await visitor.get(where.partition("#")[0]))[1]
        assert '<meta http-equiv="refresh"' in page
        assert read(page).complaints == []
        key = where.partition("=")[2].partition("#")[0]
        async with visitor.session.get(f"{visitor.base}/checks/{key}/stream") as stream:
            prober.go.set()
            text = (await stream.read()).decode()
        assert text.count("event: line") == 2 + len(findings(result(*prober.samples)))
        assert text.endswith("event: done\ndata: {}\n\n")
        assert prober.asked == [(Target("10.0.0.2", 11123), SAMPLES)]
        page = (await visitor.get(where.partition("#")[0]))[1]
        assert "Good time: +400 µs from our clock" in page
        assert "&lt;script&gt;" in page
        assert '<meta http-equiv="refresh"' not in page
        assert read(page).complaints == []
        assert (await visitor.get("/checks/nobody/stream"))[0] == 404


async def test_with_a_script_the_lines_come_by_themselves(tmp_path):
    prober = FakeProber(good(), Sample(error=HOSTILE), good())
    async with (
        window(tmp_path / "state", 7, provide={Prober: prober}) as (visitor, chromium),
        chromium.tab() as tab,
    ):
        await tab.look(width=320)
        await tab.open(visitor.base + "/members/m00002")
        await tab.click("form[action$='/probe'] button")
        assert await tab.evaluate("document.querySelectorAll('.found li').length") == 0
        prober.go.set()
        await tab.until(
            "document.querySelectorAll('.found li').length > 5 && !document.querySelector('[data-check]')"
        )
        assert "Good time" in await tab.evaluate("document.querySelector('.said').innerText")
        assert await tab.evaluate("!!document.querySelector('svg.dots')")
        assert await tab.evaluate(OVERFLOW) <= 0
        assert [c for c in tab.complaints if "Skippable" not in c] == []
