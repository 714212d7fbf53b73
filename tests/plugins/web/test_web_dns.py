"""The page of zones and DNS beside a real DNS service: the answer, the draws, the delegation."""

from __future__ import annotations

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.services import Members, ScoreBoard
from appliance.core.clock import SystemClock
from appliance.testing import wait_until
from appliance_web.views import draws
from tests.plugins.dns.dns_bed import Board, Registry, bad, good, member
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited
from tests.support.wait import wait_for

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


async def test_of_many_candidates_the_first_are_seen_and_the_others_folded_away(tmp_path):
    clock, members = SystemClock(), [member(n) for n in range(1, 31)]
    services = {
        Members: Registry(clock, *members),
        ScoreBoard: Board(clock, *(good(m.id) for m in members), stale_after_s=1e9),
    }
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=services) as visitor:
        await visitor.app.until_running("dns")
        _, text, _ = await visitor.get("/dns")
        shown, fold, folded = text.partition("<summary>18 more candidates, each with its reason</summary>")
        assert fold
        assert shown.count('class="member" href="/members/m') == 12
        assert folded.count('class="member" href="/members/m') == 18
        assert read(text).complaints == []


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


async def _head(visitor) -> tuple[str, str]:
    """Shape and text of the page's verdict."""
    _, text, _ = await visitor.get("/dns")
    head = text.partition('id="verdict"')[2].partition("</section>")[0]
    return re.search(r'href="#(?:s-)?([a-z]+)"', head)[1], read(text).text


@pytest.mark.parametrize(
    ("more", "shape", "said", "level"),
    [
        ("", "failing", "None of the 7 servers is usable: DNS gives no address for pool.example.org.", "failing"),
        ('on_empty = "servfail"', "failing", "None of the 7 servers is usable: DNS replies SERVFAIL for pool.example.org.", "failing"),
        ('on_empty = "last_good"', "degraded", "None of the 7 servers is usable: DNS gives 7 servers that were good last instead.", "degraded"),
        ('on_empty = "fallback"\nfallback = ["192.0.2.99"]', "degraded",
         "None of the 7 servers is usable: DNS gives 1 fallback address instead.", "degraded"),
        ('on_empty = "fallback"\nfallback = ["2001:db8::99"]', "failing",
         "None of the 7 servers is usable: DNS gives no address for pool.example.org.", "failing"),
    ],
)  # fmt: skip
async def test_while_nobody_is_usable_the_verdict_says_what_is_answered_then(
    tmp_path, more, shape, said, level
):
    """No tick beside an empty answer; the page, the card and health agree on how bad it is."""
    config, services = CONFIG.replace("[[", more + "\n[[", 1), pool()
    board = services[ScoreBoard]
    async with visited(tmp_path, None, config=config, plugins=("web", "dns"), provide=services) as visitor:
        await visitor.app.until_running("dns")
        found = await _head(visitor)
        assert found[0] == "ok"
        assert "DNS answers pool.example.org with 7 of 7 servers." in found[1]
        board.say(*(bad(m) for m in board.verdicts.get()))

        async def empty() -> bool:
            return (await visitor.app.get("/api/v1/dns"))["members_usable"] == 0

        await wait_for(empty, "nobody to be usable")
        found = await _head(visitor)
        assert found[0] == shape
        assert said in found[1]
        health = await visitor.app.host.refresh_health()
        assert [p.level.value for p in health.problems if "none of 7 members is usable" in p.text] == [level]


async def test_before_the_first_server_has_proven_itself_the_page_is_calm_and_says_that_no_address_is_given(
    tmp_path,
):
    clock, members = SystemClock(), [member(1), member(2), member(3)]
    new = {"code": "new", "reason": "out: proving itself, score 1.0, 10 after 13 more good probes"}
    board = Board(clock, *(bad(m.id, **new) for m in members), stale_after_s=1e9)
    services = {Members: Registry(clock, *members), ScoreBoard: board}
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=services) as visitor:
        await visitor.app.until_running("dns")
        shape, text = await _head(visitor)
        assert shape == "none"
        assert "DNS gives no address for pool.example.org yet: no server has proven itself so far." in text
        _, page, _ = await visitor.get("/dns")
        assert page.count('class="pill none"') == 3
        assert 'class="pill failing"' not in page


async def test_a_family_without_usable_servers_is_named(tmp_path):
    clock = SystemClock()
    members = [member(1), member(2, address="2001:db8::2")]
    services = {
        Members: Registry(clock, *members),
        ScoreBoard: Board(clock, good("m1"), bad("m2"), stale_after_s=1e9),
    }
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=services) as visitor:
        await visitor.app.until_running("dns")
        shape, text = await _head(visitor)
        assert shape == "degraded"
        assert "DNS answers pool.example.org over IPv4 only." in text
        assert "IPv6: nobody is usable: the answer is NOERROR without data." in text


async def test_dns_without_servers_or_without_a_socket_has_no_tick(tmp_path):
    clock = SystemClock()
    services = {Members: Registry(clock), ScoreBoard: Board(clock, stale_after_s=1e9)}
    async with visited(
        tmp_path / "a", None, config=CONFIG, plugins=("web", "dns"), provide=services
    ) as visitor:
        await visitor.app.until_running("dns")
        shape, text = await _head(visitor)
        assert shape == "none"
        assert "with no address: there are no servers yet" in text
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        config = CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        async with visited(
            tmp_path / "b", None, config=config, plugins=("web", "dns"), provide=pool()
        ) as visitor:
            await wait_until(lambda: visitor.app.status("dns").why, "the port to be found taken")
            shape, text = await _head(visitor)
            assert shape == "failing"
            assert "Nobody is answered: DNS for pool.example.org does not listen." in text


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
