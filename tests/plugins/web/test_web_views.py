"""View models: how members stand, which rows a query shows, and what pages say of the scorer and the zone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.model import ClockState, Health, Level, Member, Problem, Verdict
from appliance_web import zone_log
from appliance_web.charts import Thresholds
from appliance_web.charts.history import Point
from appliance_web.views import dns, log, member, members, overview, picture, plugins, scoring, zone
from appliance_web.views import time as time_view
from appliance_web.views.look import KEPT, Looks, target
from appliance_web.views.members import Query, choose
from appliance_web.views.standing import SHAPES, pool_sentence, row, standing, worst_first

NOW = 1.8e9


def one(number=0, **verdict):
    fields = {
        k: verdict.pop(k)
        for k in ("state", "leaving", "netspeed", "name", "zones", "address")
        if k in verdict
    }
    m = Member(f"m{number}", fields.pop("address", f"192.0.2.{number}"), **fields)
    values = {"score": 20.0, "in_pool": True, "reason": "in: score 20.0", "code": "ok"} | verdict
    return m, Verdict(m.id, **values)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ({}, "in the pool"),
        ({"failing": True}, "failing"),
        ({"code": "kept"}, "kept"),
        ({"in_pool": False, "code": "low_score", "score": 3.0}, "out"),
        ({"in_pool": False, "code": "wrong_time", "truthful": False}, "wrong time"),
        ({"in_pool": False, "code": "new", "score": 2.0}, "new"),
        ({"in_pool": False, "score": None, "code": "new"}, "new"),
        ({"state": "paused"}, "paused"),
        ({"leaving": True}, "leaving"),
        ({"state": "unverified", "in_pool": False, "code": "unverified"}, "unverified"),
        ({"netspeed": 0, "in_pool": False, "code": "watched"}, "watched only"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value),
)
def test_every_standing_has_one_word_and_a_shape(verdict, word):
    m, v = one(**verdict)
    assert standing(m, v) == word
    assert word in SHAPES


def rows_of(*verdicts):
    return [row(*one(i, **v)) for i, v in enumerate(verdicts)]


WRONG = {"in_pool": False, "truthful": False, "code": "wrong_time"}
NEW = {"in_pool": False, "code": "new", "score": 1.0}


@pytest.mark.parametrize(
    ("verdicts", "monitor", "text", "shape"),
    [
        ([], "ok", "No servers yet.", "none"),
        ([{}], "ok", "The one server is in the pool.", "ok"),
        ([{}] * 5, "ok", "All 5 servers are in the pool.", "ok"),
        ([{}] * 4 + [WRONG], "ok", "4 of 5 servers are in the pool; 1 needs attention.", "degraded"),
        ([{}] + [WRONG] * 2 + [NEW, {"state": "paused", "in_pool": False}], "ok", "1 of 5 servers is in the pool; 2 need attention; 1 is new; 1 is set aside.", "degraded"),
        ([NEW], "ok", "The one server is not in the pool yet: it is new.", "none"),
        ([WRONG], "ok", "The one server is not in the pool: it needs attention.", "failing"),
        ([{"state": "paused", "in_pool": False}], "ok", "The one server is not in the pool: it is set aside.", "failing"),
        ([WRONG] * 2, "ok", "0 of 2 servers are in the pool; 2 need attention.", "failing"),
        ([NEW] * 2, "ok", "0 of 2 servers are in the pool; 2 are new.", "none"),
        ([NEW] * 2 + [WRONG], "ok", "0 of 3 servers are in the pool; 1 needs attention; 2 are new.", "degraded"),
        ([NEW] + [WRONG] * 2, "ok", "0 of 3 servers are in the pool; 2 need attention; 1 is new.", "failing"),
        ([{}] * 2, "stale", "The monitor has fallen silent.", "failing"),
        ([{}] * 2, "missing", "Nobody is watching the servers.", "failing"),
    ],
)  # fmt: skip
def test_the_pool_in_one_sentence(verdicts, monitor, text, shape):
    said = pool_sentence(rows_of(*verdicts), monitor)
    assert (said.text, said.shape) == (text, shape)


@pytest.mark.parametrize(
    ("seen", "text", "more", "shape"),
    [
        ([90.0, 95.0, 80.0], "2 of 3 servers are in the pool, as before the restart; 1 needs attention.",
         "Nobody has been checked since: the scores are those of then.", "none"),
        ([101.0, 95.0, 80.0], "2 of 3 servers are in the pool; 1 needs attention.", "2 have not been checked since the restart.", "degraded"),
        ([101.0, 102.0, 103.0], "2 of 3 servers are in the pool; 1 needs attention.", "", "degraded"),
        ([None, None, None], "2 of 3 servers are in the pool; 1 needs attention.", "", "degraded"),
    ],
)  # fmt: skip
def test_scores_that_were_carried_over_a_restart_are_called_that(seen, text, more, shape):
    rows = rows_of(*({**v, "last_ts": ts} for v, ts in zip(({}, {}, WRONG), seen, strict=True)))
    said = pool_sentence(rows, "ok", 100.0)
    assert (said.text, said.more, said.shape) == (text, more, shape)
    assert pool_sentence(rows, "ok").text == "2 of 3 servers are in the pool; 1 needs attention."


def test_whoever_needs_a_person_comes_first():
    words = [r.word for r in worst_first(rows_of({}, NEW, WRONG, {"state": "paused"}, {"code": "kept"}))]
    assert words == ["wrong time", "kept", "new", "paused", "in the pool"]


def test_servers_of_the_same_state_are_in_the_order_of_their_addresses_and_names():
    places = ["127.0.0.100", "127.0.0.11", "127.0.0.9"]
    rows = [row(*one(i, address=a, name="")) for i, a in enumerate(places)]
    assert [r.called for r in worst_first(rows)] == places[::-1]
    assert [r.called for r in choose(rows, Query()).rows] == places[::-1]
    assert [r.called for r in choose(rows, Query(sort="server")).rows] == places[::-1]
    named = [row(*one(i, name=n)) for i, n in enumerate(["ntp10.example", "ntp9.example"])]
    assert [r.called for r in choose(named, Query()).rows] == ["ntp9.example", "ntp10.example"]


def test_however_many_zones_there_are_the_pool_itself_is_counted():
    rows = [row(*one(i, zones=(f"{i}",))) for i in range(60)]
    assert zone_log.count(rows)["@"] == zone_log.Count(60, 60)


def test_reasons_do_not_repeat_the_state_beside_them():
    assert row(*one()).reason == "score 20.0"


query_text = st.dictionaries(
    st.sampled_from(["q", "zone", "state", "family", "sort", "page", "x"]),
    st.text(max_size=12) | st.sampled_from(["-score", "score", "2", "attention", "6"]),
)


@settings(max_examples=120)
@given(
    query_text,
    st.lists(
        st.sampled_from(
            [{}, WRONG, NEW, {"state": "paused"}, {"zones": ("de",)}, {"address": "2001:db8::1"}]
        ),
        max_size=8,
    ),
)
def test_any_query_shows_a_page_and_links_back_to_itself(query, verdicts):
    from urllib.parse import parse_qsl

    page = members.choose(rows_of(*verdicts), members.Query.parse(query))
    assert 1 <= page.query.page <= page.pages
    assert len(page.rows) <= page.matching <= page.total
    assert members.Query.parse(dict(parse_qsl(page.query.link()[1:]))) == page.query


def test_rows_without_a_value_come_last_whichever_way_one_sorts():
    rows = [row(*one(1, score=5.0)), row(*one(2, score=None, in_pool=False)), row(*one(3, score=9.0))]
    for sort, order in (("score", ["m1", "m3", "m2"]), ("-score", ["m3", "m1", "m2"])):
        assert [r.member.id for r in members.choose(rows, members.Query.parse({"sort": sort})).rows] == order


def test_large_tables_are_cut_into_pages_of_a_hundred():
    rows = [row(*one(i, address=f"10.0.{i // 250}.{i % 250}")) for i in range(250)]
    pages = [
        members.choose(rows, members.Query.parse({"page": str(n), "sort": "server", "size": "100"}))
        for n in (1, 2, 3, 99)
    ]
    assert [(p.first, p.last) for p in pages] == [(1, 100), (101, 200), (201, 250), (201, 250)]
    assert len({r.member.id for p in pages for r in p.rows}) == 250


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "x",
        {"good_s": 0.025},
        {"good_s": "a", "limit_s": 0.1, "enter_score": 10},
        {"good_s": 0, "limit_s": 0.1, "enter_score": 10},
    ],
)
def test_a_scorer_that_does_not_say_where_its_lines_are_gives_none(value):
    assert scoring.thresholds(value) is None


def test_lines_come_from_the_scorer():
    told = {
        "good_s": 0.025,
        "limit_s": 0.1,
        "enter_score": 10,
        "top": 20.0,
        "bottom": -100.0,
        "rules": [{"rule": "no_response"}],
    }
    assert scoring.thresholds(told) == Thresholds(0.025, 0.1, 10.0, 20.0, -100.0)
    assert scoring.rules(told) == ["no_response"]


anything = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
history_row = st.dictionaries(st.sampled_from([*picture.COLUMNS, "monitor", "odd"]), anything)


@given(st.lists(history_row, max_size=20))
def test_any_row_of_a_history_is_a_point_or_nothing(rows):
    points = picture.points(picture.series_of_rows(rows))
    assert len(points) <= len(rows)
    assert [p.ts for p in points] == sorted(p.ts for p in points)
    assert all(math.isfinite(v) for p in points for v in (p.ts, p.offset_s, p.score) if v is not None)


def test_a_strip_shows_the_worst_of_each_cell():
    limits = Thresholds(0.025, 0.1, 10)
    found = [
        Point(0.0, 0.001),
        Point(1.0, 0.05),
        Point(10.0, 0.3),
        Point(11.0, 0.0),
        Point(20.0, None),
        Point(30.0, 0.0),
        Point(99.0, 0.0),
    ]
    assert member.cells(found, 0, 50, limits, 5) == ["degraded", "failing", "failing", "ok", "none"]


@pytest.mark.parametrize(
    ("points", "cells"), [((), 1), ((0,), 1), ((3,), 2), ((12, 3), 8), ((72,), 48), ((400,), 48)]
)
def test_a_strip_has_no_cells_finer_than_the_probes(points, cells):
    """Or a server that answers every time would look as if it did not half of the time."""
    assert member.cell_count([[Point(float(i))] * n for i, n in enumerate(points)]) == cells


def test_charts_begin_where_a_young_history_does():
    day = member.RANGES["1d"]
    assert member.beginning([Point(NOW - 600)], NOW, day) == NOW - 600
    assert member.beginning([Point(NOW - 86000)], NOW, day) == NOW - 86400
    assert member.beginning([Point(NOW)], NOW, day) == NOW - 86400
    assert member.beginning([], NOW, day) == NOW - 86400


def test_the_clock_in_a_few_words():
    good = ClockState(
        leap=0,
        stratum=2,
        refid=b"GPS\0",
        reference_ns=0,
        root_delay_s=0.002,
        root_dispersion_s=0.001,
        dispersion_rate=0,
        as_of_mono_ns=0,
        why="chrony",
    )
    assert overview.clock_chip(good, 0) == overview.Chip("ok", "stratum 2, ±2.00 ms", "chrony")
    assert overview.clock_chip(ClockState.unsynchronised("no source"), 0).text == "not synchronised"
    assert overview.clock_chip(None, 0).shape == "failing"


def test_problems_are_told_the_worst_first_and_once():
    health = Health(
        Level.FAILING,
        (
            Problem("dns", Level.DEGRADED, "few servers"),
            Problem("web", Level.FAILING, "web has failed: x", "see `timeball plugin list`"),
        ),
        NOW,
    )
    assert [(p.shape, p.source, p.text) for p in overview.problems(health)] == [
        ("failing", "", "web has failed: x"),
        ("degraded", "dns", "few servers"),
    ]
    assert overview.health_chip(health).text == "2 things not right"


def test_plugins_in_trouble_come_first():
    found = plugins.rows(
        [
            {"id": "a", "state": "running"},
            {"id": "b", "state": "failed", "why": "x", "title": "B"},
            {"id": "c", "state": "disabled"},
        ]
    )
    assert [r.id for r in found] == ["b", "a", "c"]
    assert plugins.sentence(found).text == "1 of 2 plugins are running; 1 failed."


def test_what_a_person_typed_is_quoted_for_the_shell():
    asked = dns.Question.parse(
        {"name": "x; rm -rf /", "type": "a`b`", "from": "$(reboot)"}, "pool.example.org"
    )
    lines = dict(dns.same(asked, zone.zone({"name": "pool.example.org."}, {"listen": ["0.0.0.0:53"]})))
    assert lines["CLI"] == "timeball dns answer 'x; rm -rf /' --type 'A`B`' --from '$(reboot)'"
    assert lines["dig"] == "dig @127.0.0.1 -p 53 'x; rm -rf /' 'A`B`'"


def test_what_begins_like_an_option_is_no_name_for_the_shell():
    there = zone.zone({"name": "pool.example.org."}, {"listen": ["0.0.0.0:53"]})
    for evil in ("--config=/tmp/x", "@192.0.2.66", "+trace"):
        lines = dict(dns.same(dns.Question.parse({"name": evil, "type": evil}, "pool.example.org"), there))
        assert lines["CLI"] == "timeball dns answer NAME --type A"
        assert lines["dig"] == "dig @127.0.0.1 -p 53 NAME A"


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        (["127.0.0.1:11053"], ("127.0.0.1", 11053)),
        (["[::]:53"], ("::1", 53)),
        ([], ("127.0.0.1", 53)),
        (["nonsense"], ("127.0.0.1", 53)),
    ],
)
def test_dig_is_told_where_the_service_listens(listen, where):
    found = zone.zone({"name": "p."}, {"listen": listen})
    assert (found.host, found.port) == where


def test_networks_over_the_rate_limit_are_named_and_its_outcomes_are_words():
    told = {
        "limited": [
            {"network": "192.0.2.0/24", "limited": 1200, "active": True},
            {"network": "2001:db8::/48", "limited": 3, "active": False},
        ],
        "counters": [{"outcome": "limited_truncated", "queries": 7}, {"outcome": "NOERROR", "queries": 9}],
    }
    found = zone.zone({"name": "p."}, told)
    assert [(row.network, row.when, row.limited) for row in found.limited] == [
        ("192.0.2.0/24", "now", 1200),
        ("2001:db8::/48", "earlier", 3),
    ]
    assert ("Queries: sent to TCP by the rate limit", "7") in found.facts
    assert zone.zone({"name": "p."}, {"limited": [{}]}).limited[0].network == ""


def test_a_zone_that_says_little_is_shown_as_far_as_it_goes():
    found = zone.zone({}, None)
    assert (found.name, found.names, found.shares, found.problems) == ("", [], [], [])


def test_the_log_shows_the_newest_of_everybody_and_filters():
    a, b = Member("a", "192.0.2.1"), Member("b", "192.0.2.2")
    recents = [
        (a, [{"ts": 5.0, "offset_s": 0.1, "rule": "x", "step": 1}, {"ts": 1.0, "rule": "y", "step": -5}]),
        (b, [{"ts": 3.0, "offset_s": 0.1, "rule": "x", "step": -1}]),
    ]
    asked = log.Question.parse({})
    assert [line.probe.ts for line in log.lines(recents, asked)] == [5.0, 3.0, 1.0]
    assert [line.probe.ts for line in log.lines(recents, asked, limit=1)] == [5.0]
    assert [line.probe.ts for line in log.lines(recents, log.Question.parse({"trouble": "1"}))] == [3.0, 1.0]
    assert [
        line.probe.ts for line in log.lines(recents, log.Question.parse({"member": "a", "rule": "y"}))
    ] == [1.0]


@pytest.mark.parametrize(
    ("probes", "query", "said"),
    [
        ([{"offset_s": 0.0, "step": 1}], {}, "The one probe earned full marks."),
        ([{"offset_s": 0.0, "step": 1}] * 3, {}, "The last 3 probes all earned full marks."),
        ([{"offset_s": 0.0, "step": 1}, {"offset_s": 0.3, "step": 0.04}, {}], {}, "Of the last 3 probes, 1 brought no time and 1 earned less than full marks."),
        ([{}] * 2, {"show": "lost"}, "The last 2 probes that fit."),
    ],
)  # fmt: skip
def test_the_log_says_how_many_were_less_than_good(probes, query, said):
    asked = log.Question.parse(query)
    rows = [{"ts": float(i), **probe} for i, probe in enumerate(probes)][::-1]
    assert log.sentence(log.lines([(Member("a", "192.0.2.1"), rows)], asked), asked, "ok").text == said


def test_looks_are_few_and_fresh():
    looks = Looks()
    for i in range(KEPT + 5):
        looks.keep(f"m{i}", NOW, {"verdict": "x"})
    assert looks.fresh("m0", NOW) is None
    assert looks.fresh(f"m{KEPT}", NOW).verdict == "x"
    assert looks.fresh(f"m{KEPT}", NOW + 3600) is None
    assert target(Member("a", "2001:db8::1", port=11123)) == "[2001:db8::1]:11123"


HOSTILE_CLIENT = {
    "client": "<script>", "packets": 5, "share": 0.25, "rate_per_s": 1234.5, "dropped": 3, "kisses": 1, "last_seen": 9.0,
    "version": "<b>", "state": "<i>", "why": "over & out",
}  # fmt: skip


def test_clients_are_read_with_a_grain_of_salt():
    query = time_view.Query.parse({"page": "2", "sort": "rate", "prefix": " 10.0.0.0/8 "})
    found = time_view.clients(
        {"clients": [HOSTILE_CLIENT, "nonsense"], "matching": 51, "room": 8, "known": 51, "verdict": "v"},
        query,
    )
    assert (found.first, found.last, found.pages, found.matching) == (51, 51, 2, 51)
    [row] = found.rows
    assert (row.client, row.rate, row.refused, row.share, row.word) == (
        "<script>",
        "1,234",
        "4",
        "25.0 %",
        "<i>",
    )
    assert query.asked == {"sort": "rate", "limit": "50", "offset": "50", "prefix": "10.0.0.0/8"}
    assert query.link(page=1) == "?prefix=10.0.0.0%2F8&sort=rate"
    assert time_view.Query.parse({"page": "-1", "sort": "<"}) == time_view.Query()
    assert time_view.clients(None, query) is None
    assert time_view.rate(None) == "–"


def test_the_time_page_says_in_one_sentence_what_is_served():
    ntp = {
        "level": "degraded", "verdict": "Replies say nothing", "rates": {"replied_per_s": {"10": 3.21}},
        "clients": {"verdict": "12 clients are known", "limit": None}, "plane": {"name": "native", "why": "fastest"},
        "outcomes": [{"text": "a", "action": "ignore", "count": 1}, {"text": "b", "action": "reply", "count": 9}],
    }  # fmt: skip
    said = time_view.sentence(ntp, None)
    assert (said.shape, said.text) == ("degraded", "Replies say nothing, 3.21 replies a second.")
    assert said.more == "12 clients are known."
    assert dict(time_view.facts(ntp))["Data plane"] == "native: fastest"
    assert time_view.outcomes(ntp) == [("b", "answered", "9"), ("a", "silence", "1")]
    assert time_view.sentence(None, None).shape == "failing"


def test_the_time_page_tells_about_keys_and_interleaved_mode_where_there_are_any():
    plain = {
        "plane": {},
        "authentication": {"keys_file": None, "results": {"ok": 0}},
        "interleaved": {"replies": 0},
    }
    assert {"Keys", "Authenticated", "In interleaved mode"}.isdisjoint(dict(time_view.facts(plain)))
    asked = plain | {
        "authentication": {
            "keys_file": "/keys", "verdict": "2 keys from /keys", "results": {"ok": 1200, "wrong_mac": 3, "unknown_key": 1},
        },
        "interleaved": {"replies": 7},
    }  # fmt: skip
    found = dict(time_view.facts(asked))
    assert (found["Keys"], found["Authenticated"], found["In interleaved mode"]) == (
        "2 keys from /keys", "1\u202f200 replies, 4 refused", "7 replies"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (0, []),
        (2, ["192.0.2.0", "192.0.2.1"]),
        (4, ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        (9, ["192.0.2.0", "192.0.2.1", "192.0.2.2", ""]),
    ],
)
def test_the_overview_names_the_servers_that_need_somebody_as_long_as_they_are_few(wrong, said):
    found = overview.servers(rows_of(*[WRONG] * wrong, {}, NEW))
    assert [p.source for p in found] == said
    assert all(p.link.startswith("/members") for p in found)
    if wrong == 9:
        assert (found[-1].text, found[-1].link) == (
            "6 more servers need attention",
            "/members?state=attention",
        )


def test_a_problem_leads_to_the_page_where_something_can_be_done():
    health = Health(
        Level.DEGRADED, (Problem("dns", Level.DEGRADED, "few"), Problem("strange", Level.DEGRADED, "x")), NOW
    )
    assert [(p.link, p.place) for p in overview.problems(health)] == [("/dns", "Zones & DNS"), ("", "")]
