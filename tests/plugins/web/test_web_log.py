"""The log's page beside a real monitor: filters in the address, older pages, and the whole as a file over the wire."""

from __future__ import annotations

import json

import pytest

from appliance.api.services import Members, ScoreBoard
from appliance_web.views import log
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited

CONFIG = """
[plugins.monitor]
interval_s = 3600
[[plugins.members.member]]
address = "127.0.0.9"
port = 9
[[plugins.members.member]]
address = "127.0.0.10"
port = 9
note = "<script>"
"""
NUMBER = 1234


async def filled(app):
    """Put probes into the database: each tenth costs points, each seventh is below full marks."""
    await app.until_running("members", "monitor")
    ids = sorted(app.host.services.get(Members).table.get())
    assert app.host.services.get(ScoreBoard)
    for i in range(NUMBER):
        step = -1.0 if i % 10 == 0 else 0.5 if i % 7 == 0 else 1.0
        app.host.store.append(
            "monitor__probes",
            {
                "ts": 1.7e9 + i, "member": ids[i % 2], "monitor": "local", "offset_s": 0.001, "rtt_s": 0.02, "stratum": 2,
                "leap": 0, "step": step, "score": 10.0, "error": None, "rule": f"rule{i % 3}",
            },
        )  # fmt: skip
    await app.host.store.flush()
    return ids


async def test_the_log_is_filtered_paged_and_taken_along(tmp_path):
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "members", "monitor")) as visitor:
        ids = await filled(visitor.app)
        status, text, _ = await visitor.get(f"/log?show=cost&rule=rule0&member={ids[0]}")
        found = read(text)
        assert (status, found.complaints) == (200, [])
        assert text.count('data-label="Step"') == len(
            [i for i in range(0, NUMBER, 2) if i % 10 == 0 and i % 3 == 0]
        )
        assert any("show=cost" in link and "format=ntppool" in link for link in found.links)

        status, text, _ = await visitor.get("/log?show=below")
        [older] = [link for link in read(text).links if "before=" in link]
        _, second, _ = await visitor.get(older)
        assert second.count('data-label="Step"') > 50
        assert "older probe" in second
        assert not set(stamps(text)) & set(stamps(second))

        for format_, kind in (
            ("csv", "text/csv"), ("json", "application/json"), ("ndjson", "application/x-ndjson"), ("ntppool", "text/csv"),
        ):  # fmt: skip
            status, text, headers = await visitor.get(f"/api/v1/log/export?format={format_}&until=1750000000")
            assert status == 200
            assert headers["content-type"].startswith(kind)
            assert headers["x-content-type-options"] == "nosniff"
            rows = (
                json.loads(text)
                if format_ == "json"
                else text.splitlines()[0 if format_ == "ndjson" else 1 :]
            )
            assert len(rows) == NUMBER
        status, _, _ = await visitor.get("/api/v1/log/export?format=exe")
        assert status == 422


def stamps(text):
    return [part.partition('"')[0] for part in text.split('class="stamp" datetime="')[1:]]


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({"show": "below"}, {"show": "below"}),
        ({"trouble": "1"}, {"show": "cost"}),
        ({"show": "nonsense", "member": "x"}, {"member": "x"}),
        ({}, {}),
    ],
)
def test_filters_live_in_the_address(query, asked):
    question = log.Question.parse(query)
    assert question.asked == asked
    assert log.Question.parse(dict(p.split("=") for p in question.link().split("&") if p)).asked == asked


def test_a_page_that_holds_still_says_so_in_its_address():
    assert log.Question.parse({"follow": "no", "show": "cost"}).link() == "show=cost&follow=no"
    assert log.Question.parse({"before": "\u0665"}).before is None
