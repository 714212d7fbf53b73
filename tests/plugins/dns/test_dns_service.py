"""The DNS plugin alive: health into answers, and what it does when those it listens to are gone."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from appliance.api.errors import Invalid, NotFound
from appliance.api.events import AnswersChanged
from appliance.core.clock import FakeClock, SystemClock
from appliance.testing import wait_until
from tests.plugins.dns.dns_bed import Bed, bad, dns_running, good, member


def ask(bed: Bed, name: str = "pool.example.org", rrtype: str = "A", **fields: object) -> dns.message.Message:
    query = dns.message.make_query(name, rrtype, **fields)
    return dns.query.udp(query, "127.0.0.1", port=bed.port, timeout=5)


def addresses(reply: dns.message.Message) -> set[str]:
    return {item.to_text() for group in reply.answer for item in group}


async def test_only_healthy_members_are_answered_on_every_name(tmp_path: Path) -> None:
    members = (member(1), member(2), member(3), member(6, address="2001:db8::6"), member(7, netspeed=0))
    verdicts = (good("m1"), bad("m2"), good("m3"), good("m6"), good("m7"))
    async with dns_running(tmp_path, members, verdicts) as bed:
        for name in ("pool.example.org", *(f"{n}.pool.example.org" for n in range(4))):
            assert addresses(ask(bed, name)) == {"192.0.2.1", "192.0.2.3"}
            assert addresses(ask(bed, name, "AAAA")) == {"2001:db8::6"}


async def test_119_health_event_to_changed_answer_takes_less_than_a_second(tmp_path: Path) -> None:
    clock = SystemClock()
    members = tuple(member(n) for n in range(1, 7))
    async with dns_running(tmp_path, members, tuple(good(m.id) for m in members), clock=clock) as bed:
        for out in range(1, 6):
            began_ns = clock.monotonic_ns()
            bed.board.say(*(bad(m.id) if m.id == f"m{out}" else good(m.id) for m in members))
            gone = f"192.0.2.{out}"
            await wait_until(
                lambda gone=gone: gone not in bed.answered(), "the member to leave the answers", timeout_s=5
            )
            for _ in range(20):
                assert gone not in addresses(ask(bed))
            assert clock.monotonic_ns() - began_ns < 1_000_000_000


async def test_a_burst_of_events_costs_few_rebuilds(tmp_path: Path) -> None:
    members = tuple(member(n) for n in range(1, 4))
    async with dns_running(tmp_path, members, tuple(good(m.id) for m in members)) as bed:
        before = bed.service.answers.serial
        for factor in range(1, 51):
            bed.board.say(good("m1", weight_factor=factor / 100), good("m2"), good("m3"))
        await wait_until(lambda: bed.explain()["candidates"][0]["weight"] == 500, "the last weight to arrive")
        assert bed.service.answers.serial - before <= 3


async def test_a_change_is_told_on_the_bus(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), good("m2"))) as bed:
        with bed.app.host.bus.subscribe(AnswersChanged) as changes:
            bed.board.say(good("m1"), bad("m2"))
            told = await anext(changes)
            assert told == AnswersChanged(bed.service.answers.serial, members_in=1, members_out=1)


async def test_the_same_verdicts_again_do_not_change_the_serial(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        before = bed.service.answers.serial
        bed.board.say(good("m1", score=19.0, reason="in: score 19.0"))
        await wait_until(lambda: "19.0" in bed.explain()["candidates"][0]["reason"], "the new reason")
        assert bed.service.answers.serial == before


async def test_members_are_out_with_the_reason_in_words(tmp_path: Path) -> None:
    members = (
        member(1), member(2, state="paused"), member(3, state="unverified"), member(4, leaving=True),
        member(5, netspeed=0), member(6), member(7), member(8),
    )  # fmt: skip
    verdicts = (
        *(good(m.id) for m in members[:6]),
        bad("m7", truthful=False, in_pool=True, reason="out: 300 ms off"),
    )
    async with dns_running(tmp_path, members, verdicts) as bed:
        rows = {row["id"]: row for row in bed.explain()["candidates"]}
        assert {key for key, row in rows.items() if row["in"]} == {"m1", "m6"}
        for key, word in (
            ("m2", "paused"), ("m3", "verified"), ("m4", "removal"), ("m5", "netspeed 0"), ("m7", "300 ms"), ("m8", "probed"),
        ):  # fmt: skip
            assert word in rows[key]["reason"], rows[key]
            assert rows[key]["probability"] == 0
        assert rows["m1"]["probability"] == 1


async def test_one_address_on_two_ports_is_answered_once(tmp_path: Path) -> None:
    members = (member(1, port=123), member(2, address="192.0.2.1", port=1123, netspeed=5), member(3))
    async with dns_running(tmp_path, members, tuple(good(m.id) for m in members)) as bed:
        reply = ask(bed)
        assert sorted(i.to_text() for g in reply.answer for i in g) == ["192.0.2.1", "192.0.2.3"]
        rows = {row["id"]: row for row in bed.explain()["candidates"]}
        assert not rows["m2"]["in"]
        assert "m1" in rows["m2"]["reason"]


async def test_sub_zones_have_the_same_names_and_fill_up_from_above(tmp_path: Path) -> None:
    members = (
        *(member(n) for n in range(1, 9)),
        member(20, zones=("de",)), member(21, zones=("@", "de")), member(22, zones=("rack1.berlin",)),
    )  # fmt: skip
    async with dns_running(tmp_path, members, tuple(good(m.id) for m in members)) as bed:
        de = bed.explain("2.de")
        chance = {row["address"]: row["probability"] for row in de["candidates"]}
        assert chance["192.0.2.20"] == chance["192.0.2.21"] == 1
        assert sum(chance.values()) == pytest.approx(4)
        assert chance["192.0.2.5"] == pytest.approx(2 / 8)
        assert "192.0.2.20" not in bed.answered("@")
        assert {"192.0.2.20", "192.0.2.21"} < addresses(ask(bed, "0.de.pool.example.org"))
        assert "192.0.2.22" in addresses(ask(bed, "rack1.berlin.pool.example.org"))
        berlin = ask(bed, "berlin.pool.example.org")
        assert len(addresses(berlin)) == 4  # a zone without members of its own is filled whole
        assert ask(bed, "0.berlin.pool.example.org").rcode() == 0
        assert ask(bed, "0.hamburg.pool.example.org").rcode() == dns.rcode.NXDOMAIN


async def test_when_the_monitor_dies_the_last_answers_stay_with_half_the_ttl(tmp_path: Path) -> None:
    clock = FakeClock()
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), bad("m2")), clock=clock) as bed:
        assert ask(bed).answer[0].ttl == 150
        await clock.advance(61)
        await clock.advance(2)
        reply = ask(bed)
        assert addresses(reply) == {"192.0.2.1"}
        assert reply.answer[0].ttl == 75
        assert bed.explain()["stale"]
        bed.board.say(good("m1"), bad("m2"))
        await clock.advance(2)
        assert ask(bed).answer[0].ttl == 150


async def test_a_paused_member_leaves_although_the_monitor_is_dead(tmp_path: Path) -> None:
    clock = FakeClock()
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), good("m2")), clock=clock) as bed:
        await clock.advance(100)
        bed.registry.put(member(1), member(2, state="paused"))
        await clock.advance(1)
        assert addresses(ask(bed)) == {"192.0.2.1"}


async def test_answers_are_back_at_once_after_a_restart_without_any_verdict(tmp_path: Path) -> None:
    members = (member(1), member(2), member(3))
    async with dns_running(tmp_path, members, (good("m1"), bad("m2"), good("m3", weight_factor=0.5))) as bed:
        serial = bed.service.answers.serial
        saved = tmp_path / "dns" / "last_answers.json"
        await wait_until(saved.exists, "the answers to be kept")
    async with dns_running(tmp_path, members) as bed:  # the monitor has said nothing yet
        assert addresses(ask(bed)) == {"192.0.2.1", "192.0.2.3"}
        assert "restart" in bed.explain()["candidates"][0]["reason"]
        assert bed.service.answers.serial > serial
        bed.board.say(bad("m1"), bad("m2"), good("m3"))
        await wait_until(lambda: bed.answered() == {"192.0.2.3"}, "the monitor to be believed")
    async with dns_running(tmp_path, with_board=False) as bed:  # neither monitor nor members
        assert addresses(ask(bed)) <= {"192.0.2.1", "192.0.2.3"}


async def test_a_damaged_file_of_last_answers_is_told_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "dns").mkdir()
    (tmp_path / "dns" / "last_answers.json").write_text('{"format": 1, "members": [{"id"')
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        assert addresses(ask(bed)) == {"192.0.2.1"}


@pytest.mark.parametrize(
    ("config", "expected", "rcode"),
    [
        ({"on_empty": "nodata"}, set(), 0),
        ({"on_empty": "servfail"}, set(), 2),
        ({"on_empty": "fallback", "fallback": ["203.0.113.9"]}, {"203.0.113.9"}, 0),
        ({"on_empty": "last_good"}, {"192.0.2.1"}, 0),
    ],
)
async def test_120_nobody_left(
    tmp_path: Path, config: dict[str, object], expected: set[str], rcode: int
) -> None:
    """m1 merely went silent; m2's time is wrong, so it is never answered."""
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), good("m2")), config=config) as bed:
        bed.board.say(bad("m1"), bad("m2", truthful=False, code="wrong_time"))
        await wait_until(lambda: not bed.answered(), "everybody to be out")
        await wait_until(lambda: addresses(ask(bed)) == expected, "the policy to be answered")
        reply = ask(bed, use_edns=0)
        assert reply.rcode() == rcode
        if not expected:
            assert [o.otype.name for o in reply.options] == ["EDE"]
            assert b"192.0.2" not in reply.to_wire()
        if config["on_empty"] == "nodata":
            assert reply.authority[0].ttl == 30
        assert ask(bed, rrtype="AAAA").rcode() == 0  # a family that nobody has is not a failure


async def test_an_answer_with_a_failing_member_lives_shorter(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), good("m2", failing=True))) as bed:
        assert ask(bed).answer[0].ttl == 75


async def test_explain_takes_short_names_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        for text in ("@", "", "pool.example.org", "Pool.Example.ORG.", "0", "0.pool.example.org", "3"):
            assert bed.explain(text)["answer"] == ["192.0.2.1"], text
        with pytest.raises(NotFound):
            bed.explain("x")
        with pytest.raises(NotFound):
            bed.explain("example.net.")
        with pytest.raises(Invalid):
            bed.explain("a..b")
        with pytest.raises(Invalid):
            bed.explain("@", "BOGUS")
        with pytest.raises(Invalid):
            bed.explain("@", "A", "not an address")
        assert bed.explain("@", "NS")["answer"] == ["ns1.pool.example.org.", "ns2.pool.example.org."]
        assert bed.explain("@", "MX")["answer"] == ["0 ."]
        assert bed.explain("@", "SOA")["answer"][0].startswith(
            "ns1.pool.example.org. hostmaster.pool.example.org. "
        )
        assert bed.explain("@", "TXT")["answer"] == []


async def test_explain_tells_the_answer_that_this_client_really_gets(tmp_path: Path) -> None:
    members = tuple(member(n) for n in range(1, 12))
    config = {"coherence_s": 3600}
    async with dns_running(tmp_path, members, tuple(good(m.id) for m in members), config=config) as bed:
        told = bed.explain("1", "A", "127.0.0.1")
        assert told["answer"] == [item.to_text() for item in ask(bed, "1.pool.example.org").answer[0]]
        assert {row["address"] for row in told["candidates"] if row["in_answer"]} == set(told["answer"])
        assert sum(row["probability"] for row in told["candidates"]) == pytest.approx(4)


async def test_the_api_tells_answer_overview_and_zone(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1), member(2)), (good("m1"), bad("m2"))) as bed:
        ask(bed)
        await wait_until(
            lambda: bool(bed.service.server and bed.service.server.counters()), "the query to be counted"
        )
        told = await bed.app.get("/api/v1/dns/answer", **{"name": "0", "type": "A", "from": "198.51.100.7"})
        assert told["answer"] == ["192.0.2.1"]
        overview = await bed.app.get("/api/v1/dns")
        assert overview["zone"] == "pool.example.org"
        assert overview["members_usable"] == 1
        assert {n["name"] for n in overview["names"]} >= {"pool.example.org", "3.pool.example.org"}
        assert {"proto": "udp", "type": "A", "outcome": "NOERROR", "queries": 1} in overview["counters"]
        assert overview["shares"] == [{"address": "192.0.2.1", "answers": 1, "fair": 1.0}]
        text = await bed.app.get("/api/v1/dns/zone")
        assert "192.0.2.1" in text
        assert "192.0.2.2" not in text
        assert (await bed.app.ask("GET", "/api/v1/dns/answer", query={"name": "nope"})).status == 404


async def test_the_zone_file_is_one_that_others_can_read(tmp_path: Path) -> None:
    import dns.zone

    config = {"txt": ['say "hi"', "x" * 300], "caa": [{"tag": "issue", "value": ";"}]}
    async with dns_running(
        tmp_path, (member(1), member(20, zones=("de",))), (good("m1"), good("m20")), config=config
    ) as bed:
        text = await bed.app.get("/api/v1/dns/zone")
        zone = dns.zone.from_text(text, origin="pool.example.org", relativize=False)
        assert zone.get_soa().serial == bed.service.answers.serial
        for name in ("pool.example.org.", "0.de.pool.example.org."):
            assert zone.get_rdataset(name, "A") is not None
        for rrtype in ("TXT", "CAA", "NS", "MX"):
            stored = zone.get_rdataset("pool.example.org.", rrtype)
            assert set(ask(bed, rrtype=rrtype).answer[0]) == set(stored), rrtype


async def test_a_busy_port_is_a_wait_and_not_a_failure(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        from appliance.testing import running

        config = {"plugins": {"dns": {"zone": "pool.example.org", "listen": [f"127.0.0.1:{port}"]}}}
        async with running(["dns"], config, state_dir=tmp_path) as app:
            await wait_until(lambda: f"127.0.0.1:{port}" in app.status("dns").why, "the reason to be told")
            taken.close()
            await app.until_running("dns")


async def test_the_secret_is_kept_and_private(tmp_path: Path) -> None:
    async with dns_running(tmp_path) as bed:
        draw = bed.service.answers.inputs.secrets.draw
    assert (tmp_path / "dns" / "secret").stat().st_mode & 0o077 == 0
    async with dns_running(tmp_path) as bed:
        assert bed.service.answers.inputs.secrets.draw == draw


async def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    async with dns_running(
        tmp_path, (member(1), member(2), member(3)), (good("m1"), good("m2"), good("m3"))
    ) as bed:

        async def problems() -> str:
            return json.dumps(
                [p.text for p in (await bed.app.host.refresh_health()).problems if p.source.startswith("dns")]
            )

        assert await problems() == "[]"
        bed.board.say(good("m1"), bad("m2"), bad("m3"))
        await wait_until(lambda: len(bed.answered()) == 1, "two to leave")
        assert "1 of 3 members are usable" in await problems()
        bed.board.limit_s = 0.0
        await wait_until(lambda: bed.service.answers.stale, "the silence to be noticed")
        assert "the monitor has not spoken" in await problems()
        bed.board.limit_s = 60.0
        bed.board.say(bad("m1"), bad("m2"), bad("m3"))
        await wait_until(lambda: not bed.answered(), "all to leave")
        assert "none of 3 members is usable" in await problems()


async def test_servers_that_are_judged_for_the_first_time_are_no_trouble_but_dns_says_that_nobody_is_answered(
    tmp_path: Path,
) -> None:
    new = {"code": "new", "reason": "out: proving itself"}
    verdicts = (bad("m1", **new), bad("m2", **new), bad("m3", truthful=False, code="wrong_time"))
    async with dns_running(tmp_path, (member(1), member(2), member(3)), verdicts) as bed:
        assert addresses(ask(bed)) == set()
        health = await bed.app.host.refresh_health()
        assert [p.text for p in health.problems if p.source.startswith("dns")] == []
        checks = (await bed.app.get("/api/v1/doctor"))["checks"]
        [empty] = [c for c in checks if c["id"] == "dns.empty"]
        assert empty["level"] == "info"
        assert "nobody is answered yet" in empty["text"]
        bed.board.say(good("m1"), bad("m2", **new), bad("m3", **new))
        await wait_until(lambda: len(bed.answered()) == 1, "the first to enter")
        health = await bed.app.host.refresh_health()
        assert [p.text for p in health.problems if p.source.startswith("dns")] == []


async def test_the_card_says_which_data_plane_answers_and_what_its_threads_may_do(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        [panel] = bed.app.host.shared.contributions["dns"]["panels"]
        facts = dict((await panel.data())["facts"])
        plane = bed.service.plane
        assert facts["data plane"] == f"{plane.name} ({plane.why})"
        assert bed.service.server is not None
        assert facts["sandbox of the packet threads"] == str(bed.service.server.sandbox)
