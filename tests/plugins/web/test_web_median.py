"""A wide view of offsets is a median with a band of 10-90 %; what was summarised before medians were kept is told apart."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

from appliance.core.clock import SystemClock
from appliance_web import charts, words
from appliance_web.assets import FOLDER
from appliance_web.charts.history import Point
from appliance_web.charts.offset import offset_legend
from appliance_web.charts.scale import Span
from appliance_web.views import member, picture
from tests.plugins.web.test_web_browser import window
from tests.plugins.web.visiting import visited
from tests.plugins.web.wide_history import OLD, past_plugin, wide_history
from tests.support.programs import cannot_run

LIMITS = charts.Thresholds(good_s=0.025, limit_s=0.1, enter_score=10)
PAGE = "/members/m00001?range=30d"
CHART = "/api/v1/members/m00001/chart?range=30d"


def new(ts: float, median_s: float = 0.002, high_s: float = 0.004) -> Point:
    return Point(
        ts, offset_s=0.2, low_s=0.0, high_s=high_s, probes=15, p10_s=0.001, median_s=median_s, p90_s=0.003
    )


def old(ts: float) -> Point:
    return Point(ts, offset_s=0.002, low_s=0.001, high_s=0.2, probes=15)


def drawn(points: list[Point]) -> tuple[dict[str, str], str]:
    """The paths by class, and the chart in words."""
    tree = ET.fromstring(str(charts.offset_chart(points, Span(0, 36_000), LIMITS)))
    return {p.get("class", ""): p.get("d", "") for p in tree.iter("path")}, tree.find("desc").text or ""  # type: ignore[union-attr]


def test_a_summary_is_drawn_at_its_median_in_a_band() -> None:
    paths, said = drawn([new(i * 600.0) for i in range(20)])
    assert set(paths) == {"spread-area offsets", "line middle", "dot good small"}
    assert paths["dot good small"].count("m") == 20
    assert paths["spread-area offsets"].count("z") == 1
    assert said.startswith(
        "Median +2.00 ms, 10–90 % of each point between +1.00 ms and +3.00 ms, single probes from 0 ms"
    )
    assert "0 of 20 points beyond 100 ms" in said


def test_one_wild_probe_moves_nothing_that_is_drawn() -> None:
    """Its point's mean and highest value go up a thousandfold: dots, band, axis and strip stay where they are."""
    calm = [new(i * 600.0) for i in range(20)]
    wild = [*calm[:7], new(4200.0, high_s=3.0), *calm[8:]]
    assert drawn(calm)[0] == drawn(wild)[0]
    assert "to +3.00 s, in 300 probes" in drawn(wild)[1], "yet it is told"
    assert set(member.cells(wild, 0, 12_000, LIMITS, 10)) == {"ok"}


def test_older_summaries_are_paler_and_said_to_be_means() -> None:
    points = [old(i * 600.0) for i in range(10)] + [new(6000.0 + i * 600.0) for i in range(10)]
    paths, said = drawn(points)
    assert {"spread-area offsets old", "line middle old", "spread-area offsets", "line middle"} <= set(paths)
    assert "10 older points with a mean in place of the median" in said
    assert "The paler points are means, from lowest to highest" in offset_legend(points)
    assert "paler" not in offset_legend(points[10:])
    assert offset_legend(points[:10]).startswith("Each point is the mean of its probes")
    assert offset_legend([Point(1.0, offset_s=0.1)]) == "Each point is one probe."
    assert offset_legend([Point(1.0, error="timeout")]) == ""


def test_single_probes_have_no_band() -> None:
    assert set(drawn([Point(i * 60.0, offset_s=0.001) for i in range(9)])[0]) == {"dot good"}


def test_a_band_is_cut_where_nothing_was_measured() -> None:
    points = [new(i * 600.0) for i in range(5)] + [Point(3000.0, error="timeout", probes=15)]
    points += [new(3600.0 + i * 600.0) for i in range(5)] + [new(30_000.0 + i * 600.0) for i in range(5)]
    tree = ET.fromstring(str(charts.offset_chart(points, Span(0, 36_000), LIMITS)))
    assert sum(p.get("class") == "spread-area offsets" for p in tree.iter("path")) == 3


def test_a_monitor_that_knows_no_medians_is_drawn_as_what_it_says() -> None:
    columns = {"ts": [1, 2], "n": [1, 4], "offset_s": [0.1, 0.2], "offset_min_s": [0.1, 0.0],
               "offset_max_s": [0.1, 0.9], "rtt_s": [None, 0.1], "score": [20, 20]}  # fmt: skip
    single, many = picture.points(picture.series_of_columns({"columns": columns}))
    assert (single.shown_s, single.span_s) == (0.1, None)
    assert (many.shown_s, many.span_s, many.old) == (0.2, (0.0, 0.9), True)


async def test_page_table_and_api_tell_the_same_medians(tmp_path) -> None:
    """Out of real roll-ups, the older part made by the version before."""
    series = wide_history(SystemClock().wall_ns() / 1e9)
    async with visited(tmp_path, 7, plugins=("web", past_plugin(series))) as visitor:
        chart = json.loads((await visitor.get(CHART))[1])
        page = (await visitor.get(PAGE))[1]
    (one,) = chart["series"]
    known = [m for m, n in zip(one["offset_median_s"], one["n"], strict=True) if n]
    assert known.count(None) == OLD - 6
    assert all(0.001 < m < 0.003 for m in known if m is not None)
    assert max(m for m in one["offset_s"] if m is not None) > 0.15, "the means are as wild as they were"
    assert chart["legend"] in page
    assert "paler" in chart["legend"]
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', page.partition("The same as a table")[2])
    assert heads[:10] == ["Time (UTC)", "Probes", "Median offset", "10 %", "90 %", "Mean", "Lowest", "Highest", "Round trip", "Score"]  # fmt: skip
    first = page.partition("The same as a table")[2].partition("<tbody>")[2].partition("</tr>")[0]
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", first)]
    names = ("offset_median_s", "offset_p10_s", "offset_p90_s", "offset_s", "offset_min_s", "offset_max_s")
    assert cells[2:8] == [words.offset(one[name][-1]) for name in names]


async def test_the_browser_draws_the_same_and_names_it_the_same(tmp_path) -> None:
    if not (FOLDER / "vendor" / "uplot.js").exists():
        cannot_run("the chart library is not fetched; run: make web")
    plugin = past_plugin(wide_history(SystemClock().wall_ns() / 1e9))
    async with (
        window(tmp_path / "state", plugins=("web", plugin)) as (visitor, chromium),
        chromium.tab() as tab,
    ):
        await tab.look()
        await tab.open(visitor.base + PAGE)
        await tab.until("document.querySelector('#history').dataset.drawn")
        legend = (
            "[...document.querySelectorAll('[data-plot=offset] .u-series')]"
            ".map((s) => [s.querySelector('.u-label').textContent, s.querySelector('.u-value').textContent])"
        )
        heads = [label for label, _ in await tab.evaluate(legend)]
        assert heads == [
            "Time (UTC)", "Median offset", "10 %", "90 %", "Mean offset", "Lowest", "Highest",
        ]  # fmt: skip
        await tab.evaluate(
            "(() => { const o = document.querySelector('[data-plot=offset] .u-over'), r = o.getBoundingClientRect();"
            " o.dispatchEvent(new MouseEvent('mousemove', {clientX: r.x + r.width * 0.93, clientY: r.y + 50, bubbles: true})); })()"
        )
        told = dict(
            await tab.until(f"(() => {{ const t = {legend}; return / [mµ]s/.test(t[1][1]) && t; }})()")
        )
        rows = await tab.evaluate(
            "[...document.querySelectorAll('#figures tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
        )
        (here,) = [row for row in rows if row[0][:19] == told["Time (UTC)"][:19]]
        assert [told["Median offset"], told["10 %"], told["90 %"]] == here[2:5]
        assert "The paler points are means" in await tab.evaluate(
            "document.querySelector('.legend').textContent"
        )
        assert tab.complaints == []
