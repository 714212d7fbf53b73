"""What people are told about the clients of the time service, and the limits that they set."""

from __future__ import annotations

import asyncio
import csv
import io
import ipaddress
import json
import socket

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import build
from appliance.dataplane.client_keys import client_key
from appliance.dataplane.interface import Client, RateLimit
from appliance_ntp import clients
from appliance_ntp.clients import Moment
from appliance_ntp.config import NtpConfig, RateLimitSettings
from appliance_ntp.policy import limit_of
from tests.support.ntp_packets import request
from tests.support.ntp_service import endpoint
from tests.support.wait import wait_for

S = 10**9
NOW = Moment(1000 * S, 1_800_000_000.0)
DEFAULT = RateLimit(exempt=(ipaddress.ip_network("127.0.0.0/8"),))


def client(host="192.0.2.7", **changes) -> Client:
    usual = Client(
        client_key(ipaddress.ip_address(host).packed), 900 * S, 996 * S, 13, 13, 0, 0, 0, 4, 3, 1, False, 8.0, None
    )  # fmt: skip
    return usual._replace(**changes)


FLOOD = client(
    "198.51.100.9", packets=10_000, replies=2500, dropped=7500, missing_ns=128 * S, last_mono_ns=1000 * S, silent=True,
    answered_s=0.01, unanswered_s=0.01,
)  # fmt: skip


def rows(*known, limit=DEFAULT, **how):
    return clients.page(known, limit, NOW, **how).rows


def test_a_row_tells_who_how_often_and_why():
    [row] = rows(client())
    assert row == {
        "client": "192.0.2.7", "family": 4, "packets": 13, "share": 1.0, "rate_per_s": 0.125, "mean_per_s": 0.125,
        "replies": 13, "dropped": 0, "kisses": 0, "first_seen": 1_799_999_900.0, "last_seen": 1_799_999_996.0, "version": 4,
        "mode": 3, "port": "ntp", "state": "within", "why": "within its limit",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "limit", "state", "why"),
    [
        (FLOOD, DEFAULT, "over", "asks 100 times a second, its limit is once in 8 s: one in 4 is answered"),
        (FLOOD._replace(answered_s=1.0), DEFAULT, "insists", "asks 100 times a second and faster when it gets no reply, so 75.0 % are answered"),
        (FLOOD._replace(last_mono_ns=900 * S), DEFAULT, "within", "within its limit; 7,500 of its requests were refused before"),
        (FLOOD, None, "free", "no limit is set; 7,500 of its requests were refused before"),
        (client("127.0.0.1"), DEFAULT, "exempt", "rate_limit.exempt"),
        (client("2001:db8::1", missing_ns=100 * S, last_mono_ns=1000 * S), DEFAULT, "within", "within its limit"),
    ],
)  # fmt: skip
def test_each_standing_is_explained(known, limit, state, why):
    [row] = rows(known, limit=limit)
    assert row["state"] == state
    assert why in row["why"]


def test_the_rate_of_one_who_fell_silent_fades():
    for idle_s in (0, 8, 92, 5000):
        [row] = rows(client(first_mono_ns=0, last_mono_ns=1000 * S - idle_s * S))
        assert row["rate_per_s"] == pytest.approx(12 / (12 * 8 + max(0, idle_s - 8)))
    [flood] = rows(FLOOD._replace(last_mono_ns=998 * S))
    assert flood["rate_per_s"] == pytest.approx(16 / (16 * 0.01 + 1.99))
    [once] = rows(client(packets=1, first_mono_ns=996 * S, answered_s=None))
    assert (once["rate_per_s"], once["mean_per_s"]) == (None, None)


@given(
    hosts=st.lists(st.ip_addresses(v=4), unique=True, max_size=30),
    sort=st.sampled_from(sorted(clients.SORTS)),
    count=st.integers(1, 7),
    data=st.data(),
)
def test_the_pages_together_are_everybody_once_in_order(hosts, sort, count, data):
    known = [
        client(
            str(host),
            packets=data.draw(st.integers(1, 3)),
            last_mono_ns=data.draw(st.integers(900 * S, 999 * S)),
        )
        for host in hosts
    ]
    found = []
    for offset in range(0, len(known) + count, count):
        found += rows(*known, sort=sort, offset=offset, count=count)
    assert {row["client"] for row in found} == {str(host) for host in hosts}
    assert len(found) == len(hosts)
    column = {"packets": "packets", "rate": "rate_per_s", "dropped": "dropped", "last_seen": "last_seen"}[
        sort
    ]
    values = [row[column] or 0 for row in found]
    assert values == sorted(values, reverse=True)


def test_a_prefix_chooses_who_is_in_it_or_around_it():
    known = [client("192.0.2.7"), client("192.0.3.7"), client("2001:db8:0:1::9")]

    def within(prefix):
        return [row["client"] for row in rows(*known, within=clients.parse_prefix(prefix))]

    assert within("192.0.2.0/24") == ["192.0.2.7"]
    assert within("2001:db8::/32") == ["2001:db8:0:1::/64"]
    assert within("2001:db8:0:1::9") == ["2001:db8:0:1::/64"]
    assert len(within("")) == 3


def test_the_limits_of_the_configuration_are_those_of_the_data_plane():
    assert limit_of(NtpConfig()) == RateLimit(
        3, 16, 2, 0, (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")), -7, 4096
    )
    assert limit_of(NtpConfig.model_validate({"rate_limit": {"enabled": False}})) is None


LIMITED = '[plugins.ntp]\nlisten = ["127.0.0.1:0", "[::1]:0"]\n{}[plugins.ntp.rate_limit]\n{}'


async def send(app, count: int, family: int = 4) -> None:
    """Requests from one socket; their replies are not looked at."""
    with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(request(), await endpoint(app, family))


async def told(app, until, path="/api/v1/ntp/clients"):
    async def look():
        answer = await app.get(path)
        return answer if until(answer) else None

    return await wait_for(look, "the clients to be counted")


async def test_the_api_shows_the_clients_and_what_was_refused(serving):
    async with serving(LIMITED.format("", "exempt = []\ninterval = 12")) as app:
        await app.until_running("ntp")
        await send(app, 60)
        await send(app, 2, family=6)
        answer = await told(app, lambda a: sum(row["packets"] for row in a["clients"]) == 62)
        assert (answer["known"], answer["matching"], answer["packets"]) == (2, 2, 62)
        first, second = answer["clients"]
        assert (first["client"], first["packets"], first["state"]) == ("127.0.0.1", 60, "over")
        assert (second["client"], second["packets"], second["dropped"]) == ("::/64", 2, 0)
        assert first["dropped"] == answer["limited"]["client"] == 60 - first["replies"] > 0
        assert first["replies"] == 16 + answer["limited"]["leak"]
        text = await app.get("/api/v1/ntp/clients.csv", prefix="::/0")
        assert [row["client"] for row in csv.DictReader(io.StringIO(text))] == ["::/64"]
        values = {metric.name: metric.read() for metric in app.host.shared.contributions["ntp"]["metrics"]}
        assert values["ntp_clients_known"] == 2
        assert dict(values["ntp_rate_limited_total"])["client",] == first["dropped"]


async def test_loopback_is_exempt_and_nobody_is_remembered_when_told_so(serving):
    async with serving(LIMITED.format("clients = 0\n", "")) as app:
        await app.until_running("ntp")
        await send(app, 100)
        answer = await told(app, lambda a: a["outcomes"], "/api/v1/ntp")
        answer = await told(app, lambda a: sum(o["count"] for o in a["outcomes"]) == 100, "/api/v1/ntp")
        assert [(o["reason"], o["count"]) for o in answer["outcomes"]] == [("ok", 100)]
        answer = await app.get("/api/v1/ntp/clients")
        assert (answer["room"], answer["clients"]) == (0, [])
        assert "plugins.ntp.clients is 0" in answer["verdict"]


async def test_new_limits_hold_without_a_restart_and_nobody_is_forgotten(serving):
    free = LIMITED.format("", "enabled = false")
    async with serving(free) as app:
        await app.until_running("ntp")
        await send(app, 50)
        await told(app, lambda a: a["packets"] == 50)
        assert (await app.get("/api/v1/ntp"))["clients"]["limit"] is None
        ctx = app.host.supervised["ntp"].ctx
        limits = RateLimitSettings(exempt=(), burst=2, leak=4)
        ctx.config_changes.set(ctx.config.model_copy(update={"rate_limit": limits}))
        await told(app, lambda a: a["limit"] and a["limit"]["burst"] == 2)
        await send(app, 50)
        answer = await told(app, lambda a: a["packets"] == 100)
        assert answer["known"] == 1
        assert answer["clients"][0]["dropped"] > 20


async def timeball(tmp_path, *words, code=0):
    done = await asyncio.to_thread(CliRunner().invoke, build(), [*words, "--state-dir", str(tmp_path)])
    assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
    return done


async def test_the_command_shows_the_same(serving, tmp_path):
    async with serving(LIMITED.format("", "exempt = []\ninterval = 12"), admin_socket=True) as app:
        await app.until_running("ntp")
        await send(app, 40)
        await told(app, lambda a: a["packets"] == 40)
        answer = json.loads((await timeball(tmp_path, "ntp", "clients", "--top", "3", "--json")).stdout)
        assert [row["client"] for row in answer["clients"]] == ["127.0.0.1"]
        text = (await timeball(tmp_path, "ntp", "clients", "--by", "dropped")).stdout
        assert text.startswith("One client is known; ")
        assert "over the limit" in text
        done = await timeball(tmp_path, "ntp", "clients", "--in", "nonsense", code=1)
        assert 'a prefix such as "10.0.0.0/8"' in done.stderr
