"""The public status: everybody may see it, nobody's address who asks is in it, and it stands alone as files."""

from __future__ import annotations

import gzip
import json
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import Level
from appliance_web import zone_log
from appliance_web.journal import Entry
from appliance_web.views import public
from appliance_web.views.standing import Sentence
from appliance_web.zone_log import Count
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited

NOW = 1.8e9
FAR = {"X_Forwarded_For": "203.0.113.99", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "127.0.0.1"}
PROXY = 'proxies = ["127.0.0.1"]\n'
PATHS = ("/status", "/status/embed", "/status/badge.svg", "/status/feed.atom", "/api/v1/public")


async def test_a_stranger_sees_it_small_and_without_script(tmp_path):
    async with visited(tmp_path, 200, config=PROXY) as visitor:
        status, text, headers = await visitor.get("/status", **FAR)
        found = read(text)
        assert (status, found.complaints) == (200, [])
        assert "<script" not in text
        _, css, _ = await visitor.get(re.search(r'href="(/static/[^"]+css)"', text)[1])
        assert len(gzip.compress(text.encode())) + len(gzip.compress(css.encode())) <= 40_000
        assert headers["cache-control"] == "private, max-age=60"
        for path in PATHS:
            status, text, headers = await visitor.get(path, **FAR)
            assert (status, "203.0.113.99" in text) == (200, False), path
            assert "max-age=60" in headers["cache-control"], path


async def test_it_is_made_once_a_minute(tmp_path, monkeypatch):
    async with visited(tmp_path) as visitor:
        made = []
        monkeypatch.setattr(zone_log, "count", lambda rows: made.append(1) or {"@": Count(1, 1)})
        for path in PATHS * 3:
            await visitor.get(path)
        assert len(made) == 1


async def test_only_who_asked_for_it_is_named(tmp_path):
    async with visited(tmp_path, 7) as visitor:
        listed = [m for m in (await fake_members(visitor)) if "public" in m.tags]
        assert listed == []
        _, text, _ = await visitor.get("/status")
        assert "10.0.0.1" not in text
        assert "harbour" not in text


async def fake_members(visitor):
    from appliance.api.services import Members

    return list(visitor.app.host.services.get(Members).table.get().values())


async def test_others_may_frame_the_embed_and_nothing_else(tmp_path):
    async with visited(tmp_path) as visitor:
        for path in ("/status/embed", "/status/badge.svg", "/status/feed.atom", "/api/v1/public"):
            _, _, headers = await visitor.get(path)
            assert "frame-ancestors *" in headers["content-security-policy"]
            assert "script-src" not in headers["content-security-policy"]
            assert headers["cross-origin-resource-policy"] == "cross-origin"
            assert headers["access-control-allow-origin"] == "*"
        for path in ("/status", "/", "/use", "/api/v1/publications", "/status/embedded"):
            _, _, headers = await visitor.get(path)
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert "access-control-allow-origin" not in headers


async def test_badges_of_the_pool_and_of_a_zone_and_of_nothing(tmp_path):
    async with visited(tmp_path) as visitor:
        status, text, headers = await visitor.get("/status/badge.svg")
        assert (status, headers["content-type"]) == (200, "image/svg+xml; charset=utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        assert (await visitor.get("/status/badge/pool.example.org.svg"))[0] == 200
        assert (await visitor.get("/status/badge/nowhere.svg"))[0] == 404


async def test_the_site_stands_alone(tmp_path):
    """No file of it leads to this box, and each is what its name says."""
    async with visited(tmp_path, hostile=True) as visitor:
        files = await visitor.app.get("/api/v1/public/site")
        page = files["index.html"]
        found = read(page)
        assert found.complaints == []
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page):
            assert link in files, link
        assert "<script" not in page
        assert ET.fromstring(files["feed.atom"]).tag.endswith("feed")
        assert json.loads(files["status.json"])["servers"] >= 0
        assert "url(" not in files["timeball.css"]


def test_the_export_replaces_whole_files(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from appliance_web import status_cli

    class Admin:
        def get(self, path):
            assert path == "/api/v1/public/site"
            return {"index.html": "<p>", "../../evil": "x"}

    monkeypatch.setattr(status_cli, "admin", Admin)
    where = tmp_path / "site" / "deep"
    for _ in range(2):
        done = CliRunner().invoke(status_cli.export, [str(where)])
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in where.iterdir()) == ["evil", "index.html"]
    assert (where / "index.html").stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").write_text("")
    assert CliRunner().invoke(status_cli.export, [str(tmp_path / "file")]).exit_code != 0


def entry(ts, member, *, out):
    return Entry(ts, "verdict", Level.FAILING if out else Level.OK, "some text", member)


def test_events_close_together_are_one_incident():
    entries = [
        entry(0, "a", out=True), entry(60, "b", out=True), entry(1200, "a", out=False),
        entry(90_000, "b", out=True), entry(90_100, "b", out=False),
        entry(200_000, "c", out=False),
        Entry(3.0, "clock", Level.DEGRADED, "no verdict"),
    ]  # fmt: skip
    found = public.incidents(entries[::-1], {"b": "b.example"})
    assert [(i.began, i.ended, i.text, i.shape) for i in found] == [
        (90_000, 90_100, "1 server left the pool (b.example); it came back.", "ok"),
        (0, 1200, "2 servers left the pool (b.example); 1 came back.", "degraded"),
    ]


def test_a_day_is_as_bad_as_its_worst_hour():
    day = NOW // 86400 * 86400
    points = [
        {"ts": day, "n": 5, "score": 20, "offset_s": 0.0}, {"ts": day - 86400, "n": 5, "score": 3, "offset_s": 0.1},
        {"ts": day - 86400 * 2, "n": 5, "score": -9, "offset_s": None}, {"ts": day - 86400 * 2 + 60, "n": 1, "score": 20, "offset_s": 0.0},
        {"ts": day - 86400 * 4, "n": 0, "score": None, "offset_s": None}, {"ts": 1.0, "n": 3, "score": 20},
    ]  # fmt: skip
    cells = public.server_days(points, 10.0, NOW)
    assert len(cells) == 90
    assert cells[-5:] == ["none", "none", "failing", "degraded", "ok"]
    assert public.told_days(cells) == "1 in order, 1 partly out, 1 out, 87 nothing known"


async def test_zones_are_kept_and_read_back_by_the_day(tmp_path):
    async with visited(tmp_path) as visitor:
        day = 86400
        now = NOW // day * day + 1000
        for ago, inside in ((0, 3), (1, 1), (2, 0)):
            for row in zone_log.as_rows({"@": Count(4, inside), "de": Count(1, 1)}, now - ago * day):
                visitor.app.host.store.append(zone_log.TABLE, row)
        await visitor.app.host.store.flush()
        cells = await visitor.app.host.store.read(lambda db: zone_log.days(db, "@", now))
        assert cells[-4:] == ["none", "failing", "degraded", "ok"]
        assert len(cells) == 90


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_makes_a_badge_and_a_feed_that_parse(name, text):
    ET.fromstring(public.badge(name, text, "ok"))
    found = public.Public(
        NOW, name, Sentence("ok", text), 1, 1, (), (), 0, [public.Incident(NOW, NOW, text + HOSTILE, "ok")]
    )
    ET.fromstring(public.as_atom(found, text))


@pytest.mark.parametrize("days", [[], ["none"] * 90])
def test_a_new_server_has_no_share_yet(days):
    assert public.Named("x", "ok", "in", days).share == "new"


def test_today_shows_what_is_now_before_the_first_reading():
    [pool, zone] = public.zones(
        {"@": Count(4, 1), "de": Count(2, 2)}, {"@": ["none"] * 90, "de": ["none", "failing"]}, "pool.example"
    )
    assert (pool.days[-1], zone.days[-1]) == ("degraded", "failing")
    assert (pool.name, zone.name, zone.word) == ("pool.example", "de.pool.example", "2 of 2 servers in")


def test_the_command_alone_says_how_it_goes(monkeypatch):
    from click.testing import CliRunner

    from appliance_web import status_cli

    told = {
        "name": "pool.example.org", "urls": ["https://ball.local/"], "fingerprint": "", "claimed": False,
        "state": [
            {"label": "Clock", "text": "right to 1 ms", "level": "ok"},
            {"label": "Box", "text": "two\x1b[2J lines", "level": "degraded"},
        ],
    }  # fmt: skip

    class Admin:
        def get(self, path):
            assert path == "/api/v1/console"
            return told

    monkeypatch.setattr(status_cli, "admin", Admin)
    done = CliRunner().invoke(status_cli.status, [])
    assert done.exit_code == 0, done.output
    first, clock, box, owner, advice = done.output.splitlines()
    assert "pool.example.org" in first
    assert "https://ball.local/" in first
    assert clock == "  Clock   right to 1 ms"
    assert box.startswith("! Box ")
    assert "\x1b" not in done.output
    assert "timeball setup code" in owner
    assert "timeball doctor" in advice


@pytest.mark.parametrize(
    ("count", "text", "shape", "day"),
    [
        (Count(), "This pool is being set up.", "none", "none"),
        (Count(3, 0, 2, begins=True), "This pool is about to begin.", "none", "none"),
        (Count(3, 0, 1), "0 of 3 servers are in the pool.", "failing", "failing"),
        (Count(9, 3, 6), "0 of 3 servers are in the pool.", "failing", "ok"),
    ],
)
def test_a_pool_that_begins_is_no_failure_and_newcomers_make_no_day_worse(count, text, shape, day):
    said = Sentence("failing", "0 of 3 servers are in the pool.")
    if count.begins or not count.members:
        said = Sentence("none", "No servers yet.", "Add the first one: it is probed before it is accepted.")
    found = public.sentence(said, count)
    assert (found.text, found.shape) == (text, shape)
    assert "Add" not in found.more, "strangers cannot"
    [line] = public.zones({"@": count}, {"@": ["none"] * 90}, "pool.example")
    assert line.days[-1] == line.shape == day
    [row] = zone_log.as_rows({"@": count}, NOW)
    assert row["members"] == (0 if day == "none" else count.members - count.new)


def test_a_silent_monitor_is_told_of_a_pool_that_begins_too():
    silent = Sentence("failing", "The monitor has fallen silent.")
    assert public.sentence(silent, Count(2, 0, 2, begins=True)) is silent
