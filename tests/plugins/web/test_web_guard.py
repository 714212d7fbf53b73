"""Who is let in, decided from headers."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from appliance.dataplane.interface import Endpoint
from appliance_web import guard


@pytest.mark.parametrize("text", ["127.0.0.1:80", "127.5.6.7:0", "[::1]:8080"])
def test_loopback_is_served(text):
    assert guard.refused_endpoint(Endpoint.parse(text)) is None


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "10.0.0.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80"],
)
def test_everything_else_is_refused_with_the_reason_and_the_way_out(text):
    why = guard.refused_endpoint(Endpoint.parse(text))
    assert "loopback only until the admin surface has its lock" in why
    assert 'listen = "127.0.0.1:8080"' in why


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST.",
        "127.0.0.1",
        "192.0.2.7:80",
        "[::1]:8080",
        "[2001:db8::1]",
        "time.example.org",
        "Time.Example.ORG.:8080",
        "a.localhost",
    ],
)
def test_known_hosts(host):
    assert guard.known_host(host, ("time.example.org",))


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "time.example.org.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil@localhost", "localhost/x",
     "local\\host", "[::1", "x:y:z", "time.example.org:port", "notlocalhost", "0x7f.1", "2130706433"],
)  # fmt: skip
def test_strange_hosts_are_refused(host):
    """A name that a stranger's DNS points at us, and everything that only looks like an address."""
    assert not guard.known_host(host, ("time.example.org",))


OURS = {"Host": "127.0.0.1:8080"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Content-Type": "application/json; charset=utf-8"},
    ],
)
def test_our_own_forms_and_programs_may_change_things(headers):
    assert guard.foreign("POST", "http", CIMultiDict(OURS | headers)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"},
        {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"}, {"Origin": "https://127.0.0.1:8080"}, {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example", "Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"}, {"Sec-Fetch-Site": ""},
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_foreign_requests_change_nothing(method, headers):
    assert guard.foreign(method, "http", CIMultiDict(OURS | headers))


def test_looking_is_always_allowed():
    assert guard.foreign("GET", "http", CIMultiDict(OURS | {"Sec-Fetch-Site": "cross-site"})) is None
