"""What the parent should say, what a resolver makes of the zone, and whether many draws fit the weights."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from appliance.api.errors import ApiError, Invalid
from appliance_dns.delegation import Delegation, asking, expected, forwarding, is_private, look
from appliance_dns.simulation import simulate
from tests.plugins.dns.dns_bed import CONFIG, bad, dns_running, good, member
from tests.support.programs import free_port

MEMBERS = tuple(member(n, netspeed=1000 * n) for n in range(1, 8))
VERDICTS = tuple(good(m.id) for m in MEMBERS)


def answering(ns: tuple[str, ...], serial: int | None = None):
    """A resolver that knows these name servers."""

    async def ask(name: str, rrtype: str) -> dns.message.Message:
        reply = dns.message.make_response(dns.message.make_query(name, rrtype))
        if rrtype == "NS" and ns:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "NS", *ns))
        if rrtype == "SOA" and serial is not None:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "SOA", f"a. b. {serial} 1 1 1 1"))
        if not ns:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply

    return ask


async def test_the_parent_needs_one_ns_line_for_each_server_and_glue_for_those_inside(tmp_path: Path) -> None:
    servers = [*CONFIG["ns"], {"name": "ns.elsewhere.example", "addresses": ["203.0.113.1"]}]  # type: ignore[misc]
    async with dns_running(tmp_path, MEMBERS, VERDICTS, config={"ns": servers}) as bed:
        assert expected(bed.service.zone) == [
            "pool.example.org. 3600 IN NS ns1.pool.example.org.",
            "pool.example.org. 3600 IN NS ns2.pool.example.org.",
            "pool.example.org. 3600 IN NS ns.elsewhere.example.",
            "ns1.pool.example.org. 3600 IN A 192.0.2.53",
            "ns2.pool.example.org. 3600 IN A 198.51.100.53",
            "ns2.pool.example.org. 3600 IN AAAA 2001:db8::53",
        ]
        assert ("dnsmasq, Pi-hole", "server=/pool.example.org/192.0.2.53") in forwarding(bed.service.zone)


@pytest.mark.parametrize(
    ("ns", "serial", "state", "words"),
    [
        (("ns1.pool.example.org.", "ns2.pool.example.org."), None, "ok", "finds the zone"),
        (("NS2.pool.example.org.", "ns1.pool.example.org."), 7, "ok", "at serial 7"),
        (("ns1.pool.example.org.", "old.example."), None, "differs", "also names old.example; it does not name ns2"),
        ((), None, "missing", "does not delegate it"),
    ],
)  # fmt: skip
async def test_what_a_resolver_says_is_judged(
    tmp_path: Path, ns: tuple[str, ...], serial: int | None, state: str, words: str
) -> None:
    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        found = await look(bed.service.zone, answering(ns, serial), "192.0.2.1", 1.0)
        assert (found.state, words in found.said) == (state, True), found.said


async def test_the_boxs_own_answers_are_a_right_delegation(tmp_path: Path) -> None:
    """The whole way over the wire: the real query, the real answer of our own server."""
    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        found = await look(bed.service.zone, asking("127.0.0.1", bed.port), "127.0.0.1", 1.0)
        assert found.state == "ok", found.said
        assert found.serial == bed.service.zone.snapshot.serial


async def test_offline_it_says_so_and_does_not_wait_long(tmp_path: Path) -> None:
    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        zone = bed.service.zone
        nobody = Delegation(lambda: ("127.0.0.1", free_port(tcp=False)))
        assert (await nobody.told(zone, 1.0, anew=False))["look"] is None
        told = await nobody.told(zone, 1.0, anew=True)
        assert told["look"]["state"] == "unknown"
        assert "does not answer" in told["look"]["said"]
        none = await Delegation(lambda: ("", 0)).told(zone, 1.0, anew=True)
        assert "no resolver" in none["look"]["said"]


async def test_a_second_look_right_after_the_first_asks_nobody(tmp_path: Path) -> None:
    asked = []

    def resolver() -> tuple[str, int]:
        asked.append(1)
        return "", 0

    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        delegation = Delegation(resolver)
        for now in (100.0, 101.0, 114.0, 116.0):
            await delegation.told(bed.service.zone, now, anew=True)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("name", "private"),
    [("pool.home.arpa", True), ("pool.example.org", False), ("time.lan", True), ("atlan", False), ("example.org", False)],
)  # fmt: skip
def test_names_that_are_never_delegated(name: str, private: bool) -> None:
    assert is_private(name) is private


async def test_the_api_tells_it(tmp_path: Path) -> None:
    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        told = await bed.app.get("/api/v1/dns/delegation")
        assert told["look"] is None
        assert told["parent"][0].endswith("NS ns1.pool.example.org.")
        assert (await bed.app.get("/api/v1/dns"))["minimum"] == 300


@pytest.mark.parametrize("coherence_s", [0, 8])
async def test_a_thousand_draws_fit_the_weights(tmp_path: Path, coherence_s: int) -> None:
    members, verdicts = (*MEMBERS, member(9)), (*VERDICTS, bad("m9"))
    async with dns_running(tmp_path, members, verdicts, config={"coherence_s": coherence_s}) as bed:
        told = await bed.app.get("/api/v1/dns/simulation", name="0", **{"from": "192.0.2.200"})
        rows = {row["address"]: row for row in told["addresses"]}
        assert set(rows) == {m.address for m in MEMBERS}
        assert told["draws"] == 1000
        assert sum(row["drawn"] for row in rows.values()) == 4000
        assert sum(row["expected"] for row in rows.values()) == pytest.approx(4000, abs=0.01)
        assert told["verdict"].startswith("the draws fit the weights"), told
        again = await bed.app.get("/api/v1/dns/simulation", name="0", draws=10)
        assert sum(row["drawn"] for row in again["addresses"]) == 40


async def test_what_does_not_rotate_cannot_be_simulated(tmp_path: Path) -> None:
    async with dns_running(tmp_path, MEMBERS, VERDICTS) as bed:
        for name, rrtype in (("@", "SOA"), ("@", "AAAA"), ("ns1", "A")):
            with pytest.raises(Invalid):
                await simulate(bed.service.answers, name, rrtype, None, 10)
        with pytest.raises(ApiError):
            await simulate(bed.service.answers, "nowhere.else.", "A", None, 10)
