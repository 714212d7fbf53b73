"""The rate limit of the running plugin: configured, changed without a restart, told."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from appliance.dataplane.dns_rate import Offender
from appliance.testing import wait_until
from appliance_dns.config import DnsConfig
from appliance_dns.limited import NAMED, QUIET_S, LimitWatch
from appliance_dns.limits import RateLimitConfig
from tests.dataplane.dns_stub import query
from tests.plugins.dns.dns_bed import Bed, dns_running, good, member
from tests.support.wait import wait_until as wait_counted

SECOND = 10**9


def replies(bed: Bed, count: int) -> int:
    """How many of `count` queries are answered in full."""
    before = counted(bed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", bed.port))
        for sent in range(1, count + 1):
            client.send(query("0").to_wire())
            if sent % 50 == 0 or sent == count:
                wait_counted(
                    lambda sent=sent: sum(counted(bed).values()) == sum(before.values()) + sent, "all of them"
                )
    return counted(bed).get("NOERROR", 0) - before.get("NOERROR", 0)


def counted(bed: Bed) -> dict[str, int]:
    assert bed.service.server is not None
    told: dict[str, int] = {}
    for (_, _, outcome), number in bed.service.server.counters().items():
        told[outcome] = told.get(outcome, 0) + number
    return told


async def reconfigure(bed: Bed, **limit: Any) -> None:
    ctx = bed.app.host.supervised["dns"].ctx
    values = {**ctx.config.model_dump(), "rate_limit": limit}
    ctx.config_changes.set(DnsConfig.model_validate(values))
    wanted = RateLimitConfig.model_validate(limit).compiled()
    await wait_until(lambda: bed.service.zone.snapshot.rate_limit == wanted, "the new limit")  # type: ignore[union-attr]


async def test_the_limit_is_configured_changes_without_a_restart_and_is_told(tmp_path: Path) -> None:
    tight = {"per_second": 1, "burst": 5, "slip": 0, "exempt": []}
    async with dns_running(tmp_path, (member(1),), (good("m1"),), config={"rate_limit": tight}) as bed:
        server = bed.service.server
        assert 5 <= replies(bed, 30) < 30
        await wait_until(lambda: bed.service.limits.active() == 1, "the plugin to notice")
        told = (await bed.app.get("/api/v1/dns"))["limited"]
        assert [(row["network"], row["active"]) for row in told] == [("127.0.0.0/24", True)]
        assert told[0]["limited"] >= 1
        await reconfigure(bed, **tight, enabled=False)
        assert replies(bed, 30) == 30
        await reconfigure(bed, **{**tight, "exempt": ["127.0.0.0/8"]})
        assert replies(bed, 30) == 30
        assert bed.service.server is server


async def test_loopback_is_exempt_by_default(tmp_path: Path) -> None:
    async with dns_running(tmp_path, (member(1),), (good("m1"),)) as bed:
        assert replies(bed, 700) == 700


@pytest.mark.parametrize(
    ("limit", "complaint"),
    [
        ({"per_second": 0}, "per_second"),
        ({"slip": 11}, "slip"),
        ({"burst": 10_000, "per_second": 100}, "more than 60 s"),
        ({"exempt": ["192.0.2.1/24"]}, "192.0.2.0/24"),
        ({"exempt": ["everybody"]}, "expected a prefix"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limit: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        RateLimitConfig.model_validate(limit)


# -- what the log says


def test_a_network_is_told_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    watch = LimitWatch(logging.getLogger("dns"))
    for second in range(5):
        watch.look([Offender("192.0.2.0/24", 10 * second, second * SECOND)], second * SECOND)
    assert [r.getMessage() for r in caplog.records] == [
        "DNS replies to 192.0.2.0/24 are limited: it asks for more than the rate limit"
    ]
    assert [(e.network, e.active) for e in watch.current()] == [("192.0.2.0/24", True)]
    for second in range(5, 2 * QUIET_S):
        watch.look([Offender("192.0.2.0/24", 40, 4 * SECOND)], second * SECOND)
    assert [r.getMessage() for r in caplog.records[1:]] == [
        "DNS replies to 192.0.2.0/24 are no longer limited; 40 were"
    ]
    assert [(e.network, e.active) for e in watch.current()] == [("192.0.2.0/24", False)]
    assert watch.active() == 0


def test_forged_addresses_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = LimitWatch(logging.getLogger("dns"))
    for second in range(30):
        seen = [Offender(f"10.{n}.{second}.0/24", 1, second * SECOND) for n in range(100)]
        watch.look(seen, second * SECOND)
    assert len(caplog.records) == NAMED + 1
    assert "more than 8 networks" in caplog.records[-1].getMessage()
