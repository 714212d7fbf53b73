"""Names that are answered anew for each query: ours, and those of other plugins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from appliance.api.contrib import AnswerRecord, LiveQuestion
from appliance.api.errors import NotFound
from appliance.testing import wait_until
from appliance.wire.dns import TXT, encode_name, txt_rdata, txt_text
from appliance.wire.errors import WireError
from appliance_dns.config import DnsConfig
from appliance_dns.live import owner_name, status, whoami
from appliance_dns.records import rdata_from_text
from tests.plugins.dns.dns_bed import Bed, bad, dns_running, good, member

PLUGIN = """
from appliance.api.contrib import AnswerRecord, LiveName
from appliance.api.plugin import PluginInfo, hookimpl

plugin = PluginInfo(id="parrot", title="Parrot", api=1)

def answer(question):
    if question.above == "broken":
        raise ZeroDivisionError
    if question.above == "many":
        return [AnswerRecord("", "TXT", f'"{n}"', 1) for n in range(30)]
    if question.above == "wrong":
        return [AnswerRecord("", "TXT", 'no "end', 1)]
    if question.above == "nobody":
        return None
    return [AnswerRecord("", "TXT", '"' + question.above + '"', 1), AnswerRecord("", "MX", "5 mail", 7)]

@hookimpl
def live_names(ctx):
    return [LiveName("parrot", answer), LiveName("ns1", answer), LiveName("two.labels", answer)]
"""


@pytest.fixture
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "parrot_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("parrot_plugin")
    del sys.modules["parrot_plugin"]


def ask(bed: Bed, name: str, rrtype: str = "TXT", *, tcp: bool = False, **fields: Any) -> dns.message.Message:
    query = dns.message.make_query(f"{name}.pool.example.org", rrtype, **fields)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", port=bed.port, timeout=20)


def texts(reply: dns.message.Message) -> list[str]:
    return [item.to_text() for group in reply.answer for item in group]


async def test_whoami_tells_a_client_its_address_and_nobody_may_keep_it(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        for name in ("_whoami", "_WHOAMI", "xyz._whoami"):
            reply = ask(bed, name)
            assert texts(reply) == ['"127.0.0.1"', '"transport=udp"']
            assert reply.answer[0].ttl == 0
            assert reply.flags & dns.flags.AA
        assert texts(ask(bed, "_whoami", "A")) == ["127.0.0.1"]
        assert ask(bed, "_whoami", "AAAA").authority[0].rdtype.name == "SOA"
        assert texts(ask(bed, "_whoami", tcp=True))[1] == '"transport=tcp"'
        subnet = dns.edns.ECSOption("192.0.2.0", 24)
        assert texts(ask(bed, "_whoami", use_edns=0, options=[subnet]))[2] == '"subnet=192.0.2.0/24"'


async def test_status_tells_numbers_as_they_are_now_and_no_member(tmp_path: Path) -> None:
    members = (member(1), member(2), member(3))
    async with dns_running(tmp_path, members, (good("m1"), good("m2"), bad("m3"))) as bed:
        told = dict(text.strip('"').split("=") for text in texts(ask(bed, "_status")))
        assert told == {
            "members": "3", "usable": "2", "serial": str(bed.service.answers.serial), "monitor": "ok",
        }  # fmt: skip
        assert ask(bed, "_status").answer[0].ttl == 2
        bed.board.say(good("m1"), bad("m2"), bad("m3"))
        await wait_until(lambda: '"usable=1"' in texts(ask(bed, "_status")), "the status to follow")
        assert ask(bed, "x._status").rcode() == dns.rcode.NXDOMAIN
        assert "192.0.2" not in str(ask(bed, "_status"))


async def test_switched_off_they_are_not_there(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),), config={"whoami": False}) as bed:
        assert ask(bed, "_whoami").rcode() == dns.rcode.NXDOMAIN
        assert ask(bed, "_status").rcode() == dns.rcode.NOERROR
        ctx = bed.app.host.supervised["dns"].ctx
        ctx.config_changes.set(
            DnsConfig.model_validate({**ctx.config.model_dump(), "whoami": True, "status": False})
        )
        await wait_until(lambda: ask(bed, "_whoami").rcode() == dns.rcode.NOERROR, "the name to appear")
        assert ask(bed, "_status").rcode() == dns.rcode.NXDOMAIN


async def test_a_plugin_answers_its_names_and_its_mistakes_are_servfail(
    tmp_path: Path, parrot: ModuleType
) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),), plugins=(parrot,)) as bed:
        assert texts(ask(bed, "Hello.Parrot")) == ['"hello"']
        assert texts(ask(bed, "parrot", "MX")) == ["5 mail.pool.example.org."]
        assert ask(bed, "parrot", "MX").answer[0].ttl == 7
        assert ask(bed, "parrot", "SRV").authority[0].rdtype.name == "SOA"
        assert texts(ask(bed, "parrot", "ANY")) == ['"RFC8482" ""']
        assert ask(bed, "nobody.parrot").rcode() == dns.rcode.NXDOMAIN
        for mistake in ("broken", "many", "wrong"):
            assert ask(bed, f"{mistake}.parrot").rcode() == dns.rcode.SERVFAIL
        # What the zone has stays, and what is no label is told.
        assert texts(ask(bed, "ns1", "A")) == ["192.0.2.53"]
        problems = bed.service.zone.problems if bed.service.zone else ()
        assert sorted(p.partition(":")[0] for p in problems) == ["live name ns1", "live name two.labels"]


async def test_the_answer_tester_knows_live_names(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        told = bed.explain("_whoami", "TXT", "192.0.2.9")
        assert told["answer"][0] == '"192.0.2.9"'
        assert told["ttl"] == 0
        assert told["note"] == "this name is answered anew for each query"
        with pytest.raises(NotFound):
            bed.explain("_nobody", "TXT")


def test_our_own_names_do_not_need_the_large_library() -> None:
    question = LiveQuestion("", "TXT", "2001:db8::7", "udp", "192.0.2.0/24")
    for entry in [*whoami(question), *(status(question, lambda: {"members": 1}) or ())]:
        if entry.rrtype == "TXT":
            assert rdata_from_text(TXT, entry.rdata, b"\0") == txt_rdata(entry.rdata[1:-1])
    assert [entry.rrtype for entry in whoami(question)] == ["AAAA", "TXT", "TXT", "TXT"]


@pytest.mark.parametrize("text", ["", "plain", 'quote"', "back\\slash", "x" * 600, "ümlaut"])
def test_text_records_are_read_as_they_are_written(text: str) -> None:
    assert rdata_from_text(TXT, txt_text(text), b"\0") == txt_rdata(text)


def test_a_live_name_is_one_label() -> None:
    zone = encode_name("pool.example.org")
    assert owner_name("_Status", zone) == encode_name("_status.pool.example.org")
    for label in ("two.labels", "", ".", "x" * 64):
        with pytest.raises(WireError):
            owner_name(label, zone)


def test_an_answer_record_says_its_type() -> None:
    assert {entry.rrtype for entry in whoami(LiveQuestion("", "A", "192.0.2.1", "udp"))} == {"A", "TXT"}
    assert all(isinstance(entry, AnswerRecord) for entry in whoami(LiveQuestion("", "A", "192.0.2.1", "udp")))
