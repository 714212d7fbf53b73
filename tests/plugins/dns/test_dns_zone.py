"""The zone as built: what plugins may add, what they may not, and what stays out of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.api.contrib import AnswerRecord, AnswerSource, Candidate
from appliance.wire.dns import encode_name
from appliance_dns.candidates import candidate, reweighed
from appliance_dns.config import DnsConfig
from appliance_dns.pools import places, zone_paths
from appliance_dns.selection import Choice
from appliance_dns.zone import Plan, Pool, Secrets, Zone, build
from tests.plugins.dns.dns_bed import bad, good, member

REPOSITORY = Path(__file__).resolve().parents[3]


def zone_with(
    *records: AnswerRecord, pools: dict[tuple[str, int], Pool] | None = None, **config: object
) -> Zone:
    settings = DnsConfig.model_validate({"zone": "pool.example.org", **config})
    pools = pools or {("@", 4): Pool((Choice("192.0.2.1", 1),), wanted=True), ("@", 6): Pool()}
    return build(Plan(settings, pools, Secrets(bytes(16), ()), (("guest", records),), ("192.0.2.53",)), 7)


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (AnswerRecord("0", "A", "203.0.113.1", 60), "gives members"),
        (AnswerRecord("@", "AAAA", "2001:db8::1", 60), "gives members"),
        (AnswerRecord("@", "CNAME", "example.net.", 60), "gives members"),
        (AnswerRecord("ns1", "CNAME", "example.net.", 60), "alias"),
        (AnswerRecord("x", "NS", "ns.example.net.", 60), "cannot be contributed"),
        (AnswerRecord("@", "SOA", "a. b. 1 2 3 4 5", 60), "cannot be contributed"),
        (AnswerRecord("x", "A", "not an address", 60), "not right for this type"),
        (AnswerRecord("x", "NOTYPE", "y", 60), "not a DNS record type"),
        (AnswerRecord("x..y", "TXT", '"y"', 60), "label"),
        (AnswerRecord("x", "TXT", '"y"', -1), "TTL"),
    ],
)
def test_what_a_plugin_may_not_add_is_told_and_left_out(record: AnswerRecord, word: str) -> None:
    zone = zone_with(record)
    assert len(zone.problems) == 1
    assert word in zone.problems[0]
    assert zone.problems[0].startswith("guest: ")
    assert zone.snapshot == zone_with().snapshot


def test_what_a_plugin_adds_is_in_the_zone() -> None:
    zone = zone_with(
        AnswerRecord("_acme-challenge", "TXT", '"token"', 60), AnswerRecord("www", "A", "203.0.113.9", 60)
    )
    assert not zone.problems
    node = zone.snapshot.names[encode_name("_acme-challenge.pool.example.org")]
    assert node.static[16].answers == 1


def test_a_plugin_can_leave_out_and_reweigh_but_not_bring_in() -> None:
    before = [
        candidate(member(1), good("m1")),
        candidate(member(2), bad("m2")),
        candidate(member(3), good("m3")),
    ]

    def reweigh(candidates: tuple[Candidate, ...]) -> list[Candidate]:
        from dataclasses import replace

        return [replace(c, weight=5000) for c in candidates if c.member.id != "m3"] + [
            candidate(member(9), good("m9"))
        ]

    after = reweighed(before, reweigh, "guest")
    assert [(c.member.id, c.weight) for c in after] == [("m1", 5000), ("m2", 0), ("m3", 0)]
    assert "guest" in after[2].reason
    assert AnswerSource("guest", reweigh=reweigh).order == 100


def test_paths_have_their_parents_and_clashes_are_told() -> None:
    listed = [candidate(member(1, zones=("rack1.berlin", "@")), good("m1"))]
    assert zone_paths(listed) == ["@", "berlin", "rack1.berlin"]
    pool = Pool((Choice("192.0.2.1", 1),), wanted=True)
    zone = zone_with(
        pools={
            ("@", 4): pool,
            ("@", 6): Pool(),
            ("0", 4): pool,
            ("0", 6): Pool(),
            ("a..b", 4): pool,
            ("a..b", 6): Pool(),
        }
    )
    assert len(zone.problems) == 2
    assert zone.names[encode_name("0.pool.example.org")] == ("@", "0")


def test_a_zone_above_is_not_asked_when_there_are_enough() -> None:
    listed = [
        candidate(member(n, zones=("@", "de") if n <= 4 else ("@",)), good(f"m{n}")) for n in range(1, 9)
    ]
    assert {p.candidate.member.id for p in places("de", listed, 4, 150)} == {"m1", "m2", "m3", "m4"}
    assert len([p for p in places("de", listed, 5, 150) if p.choice is not None]) == 8


def test_a_weight_never_rounds_to_nothing() -> None:
    assert candidate(member(1, netspeed=1), good("m1", weight_factor=0.01)).weight == 1


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"zone": "."}, "root"),
        ({"zone": "a..b"}, "label"),
        ({"listen": ["53"]}, "ADDRESS:PORT"),
        ({"listen": ["127.0.0.1:53", "127.0.0.1:53"]}, "twice"),
        ({"on_empty": "fallback"}, "fallback"),
        ({"fallback": ["x"]}, "IP addresses"),
        ({"ns": [{"name": "a b..c"}]}, "label"),
        ({"contact": "a b@c"}, "e-mail"),
        ({"max_records": 9}, "less than or equal"),
        ({"ttl": 0}, "greater than or equal"),
    ],
)
def test_bad_configuration_is_told_in_words(config: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DnsConfig.model_validate({"zone": "pool.example.org", **config})


def test_contact_becomes_a_mailbox_name() -> None:
    for contact, text in (
        ("hostmaster", "hostmaster.pool.example.org"),
        ("j.doe@example.net", "j\\.doe.example.net"),
    ):
        assert DnsConfig(zone="pool.example.org", contact=contact).mailbox() == encode_name(text)


def test_dnspython_stays_out_of_memory_until_a_plugin_writes_records() -> None:
    program = (
        "import sys, appliance_dns, appliance_dns.service, appliance_dns.explain, appliance_dns.routes, appliance_dns.checks\n"
        "import appliance.dataplane.python_dns\n"
        "print([name for name in sys.modules if name == 'dns' or name.startswith('dns.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
