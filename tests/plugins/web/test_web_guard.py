"""Who is let in, decided from headers."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from appliance_web import guard


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


OURS = "127.0.0.1:8080"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "HTTP://127.0.0.1:8080"},
        {"Authorization": "Bearer timeball_x"},
        {"authorization": "bearer timeball_x", "Content-Type": "text/plain"},
    ],
)
def test_our_own_forms_and_programs_may_change_things(headers):
    assert guard.foreign("POST", "http", OURS, CIMultiDict(headers)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"},
        {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"}, {"Origin": "https://127.0.0.1:8080"}, {"Origin": "http://evil.example"},
        {"Origin": ""}, {"Content-Type": "application/json"}, {"Sec-Fetch-Site": ""}, {"Authorization": "Basic eDp5"}, {"Cookie": "a=b"},
        {"Authorization": "Bearer x", "Cookie": "a=b"}, {"Authorization": "Bearer x", "Origin": "http://evil.example"},
        {"Authorization": "Bearer x", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_foreign_requests_change_nothing(method, headers):
    assert guard.foreign(method, "http", OURS, CIMultiDict(headers))


def test_looking_is_always_allowed():
    assert guard.foreign("GET", "http", OURS, CIMultiDict({"Sec-Fetch-Site": "cross-site"})) is None


def test_a_live_stream_is_for_our_pages_and_for_programs():
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1:8080"}):
        assert guard.foreign_stream("http", OURS, CIMultiDict(headers)) is None
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert guard.foreign_stream("http", OURS, CIMultiDict(headers))
