"""The page of zones and DNS beside a real DNS service: the answer, the draws, the delegation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.services import Members, ScoreBoard
from appliance.core.clock import SystemClock
from appliance_web.views import draws
from tests.plugins.dns.dns_bed import Board, Registry, good, member
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited

CONFIG = '[plugins.dns]\nzone = "pool.example.org"\nlisten = ["127.0.0.1:0"]\n[[plugins.dns.ns]]\nname = "ns1"\naddresses = ["192.0.2.53"]\n'


def pool():
    clock = SystemClock()
    members = [member(n, netspeed=500 * n, name=HOSTILE if n == 3 else "") for n in range(1, 8)]
    return {
        Members: Registry(clock, *members),
        ScoreBoard: Board(clock, *(good(m.id) for m in members), stale_after_s=1e9),
    }


async def test_a_question_with_draws_is_one_address_that_can_be_shared(tmp_path):
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=pool()) as visitor:
        await visitor.app.until_running("dns")
        status, text, _ = await visitor.get("/dns?name=0&from=192.0.2.200&draws=1000")
        found = read(text)
        assert (status, found.complaints) == (200, [])
        assert "1 000 answers drawn" in found.text.replace("\u202f", " ")
        assert "The draws fit the weights" in found.text
        assert "/dns?name=0&from=192.0.2.200&draws=1000" in found.links
        assert "dig @127.0.0.1" in found.text
        assert "pool.example.org. 3600 IN NS ns1.pool.example.org." in found.text
        assert "ns1.pool.example.org. 3600 IN A 192.0.2.53" in found.text
        assert "server=/pool.example.org/192.0.2.53" in found.text
        _, text, _ = await visitor.get("/dns?name=%40&type=SOA&draws=1000")
        assert "answers drawn" not in text


async def test_the_zone_can_be_taken_along_as_a_file(tmp_path):
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=pool()) as visitor:
        await visitor.app.until_running("dns")
        _, text, _ = await visitor.get("/dns")
        assert 'href="/api/v1/dns/zone" download="pool.example.org.zone"' in text
        assert "Remembered that a name is not there" in text
        _, zone, _ = await visitor.get("/api/v1/dns/zone")
        assert "SOA" in zone


@pytest.mark.parametrize(
    ("query", "number"),
    [({}, 0), ({"draws": "1000"}, 1000), ({"draws": "99999"}, 10_000), ({"draws": "-1"}, 0), ({"draws": "\u0664"}, 0), ({"draws": "9" * 99}, 0)],
)  # fmt: skip
def test_how_many_draws_the_address_line_may_ask_for(query, number):
    assert draws.wanted(query) == number


def test_a_refusal_is_shown_in_its_own_words():
    found = draws.draws({"detail": "it does not rotate"}, 10, {})
    assert (found.rows, found.why) == ((), "it does not rotate")


def test_a_bar_ends_where_it_is_and_the_mark_stands_where_it_should():
    drawn = draws.against(0.5, 0.25, HOSTILE)
    assert 'width="50.00%"' in drawn
    assert 'x1="25.00%"' in drawn
    assert "<script" not in drawn


odd = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["addresses", "drawn", "expected", "look", "parent", "forwarding", "state", "verdict"]), inner, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


@given(odd)
def test_no_answer_breaks_the_page(value):
    draws.draws(value, 10, {})
    draws.delegated(value)
